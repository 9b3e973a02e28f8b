import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import type { AuditEvent } from "../clients/cgs/types.ts";
import { DEMOS, type Demo } from "../demos/demos.ts";
import { ENCRYPTION_MODES } from "../domain/dataset.ts";
import { UserError } from "../domain/errors.ts";
import type { SharedQuery } from "../domain/handoff.ts";
import { Collaboration, type FinishedRun, type Step } from "./collaboration.ts";
import { createDemoProject, type DemoProject } from "./demoProject.ts";
import type { ResultRows } from "./results.ts";
import { queryText } from "./review.ts";
import { sandboxOwner, shellExports } from "./sandbox.ts";
import { spawnSandbox } from "./sandboxProcess.ts";
import { auditTable, resultTable, table } from "./tables.ts";

export interface DemoOptions {
  demo: string;
  encryption?: string;
  data?: string;
  query?: string;
  download?: boolean;
  keep?: boolean;
  json?: boolean;
  folder?: string;
}

interface Choices {
  readonly demo: Demo;
  /** Absolute. */
  readonly folder: string;
  readonly data: string | undefined;
  readonly query: string | undefined;
}

interface Outcome {
  readonly steps: readonly Step[];
  readonly query: SharedQuery;
  readonly run: FinishedRun & { readonly id: string };
  readonly result: ResultRows;
  readonly audit: readonly AuditEvent[];
}

const SIMULATED = `Simulated here: hardware attestation (policies are measured and enforced, but no processor vouches for it), consensus
between CCF nodes (one node, one ledger on disk), and the sign-in of people (a file stands for them). Real: the Pulumi
engine, signatures, tokens and their exchange, role assignments, votes, the query with its thresholds.`;

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const execute = promisify(execFile);

/** Runs one collaboration from nothing to its answer. */
export async function demo(options: DemoOptions): Promise<void> {
  const choices = checkedChoices(options);
  const { folder } = choices;
  clear(folder);
  const interruption = interruptible();
  const data = await bringData(choices, options);
  const project = createDemoProject(folder, { name: options.demo, demo: choices.demo, data, query: choices.query });
  say(`Demo ${options.demo}: ${choices.demo.title}`);
  const started = Date.now();
  const sandbox = await spawnSandbox(path.join(folder, "sandbox"), options.keep ?? false);
  let isDone = false;
  try {
    const outcome = await collaborate(project, sandbox.environment, interruption.signal);
    present(options, outcome, (Date.now() - started) / 1000);
    isDone = true;
  } finally {
    if (!isDone) say(`State and logs are in ${folder}.`);
    if (options.keep) say(howToContinue(folder, project, sandbox.environment));
    else await sandbox.stop();
    interruption.end();
  }
}

async function collaborate(
  project: DemoProject,
  environment: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Outcome> {
  const collaboration = new Collaboration(project, environment, signal, say);
  await collaboration.create();
  await collaboration.settle(undefined, (pending) => pending.every(({ what }) => what.startsWith("run ")));
  const { reference, query, names } = await collaboration.query();
  say(`\n● the owners review\n${queryText(reference, query, names)}`);
  await collaboration.settle(await collaboration.pin(reference, query, names));
  const { id, run } = await collaboration.finishedRun();

  const read = async <T>(...command: string[]): Promise<T[]> => {
    const main = path.join(import.meta.dirname, "main.ts");
    const { stdout } = await execute(process.execPath, [main, ...command, "--json", "--project", project.folder], {
      env: { ...process.env, ...environment, ...project.environment },
      maxBuffer: 1 << 30,
      signal,
    });
    return stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as T);
  };
  const [result] = await read<ResultRows>("output", id);
  const audit = await read<AuditEvent>("audit");
  return { steps: collaboration.steps, query, run: { ...run, id }, result: result!, audit };
}

function present(options: DemoOptions, { steps, query, run, result, audit }: Outcome, seconds: number): void {
  const location = `${run.store.blobEndpoint}${run.store.container}/${run.path}`;
  say(
    `\nSteps\n${table(
      ["stack", "what it did", "changes", "seconds"],
      steps.map((step) => [step.stack, step.what, step.changes, step.seconds.toFixed(1)]),
      [2, 3],
    )}`,
  );
  say(
    `\nResult of run ${run.id}: ${run.rowsRead} rows read, ${run.rowsWritten} written\n${resultTable(result)}\nstored in ${location}`,
  );
  say(`\nAudit events of the contract\n${auditTable(audit)}`);
  say(`\n${SIMULATED}\n\nDone in ${seconds.toFixed(0)} seconds.`);
  if (options.json)
    process.stdout.write(`${JSON.stringify(report(options.demo, { steps, query, run, result }, location))}\n`);
}

