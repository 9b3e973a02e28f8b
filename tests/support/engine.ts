import type { ProviderConfig, WireProvider } from "../../dynamic-providers/framework/provider.ts";
import { sameJson } from "../../domain/json.ts";

type Properties = Record<string, unknown>;

/** What the engine sends for a value that is only known after `up`. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

export type Step = "same" | "create" | "update" | "replace";

/**
 * One resource of a stack, brought about with the provider's calls in the engine's order: check, diff, then create,
 * update or both halves of a replacement. Values lose what they lose on the wire: key order and undefined members.
 */
export class Resource {
  state: { id: string; inputs: Properties; outputs: Properties } | undefined;
  readonly #provider: WireProvider;
  readonly #config: ProviderConfig;
  readonly #secrets: readonly string[];

  /** @param secrets properties that the resource marks as secret: key material anywhere else is an error. */
  constructor(provider: WireProvider, config: ProviderConfig, secrets: readonly string[] = []) {
    this.#provider = provider;
    this.#config = config;
    this.#secrets = secrets;
  }

  get outputs(): Properties {
    if (!this.state) throw new Error("this resource does not exist");
    return this.state.outputs;
  }

  get id(): string {
    if (!this.state) throw new Error("this resource does not exist");
    return this.state.id;
  }

  /** What `pulumi preview` would say. @throws the failures of the check. */
  async preview(news: object): Promise<Step> {
    return (await this.#plan(news)).step;
  }

  /** `pulumi up`. */
  async up(news: object): Promise<Step> {
    const { step, inputs, deleteBeforeReplace } = await this.#plan(news);
    if (step === "create") await this.#create(inputs);
    if (step === "update") {
      const { id, outputs } = this.state!;
      const { outs } = await this.#provider.update(this.#config, id, this.#wire(outputs), this.#wire(inputs));
      this.#keep(id, inputs, outs);
    }
    if (step === "replace") {
      const old = this.state!;
      const deleteOld = (): Promise<void> => this.#provider.delete(this.#config, old.id, this.#wire(old.outputs));
      if (deleteBeforeReplace) await deleteOld();
      await this.#create(inputs);
      if (!deleteBeforeReplace) await deleteOld();
    }
    return step;
  }

  /** `pulumi up` of a program whose last update was interrupted before its result was recorded. */
  async upAfterCrash(news: object): Promise<Step> {
    this.state = undefined;
    return this.up(news);
  }

  /** `pulumi refresh`. */
  async refresh(): Promise<"same" | "drifted" | "gone"> {
    const { id, inputs, outputs } = this.state!;
    const found = await this.#provider.read(this.#config, id, this.#wire(outputs));
    if (found.id === undefined) {
      this.state = undefined;
      return "gone";
    }
    this.#keep(found.id, found.inputs!, found.props!);
    return sameJson(found.inputs, inputs) ? "same" : "drifted";
  }

  /** `pulumi destroy`; the state stays, so that it can be tried again. */
  async destroy(): Promise<void> {
    const { id, outputs } = this.state!;
    await this.#provider.delete(this.#config, id, this.#wire(outputs));
  }

  async #plan(news: object): Promise<{ step: Step; inputs: Properties; deleteBeforeReplace: boolean }> {
    const olds = this.state ? this.#wire(this.state.inputs) : {};
    const { inputs = {}, failures = [] } = await this.#provider.check(this.#config, olds, this.#wire(news));
    if (failures.length > 0)
      throw new Error(failures.map(({ property, reason }) => `${property}: ${reason}`).join("\n"));
    if (!this.state) return { step: "create", inputs, deleteBeforeReplace: false };
    const { id, outputs } = this.state;
    const diff = await this.#provider.diff(this.#config, id, this.#wire(outputs), this.#wire(inputs));
    const step = !diff.changes ? "same" : diff.replaces.length > 0 ? "replace" : "update";
    return { step, inputs, deleteBeforeReplace: diff.deleteBeforeReplace };
  }

  async #create(inputs: Properties): Promise<void> {
    const { id, outs } = await this.#provider.create(this.#config, this.#wire(inputs));
    if (typeof id !== "string" || id === "") throw new Error("the engine loses a resource without a text for its id");
    this.#keep(id, inputs, outs);
  }

  #keep(id: string, inputs: Properties, outputs: Properties): void {
    for (const properties of [inputs, outputs]) {
      const shown = Object.entries(properties).filter(([name]) => !this.#secrets.includes(name));
      const leak = shown.find(([, value]) => /PRIVATE KEY|eyJ[\w-]+\.eyJ/.test(JSON.stringify(value) ?? ""));
      if (leak) throw new Error(`property ${leak[0]} holds key material and is not secret`);
    }
    this.state = { id, inputs: reordered(inputs) as Properties, outputs: reordered(outputs) as Properties };
  }

  #wire(properties: object): Properties {
    return { __provider: "the provider's text", ...(reordered(properties) as Properties) };
  }
}

function reordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reordered);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.reverse().map(([key, member]) => [key, reordered(member)]));
}
