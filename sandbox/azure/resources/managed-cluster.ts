import { randomBytes } from "node:crypto";
import { guidOf } from "../guids.ts";
import type { Failure } from "../provider.ts";
import type { ResourceContext, ResourceType } from "../resource-type.ts";
import { UNKNOWN, hasUnknown, isObject } from "../values.ts";
import type { Args } from "../values.ts";
import { providerPath } from "./paths.ts";

const CLUSTER = providerPath("Microsoft.ContainerService/managedClusters/{resourceName}");
const API_VERSION = "2025-09-01";
const DEFAULT_KUBERNETES_VERSION = "1.34";

/** Exists, with its identities; there is no Kubernetes behind it: `sandbox/kubernetes` answers for what is installed on it. */
export const managedCluster: ResourceType = {
  token: "azure-native:containerservice:ManagedCluster",
  path: CLUSTER,
  apiVersion: API_VERSION,
  name: {
    input: "resourceName",
    pattern: /^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/,
    rule: "1 to 63 letters, digits, '-' and '_', starting and ending with a letter or digit",
    maxLength: 63,
  },
  located: true,
  replaceOn: [
    ...["diskEncryptionSetID", "dnsPrefix", "fqdnSubdomain", "linuxProfile", "nodeResourceGroup", "windowsProfile"],
    ...[
      "serviceCidr",
      "serviceCidrs",
      "dnsServiceIP",
      "networkMode",
      "networkPlugin",
      "networkPluginMode",
      "podCidr",
    ].map((property) => `networkProfile.${property}`),
    ...["networkDataplane", "networkPolicy", "outboundType"].map((property) => `networkProfile.${property}`),
  ],
  computed: ["identity.principalId", "identity.tenantId", "oidcIssuerProfile.issuerURL"],
  writeOnly: ["adminPassword", "secret"],
  model: { client: "arm-containerservice", model: "ManagedCluster", newer: ["kind", "privateLinkResources"] },
  check: (inputs) => [...checkIdentity(inputs), ...checkPools(inputs), ...checkDns(inputs)],

  async put(context) {
    const { id, path, body, caller, previous, cloud, tokens } = context;
    const generation = Number(previous?.data.generation ?? cloud.nextGeneration(id));
    const seed = `${generation} of ${id.toLowerCase()}`;
    const { tenantId } = caller.principal;
    const system = {
      objectId: guidOf(`cluster principal ${seed}`),
      clientId: guidOf(`cluster client ${seed}`),
      tenantId,
      kind: "managedIdentity",
      name: path.resourceName!,
    } as const;
    const kubelet = {
      objectId: guidOf(`kubelet principal ${seed}`),
      clientId: guidOf(`kubelet client ${seed}`),
      tenantId,
      kind: "managedIdentity",
      name: `${path.resourceName!}-agentpool`,
    } as const;
    for (const identity of [system, kubelet]) tokens.addManagedIdentity(identity);
    const location = String(body.location);
    const nodeResourceGroup =
      body.nodeResourceGroup ?? `MC_${path.resourceGroupName!}_${path.resourceName!}_${location}`;
    const version = String(body.kubernetesVersion ?? DEFAULT_KUBERNETES_VERSION);
    return {
      outputs: {
        ...clusterAddresses(body, seed, location),
        provisioningState: "Succeeded",
        powerState: { code: "Running" },
        kubernetesVersion: version,
        currentKubernetesVersion: version,
        enableRBAC: body.enableRBAC ?? true,
        nodeResourceGroup,
        maxAgentPools: 100,
        resourceUID: guidOf(`uid ${seed}`).replaceAll("-", ""),
        identity: { ...(body.identity as Args), principalId: system.objectId, tenantId },
        identityProfile: {
          kubeletidentity: {
            clientId: kubelet.clientId,
            objectId: kubelet.objectId,
            resourceId: `/subscriptions/${path.subscriptionId!}/resourceGroups/${String(nodeResourceGroup)}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/${kubelet.name}`,
          },
          ...(body.identityProfile as Args | undefined),
        },
        ...(isObject(body.oidcIssuerProfile) && {
          oidcIssuerProfile: {
            ...body.oidcIssuerProfile,
            ...(body.oidcIssuerProfile.enabled === true && {
              issuerURL: `https://${location}.oic.prod-aks.azure.com/${tenantId}/${guidOf(`issuer ${seed}`)}/`,
            }),
          },
        }),
      },
      data: {
        generation,
        token: previous?.data.token ?? randomBytes(32).toString("hex"),
        principals: [system.objectId, kubelet.objectId],
      },
    };
  },

  async remove({ id, cloud, tokens, clusterDeleted }: ResourceContext) {
    await clusterDeleted(id);
    for (const objectId of cloud.find(id)!.data.principals as string[]) tokens.removeManagedIdentity(objectId);
  },
};

export const agentPool: ResourceType = {
  token: "azure-native:containerservice:AgentPool",
  path: `${CLUSTER}/agentPools/{agentPoolName}`,
  apiVersion: API_VERSION,
  name: {
    input: "agentPoolName",
    pattern: /^[a-z][a-z0-9]{0,11}$/,
    rule: "1 to 12 lower-case letters and digits, starting with a letter",
    maxLength: 12,
    style: "lowerAlphanumeric",
  },
  located: false,
  replaceOn: ["gpuInstanceProfile", "vmSize", "vnetSubnetID", "osType"],
  model: { client: "arm-containerservice", model: "AgentPool" },
  put: async () => ({ outputs: { provisioningState: "Succeeded" } }),
};

function clusterAddresses(body: Args, seed: string, location: string): Args {
  const label = String(body.dnsPrefix ?? body.fqdnSubdomain);
  const suffix = `${label}-${guidOf(`address ${seed}`).slice(0, 8)}.hcp.${location}.azmk8s.io`;
  return { fqdn: suffix, azurePortalFQDN: suffix.replace(".hcp.", ".portal.hcp.") };
}

function checkIdentity({ identity, servicePrincipalProfile }: Args): Failure[] {
  if (isObject(identity) && ![undefined, "SystemAssigned", UNKNOWN].includes(identity.type as string)) {
    const reason = "only 'SystemAssigned' is simulated: the sandbox gives every cluster an identity of its own";
    return [{ property: "identity.type", reason: `'identity.type': ${reason}` }];
  }
  if (identity !== undefined || servicePrincipalProfile !== undefined) return [];
  return [{ property: "identity", reason: "'identity' (or 'servicePrincipalProfile') is required" }];
}

function checkPools({ agentPoolProfiles }: Args): Failure[] {
  if (hasUnknown(agentPoolProfiles)) return [];
  if (!Array.isArray(agentPoolProfiles) || agentPoolProfiles.length === 0) {
    return [
      {
        property: "agentPoolProfiles",
        reason: "'agentPoolProfiles' must hold at least one pool: required on creation",
      },
    ];
  }
  if (agentPoolProfiles.some((pool) => isObject(pool) && pool.mode === "System")) return [];
  return [{ property: "agentPoolProfiles", reason: "'agentPoolProfiles' must hold a pool of mode 'System'" }];
}

function checkDns({ dnsPrefix, fqdnSubdomain }: Args): Failure[] {
  if (dnsPrefix === UNKNOWN || fqdnSubdomain !== undefined) return [];
  if (typeof dnsPrefix === "string" && /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,52}[A-Za-z0-9])?$/.test(dnsPrefix)) return [];
  const reason = "'dnsPrefix' must be 1 to 54 letters, digits and '-', starting and ending with a letter or digit";
  return [{ property: "dnsPrefix", reason }];
}