function report(name: string, { steps, query, run, result }: Omit<Outcome, "audit">, location: string): object {
  const stacks = [...new Set(steps.map(({ stack }) => stack))].map((stack) => {
    const own = steps.filter((step) => step.stack === stack);
    const seconds = own.reduce((sum, step) => sum + step.seconds, 0);
    return { name: stack, updates: own.length, resources: own.at(-1)!.resources, seconds: Number(seconds.toFixed(1)) };
  });
  const { id, state, rowsRead, rowsWritten } = run;
  return {
    demo: name,
    stacks,
    query: { id: query.documentId, digest: query.digest, segments: query.review.segments },
    run: { id, state, rowsRead, rowsWritten, location },
    result,
    pending: [],
  };
}

function checkedChoices(options: DemoOptions): Choices {
  const known = DEMOS[options.demo];
  if (!known) throw new UserError(`--demo ${options.demo} is unknown; there are ${Object.keys(DEMOS).join(", ")}.`);
  const demo = withEncryption(known, options.encryption);
  if (options.data !== undefined && options.download) throw new UserError("--data and --download exclude each other.");
  const data = options.data === undefined ? undefined : path.resolve(options.data);
  const query = options.query === undefined ? undefined : path.resolve(options.query);
  for (const persona of ["northwind", "woodgrove"]) {
    const input = data === undefined ? undefined : path.join(data, persona, "input");
    if (input !== undefined && !fs.existsSync(input)) {
      throw new UserError(
        `--data ${options.data}: there is no folder ${persona}/input in it; expected <folder>/<persona>/input/<yyyy-MM-dd>/*.csv.`,
      );
    }
  }
  if (query !== undefined && !fs.existsSync(query))
    throw new UserError(`--query ${options.query}: there is no such file.`);
  return { demo, data, query, folder: path.resolve(options.folder ?? path.join(".cleanroom", "demo", options.demo)) };
}

function withEncryption(demo: Demo, encryption: string | undefined): Demo {
  if (encryption === undefined) return demo;
  const mode = ENCRYPTION_MODES.find((known) => known === encryption);
  if (!mode) throw new UserError(`--encryption ${encryption} is unknown; there are ${ENCRYPTION_MODES.join(", ")}.`);
  return { title: `${demo.title}; encryption ${mode}`, encryption: mode };
}

/** A demo starts from nothing; what an earlier one left is removed unless its sandbox still runs. */
function clear(folder: string): void {
  if (sandboxOwner(path.join(folder, "sandbox")) !== undefined) {
    throw new UserError(
      `A sandbox still runs in ${folder}. Stop it with: npm run cleanroom -- sandbox stop --folder '${path.join(folder, "sandbox")}'\nor choose another --folder.`,
    );
  }
  const isOurs =
    !fs.existsSync(folder) ||
    fs.readdirSync(folder).length === 0 ||
    fs.existsSync(path.join(folder, "project", "Pulumi.yaml"));
  if (!isOurs) throw new UserError(`--folder ${folder} holds something else; choose an empty folder.`);
  fs.rmSync(folder, { recursive: true, force: true });
}

async function bringData({ folder, data }: Choices, options: DemoOptions): Promise<string> {
  if (data !== undefined) return data;
  const generated = path.join(folder, "data");
  if (options.download) {
    const { downloadSampleData } = await import("../demos/download.ts");
    await downloadSampleData(generated);
  } else {
    const { generateDemoData } = await import("../demos/generate.ts");
    generateDemoData(generated);
  }
  return generated;
}

function interruptible(): { signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => {
    process.exitCode = signal === "SIGINT" ? 130 : 143;
    controller.abort(new UserError("Interrupted."));
  };
  const signals = ["SIGINT", "SIGTERM"] as const;
  for (const signal of signals) process.on(signal, interrupt);
  return { signal: controller.signal, end: () => signals.forEach((signal) => process.off(signal, interrupt)) };
}

function howToContinue(folder: string, project: DemoProject, environment: Readonly<Record<string, string>>): string {
  const file = path.join(folder, "environment");
  fs.writeFileSync(file, shellExports({ ...environment, ...project.environment }), { mode: 0o600 });
  return [
    "\nSandbox and stacks are kept. To work with them:",
    `  eval "$(node tools/run.cjs env)" && . '${file}' && cd '${project.folder}'`,
    "  pulumi preview -s northwind     # and up, refresh, destroy, stack output …",
    "To stop the sandbox:",
    `  npm run cleanroom -- sandbox stop --folder '${path.join(folder, "sandbox")}'`,
  ].join("\n");
}
