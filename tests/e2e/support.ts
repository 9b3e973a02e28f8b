import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseDocument, type Document } from "yaml";
import type { PersonaName } from "../../demos/demos.ts";

export const CHECKOUT = path.join(__dirname, "..", "..");
const MAIN = path.join(CHECKOUT, "cli", "main.ts");
const EXPORT = /^export (\w+)='(.*)'$/gm;

export interface Ended {
  /** Exit code; 128 and more is not used: a signal is an error of the test. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One change a resource went through, or would. */
export interface Change {
  /** `create`, `update`, `replace`, `create-replacement`, `delete-replaced`, `delete` … */
  readonly op: string;
  /** Last part of the type: `DatasetFiles`. */
  readonly type: string;
  readonly name: string;
}

export interface Operation extends Ended {
  readonly changes: readonly Change[];
  /** What went wrong, and what providers said, without colours. */
  readonly errors: readonly string[];
  readonly messages: readonly string[];
}

/** Outside the checkout, with a space in its path, as a user's folder may have. */
export function temporaryFolder(name: string): string {
  return fs.mkdtempSync(path.join(fs.realpathSync(os.tmpdir()), `clean room ${name} `));
}

/** @throws when there is no Pulumi: these tests are about nothing else. */
export function requirePulumi(): void {
  try {
    execFileSync("pulumi", ["version"], { stdio: "ignore" });
  } catch (error) {
    throw new Error("The end-to-end tests need `pulumi` on the PATH: run them with npm test.", { cause: error });
  }
}

/** The command line tool, as a user starts it. */
export function cleanroom(args: readonly string[], options: { cwd?: string; env?: Environment } = {}): Promise<Ended> {
  return ended(startCleanroom(args, options));
}

export function startCleanroom(args: readonly string[], options: { cwd?: string; env?: Environment } = {}): Started {
  return start(process.execPath, [MAIN, ...args], options);
}

type Environment = Readonly<Record<string, string | undefined>>;

export interface Started {
  readonly child: ChildProcess;
  /** What was written so far. */
  stdout(): string;
  stderr(): string;
}

/** A process in a group of its own. Output goes to files: a pipe would stay open as long as any descendant lives. */
export function start(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: Environment } = {},
): Started {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "output-"));
  const files = ["stdout", "stderr"].map((name) => path.join(folder, name));
  const [stdout, stderr] = files.map((file) => fs.openSync(file, "w"));
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", stdout, stderr],
    detached: true,
  });
  for (const handle of [stdout!, stderr!]) fs.closeSync(handle);
  const text = (index: number) => () => fs.readFileSync(files[index]!, "utf8");
  return { child, stdout: text(0), stderr: text(1) };
}

export function ended({ child, stdout, stderr }: Started): Promise<Ended> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      if (code === null) reject(new Error(`${child.spawnfile} was ended by ${signal}:\n${stderr()}`));
      else resolve({ code, stdout: stdout(), stderr: stderr() });
    });
  });
}

/** Polls: how long something takes depends on the machine. */
export async function until(what: string, isSo: () => boolean, seconds = 120): Promise<void> {
  for (const deadline = Date.now() + seconds * 1000; !isSo(); await sleep(100)) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} seconds`);
  }
}

/** Ids of the processes that were started with a folder in their arguments or environment (Linux). */
export function processesOf(folder: string): number[] {
  const mentions = (file: string): boolean => {
    try {
      return fs.readFileSync(file, "utf8").includes(folder);
    } catch {
      return false; // ended meanwhile, or somebody else's
    }
  };
  const ids = fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return ids
    .filter(
      (id) => Number(id) !== process.pid && ["cmdline", "environ"].some((name) => mentions(`/proc/${id}/${name}`)),
    )
    .map(Number);
}

/** What a shell has after sourcing a file of `export` lines. */
export function exported(file: string): Record<string, string> {
  const lines = fs.readFileSync(file, "utf8").matchAll(EXPORT);
  return Object.fromEntries([...lines].map(([, name, value]) => [name!, value!.replaceAll(`'\\''`, "'")]));
}

export interface StoredResource {
  readonly urn: string;
  readonly type: string;
  /** Has a provider: is no component. */
  readonly custom: boolean;
  readonly id: string;
  readonly outputs: any;
}

/** The stacks that `demo --keep` leaves, worked on by hand: plain `pulumi` in the project's folder. */
export class Stacks {
  /** Of the demo: `project`, `state`, `sandbox`, `data` … */
  readonly folder: string;
  readonly project: string;
  readonly environment: Readonly<Record<string, string>>;

  /** @param environment default: what the demo has left for work by hand. */
  constructor(folder: string, environment = exported(path.join(folder, "environment"))) {
    this.folder = folder;
    this.project = path.join(folder, "project");
    this.environment = environment;
  }

