import { UserError } from "../../domain/errors.ts";
import { sameJson } from "../../domain/json.ts";
import { hasUnknown, toWire } from "./wire.ts";

/** Project configuration of the stack, as the engine hands it to a dynamic provider. Secrets arrive decrypted. */
export interface ProviderConfig {
  get(key: string): string | undefined;
}

export interface Failure {
  readonly property: string;
  readonly reason: string;
}

/** What every call of a provider may use. */
export interface Call {
  readonly config: ProviderConfig;
  /** One line for the person who watches; keep it to remote state changes and long waits. */
  progress(line: string): void;
}

/** What one kind of resource does. Everything the wire needs around it is added by {@link defineProvider}. */
export interface Kind<Inputs extends object, Outputs extends object> {
  /** As in messages, e.g. `Contract`. */
  readonly name: string;
  readonly inputs: readonly (keyof Inputs & string)[];
  /** A change of one of these makes a new object. An unknown value counts as a change. */
  readonly replaceOn?: readonly (keyof Inputs & string)[];
  /** For objects whose natural key is taken while the old one exists. */
  readonly deleteBeforeReplace?: boolean;
  /** Inputs that say how to reach the other side, not what should be there: changed values are stored, nothing more. */
  readonly access?: readonly (keyof Inputs & string)[];
  /** Pure rules over fully known inputs. `olds`: the inputs of the last time, if any. */
  validate?(inputs: Inputs, olds: Inputs | undefined): readonly Failure[];
  /** Completes the inputs by looking at this machine (files), once those it needs are known. A UserError is a failure of the first. */
  readonly complete?: {
    readonly needs: readonly (keyof Inputs & string)[];
    /** `olds`: the completed inputs of the last time, if any. */
    run(
      inputs: Inputs,
      olds: Inputs | undefined,
      progress: Call["progress"],
    ): Promise<{ inputs: Inputs; failures?: readonly Failure[] }>;
  };
  /** More properties that force a replacement, decided on values. Pure. */
  replaces?(olds: Outputs & Inputs, news: Inputs): readonly string[];
  /** Makes the object, or adopts the one its natural key already names. */
  create(inputs: Inputs, call: Call): Promise<{ id: string; outputs: Outputs }>;
  /** The truth about the other side: `undefined` when the object is gone. Inputs that drifted come back changed. */
  read?(
    id: string,
    olds: Outputs & Inputs,
    call: Call,
  ): Promise<{ inputs?: Partial<Inputs>; outputs: Outputs } | undefined>;
  update?(id: string, olds: Outputs & Inputs, news: Inputs, call: Call): Promise<{ outputs: Outputs }>;
  /** Succeeds when the object is gone already. */
  delete?(id: string, olds: Outputs & Inputs, call: Call): Promise<void>;
}

type Properties = Record<string, unknown>;

/** The six methods as the constant provider text calls them (see `providerText`). */
export interface WireProvider {
  check(
    config: ProviderConfig,
    olds: Properties,
    news: Properties,
  ): Promise<{ inputs?: Properties; failures?: Failure[] }>;
  diff(
    config: ProviderConfig,
    id: string,
    olds: Properties,
    news: Properties,
  ): Promise<{ changes: boolean; replaces: string[]; deleteBeforeReplace: boolean }>;
  create(config: ProviderConfig, inputs: Properties): Promise<{ id: string; outs: Properties }>;
  read(
    config: ProviderConfig,
    id: string,
    olds: Properties,
  ): Promise<{ id?: string; props?: Properties; inputs?: Properties }>;
  update(config: ProviderConfig, id: string, olds: Properties, news: Properties): Promise<{ outs: Properties }>;
  delete(config: ProviderConfig, id: string, olds: Properties): Promise<void>;
}

/**
 * Failed after the object came to be: the engine records it as created and calls update next time, instead of losing
 * track of something that exists.
 */
export class PartialFailure extends Error {
  readonly id: string;
  readonly properties: object;
  readonly reasons: string[];

