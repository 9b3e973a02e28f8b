import type * as pulumi from "@pulumi/pulumi";
import { INVOKES, check, deployed } from "./cloud.ts";
import { agreed } from "./consortium.ts";
import { asSecret, isSecret, plain, type Values } from "./values.ts";

/** A resource as the program has declared it. */
export interface Declared {
  readonly type: string;
  readonly name: string;
  /** `<last part of the type> <name>`: names alone are not unique. */
  readonly label: string;
  /** As sent: secrets are marked. */
  readonly inputs: Values;
  /** Label of the parent; `undefined` below the stack. */
  readonly parent: string | undefined;
  /** Labels of what has to be there before, `dependsOn` and values alike. */
  readonly dependsOn: readonly string[];
  readonly deletedWith: string | undefined;
  readonly ignoreChanges: readonly string[];
  readonly secretOutputs: readonly string[];
  /** Components: what was registered at the end of the constructor, secrets marked. */
  registered: Values | undefined;
}

/** The parts of an engine's requests that mocks do not get to see. */
interface Request {
  getType(): string;
  getName(): string;
  getParent(): string;
  getDependenciesList(): string[];
  getDeletedwith(): string;
  getIgnorechangesList(): string[];
  getAdditionalsecretoutputsList(): string[];
}

interface OutputsRequest {
  getUrn(): string;
  getOutputs(): { toJavaScript(): Values };
}

type Answer = (error: Error | null, response: unknown) => void;

export interface Monitor {
  registerResource(request: Request, answer: Answer): Promise<void>;
  registerResourceOutputs(request: OutputsRequest, answer: Answer): void;
}

const STACK = "pulumi:pulumi:Stack";

/** Stands in for the engine: answers like the providers and keeps what was asked. */
export class Recorder implements pulumi.runtime.Mocks {
  readonly resources: Declared[] = [];
  readonly failures: string[] = [];
  readonly #stacks: Readonly<Record<string, unknown>>;
  readonly #requests = new Map<string, Request>();

  constructor(stacks: Readonly<Record<string, unknown>>) {
    this.#stacks = stacks;
  }

  /** Takes from the monitor's requests what it does not hand on to mocks. */
  listen(monitor: Monitor): void {
    const register = monitor.registerResource.bind(monitor);
    monitor.registerResource = (request, answer) => {
      this.#requests.set(key(request.getType(), request.getName()), request);
      return register(request, answer);
    };
    const outputs = monitor.registerResourceOutputs.bind(monitor);
    monitor.registerResourceOutputs = (request, answer) => {
      const { type, name } = ofUrn(request.getUrn());
      const resource = this.resources.find((candidate) => candidate.type === type && candidate.name === name);
      if (resource) resource.registered = request.getOutputs().toJavaScript();
      outputs(request, answer);
    };
  }

  async newResource({ type, name, inputs }: pulumi.runtime.MockResourceArgs): Promise<{ id: string; state: Values }> {
    if (type === "pulumi:pulumi:StackReference") return { id: name, state: { ...inputs, ...this.#outputs(name) } };
    if (type === STACK) return { id: "", state: {} };
    const request = this.#requests.get(key(type, name))!;
    const { id, state, checked } = await this.#make(type, name, inputs as Values);
    const parent = ofUrn(request.getParent());
    this.resources.push({
      type,
      name,
      label: labelOf(type, name),
      inputs: checked,
      parent: parent.type === STACK ? undefined : labelOf(parent.type, parent.name),
      dependsOn: request.getDependenciesList().map(labelOfUrn).sort(),
      deletedWith: request.getDeletedwith() ? labelOfUrn(request.getDeletedwith()) : undefined,
      ignoreChanges: request.getIgnorechangesList(),
      secretOutputs: request.getAdditionalsecretoutputsList(),
      registered: undefined,
    });
    // As the engine does, and mocks do not.
    const marked = request.getAdditionalsecretoutputsList().filter((property) => state[property] !== undefined);
    const secrets = marked.map((property) => [
      property,
      isSecret(state[property]) ? state[property] : asSecret(state[property]),
    ]);
    return { id, state: { ...state, ...(Object.fromEntries(secrets) as Values) } };
  }

  async call({ token, inputs }: pulumi.runtime.MockCallArgs): Promise<Values> {
    const args = plain(inputs as Values);
    if (token === "pulumi:pulumi:readStackOutputs") {
      const outputs = this.#outputs(String(args.name));
      // As a gRPC error of the engine: the SDK shows its details only.
      if (!outputs) throw Object.assign(new Error(), { code: 2, details: `unknown stack "${String(args.name)}"` });
      return { name: args.name, ...outputs };
    }
    const invoke = INVOKES[token];
    if (!invoke) throw new Error(`The tests know no function ${token}.`);
    return invoke(args);
  }

  #outputs(reference: string): Values | undefined {
    const handoff = this.#stacks[reference.split("/").at(-1)!];
    return handoff === undefined ? undefined : { outputs: { handoff }, secretOutputNames: [] };
  }

  async #make(type: string, name: string, inputs: Values): Promise<{ id: string; state: Values; checked: Values }> {
    if (type.startsWith("azure-native:")) {
      const { inputs: checked, failures } = await check(type, name, inputs);
      this.failures.push(...failures);
      const { id, outputs } = deployed(type, checked);
      return { id, state: outputs, checked };
    }
    if (!type.startsWith("pulumi-nodejs:dynamic/")) return { id: name, state: inputs, checked: inputs };
    return { id: name, state: { ...inputs, ...agreed(type.split(":").at(-1)!, inputs) }, checked: inputs };
  }
}

function key(type: string, name: string): string {
  return `${type} ${name}`;
}

function labelOf(type: string, name: string): string {
  return `${type.split(":").at(-1)!} ${name}`;
}

function labelOfUrn(urn: string): string {
  const { type, name } = ofUrn(urn);
  return labelOf(type, name);
}

function ofUrn(urn: string): { type: string; name: string } {
  const [qualified = "", name = ""] = urn.split("::").slice(2);
  return { type: qualified.split("$").at(-1)!, name };
}
