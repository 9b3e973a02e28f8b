import { stringify } from "yaml";
import { ArmError } from "./errors.ts";
import type { ResourceManager } from "./resource-manager.ts";
import { idOf, pathInputs } from "./resource-type.ts";
import type { AzureServices, Caller } from "./resource-type.ts";
import { RESOURCE_TYPES } from "./resources/index.ts";
import { secret } from "./values.ts";
import type { Args } from "./values.ts";

interface InvokeContext {
  readonly services: AzureServices;
  readonly manager: ResourceManager;
  readonly caller: Caller;
}

type Invoke = (args: Args, context: InvokeContext) => Args | Promise<Args>;

const INVOKES: Readonly<Record<string, Invoke>> = {
  "azure-native:authorization:getClientConfig": (_, { caller }) => ({
    clientId: caller.principal.clientId,
    objectId: caller.principal.objectId,
    subscriptionId: caller.subscriptionId,
    tenantId: caller.principal.tenantId,
  }),

  "azure-native:containerservice:listManagedClusterAdminCredentials": (args, context) => {
    const id = target("Microsoft.ContainerService/managedClusters", "resourceName", args, context);
    context.manager.authorize(context.caller, `${CLUSTERS}/listClusterAdminCredential/action`, id);
    const cluster = existing(id, context);
    if (cluster.body.disableLocalAccounts === true) {
      throw new ArmError(
        400,
        "BadRequest",
        "Getting static credential is not allowed because this cluster is set to disable local accounts.",
      );
    }
    return kubeconfigs("clusterAdmin", cluster.id, String(cluster.outputs.fqdn), String(cluster.data.token));
  },

  "azure-native:containerservice:listManagedClusterUserCredentials": (args, context) => {
    const id = target("Microsoft.ContainerService/managedClusters", "resourceName", args, context);
    context.manager.authorize(context.caller, `${CLUSTERS}/listClusterUserCredential/action`, id);
    const cluster = existing(id, context);
    return kubeconfigs("clusterUser", cluster.id, String(cluster.outputs.fqdn), String(cluster.data.token));
  },

  "azure-native:storage:listStorageAccountKeys": (args, context) => {
    const id = target("Microsoft.Storage/storageAccounts", "accountName", args, context);
    context.manager.authorize(context.caller, "Microsoft.Storage/storageAccounts/listKeys/action", id);
    existing(id, context);
    const keys = context.services.blobs.accountKeys(String(args.accountName));
    return {
      keys: keys.map((value, index) => ({ keyName: `key${index + 1}`, permissions: "FULL", value: secret(value) })),
    };
  },
};

const CLUSTERS = "Microsoft.ContainerService/managedClusters";

/** Functions of azure-native. @throws {ArmError} as Azure would, or when the function is not simulated. */
export async function invoke(token: string, args: Args, context: InvokeContext): Promise<Args> {
  const handler = INVOKES[token] ?? lookup(token);
  if (handler) return handler(args, context);
  throw new Error(
    `The sandbox does not simulate ${token}. It knows ${Object.keys(INVOKES).join(", ")} and 'get' for every type it simulates.`,
  );
}

/** `azure-native:storage:getStorageAccount` and the like: the outputs of a resource somebody else deployed. */
function lookup(token: string): Invoke | undefined {
  const type = RESOURCE_TYPES.find((candidate) => candidate.token.replace(/(?<=:)(?=\w+$)/, "get") === token);
  if (!type) return undefined;
  return async (args, { manager, caller }) => {
    for (const property of pathInputs(type)) requireText(args, property);
    const id = idOf(type, args, caller.subscriptionId);
    const resource = await manager.get(caller, type, id);
    if (!resource) throw notFound(id);
    return { id: resource.id, ...resource.outputs };
  };
}

function target(armType: string, nameInput: string, args: Args, { caller }: InvokeContext): string {
  for (const property of ["resourceGroupName", nameInput]) requireText(args, property);
  const group = `/subscriptions/${caller.subscriptionId}/resourceGroups/${String(args.resourceGroupName)}`;
  return `${group}/providers/${armType}/${String(args[nameInput])}`;
}

function existing(id: string, { services }: InvokeContext): NonNullable<ReturnType<AzureServices["cloud"]["find"]>> {
  const resource = services.cloud.find(id);
  if (resource) return resource;
  throw notFound(id);
}

function requireText(args: Args, property: string): void {
  if (typeof args[property] !== "string") throw new Error(`missing required property '${property}'`);
}

function notFound(id: string): ArmError {
  const [, group, name] = /resourceGroups\/([^/]+)(?:\/providers\/(.+))?$/i.exec(id) ?? [undefined, "", id];
  if (!name) return new ArmError(404, "ResourceGroupNotFound", `Resource group '${group}' could not be found.`);
  return new ArmError(
    404,
    "ResourceNotFound",
    `The Resource '${name}' under resource group '${group}' was not found. For more details please go to ` +
      "https://aka.ms/ARMResourceNotFoundFix",
  );
}

/** A kubeconfig for this sandbox only: it names the cluster by its ARM id, which is how the Kubernetes stand-in finds it. */
function kubeconfigs(name: string, clusterId: string, fqdn: string, token: string): Args {
  const user = `${name}_${clusterId.slice(clusterId.lastIndexOf("/") + 1)}`;
  const kubeconfig = stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: clusterId, cluster: { server: `https://${fqdn}:443` } }],
    contexts: [{ name: user, context: { cluster: clusterId, user } }],
    "current-context": user,
    users: [{ name: user, user: { token } }],
  });
  return { kubeconfigs: [{ name, value: secret(Buffer.from(kubeconfig).toString("base64")) }] };
}
