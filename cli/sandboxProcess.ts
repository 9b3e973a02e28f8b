import { spawn, type ChildProcess } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../domain/errors.ts";
import { ENVIRONMENT_FILE } from "./sandbox.ts";

const START_SECONDS = 60;
const EXPORT = /^export ([A-Z_]+)='(.*)'$/;

/** A sandbox in a process of its own. */
export interface SandboxProcess {
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/**
 * Starts a sandbox beside this process.
 * @param keep it goes on when this process ends; otherwise it ends with it, however that comes about.
 * @throws UserError with the sandbox's own words when it does not start.
 */
export async function spawnSandbox(folder: string, keep: boolean): Promise<SandboxProcess> {
  fs.mkdirSync(folder, { recursive: true });
  const main = path.join(import.meta.dirname, "main.ts");
  const log = path.join(folder, "sandbox.log");
  const output = fs.openSync(log, "w", 0o600);
  const child = spawn(
    process.execPath,
    [main, "sandbox", "--folder", folder, "--services-only", ...(keep ? [] : ["--until-stdin-ends"])],
    {
      stdio: [keep ? "ignore" : "pipe", output, output],
      // A group of its own: Ctrl-C reaches the demo, which then stops the sandbox in order.
      detached: true,
    },
  );
  fs.closeSync(output);
  if (keep) child.unref();
  const environment = await started(child, folder, log);
  return { environment, stop: () => stop(child) };
}

async function started(child: ChildProcess, folder: string, log: string): Promise<Record<string, string>> {
  const file = path.join(folder, ENVIRONMENT_FILE);
  for (let waited = 0; waited < START_SECONDS * 20; waited++) {
    if (fs.existsSync(file)) return parseExports(fs.readFileSync(file, "utf8"));
    if (child.exitCode !== null) break;
    await sleep(50);
  }
  await stop(child);
  throw new UserError(`The sandbox did not start:\n${fs.readFileSync(log, "utf8").trim()}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
}

function parseExports(text: string): Record<string, string> {
  const matches = text.split("\n").map((line) => EXPORT.exec(line));
  return Object.fromEntries(
    matches.flatMap((match) => (match ? [[match[1]!, match[2]!.replaceAll(`'\\''`, "'")]] : [])),
  );
}
