import { subscriptionOf } from "../../../sandbox/azure/subscriptions.ts";
import { UNKNOWN } from "../../../sandbox/azure/values.ts";
import type { Args } from "../../../sandbox/azure/values.ts";
import { EngineClient } from "./engine-client.ts";
import { NORTHWIND, startTestSandbox } from "./fakes.ts";
import type { TestSandbox } from "./fakes.ts";

const BLOB_READER = "/providers/Microsoft.Authorization/roleDefinitions/2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";
const BLOB_CONTRIBUTOR = "/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe";
const GROUP = { resourceGroupName: "rg" };
const GROUP_ID = `/subscriptions/${subscriptionOf(NORTHWIND)}/resourceGroups/rg`;

interface Case {
  readonly type: string;
  readonly inputs: Args;
  /** A change made in place, and the property paths it shows as. */
  readonly update: readonly [change: Args, paths: string[]];
  /** A change that needs a new resource, and the property paths that force it. */
  readonly replace: readonly [change: Args, paths: string[]];
  readonly id: string;
  readonly outputs: Args;
}

const groupContainers = [
  {
    name: "app",
    image: "registry.example/app@sha256:1",
    resources: { requests: { cpu: 1, memoryInGB: 1.5 } },
    ports: [{ port: 8080 }],
  },
];

