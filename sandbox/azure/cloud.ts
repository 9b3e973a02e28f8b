import type { SandboxHost, StateDocument } from "../contracts.ts";
import type { ArmError } from "./errors.ts";
import type { Args } from "./values.ts";

export interface ArmResource {
  readonly id: string;
  /** Pulumi type. */
  readonly token: string;
  /** What was put. */
  readonly body: Args;
  /** What Azure answers, beyond `name`, `type` and `azureApiVersion`. */
  readonly outputs: Args;
  /** Known to the service alone. */
  readonly data: Args;
}

interface CloudState {
  /** By ARM id in lower case. */
  resources: Record<string, ArmResource>;
  /** Globally unique names that are taken: `<kind>:<name>` -> ARM id in lower case. */
  names: Record<string, string>;
  /** How often an ARM id was created: a resource created anew is not the old one. */
  generations: Record<string, number>;
}

/** Everything Azure Resource Manager remembers, for all subscriptions; kept in the state folder. */
export class Cloud {
  readonly #state: StateDocument<CloudState>;

  constructor(host: Pick<SandboxHost, "document">) {
    this.#state = host.document("azure-resources", () => ({ resources: {}, names: {}, generations: {} }));
  }

  find(id: string): ArmResource | undefined {
    return this.#state.value.resources[id.toLowerCase()];
  }

  /** Resources below an id, deepest first. */
  below(id: string): ArmResource[] {
    const prefix = `${id.toLowerCase()}/`;
    return Object.entries(this.#state.value.resources)
      .filter(([key]) => key.startsWith(prefix))
      .sort(([left], [right]) => right.split("/").length - left.split("/").length)
      .map(([, resource]) => resource);
  }

  all(): ArmResource[] {
    return Object.values(this.#state.value.resources);
  }

  ofType(token: string): ArmResource[] {
    return this.all().filter((resource) => resource.token === token);
  }

  save(resource: ArmResource): void {
    this.#state.value.resources[resource.id.toLowerCase()] = resource;
    this.#state.save();
  }

  remove(id: string): void {
    delete this.#state.value.resources[id.toLowerCase()];
    this.#state.save();
  }

  /** Which incarnation of an id this is: 1, 2, … */
  nextGeneration(id: string): number {
    const generation = (this.#state.value.generations[id.toLowerCase()] ?? 0) + 1;
    this.#state.value.generations[id.toLowerCase()] = generation;
    this.#state.save();
    return generation;
  }

  /**
   * Takes a globally unique name; taking it again for the same resource is fine.
   * @throws the given error when another resource has it.
   */
  claim(kind: string, name: string, id: string, taken: ArmError): void {
    const key = `${kind}:${name.toLowerCase()}`;
    const owner = this.#state.value.names[key];
    if (owner !== undefined && owner !== id.toLowerCase()) throw taken;
    this.#state.value.names[key] = id.toLowerCase();
    this.#state.save();
  }

  /** Gives back the names a resource holds; without `kind` all of them. */
  release(id: string, kind?: string): void {
    for (const [key, owner] of Object.entries(this.#state.value.names)) {
      if (owner === id.toLowerCase() && (kind === undefined || key.startsWith(`${kind}:`))) {
        delete this.#state.value.names[key];
      }
    }
    this.#state.save();
  }
}
