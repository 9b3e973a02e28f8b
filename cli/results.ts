import { parse } from "csv-parse/sync";
import type { DatasetFormat } from "../domain/dataset.ts";

/** A result as people and programs read it. */
export interface ResultRows {
  readonly columns: readonly string[];
  /**
   * What JSON can say: texts, numbers, booleans, null. CSV knows only texts. Integers beyond 2^53 are texts, so that none
   * is rounded; dates are `yyyy-MM-dd`, times ISO 8601 in UTC.
   */
  readonly rows: readonly (readonly unknown[])[];
}

const DAY_MS = 86_400_000;

type Row = Readonly<{ [column: string]: unknown }>;

/** @param parts contents of a result's files, in order. */
export async function parseResult(format: DatasetFormat, parts: readonly Buffer[]): Promise<ResultRows> {
  if (format === "csv") return csvRows(parts);
  if (format === "json") return tabulate(parts.flatMap(jsonLines));
  return tabulate((await Promise.all(parts.map(parquetRecords))).flat());
}

/** Every part begins with a header. */
function csvRows(parts: readonly Buffer[]): ResultRows {
  // Spark escapes quotes inside values with a backslash instead of doubling them.
  const tables = parts.map((part) => parse(part, { escape: "\\", relaxQuotes: true }) as string[][]);
  return { columns: tables.find(([header]) => header)?.[0] ?? [], rows: tables.flatMap(([, ...rows]) => rows) };
}

/** Spark leaves members that are null out of JSON: a column may be missing in any of the records, the first too. */
function tabulate(records: readonly Row[]): ResultRows {
  const columns = [...new Set(records.flatMap((record) => Object.keys(record)))];
  return { columns, rows: records.map((record) => columns.map((column) => record[column] ?? null)) };
}

function jsonLines(content: Buffer): Row[] {
  const lines = content.toString("utf8").split("\n");
  return lines.filter((line) => line.trim() !== "").map((line) => JSON.parse(line, exactInteger) as Row);
}

/** The reviver's third argument (ECMAScript's "JSON.parse source text access") is not in TypeScript's library yet. */
function exactInteger(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  const isRounded = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "");
  return isRounded ? context!.source : value;
}

async function parquetRecords(content: Buffer): Promise<Row[]> {
  const { parquetReadObjects } = await import("hyparquet");
  const records = await parquetReadObjects({
    file: Uint8Array.from(content).buffer,
    parsers: { dateFromDays: (days) => new Date(days * DAY_MS).toISOString().slice(0, 10) },
  });
  return records.map((record) =>
    Object.fromEntries(Object.entries(record).map(([column, value]) => [column, plain(value)])),
  );
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  return value instanceof Date ? value.toISOString() : value;
}
