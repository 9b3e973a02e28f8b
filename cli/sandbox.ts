import fs from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../domain/errors.ts";
import { generateDemoData } from "../demos/generate.ts";

/** File in the state folder that a shell can source. It appears once the sandbox answers. */
export const ENVIRONMENT_FILE = "environment";
const STOP_SECONDS = 20;

export interface SandboxOptions {
  folder: string;
  /** For programs that bring their own backend and data: the environment names the services and nothing else. */
  servicesOnly?: boolean;
  untilStdinEnds?: boolean;
}

/** Runs the sandbox in this process until it is told to stop. */
export async function startSandboxCommand(options: SandboxOptions): Promise<void> {
  const folder = path.resolve(options.folder);
  const file = path.join(folder, ENVIRONMENT_FILE);
  fs.rmSync(file, { force: true });
  const { startSandbox } = await import("../sandbox/index.ts");
  const sandbox = await startSandbox(folder).catch((error: Error) => {
    throw new UserError(error.message, { cause: error });
  });
  const stopped = stopRequest(options.untilStdinEnds ?? false);
  const lines = shellExports(
    options.servicesOnly ? sandbox.environment : { ...sandbox.environment, ...byHand(folder) },
  );
  fs.writeFileSync(`${file}.tmp`, lines, { mode: 0o600 });
  fs.renameSync(`${file}.tmp`, file);
  if (!options.servicesOnly) {
    if (!fs.existsSync(".cleanroom/data")) generateDemoData(path.resolve(".cleanroom/data"));
    process.stdout.write(lines);
    process.stderr.write(
      `\nThe sandbox runs until Ctrl-C. In another shell, from this folder:\n` +
        `  eval "$(node tools/run.cjs env)" && . '${file}'\n` +
        `  for stack in operator northwind woodgrove; do pulumi stack init $stack; done\n` +
        `  pulumi up -s operator      # and so on; the output \`pending\` says what comes next\n`,
    );
  }
  await stopped;
  fs.rmSync(file, { force: true });
  await sandbox.stop();
  // Waiting for the end of standard input would keep this process alive.
  process.stdin.destroy();
}

/** Stops the sandbox of a state folder, and returns when its process has ended. */
export async function stopSandboxCommand(options: { folder: string }): Promise<void> {
  const owner = sandboxOwner(path.resolve(options.folder));
  if (owner === undefined)
    throw new UserError(`No sandbox runs in ${options.folder}; name its state folder with --folder.`);
  process.kill(owner, "SIGTERM");
  for (let waited = 0; waited < STOP_SECONDS * 10; waited++) {
    if (!isAlive(owner)) return;
    await sleep(100);
  }
  throw new UserError(`The sandbox in ${options.folder} has not stopped within ${STOP_SECONDS} seconds.`);
}

/** Process id of the sandbox that uses a state folder. One that crashed leaves its lock behind and counts for nothing. */
export function sandboxOwner(folder: string): number | undefined {
  const lock = path.join(folder, "lock");
  const owner = fs.existsSync(lock) ? Number(fs.readFileSync(lock, "utf8")) : 0;
  return owner > 0 && isAlive(owner) ? owner : undefined;
}

function isAlive(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** What lets plain `pulumi` work on the sandbox without touching the user's own login and state. */
function byHand(folder: string): Record<string, string> {
  const state = path.join(folder, "pulumi-state");
  fs.mkdirSync(state, { recursive: true });
  // Encrypts nothing but this sandbox's own throw-away secrets.
  return { PULUMI_BACKEND_URL: `file://${state}`, PULUMI_CONFIG_PASSPHRASE: "sandbox" };
}

function stopRequest(untilStdinEnds: boolean): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => resolve());
    // The parent's end of the pipe closes however the parent ends, so that no sandbox outlives its demo.
    if (untilStdinEnds) process.stdin.resume().once("end", () => resolve());
  });
}

export function shellExports(environment: Readonly<Record<string, string>>): string {
  return Object.entries(environment)
    .map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`)
    .join("");
}