const CASES: readonly Case[] = [
  {
    type: "azure-native:resources:ResourceGroup",
    inputs: { resourceGroupName: "other" },
    update: [{ tags: { owner: "ana" } }, ["tags"]],
    replace: [{ location: "North Europe" }, ["location"]],
    id: `/subscriptions/${subscriptionOf(NORTHWIND)}/resourceGroups/other`,
    outputs: { name: "other", location: "westeurope", type: "Microsoft.Resources/resourceGroups" },
  },
  {
    type: "azure-native:storage:StorageAccount",
    inputs: { ...GROUP, accountName: "newaccount", kind: "StorageV2", sku: { name: "Standard_LRS" } },
    update: [{ sku: { name: "Standard_ZRS" }, minimumTlsVersion: "TLS1_2" }, ["minimumTlsVersion", "sku.name"]],
    replace: [{ accountName: "another", isHnsEnabled: true }, ["accountName", "isHnsEnabled"]],
    id: `${GROUP_ID}/providers/Microsoft.Storage/storageAccounts/newaccount`,
    outputs: {
      name: "newaccount",
      primaryEndpoints: { blob: "https://localhost:1000/newaccount/", web: "https://localhost:1001/newaccount/" },
    },
  },
  {
    type: "azure-native:storage:StorageAccountStaticWebsite",
    inputs: { ...GROUP, accountName: "account", indexDocument: "index.html" },
    update: [{ error404Document: "error.html" }, ["error404Document"]],
    replace: [{ accountName: "another" }, ["accountName"]],
    id: `${GROUP_ID}/providers/Microsoft.Storage/storageAccounts/account/staticWebsite`,
    outputs: { containerName: "$web", indexDocument: "index.html" },
  },
  {
    type: "azure-native:storage:BlobContainer",
    inputs: { ...GROUP, accountName: "account", containerName: "input" },
    update: [{ metadata: { a: "b" } }, ["metadata"]],
    replace: [{ containerName: "other" }, ["containerName"]],
    id: `${GROUP_ID}/providers/Microsoft.Storage/storageAccounts/account/blobServices/default/containers/input`,
    outputs: { name: "input", publicAccess: "None" },
  },
  {
    type: "azure-native:storage:FileShare",
    inputs: { ...GROUP, accountName: "account", shareName: "newshare" },
    update: [{ shareQuota: 100 }, ["shareQuota"]],
    replace: [{ enabledProtocols: "NFS" }, ["enabledProtocols"]],
    id: `${GROUP_ID}/providers/Microsoft.Storage/storageAccounts/account/fileServices/default/shares/newshare`,
    outputs: { name: "newshare", shareQuota: 5120 },
  },
  {
    type: "azure-native:keyvault:Vault",
    inputs: {
      ...GROUP,
      vaultName: "northwind-keys",
      properties: {
        tenantId: NORTHWIND.tenantId,
        sku: { family: "A", name: "standard" },
        enableRbacAuthorization: true,
      },
    },
    update: [
      {
        properties: {
          tenantId: NORTHWIND.tenantId,
          sku: { family: "A", name: "premium" },
          enableRbacAuthorization: true,
        },
      },
      ["properties.sku.name"],
    ],
    replace: [{ vaultName: "other-keys" }, ["vaultName"]],
    id: `${GROUP_ID}/providers/Microsoft.KeyVault/vaults/northwind-keys`,
    outputs: {
      name: "northwind-keys",
      properties: {
        tenantId: NORTHWIND.tenantId,
        sku: { family: "A", name: "standard" },
        enableRbacAuthorization: true,
        vaultUri: "https://localhost:2000/",
        provisioningState: "Succeeded",
        enableSoftDelete: true,
        softDeleteRetentionInDays: 90,
      },
    },
  },
  {
    type: "azure-native:managedidentity:UserAssignedIdentity",
    inputs: { ...GROUP, resourceName: "reader" },
    update: [{ tags: { a: "b" } }, ["tags"]],
    replace: [{ location: "northeurope" }, ["location"]],
    id: `${GROUP_ID}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/reader`,
    outputs: { name: "reader", tenantId: NORTHWIND.tenantId },
  },
  {
    type: "azure-native:managedidentity:FederatedIdentityCredential",
    inputs: {
      ...GROUP,
      resourceName: "identity",
      federatedIdentityCredentialResourceName: "federation",
      issuer: "https://issuer.example/oidc",
      subject: "contract-user",
      audiences: ["api://AzureADTokenExchange"],
    },
    update: [{ subject: "contract-other" }, ["subject"]],
    replace: [{ resourceName: "another" }, ["resourceName"]],
    id: `${GROUP_ID}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/identity/federatedIdentityCredentials/federation`,
    outputs: { name: "federation", subject: "contract-user" },
  },
  {
    type: "azure-native:authorization:RoleAssignment",
    inputs: {
      scope: `${GROUP_ID}/providers/Microsoft.Storage/storageAccounts/account`,
      roleAssignmentName: "dddddddd-0000-4000-8000-000000000001",
      principalId: NORTHWIND.objectId,
      principalType: "User",
      roleDefinitionId: BLOB_READER,
    },
    update: [{ roleDefinitionId: BLOB_CONTRIBUTOR }, ["roleDefinitionId"]],
    replace: [{ principalId: "eeeeeeee-0000-4000-8000-000000000001", scope: GROUP_ID }, ["principalId", "scope"]],
    id:
      `${GROUP_ID}/providers/Microsoft.Storage/storageAccounts/account/providers/Microsoft.Authorization/roleAssignments/` +
      "dddddddd-0000-4000-8000-000000000001",
    outputs: { name: "dddddddd-0000-4000-8000-000000000001", principalId: NORTHWIND.objectId },
  },
  {
    type: "azure-native:containerregistry:Registry",
    inputs: { ...GROUP, registryName: "images", sku: { name: "Standard" }, adminUserEnabled: false },
    update: [{ sku: { name: "Premium" } }, ["sku.name"]],
    replace: [{ registryName: "other1" }, ["registryName"]],
    id: `${GROUP_ID}/providers/Microsoft.ContainerRegistry/registries/images`,
    outputs: { name: "images", loginServer: "images.azurecr.io" },
  },
  {
    type: "azure-native:containerinstance:ContainerGroup",
    inputs: {
      ...GROUP,
      containerGroupName: "group",
      osType: "Linux",
      containers: groupContainers,
      ipAddress: { type: "Public", ports: [{ port: 8080, protocol: "TCP" }], dnsNameLabel: "group-label" },
    },
    update: [{ tags: { a: "b" } }, ["tags"]],
    replace: [
      { containers: [{ ...groupContainers[0], image: "registry.example/app@sha256:2" }] },
      ["containers[0].image"],
    ],
    id: `${GROUP_ID}/providers/Microsoft.ContainerInstance/containerGroups/group`,
    outputs: {
      name: "group",
      ipAddress: {
        type: "Public",
        ports: [{ port: 8080, protocol: "TCP" }],
        dnsNameLabel: "group-label",
        ip: "127.0.0.1",
        fqdn: "localhost",
      },
    },
  },
  {
    type: "azure-native:containerservice:ManagedCluster",
    inputs: {
      ...GROUP,
      resourceName: "cluster",
      dnsPrefix: "cluster",
      identity: { type: "SystemAssigned" },
      agentPoolProfiles: [{ name: "agentpool", mode: "System", count: 2, vmSize: "Standard_D4ds_v5" }],
      networkProfile: { networkPlugin: "azure", serviceCidr: "10.4.0.0/16" },
      oidcIssuerProfile: { enabled: true },
    },
    update: [
      { agentPoolProfiles: [{ name: "agentpool", mode: "System", count: 3, vmSize: "Standard_D4ds_v5" }] },
      ["agentPoolProfiles[0].count"],
    ],
    replace: [
      { networkProfile: { networkPlugin: "azure", serviceCidr: "10.5.0.0/16" }, dnsPrefix: "other" },
      ["dnsPrefix", "networkProfile.serviceCidr"],
    ],
    id: `${GROUP_ID}/providers/Microsoft.ContainerService/managedClusters/cluster`,
    outputs: { name: "cluster", nodeResourceGroup: "MC_rg_cluster_westeurope", enableRBAC: true },
  },
  {
    type: "azure-native:network:PublicIPAddress",
    inputs: {
      ...GROUP,
      publicIpAddressName: "agent-ip",
      sku: { name: "Standard" },
      publicIPAllocationMethod: "Static",
      dnsSettings: { domainNameLabel: "agent-label" },
    },
    update: [{ dnsSettings: { domainNameLabel: "other-label" } }, ["dnsSettings.domainNameLabel"]],
    replace: [{ sku: { name: "Basic" } }, ["sku.name"]],
    id: `${GROUP_ID}/providers/Microsoft.Network/publicIPAddresses/agent-ip`,
    outputs: { name: "agent-ip", ipAddress: "127.0.0.1" },
  },
  {
    type: "azure-native:network:VirtualNetwork",
    inputs: { ...GROUP, virtualNetworkName: "network", addressSpace: { addressPrefixes: ["10.0.0.0/16"] } },
    update: [
      { addressSpace: { addressPrefixes: ["10.0.0.0/16", "10.1.0.0/16"] } },
      ["addressSpace.addressPrefixes[1]"],
    ],
    replace: [{ virtualNetworkName: "other" }, ["virtualNetworkName"]],
    id: `${GROUP_ID}/providers/Microsoft.Network/virtualNetworks/network`,
    outputs: { name: "network" },
  },
  {
    type: "azure-native:network:Subnet",
    inputs: { ...GROUP, virtualNetworkName: "vnet", subnetName: "aks", addressPrefix: "10.1.0.0/16" },
    update: [{ addressPrefix: "10.2.0.0/16" }, ["addressPrefix"]],
    replace: [{ subnetName: "other" }, ["subnetName"]],
    id: `${GROUP_ID}/providers/Microsoft.Network/virtualNetworks/vnet/subnets/aks`,
    outputs: { name: "aks" },
  },
  {
    type: "azure-native:network:NatGateway",
    inputs: { ...GROUP, natGatewayName: "nat", sku: { name: "Standard" } },
    update: [{ idleTimeoutInMinutes: 10 }, ["idleTimeoutInMinutes"]],
    replace: [{ natGatewayName: "other" }, ["natGatewayName"]],
    id: `${GROUP_ID}/providers/Microsoft.Network/natGateways/nat`,
    outputs: { name: "nat" },
  },
  {
    type: "azure-native:privatedns:PrivateZone",
    inputs: { ...GROUP, privateZoneName: "analytics.svc", location: "global" },
    update: [{ tags: { a: "b" } }, ["tags"]],
    replace: [{ privateZoneName: "other.svc" }, ["privateZoneName"]],
    id: `${GROUP_ID}/providers/Microsoft.Network/privateDnsZones/analytics.svc`,
    outputs: { name: "analytics.svc" },
  },
  {
    type: "azure-native:privatedns:VirtualNetworkLink",
    inputs: {
      ...GROUP,
      privateZoneName: "zone.svc",
      virtualNetworkLinkName: "link",
      location: "global",
      registrationEnabled: false,
      virtualNetwork: { id: `${GROUP_ID}/providers/Microsoft.Network/virtualNetworks/vnet` },
    },
    update: [{ registrationEnabled: true }, ["registrationEnabled"]],
    replace: [{ virtualNetwork: { id: "/other" } }, ["virtualNetwork.id"]],
    id: `${GROUP_ID}/providers/Microsoft.Network/privateDnsZones/zone.svc/virtualNetworkLinks/link`,
    outputs: { name: "link" },
  },
  {
    type: "azure-native:containerservice:AgentPool",
    inputs: { ...GROUP, resourceName: "aks", agentPoolName: "pool", vmSize: "Standard_D4ds_v5", count: 1 },
    update: [{ count: 2 }, ["count"]],
    replace: [{ vmSize: "Standard_D8ds_v5" }, ["vmSize"]],
    id: `${GROUP_ID}/providers/Microsoft.ContainerService/managedClusters/aks/agentPools/pool`,
    outputs: { name: "pool" },
  },
];

