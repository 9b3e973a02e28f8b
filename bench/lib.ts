import Table from "cli-table3";
import { execFile } from "node:child_process";
import fs from "node:fs/promises";
import path from "node:path";
import { performance } from "node:perf_hooks";
import { promisify } from "node:util";

const root = path.join(import.meta.dirname, "..");

/** The operations of an engine, in the order in which they are measured. */
export const operations = ["create", "preview", "no-op up", "update all", "refresh", "destroy"] as const;
export type Operation = (typeof operations)[number];

/** Wall times in seconds, one per round. */
export type Times = Record<Operation, number[]>;

const commands: Record<Operation, { args: string[]; value: string }> = {
  create: { args: ["up", "--yes", "--skip-preview"], value: "first" },
  preview: { args: ["preview"], value: "first" },
  "no-op up": { args: ["up", "--yes", "--skip-preview"], value: "first" },
  "update all": { args: ["up", "--yes", "--skip-preview"], value: "second" },
  refresh: { args: ["refresh", "--yes", "--skip-preview"], value: "second" },
  destroy: { args: ["destroy", "--yes", "--skip-preview"], value: "second" },
};

/**
 * Measures the engine's floor: `resources` dynamic resources that do nothing, on a file backend of its own.
 * @param rounds how often the whole life of the stack is repeated
 */
export function engineFloor(resources: number, rounds: number): Promise<Times> {
  return withFloor(resources, async (measure) => {
    const times = Object.fromEntries(operations.map((operation) => [operation, [] as number[]])) as Times;
    for (let round = 0; round < rounds; round++) {
      for (const operation of operations) times[operation].push(await measure(operation));
    }
    return times;
  });
}

/**
 * Gives `action` a stack of `resources` dynamic resources that do nothing, to measure beside something else.
 * @param action gets a function that runs one operation and returns its wall time in seconds; begins with `create`.
 */
export function withFloor<T>(
  resources: number,
  action: (measure: (operation: Operation) => Promise<number>) => Promise<T>,
): Promise<T> {
  return withTemporaryFolder("floor", async (folder) => {
    await fs.cp(path.join(root, "bench", "floor"), folder, { recursive: true });
    await fs.writeFile(path.join(folder, "package.json"), JSON.stringify({ type: "module", main: "index.ts" }));
    await fs.mkdir(path.join(folder, "state"));
    const env = {
      ...process.env,
      PULUMI_BACKEND_URL: `file://${path.join(folder, "state")}`,
      PULUMI_CONFIG_PASSPHRASE: "floor",
      FLOOR_RESOURCES: String(resources),
    };
    await pulumi(["stack", "init", "floor"], folder, env);
    return action((operation) => {
      const { args, value } = commands[operation];
      return pulumi([...args, "--stack", "floor"], folder, { ...env, FLOOR_VALUE: value });
    });
  });
}

/** Runs the Pulumi CLI to its end, without a terminal; returns its wall time in seconds, throws with its output when it fails. */
export async function pulumi(args: string[], folder: string, env: NodeJS.ProcessEnv): Promise<number> {
  const started = performance.now();
  try {
    await promisify(execFile)("pulumi", [...args, "--non-interactive"], {
      cwd: folder,
      env,
      maxBuffer: 64 * 1024 * 1024,
    });
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`pulumi ${args.join(" ")} failed:\n${stdout ?? ""}${stderr ?? ""}`, { cause: error });
  }
  return (performance.now() - started) / 1000;
}

/** Gives `action` a new folder below the checkout, where packages resolve and git does not look; removes it afterwards. */
export async function withTemporaryFolder<T>(name: string, action: (folder: string) => Promise<T>): Promise<T> {
  const parent = path.join(root, ".cleanroom");
  await fs.mkdir(parent, { recursive: true });
  const folder = await fs.mkdtemp(path.join(parent, `bench-${name}-`));
  try {
    return await action(folder);
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
}

/** The middle of a list of numbers; the mean of the two middle ones when there is an even number of them. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (upper === undefined || lower === undefined) throw new Error("median of no numbers");
  return (lower + upper) / 2;
}

/** `median (smallest – largest)` in seconds. */
export function spread(seconds: readonly number[]): string {
  return `${median(seconds).toFixed(2)} (${Math.min(...seconds).toFixed(2)} – ${Math.max(...seconds).toFixed(2)})`;
}

/** How many times the floor something took, by medians. */
export function ratio(seconds: readonly number[], floor: readonly number[]): string {
  return `${(median(seconds) / median(floor)).toFixed(2)}×`;
}

/** A table for the terminal; all columns but the first are right-aligned. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const colAligns = head.map((_, column) => (column === 0 ? ("left" as const) : ("right" as const)));
  const result = new Table({ head: [...head], colAligns, style: { head: [], border: [] } });
  for (const row of rows) result.push([...row]);
  return result.toString();
}
