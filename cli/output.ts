import { parse } from "csv-parse/sync";
import { buffer } from "node:stream/consumers";
import { UserError } from "../domain/errors.ts";
import type { Encryption } from "../domain/data/publishedFile.ts";
import type { DatasetFormat, EncryptionMode } from "../domain/dataset.ts";
import { StackView } from "./stack.ts";
import { resultTable } from "./tables.ts";

/** A result as people and programs read it. */
export interface ResultRows {
  readonly columns: readonly string[];
  /** Values as the result file writes them: CSV knows only texts. */
  readonly rows: readonly (readonly unknown[])[];
}

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
  return combine(await Promise.all(parts.map((part) => parseRows(run.format, part))));
}

async function parseRows(format: DatasetFormat, content: Buffer): Promise<ResultRows> {
  if (format === "csv") {
    // Spark escapes quotes inside values with a backslash instead of doubling them.
    const [columns = [], ...rows] = parse(content, { escape: "\\", relaxQuotes: true }) as string[][];
    return { columns, rows };
  }
  const records = format === "json" ? jsonLines(content) : await parquetRecords(content);
  const columns = Object.keys(records[0] ?? {});
  return { columns, rows: records.map((record) => columns.map((column) => record[column])) };
}

function jsonLines(content: Buffer): Record<string, unknown>[] {
  const lines = content.toString("utf8").split("\n");
  return lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line) as Record<string, unknown>);
}

async function parquetRecords(content: Buffer): Promise<Record<string, unknown>[]> {
  const { parquetReadObjects } = await import("hyparquet");
  return parquetReadObjects({ file: Uint8Array.from(content).buffer });
}

function combine(parts: readonly ResultRows[]): ResultRows {
  return { columns: parts[0]?.columns ?? [], rows: parts.flatMap(({ rows }) => rows) };
}