  constructor(id: string, properties: object, reason: string) {
    super(reason);
    this.id = id;
    this.properties = properties;
    this.reasons = [reason];
  }
}

export function defineProvider<Inputs extends object, Outputs extends object>(
  kind: Kind<Inputs, Outputs>,
): WireProvider {
  type State = Outputs & Inputs;
  const isInput = (key: string): boolean => (kind.inputs as readonly string[]).includes(key);
  const pick = (properties: Properties): Properties & Inputs =>
    Object.fromEntries(
      Object.entries(properties).filter(([key, value]) => isInput(key) && value !== undefined),
    ) as Properties & Inputs;
  const outputsOf = (properties: Properties): Properties =>
    Object.fromEntries(Object.entries(properties).filter(([key]) => !isInput(key) && key !== "__provider"));
  const state = (inputs: object, outputs: object): Properties => toWire({ ...inputs, ...outputs }) as Properties;
  const changed = (olds: Properties, news: Properties): string[] =>
    kind.inputs.filter((key) => hasUnknown(news[key]) || !sameJson(olds[key], news[key]));

  return {
    async check(config, olds, news) {
      const inputs = pick(news);
      const previous = Object.keys(olds).length > 0 ? pick(olds) : undefined;
      const failures = hasUnknown(inputs) ? [] : [...(kind.validate?.(inputs, previous) ?? [])];
      const canComplete =
        kind.complete && failures.length === 0 && kind.complete.needs.every((key) => !hasUnknown(inputs[key]));
      if (!canComplete) return { inputs, failures };
      try {
        const completed = await quietly(() => kind.complete!.run(inputs, previous, callOf(config).progress));
        return { inputs: toWire({ ...completed.inputs }) as Properties, failures: [...(completed.failures ?? [])] };
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        return { inputs, failures: [{ property: kind.complete.needs[0]!, reason: error.message }] };
      }
    },

    async diff(_config, _id, olds, news) {
      const differing = changed(olds, news);
      const replaces = differing.filter((key) => kind.replaceOn?.includes(key as keyof Inputs & string));
      if (kind.replaces && !hasUnknown(pick(news))) replaces.push(...kind.replaces(olds as State, pick(news)));
      return {
        changes: differing.length > 0 || replaces.length > 0,
        replaces: [...new Set(replaces)],
        deleteBeforeReplace: kind.deleteBeforeReplace ?? false,
      };
    },

    async create(config, properties) {
      const inputs = pick(properties);
      const { id, outputs } = await quietly(() => kind.create(inputs, callOf(config)));
      return { id, outs: state(inputs, outputs) };
    },

    async read(config, id, olds) {
      if (!kind.read) return { id, props: { ...outputsOf(olds), ...pick(olds) }, inputs: pick(olds) };
      const found = await quietly(() => kind.read!(id, olds as State, callOf(config)));
      if (!found) return {};
      const inputs = { ...pick(olds), ...found.inputs };
      return { id, props: state(inputs, found.outputs), inputs: toWire(inputs) as Properties };
    },

    async update(config, id, olds, news) {
      const inputs = pick(news);
      const differing = changed(olds, news);
      const accessOnly =
        differing.length > 0 && differing.every((key) => kind.access?.includes(key as keyof Inputs & string));
      if (!kind.update || accessOnly) return { outs: state(inputs, outputsOf(olds)) };
      const { outputs } = await quietly(() => kind.update!(id, olds as State, inputs, callOf(config)));
      return { outs: state(inputs, outputs) };
    },

    async delete(config, id, olds) {
      if (kind.delete) await quietly(() => kind.delete!(id, olds as State, callOf(config)));
    },
  };
}

function callOf(config: ProviderConfig): Call {
  return { config, progress: (line) => console.log(line) };
}

/** The engine prints the stack of an error thrown by check, diff, read or delete: users get the message only. */
async function quietly<T>(action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof Error && process.env.CLEANROOM_DEBUG === undefined) error.stack = error.message;
    throw error;
  }
}
