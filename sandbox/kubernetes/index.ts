import type { CleanRoomService, SandboxHost, StateDocument } from "../contracts.ts";
import { detailedDiff } from "../azure/diff.ts";
import { automaticName } from "../azure/naming.ts";
import type { Failure, ProviderDefinition, ProviderSession } from "../azure/provider.ts";
import { plainArgs, withSecretsOf } from "../azure/values.ts";
import type { Args } from "../azure/values.ts";
import { helmRelease } from "./helm-release.ts";
import { namespace } from "./namespace.ts";

/** Version the stand-in answers with: the SDK the program is written against. */
const KUBERNETES_VERSION = "4.34.2";

/** What Azure tells about clusters and the public addresses beside them. */
export interface Clusters {
  /** The cluster a kubeconfig is for; undefined when there is none, or the credentials are not its own. */
  authenticate(kubeconfig: string): { readonly id: string } | undefined;
  /** Port behind a public IP address in the cluster's subscription; undefined when there is no such address. */
  publicIpPort(clusterId: string, resourceGroup: string, name: string): Promise<number | undefined>;
  /** Whether the cluster may use public IP addresses of a resource group (role Network Contributor, say). */
  publicIpAllowed(clusterId: string, resourceGroup: string): boolean;
}

export interface KubernetesContext {
  readonly clusterId: string;
  readonly clusters: Clusters;
  readonly cleanRoom: CleanRoomService;
  /** Namespace of the provider's configuration. */
  readonly namespace: string;
}

/** What the stand-in knows about one Kubernetes resource type. */
export interface KubernetesType {
  readonly token: string;
  /** Inputs with defaults and a name. @param automatic the name to use when the program gives none. */
  defaults(inputs: Args, olds: Args, automatic: string, context: KubernetesContext): Args;
  check(inputs: Args): Failure[];
  readonly replaceOn: readonly string[];
  /** `<namespace>/<name>`, or the name alone for what has no namespace. */
  id(inputs: Args): string;
  /** Deploys or changes it; answers its outputs. */
  put(context: KubernetesContext, id: string, inputs: Args, revision: number): Promise<Args>;
  remove?(context: KubernetesContext, id: string, inputs: Args): Promise<void>;
}

interface Deployed {
  inputs: Args;
  outputs: Args;
  revision: number;
}

type Document = StateDocument<{ objects: Record<string, Deployed> }>;

const TYPES: readonly KubernetesType[] = [helmRelease, namespace];

/**
 * Stands in for the Kubernetes API server and Helm on a simulated AKS cluster: the agent's chart starts the clean room, everything
 * else is remembered and nothing runs. The kubeconfig of the provider decides the cluster.
 */
export function kubernetesProvider(host: SandboxHost, clusters: Clusters, cleanRoom: CleanRoomService): ProviderDefinition {
  const state: Document = host.document("kubernetes-objects", () => ({ objects: {} }));
  return {
    name: "kubernetes",
    version: KUBERNETES_VERSION,
    log: (line) => host.log("kubernetes", line),
    configure: (config) => {
      const configured = String(config.namespace ?? "default");
      // The cluster may be created in the same run: who it is gets decided when it is first needed.
      const context = (): KubernetesContext => {
        const cluster = typeof config.kubeconfig === "string" ? clusters.authenticate(config.kubeconfig) : undefined;
        if (cluster) return { clusterId: cluster.id, clusters, cleanRoom, namespace: configured };
        throw new Error(
          "configured Kubernetes cluster is unreachable: the provider's kubeconfig must be one of listManagedClusterAdminCredentials " +
            "or listManagedClusterUserCredentials of a cluster that exists.",
        );
      };
      return session(state, context, configured);
    },
  };
}

function session(state: Document, context: () => KubernetesContext, defaultNamespace: string): ProviderSession {
  const find = (clusterId: string, token: string, id: string): Deployed | undefined =>
    state.value.objects[key(clusterId, token, id)];
  const deploy = async (type: KubernetesType, id: string, inputs: Args): Promise<Args> => {
    const at = context();
    const revision = (find(at.clusterId, type.token, id)?.revision ?? 0) + 1;
    const outputs = await type.put(at, id, inputs, revision);
    state.value.objects[key(at.clusterId, type.token, id)] = { inputs, outputs, revision };
    state.save();
    return outputs;
  };

  return {
    async check({ type: token, name, olds, news, randomSeed }) {
      const type = kubernetesType(token);
      const rule = { input: "name", pattern: /./, rule: "", maxLength: 53 };
      const automatic = automaticName(rule, `${name}-`, randomSeed);
      const inputs = type.defaults(news, olds, automatic, { namespace: defaultNamespace } as KubernetesContext);
      return { inputs, failures: type.check(plainArgs(inputs)) };
    },

    async diff({ type: token, oldInputs, news }) {
      const changes = detailedDiff(oldInputs, news, kubernetesType(token).replaceOn);
      return { changes, deleteBeforeReplace: Object.values(changes).some(({ replace }) => replace) };
    },

    async create({ type: token, inputs, preview }) {
      const type = kubernetesType(token);
      if (preview) return { id: "", outputs: inputs };
      const known = plainArgs(inputs);
      refuseInvalid(type, known);
      const id = type.id(known);
      if (find(context().clusterId, token, id)) throw new Error(`resource "${id}" already exists`);
      return { id, outputs: withSecretsOf(await deploy(type, id, known), inputs) as Args };
    },

    async read({ type: token, id, inputs }) {
      const deployed = find(context().clusterId, kubernetesType(token).token, id);
      if (!deployed) return undefined;
      return {
        id,
        inputs: withSecretsOf(deployed.inputs, inputs) as Args,
        outputs: withSecretsOf(deployed.outputs, inputs) as Args,
      };
    },

    async update({ type: token, id, oldOutputs, news, preview }) {
      const type = kubernetesType(token);
      if (preview) return { ...oldOutputs, ...news };
      const known = plainArgs(news);
      refuseInvalid(type, known);
      return withSecretsOf(await deploy(type, id, known), news) as Args;
    },

    async delete({ type: token, id }) {
      const type = kubernetesType(token);
      const at = context();
      const deployed = find(at.clusterId, token, id);
      if (!deployed) return;
      await type.remove?.(at, id, deployed.inputs);
      delete state.value.objects[key(at.clusterId, token, id)];
      state.save();
    },

    async invoke(token) {
      throw new Error(`The sandbox does not simulate ${token}.`);
    },
  };
}

function kubernetesType(token: string): KubernetesType {
  const type = TYPES.find((candidate) => candidate.token === token);
  if (type) return type;
  throw new Error(`The sandbox does not simulate ${token}. It knows ${TYPES.map((known) => known.token).join(", ")}.`);
}

function refuseInvalid(type: KubernetesType, inputs: Args): void {
  const failures = type.check(inputs);
  if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join("; "));
}

function key(clusterId: string, token: string, id: string): string {
  return `${clusterId.toLowerCase()} ${token} ${id}`;
}
