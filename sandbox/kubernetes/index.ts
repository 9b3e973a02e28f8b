import { isDeepStrictEqual } from "node:util";
import { parse } from "yaml";
import type { CleanRoomService, SandboxHost, StateDocument } from "../contracts.ts";
import { detailedDiff } from "../azure/diff.ts";
import { automaticName } from "../azure/naming.ts";
import type { Failure, ProviderDefinition, ProviderSession } from "../azure/provider.ts";
import { UNKNOWN, plainArgs, withSecretsOf } from "../azure/values.ts";
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
  /** Whether the cluster's identity may use that address (role Network Contributor, say). */
  publicIpAllowed(clusterId: string, resourceGroup: string, name: string): boolean;
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
 * Stands in for the Kubernetes API server and Helm on simulated AKS clusters: the agent's chart starts the clean room, everything
 * else is remembered and nothing runs. The kubeconfig of the provider decides the cluster.
 */
export class Kubernetes {
  readonly definition: ProviderDefinition;
  readonly #state: Document;
  readonly #clusters: Clusters;
  readonly #cleanRoom: CleanRoomService;

  constructor(host: Pick<SandboxHost, "document" | "log">, clusters: Clusters, cleanRoom: CleanRoomService) {
    this.#state = host.document("kubernetes-objects", () => ({ objects: {} }));
    this.#clusters = clusters;
    this.#cleanRoom = cleanRoom;
    this.definition = {
      name: "kubernetes",
      version: KUBERNETES_VERSION,
      log: (line) => host.log("kubernetes", line),
      diffConfig: (olds, news) => (isSameCluster(olds.kubeconfig, news.kubeconfig) ? [] : ["kubeconfig"]),
      configure: (config) => {
        const namespace = String(config.namespace ?? "default");
        return session(this.#state, () => this.#context(config.kubeconfig, namespace), namespace);
      },
    };
  }

  /** What was installed on a cluster ends with it. */
  async forgetCluster(clusterId: string): Promise<void> {
    const { objects } = this.#state.value;
    const context = { clusterId, clusters: this.#clusters, cleanRoom: this.#cleanRoom, namespace: "" };
    for (const name of Object.keys(objects).filter((candidate) =>
      candidate.startsWith(`${clusterId.toLowerCase()} `),
    )) {
      const [, token, id] = name.split(" ") as [string, string, string];
      await kubernetesType(token).remove?.(context, id, objects[name]!.inputs);
      delete objects[name];
    }
    this.#state.save();
  }

  #context(kubeconfig: unknown, namespace: string): KubernetesContext {
    const cluster = typeof kubeconfig === "string" ? this.#clusters.authenticate(kubeconfig) : undefined;
    if (cluster) return { clusterId: cluster.id, clusters: this.#clusters, cleanRoom: this.#cleanRoom, namespace };
    throw new Error(
      "configured Kubernetes cluster is unreachable: the provider's kubeconfig must be one of listManagedClusterAdminCredentials " +
        "or listManagedClusterUserCredentials of a cluster that exists.",
    );
  }
}

/** Whether two kubeconfigs are for one cluster: credentials may change, the cluster may not. Unknown ones may well be. */
function isSameCluster(old: unknown, now: unknown): boolean {
  if (typeof old !== "string" || typeof now !== "string" || now === UNKNOWN) return true;
  const clusters = [old, now].map((kubeconfig) => (parse(kubeconfig) as Args | null)?.clusters);
  return isDeepStrictEqual(clusters[0], clusters[1]);
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
