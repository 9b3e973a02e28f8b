import { buffer } from "node:stream/consumers";
import { UserError } from "../domain/errors.ts";
import type { Encryption } from "../domain/data/publishedFile.ts";
import type { DatasetFormat, EncryptionMode } from "../domain/dataset.ts";
import { parseResult, type ResultRows } from "./results.ts";
import { StackView } from "./stack.ts";
import { resultTable } from "./tables.ts";

interface RecordedRun {
  readonly query: string;
  readonly state: string;
  readonly store: { readonly type: "Azure_BlobStorage"; readonly blobEndpoint: string; readonly container: string };
  readonly format: DatasetFormat;
  readonly encryption: EncryptionMode;
  /** The sink's name in the collaboration: whose key decrypts. */
  readonly sink: string;
  /** Folder in the store. */
  readonly path: string;
}

export async function outputCommand(
  run: string | undefined,
  options: { stack: string; project: string; json?: boolean },
): Promise<void> {
  const stack = await StackView.open(options.project, options.stack);
  const result = await readResult(stack, chosenRun(stack, run));
  process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : `${resultTable(result)}\n`);
}

function chosenRun(stack: StackView, run: string | undefined): RecordedRun {
  const results = stack.output<Record<string, RecordedRun>>("results");
  const names = Object.keys(results);
  const name = run ?? (names.length === 1 ? names[0] : undefined);
  const found = name === undefined ? undefined : results[name];
  if (found) return found;
  throw new UserError(
    names.length === 0
      ? `Stack ${stack.name} has no finished run: add one under cleanroom:runs and run pulumi up --stack ${stack.name}.`
      : `Name one of the runs of stack ${stack.name}: ${names.join(", ")}.`,
  );
}

async function readResult(stack: StackView, run: RecordedRun): Promise<ResultRows> {
  const { downloadResult, listResults } = await import("../clients/stores/download.ts");
  const encryption: Encryption =
    run.encryption === "SSE" ? { mode: "SSE" } : { mode: run.encryption, key: await stack.dataEncryptionKey(run.sink) };
  const target = { ...run.store, credential: stack.credential() };
  const parts: Buffer[] = [];
  for await (const { name } of listResults(target, { path: run.path })) {
    parts.push(await buffer(await downloadResult(target, name, encryption)));
  }
  if (parts.length === 0)
    throw new UserError(
      `Nothing is stored under ${run.path} in ${run.store.container}: the result was moved or deleted.`,
    );
  return parseResult(run.format, parts);
}
