import * as pulumi from "@pulumi/pulumi";
import { getMonitor } from "@pulumi/pulumi/runtime/settings.js";
import { Stack } from "@pulumi/pulumi/runtime/stack.js";
import fs from "node:fs";
import path from "node:path";
import { parse as parseYaml } from "yaml";
import { Recorder, type Declared, type Monitor } from "./recorder.ts";
import { plain, type Values } from "./values.ts";

export type { Declared };

export const root = path.join(__dirname, "..", "..", "..");

export interface Situation {
  /** Changes to the checked-in stack configuration, without the namespace; `undefined` takes a key out. */
  readonly config?: Values;
  /** Stack → its output `handoff`. Stacks that are not named do not exist. */
  readonly stacks?: Readonly<Record<string, unknown>>;
}

export interface Outputs {
  readonly handoff: Values;
  readonly pending: readonly { readonly what: string; readonly who: string; readonly command: string }[];
  readonly pendingApprovals?: readonly Values[];
  readonly results?: Readonly<Record<string, Values>>;
}

/** What a program has declared and exported. */
export class Deployment {
  readonly resources: readonly Declared[];
  /** Without secret markers. */
  readonly outputs: Outputs;
  /** Whether anything in the outputs is secret. */
  readonly isSecret: boolean;
  /** What the sandbox's azure-native provider has to say against the inputs. */
  readonly failures: readonly string[];

  constructor({ resources, failures }: Recorder, outputs: Outputs, isSecret: boolean) {
    this.resources = resources;
    this.failures = failures;
    this.outputs = outputs;
    this.isSecret = isSecret;
  }

  /** @param label kind and name, e.g. `Vault northwind-kv`. */
  resource(label: string): Declared {
    const found = this.resources.find((resource) => resource.label === label);
    if (!found) throw new Error(`There is no ${label}, but ${this.labels().join(", ")}`);
    return found;
  }

  /** Without secret markers. */
  inputs(label: string): Values {
    return plain(this.resource(label).inputs);
  }

  /** @param kind last part of the type. */
  ofKind(kind: string): readonly Declared[] {
    return this.resources.filter(({ label }) => label.startsWith(`${kind} `));
  }

  /** Of everything but components, sorted. */
  labels(): string[] {
    return this.resources
      .filter((resource) => !isComponent(resource))
      .map(({ label }) => label)
      .sort();
  }

  /** What is missing, in words. */
  pending(): string[] {
    return this.outputs.pending.map(({ what }) => what);
  }
}

export function isComponent({ type }: Declared): boolean {
  return type.startsWith("cleanroom:components:");
}

let deployments = 0;

/** Runs a persona with its checked-in configuration as `pulumi up` would, against stand-ins for engine and providers. */
export async function deploy(persona: string, { config = {}, stacks = {} }: Situation = {}): Promise<Deployment> {
  const recorder = new Recorder(stacks);
  // Another organisation each time: the program keeps one reference for each fully qualified stack.
  await pulumi.runtime.setMocks(recorder, "cleanroom", persona, false, `organization-${++deployments}`);
  recorder.listen(getMonitor() as unknown as Monitor);
  const stackConfig = configuration(persona, config);
  pulumi.runtime.setAllConfig(stackConfig, ["cleanroom:memberKey"]);
  let outputs: unknown;
  let failure: Error | undefined;
  // A stack whose program fails takes the process with it: the failure is for the caller.
  const stack = new Stack(async () => {
    outputs = await run(stackConfig).catch((error: Error) => void (failure = error));
    return {};
  });
  await settled(stack.outputs);
  if (failure) throw failure;
  await registered(stack);
  const isSecret = await (pulumi.output(outputs) as unknown as { isSecret: Promise<boolean> }).isSecret;
  return new Deployment(recorder, plain(await settled(outputs)) as Outputs, isSecret);
}

/** Modules that make resources are loaded here, once the mocks are in place. */
async function run(stackConfig: Record<string, string>): Promise<unknown> {
  const { parseSettings } = await import("../../../settings.ts");
  const settings = parseSettings(stackConfig, { read: (file) => fs.readFileSync(path.join(root, file), "utf8") });
  if (settings.role === "operator") return (await import("../../../personas/operator.ts")).operator(settings);
  return (await import("../../../personas/collaborator.ts")).collaborator(settings);
}

interface Settling {
  promise(): Promise<unknown>;
}

/** Waits for every resource below `parent`, those included that are declared while waiting. */
async function registered(parent: pulumi.Resource): Promise<void> {
  const children = () => [
    ...((parent as unknown as { __childResources?: Set<pulumi.Resource> }).__childResources ?? []),
  ];
  for (let index = 0; index < children().length; index++) {
    const child = children()[index]!;
    await settled(child.urn);
    await registered(child);
  }
}

/** The value of anything that holds outputs. */
export function settled<T>(value: pulumi.Input<T>): Promise<unknown> {
  return (pulumi.output(value) as unknown as Settling).promise();
}

function configuration(persona: string, changes: Values): Record<string, string> {
  const text = fs.readFileSync(path.join(root, `Pulumi.${persona}.yaml`), "utf8");
  const { config } = parseYaml(text) as { config: Values };
  for (const [key, value] of Object.entries(changes)) config[`cleanroom:${key}`] = value;
  return Object.fromEntries(
    Object.entries(config)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]),
  );
}