describe("every resource type keeps the provider protocol", () => {
  let sandbox: TestSandbox;
  let engine: EngineClient;
  let other: EngineClient;

  beforeAll(async () => {
    sandbox = await startTestSandbox();
    const port = sandbox.azure.providers["azure-native"]!;
    engine = await new EngineClient(port).signIn(NORTHWIND);
    other = await new EngineClient(port).signIn(NORTHWIND);
    await engine.deploy("azure-native:resources:ResourceGroup", "rg", GROUP);
    const account = { kind: "StorageV2", sku: { name: "Standard_LRS" }, ...GROUP };
    await engine.deploy("azure-native:storage:StorageAccount", "account", { ...account, accountName: "account" });
    await engine.deploy("azure-native:managedidentity:UserAssignedIdentity", "identity", {
      ...GROUP,
      resourceName: "identity",
    });
    await engine.deploy("azure-native:network:VirtualNetwork", "vnet", {
      ...GROUP,
      virtualNetworkName: "vnet",
      addressSpace: { addressPrefixes: ["10.0.0.0/8"] },
    });
    await engine.deploy("azure-native:privatedns:PrivateZone", "zone", {
      ...GROUP,
      privateZoneName: "zone.svc",
      location: "global",
    });
    await engine.deploy("azure-native:containerservice:ManagedCluster", "aks", {
      ...GROUP,
      resourceName: "aks",
      dnsPrefix: "aks",
      identity: { type: "SystemAssigned" },
      agentPoolProfiles: [{ name: "system", mode: "System", count: 1, vmSize: "Standard_D4ds_v5" }],
    });
  });

  afterAll(async () => {
    engine.close();
    other.close();
    await sandbox.close();
  });

  test.each(CASES.map((example) => [example.type, example] as const))("%s", async (type, example) => {
    const preview = await engine.create(type, "example", { ...example.inputs, tags: UNKNOWN }, true);
    expect(preview.id).toBe("");

    const { inputs, failures } = await engine.check(type, "example", example.inputs);
    expect(failures).toEqual([]);
    const { id, outputs } = await engine.create(type, "example", inputs);
    expect(id).toBe(example.id);
    expect(outputs).toMatchObject(example.outputs);
    await expect(engine.create(type, "example", inputs)).rejects.toThrow("cannot create already existing resource");

    expect(await engine.diff(type, "example", id, inputs, inputs)).toMatchObject({ changed: false, details: {} });
    expect(await engine.read(type, "example", id, inputs)).toMatchObject({ id, inputs });
    expect((await engine.read(type, "example", id)).inputs).toMatchObject(example.inputs);

    const replaced = await engine.diff(type, "example", id, inputs, { ...inputs, ...example.replace[0] });
    expect(replaced.replaces.sort()).toEqual([...example.replace[1]].sort());
    expect(replaced.deleteBeforeReplace).toBe(true);

    const [change, paths] = example.update;
    const changed = { ...inputs, ...change };
    const updated = await engine.diff(type, "example", id, inputs, changed);
    expect(updated).toMatchObject({ changed: true, replaces: [], deleteBeforeReplace: false });
    expect(Object.keys(updated.details).sort()).toEqual([...paths].sort());
    await other.update(type, "example", id, outputs, changed);
    const drifted = await engine.read(type, "example", id, inputs);
    expect(drifted.inputs).toEqual(changed);

    await engine.delete(type, "example", id);
    expect((await engine.read(type, "example", id, inputs)).id).toBe("");
    await engine.delete(type, "example", id);
  });
});