  preview(stack: PersonaName | string, ...options: string[]): Promise<Operation> {
    return this.operate("preview", stack, options);
  }

  up(stack: PersonaName | string, ...options: string[]): Promise<Operation> {
    return this.operate("up", stack, ["--yes", "--skip-preview", ...options]);
  }

  /** Shows drift; changes nothing, not even the state. */
  drift(stack: PersonaName): Promise<Operation> {
    return this.operate("refresh", stack, ["--preview-only"]);
  }

  destroy(stack: PersonaName): Promise<Operation> {
    return this.operate("destroy", stack, ["--yes", "--skip-preview"]);
  }

  async output<T>(stack: PersonaName | string, name: string): Promise<T> {
    const { code, stdout, stderr } = await this.pulumi(["stack", "output", name, "--json", "--stack", stack]);
    if (code !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as T;
  }

  /** The stack's state as the backend keeps it: secrets encrypted. */
  state(stack: PersonaName): string {
    return fs.readFileSync(path.join(this.folder, "state", ".pulumi", "stacks", "cleanroom", `${stack}.json`), "utf8");
  }

  resources(stack: PersonaName): StoredResource[] {
    const state = JSON.parse(this.state(stack)) as { checkpoint: { latest: { resources?: StoredResource[] } } };
    return state.checkpoint.latest.resources ?? [];
  }

  /** Not a component. @throws when there is none of that name. */
  resource(stack: PersonaName, name: string): StoredResource {
    const found = this.resources(stack).find(({ urn, custom }) => custom && urn.endsWith(`::${name}`));
    if (!found) throw new Error(`stack ${stack} has no resource ${name}`);
    return found;
  }

  /** Edits a stack's configuration file. */
  configure(stack: PersonaName | string, edit: (config: Document) => void): void {
    const file = path.join(this.project, `Pulumi.${stack}.yaml`);
    const document = parseDocument(fs.readFileSync(file, "utf8"));
    edit(document);
    fs.writeFileSync(file, document.toString());
  }

  pulumi(args: readonly string[], env: Environment = {}): Promise<Ended> {
    return ended(
      start("pulumi", [...args, "--non-interactive", "--color", "never"], {
        cwd: this.project,
        env: { ...this.environment, ...env },
      }),
    );
  }

  async operate(
    command: string,
    stack: string,
    options: readonly string[] = [],
    env: Environment = {},
  ): Promise<Operation> {
    const streaming = { PULUMI_ENABLE_STREAMING_JSON_PREVIEW: "true" };
    const result = await this.pulumi([command, "--stack", stack, "--json", ...options], { ...streaming, ...env });
    return { ...result, ...interpreted(result) };
  }
}

interface EngineEvent {
  resourcePreEvent?: { metadata: Step; planning?: boolean };
  resOutputsEvent?: { metadata: Step };
  diagnosticEvent?: { message: string; severity: string; ephemeral?: boolean };
}

interface Step {
  op: string;
  urn: string;
  type: string;
}

const UNCHANGED = new Set(["same", "read", "refresh"]);
/**
 * The stack itself, and what it has read of other stacks: every update reads that anew, so news that a refresh finds
 * there are no drift.
 */
const OF_THE_ENGINE = new Set(["pulumi:pulumi:Stack", "pulumi:pulumi:StackReference"]);

/** Engine events, one a line; anything else is an error from before the engine started. */
function interpreted({ stdout, stderr }: Ended): Pick<Operation, "changes" | "errors" | "messages"> {
  const lines = stdout.split("\n").filter((line) => line.startsWith(`{"sequence"`));
  const events = lines.map((line) => JSON.parse(line) as EngineEvent);
  const said = events.flatMap(({ diagnosticEvent }) => diagnosticEvent ?? []);
  const text = (severities: readonly string[]): string[] =>
    said.filter(({ severity }) => severities.includes(severity)).map(({ message }) => message.trim());
  return {
    // Of a refresh only the results tell what is different.
    changes: changed(events.flatMap(({ resOutputsEvent }) => resOutputsEvent?.metadata ?? [])),
    errors: [...text(["error"]), ...stderr.split("\n").filter((line) => line.startsWith("error:"))],
    messages: text(["info", "info#err", "warning"]),
  };
}

function changed(steps: readonly Step[]): Change[] {
  return steps
    .filter(({ op, type }) => !UNCHANGED.has(op) && !OF_THE_ENGINE.has(type))
    .map(({ op, urn, type }) => ({ op, type: type.split(":").at(-1)!, name: urn.split("::").at(-1)! }));
}

/** As `op name`, in alphabetical order: events come in no particular one. */
export function told(changes: readonly Change[]): string[] {
  return changes.map(({ op, name }) => `${op} ${name}`).sort();
}
