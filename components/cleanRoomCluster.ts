import { listManagedClusterAdminCredentialsOutput } from "@pulumi/azure-native/containerservice/listManagedClusterAdminCredentials.js";
import { ManagedCluster } from "@pulumi/azure-native/containerservice/managedCluster.js";
import { PublicIPAddress } from "@pulumi/azure-native/network/publicIPAddress.js";
import { Release } from "@pulumi/kubernetes/helm/v3/release.js";
import { Provider } from "@pulumi/kubernetes/provider.js";
import * as pulumi from "@pulumi/pulumi";
import { uniqueString } from "../domain/azure/names.ts";
import { agentPolicy, agentValues, type AgentSettings } from "../domain/confidential/agent.ts";
import { base64 } from "../domain/confidential/policy.ts";
import { grantRole } from "./roleGrant.ts";

export interface CleanRoomClusterArgs {
  resourceGroupName: pulumi.Input<string>;
  subscriptionId: pulumi.Input<string>;
  location: string;
  tags: Readonly<Record<string, string>>;
  agent: pulumi.Input<AgentSettings>;
  /** Helm chart of the analytics agent: OCI reference without version. */
  chart: string;
  chartVersion: string;
}

const AGENT = "cleanroom-spark-analytics-agent";
/** Pinned: the virtual nodes that carry confidential pods support one minor version at a time. */
const KUBERNETES_VERSION = "1.34";

/** AKS and the analytics agent on it, reachable under a public name whose certificate the contract's authority issued. */
export class CleanRoomCluster extends pulumi.ComponentResource {
  /** `https://…` of the agent. */
  declare readonly endpoint: pulumi.Output<string>;

  constructor(name: string, args: CleanRoomClusterArgs, options?: pulumi.ComponentResourceOptions) {
    super("cleanroom:components:CleanRoomCluster", name, {}, options);
    const parent = { parent: this };
    const { resourceGroupName, location, tags } = args;
    const cluster = new ManagedCluster(
      `${name}-aks`,
      {
        resourceGroupName,
        location,
        dnsPrefix: `${name}-dns`,
        kubernetesVersion: KUBERNETES_VERSION,
        sku: { name: "Base", tier: "Standard" },
        identity: { type: "SystemAssigned" },
        enableRBAC: true,
        oidcIssuerProfile: { enabled: true },
        securityProfile: { workloadIdentity: { enabled: true } },
        autoUpgradeProfile: { upgradeChannel: "patch", nodeOSUpgradeChannel: "NodeImage" },
        agentPoolProfiles: [
          {
            name: "agentpool",
            mode: "System",
            type: "VirtualMachineScaleSets",
            vmSize: "Standard_D4ds_v5",
            count: 2,
            minCount: 2,
            maxCount: 5,
            enableAutoScaling: true,
          },
        ],
        networkProfile: {
          networkPlugin: "azure",
          networkPolicy: "calico",
          loadBalancerSku: "standard",
          serviceCidr: "10.4.0.0/16",
          dnsServiceIP: "10.4.0.10",
        },
        tags: { ...tags },
      },
      parent,
    );
    const label = pulumi
      .all([args.subscriptionId, resourceGroupName])
      .apply(([subscription, group]) => `analytics-${uniqueString(`${subscription}${group}${name}`.toLowerCase())}`);
    const address = new PublicIPAddress(
      `${name}-agent-ip`,
      {
        resourceGroupName,
        location,
        publicIpAddressName: "analytics-agent-ip",
        publicIPAllocationMethod: "Static",
        publicIPAddressVersion: "IPv4",
        sku: { name: "Standard" },
        dnsSettings: { domainNameLabel: label },
        tags: { ...tags },
      },
      parent,
    );
    const balancer = grantRole(
      `${name}-agent-ip-user`,
      {
        role: "Network Contributor",
        scope: address.id,
        principalId: cluster.identity.apply((identity) => identity!.principalId),
        principalType: "ServicePrincipal",
      },
      parent,
    );
    const fqdn = address.dnsSettings.apply((dns) => dns!.fqdn!);
    this.installAgent(name, args, { cluster, address, balancer, label, fqdn });
    this.endpoint = pulumi.interpolate`https://${fqdn}`;
    this.registerOutputs({ endpoint: this.endpoint });
  }

  private installAgent(name: string, args: CleanRoomClusterArgs, place: AgentPlace): void {
    // Kept inside: whoever holds it controls the cluster.
    const kubeconfig = pulumi.secret(
      listManagedClusterAdminCredentialsOutput(
        { resourceGroupName: args.resourceGroupName, resourceName: place.cluster.name },
        { parent: this },
      ).apply(({ kubeconfigs }) => Buffer.from(kubeconfigs[0]!.value, "base64").toString("utf8")),
    );
    const kubernetes = new Provider(`${name}-kubernetes`, { kubeconfig }, { parent: this });
    new Release(
      `${name}-agent`,
      {
        name: AGENT,
        namespace: AGENT,
        createNamespace: true,
        chart: args.chart,
        version: args.chartVersion,
        values: pulumi.output(args.agent).apply((agent) => ({
          ...agentValues(agent),
          ccePolicy: base64(agentPolicy(agent)),
          telemetryCollectionEnabled: false,
          service: {
            annotations: {
              "service.beta.kubernetes.io/azure-load-balancer-resource-group": args.resourceGroupName,
              "service.beta.kubernetes.io/azure-pip-name": place.address.name,
              "service.beta.kubernetes.io/azure-dns-label-name": place.label,
              "cleanroom.azure.com/fqdn": place.fqdn,
            },
          },
        })),
      },
      { parent: this, provider: kubernetes, dependsOn: [place.balancer], deletedWith: place.cluster },
    );
  }
}

interface AgentPlace {
  readonly cluster: ManagedCluster;
  readonly address: PublicIPAddress;
  readonly balancer: pulumi.Resource;
  readonly label: pulumi.Output<string>;
  readonly fqdn: pulumi.Output<string>;
}
