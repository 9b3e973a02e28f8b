import type { AzureServices, Caller } from "../../../sandbox/azure/resource-type.ts";
import { idOf } from "../../../sandbox/azure/resource-type.ts";
import { azureNativeSession } from "../../../sandbox/azure/azure-native.ts";
import type { ResourceManager } from "../../../sandbox/azure/resource-manager.ts";
import { RESOURCE_TYPES } from "../../../sandbox/azure/resources/index.ts";
import { plain, type Values } from "./values.ts";

export const SUBSCRIPTION = "00000000-0000-0000-0000-000000000000";
export const TENANT = "22222222-2222-4222-8222-222222222222";
/** Whoever runs the program. */
export const CALLER = "33333333-3333-4333-8333-333333333333";
export const ACCOUNT_KEY = "account key of the ledger's storage";
export const KUBECONFIG = "administrator of the cluster";

/** Judges inputs as the sandbox's own azure-native provider does: official models, names, regions. Nothing is deployed. */
const session = azureNativeSession(
  { cloud: { find: () => undefined } } as unknown as AzureServices,
  {} as ResourceManager,
  { subscriptionId: SUBSCRIPTION } as Caller,
);

/** The inputs with the names azure-native makes up, and what is wrong with them. */
export async function check(
  type: string,
  name: string,
  inputs: Values,
): Promise<{ inputs: Values; failures: readonly string[] }> {
  const checked = await session.check({ type, name, olds: {}, news: inputs, randomSeed: Buffer.from("program tests") });
  return { inputs: checked.inputs, failures: checked.failures.map(({ reason }) => `${type} ${name}: ${reason}`) };
}

/** What Azure would answer once it has made a resource. */
export function deployed(type: string, inputs: Values): { id: string; outputs: Values } {
  const known = RESOURCE_TYPES.find(({ token }) => token === type)!;
  const values = plain(inputs);
  const id = idOf(known, values, SUBSCRIPTION);
  const name = String(values[known.name.input]);
  return { id, outputs: { ...inputs, name, ...(OUTPUTS[type]?.(name, values) ?? {}) } };
}

const OUTPUTS: Readonly<Record<string, (name: string, inputs: Values) => Values>> = {
  "azure-native:storage:StorageAccount": (name) => ({
    primaryEndpoints: { blob: `https://${name}.blob.example/`, web: `https://${name}.web.example/` },
  }),
  "azure-native:keyvault:Vault": (name, { properties }) => ({
    properties: { ...(properties as Values), vaultUri: `https://${name}.vault.example/` },
  }),
  "azure-native:managedidentity:UserAssignedIdentity": (name) => ({
    principalId: `principal of ${name}`,
    clientId: `client of ${name}`,
    tenantId: TENANT,
  }),
  "azure-native:containerinstance:ContainerGroup": (_, { ipAddress }) => {
    const address = ipAddress as { dnsNameLabel: string; ports: { port: number }[] };
    return {
      ipAddress: {
        ...address,
        fqdn: `${address.dnsNameLabel}.westeurope.azurecontainer.io`,
        // Other ports than asked for, as the sandbox gives: the program has to use the answer.
        ports: address.ports.map(({ port }) => ({ port: 20_000 + port, protocol: "TCP" })),
      },
    };
  },
  "azure-native:containerservice:ManagedCluster": () => ({
    identity: { type: "SystemAssigned", principalId: "principal of the cluster" },
  }),
  "azure-native:network:PublicIPAddress": (_, { dnsSettings }) => {
    const { domainNameLabel } = dnsSettings as { domainNameLabel: string };
    return { dnsSettings: { domainNameLabel, fqdn: `${domainNameLabel}.westeurope.cloudapp.azure.com` } };
  },
};

/** Functions of azure-native. */
export const INVOKES: Readonly<Record<string, (args: Values) => Values>> = {
  "azure-native:authorization:getClientConfig": () => ({
    clientId: "client of the caller",
    objectId: CALLER,
    subscriptionId: SUBSCRIPTION,
    tenantId: TENANT,
  }),
  "azure-native:resources:getResourceGroup": ({ resourceGroupName }) => ({ name: resourceGroupName }),
  "azure-native:storage:getStorageAccount": ({ resourceGroupName, accountName }) => {
    const type = "azure-native:storage:StorageAccount";
    const { id, outputs } = deployed(type, { resourceGroupName, accountName });
    return { id, ...outputs };
  },
  "azure-native:storage:listStorageAccountKeys": () => ({
    keys: [{ keyName: "key1", permissions: "FULL", value: ACCOUNT_KEY }],
  }),
  "azure-native:containerservice:listManagedClusterAdminCredentials": () => ({
    kubeconfigs: [{ name: "clusterAdmin", value: Buffer.from(KUBECONFIG).toString("base64") }],
  }),
};
