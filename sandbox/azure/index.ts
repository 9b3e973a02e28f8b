import { parse } from "yaml";
import type {
  BlobService,
  CcfService,
  CleanRoomService,
  RoleBasedAccess,
  SandboxHost,
  SandboxService,
  TokenService,
  VaultService,
} from "../contracts.ts";
import { Kubernetes } from "../kubernetes/index.ts";
import type { Clusters } from "../kubernetes/index.ts";
import { azureNativeSession, callerOf } from "./azure-native.ts";
import { Cloud } from "./cloud.ts";
import { ProviderServer } from "./provider.ts";
import type { AzureServices } from "./resource-type.ts";
import { ResourceManager } from "./resource-manager.ts";
import { RESOURCE_TYPES } from "./resources/index.ts";
import { managedCluster } from "./resources/managed-cluster.ts";
import { publicIpListener } from "./resources/network.ts";
import type { Roles } from "./roles.ts";
import { isObject } from "./values.ts";

/** Version the stand-in answers with: the SDK the program is written against. */
const AZURE_NATIVE_VERSION = "3.28.0";

export interface AzureDependencies {
  readonly roles: Roles;
  readonly tokens: TokenService;
  readonly blobs: BlobService;
  readonly vaults: VaultService;
  readonly ccf: CcfService;
  readonly cleanRoom: CleanRoomService;
}

/**
 * The Azure control plane, as the Pulumi engine sees it: provider servers for `azure-native` and `kubernetes` that an engine
 * attaches to with `PULUMI_DEBUG_PROVIDERS`.
 *
 * Simulated: resource groups and cascading deletion, parents, names and their uniqueness, soft-deleted vault names, the checks of
 * the official resource manager models, authorization of every call, role assignments, managed identities and their federated
 * credentials, autonaming, replacement, refresh and import. A storage account, vault, CCF container group or agent chart starts
 * the sandbox service behind it; networks, registries, other container groups, clusters and charts exist as records only.
 *
 * Not simulated: quotas, regions that differ, long-running operations and replication delays, policies, locks, deny assignments,
 * diagnostic settings, billing, and the provider's schema (so `pulumi import` needs `--generate-code=false`). The caller is who the configuration says (there is no password to check on loopback).
 */
export class SandboxAzure implements SandboxService, RoleBasedAccess {
  /** Ports by plugin name, for `PULUMI_DEBUG_PROVIDERS`; filled by `start`. */
  readonly providers: Record<string, number> = {};
  readonly #services: AzureServices;
  readonly #manager: ResourceManager;
  readonly #servers: Readonly<Record<string, ProviderServer>>;

  /** Services must be started before the first resource is deployed; roles are built first because the data planes need them. */
  constructor(host: SandboxHost, { cleanRoom, ...dependencies }: AzureDependencies) {
    const kubernetes = new Kubernetes(host, this.#clusters(), cleanRoom);
    const clusterDeleted = (id: string): Promise<void> => kubernetes.forgetCluster(id);
    const services = { host, cloud: new Cloud(host), clusterDeleted, ...dependencies };
    const manager = new ResourceManager(services);
    this.#services = services;
    this.#manager = manager;
    this.#servers = {
      "azure-native": new ProviderServer({
        name: "azure-native",
        version: AZURE_NATIVE_VERSION,
        configure: (config) => azureNativeSession(services, manager, callerOf(config, services.tokens)),
        diffConfig: () => [],
        log: (line) => host.log("azure", line),
      }),
      kubernetes: new ProviderServer(kubernetes.definition),
    };
  }

  async start(): Promise<void> {
    for (const [name, server] of Object.entries(this.#servers)) {
      const port = await this.#services.host.port(`provider-${name}`);
      await server.start(port);
      this.providers[name] = port;
    }
  }

  async stop(): Promise<void> {
    for (const server of Object.values(this.#servers)) await server.stop();
  }

  isAllowed(objectId: string, operation: { action: string } | { dataAction: string }, scope: string): boolean {
    return this.#services.roles.isAllowed(objectId, operation, scope);
  }

  /** Ids and Pulumi types of everything that exists, for status displays. */
  resources(): { id: string; type: string }[] {
    const known = this.#services.cloud.all().filter(({ token }) => RESOURCE_TYPES.some((type) => type.token === token));
    return known.map(({ id, token }) => ({ id, type: token }));
  }

  /**
   * Deletes a resource, and what is below it, behind the back of whoever deployed it: as somebody would in the portal.
   * @throws when there is none.
   */
  async deleteResource(id: string): Promise<void> {
    await this.#manager.deleteUnasked(id);
  }

  /** What the Kubernetes stand-in may know of Azure. */
  #clusters(): Clusters {
    return {
      authenticate: (kubeconfig) => {
        const { clusterId, token } = credentialsIn(kubeconfig);
        const cluster = this.#services.cloud.find(clusterId);
        if (cluster?.token !== managedCluster.token) return undefined;
        return cluster.data.token === token ? { id: cluster.id } : undefined;
      },
      publicIpPort: async (clusterId, resourceGroup, name) => {
        const id = publicIpId(clusterId, resourceGroup, name);
        return this.#services.cloud.find(id) && this.#services.host.port(publicIpListener(id));
      },
      publicIpAllowed: (clusterId, resourceGroup, name) => {
        const [identity] = this.#services.cloud.find(clusterId)?.data.principals as [string, string];
        const action = "Microsoft.Network/publicIPAddresses/join/action";
        return this.isAllowed(identity, { action }, publicIpId(clusterId, resourceGroup, name));
      },
    };
  }
}

/** An address in the subscription of the cluster. */
function publicIpId(clusterId: string, resourceGroup: string, name: string): string {
  const subscription = clusterId.split("/").slice(0, 3).join("/");
  return `${subscription}/resourceGroups/${resourceGroup}/providers/Microsoft.Network/publicIPAddresses/${name}`;
}

function credentialsIn(kubeconfig: string): { clusterId: string; token: string } {
  const config: unknown = parse(kubeconfig);
  const cluster: unknown = isObject(config) && Array.isArray(config.clusters) ? config.clusters[0] : undefined;
  const user: unknown = isObject(config) && Array.isArray(config.users) ? config.users[0] : undefined;
  const credentials = isObject(user) && isObject(user.user) ? user.user : {};
  return { clusterId: isObject(cluster) ? String(cluster.name) : "", token: String(credentials.token) };
}
