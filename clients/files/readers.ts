import { CsvError, parse } from "csv-parse/sync";
import { parquetMetadataAsync, parquetSchema, type SchemaElement } from "hyparquet";
import type fs from "node:fs";
import type { DatasetFormat, FieldType } from "../../domain/dataset.ts";
import { RowChecker, type RowFindings, type Schema } from "../../domain/data/schema.ts";
import { lineBatches, LineTooLongError } from "./lines.ts";

/** What reading one file found. `error` says where (line, column) and what, without the file's name or any value. */
export interface FileFindings extends RowFindings {
  readonly error?: string;
}

export interface OpenFile {
  readonly handle: fs.promises.FileHandle;
  readonly size: number;
  readonly signal?: AbortSignal;
}

type Reader = (file: OpenFile, schema: Schema) => Promise<FileFindings>;

/** One reader a format. Each stops at the first thing that makes the file unreadable. */
export const READERS: Record<DatasetFormat, Reader> = {
  csv: (file, schema) => readLines(file, schema, csvRow),
  json: (file, schema) => readLines(file, schema, jsonRow),
  parquet: readParquet,
};

/** Takes one line; returns what makes it unreadable. */
type RowReader = (line: string, number: number, checker: RowChecker, schema: Schema) => string | undefined;

async function readLines(file: OpenFile, schema: Schema, readRow: RowReader): Promise<FileFindings> {
  const checker = new RowChecker(schema.fields);
  let number = 0;
  try {
    for await (const batch of lineBatches(file.handle, file.signal)) {
      for (const line of batch) {
        number++;
        // Spark skips lines that are blank.
        const error = line.trim() === "" ? undefined : readRow(line, number, checker, schema);
        if (error) return { ...checker.findings, error: `line ${number}, ${error}` };
      }
    }
  } catch (error) {
    if (error instanceof LineTooLongError)
      return { ...checker.findings, error: `line ${number + 1}, the line has no end: this is not a text file` };
    throw error;
  }
  return checker.findings;
}

/** By position, without header; one line is one row, even inside quotes, as the clean room reads it. */
function csvRow(line: string, number: number, checker: RowChecker): string | undefined {
  if (!line.includes('"')) return checker.textRow(line.split(","), number);
  try {
    return checker.textRow(regularRow(line) ?? irregularRow(line), number);
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    const column = typeof error["column"] === "number" ? error["column"] + 1 : 1;
    return `column ${column}: quotes do not match up (a value in quotes ends on the line it starts on)`;
  }
}

/**
 * A row whose values are bare, or in quotes with quotes inside doubled (RFC 4180): nearly every one, so this is twenty times
 * quicker than a call of the parser. `undefined` for any other.
 */
function regularRow(line: string): string[] | undefined {
  const values: string[] = [];
  const value = /(?:"([^"]*(?:""[^"]*)*)"|([^",]*))(,|$)/y;
  for (;;) {
    const match = value.exec(line);
    if (!match) return undefined;
    const [, quoted, bare, separator] = match;
    values.push(quoted === undefined ? bare! : quoted.includes('"') ? quoted.replaceAll('""', '"') : quoted);
    if (separator === "") return values;
  }
}

/** What Spark itself has written has a backslash before quotes inside a value. */
function irregularRow(line: string): string[] {
  return parse(line, { relaxColumnCount: true, escape: "\\" })[0]!;
}

/** One JSON object a line, matched by member name. */
function jsonRow(line: string, number: number, checker: RowChecker, schema: Schema): string | undefined {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch (error) {
    const position = /at position (\d+)/.exec((error as Error).message)?.[1];
    return position === undefined ? "not JSON" : `column ${Number(position) + 1}: not JSON`;
  }
  if (typeof row !== "object" || row === null || Array.isArray(row)) return "not a JSON object";
  const members = row as Record<string, unknown>;
  checker.jsonRow(members, number, needsSources(members, line, schema) ? numberSources(line) : undefined);
  return undefined;
}

function needsSources(row: Record<string, unknown>, line: string, schema: Schema): boolean {
  return schema.fields.some(
    ({ name, type }) =>
      (type === "integer" || type === "long") &&
      typeof row[name] === "number" &&
      (!Number.isSafeInteger(row[name]) || /[.eE]/.test(line)),
  );
}

/** The numbers among an object's members as they are written; a parsed number has forgotten `1.0` and its 19th digit. */
function numberSources(line: string): Map<string, string> {
  const seen: { holder: unknown; name: string; source: string }[] = [];
  function reviver(this: unknown, name: string, value: unknown, context?: { source?: string }): unknown {
    if (typeof value === "number" && context?.source !== undefined)
      seen.push({ holder: this, name, source: context.source });
    return value;
  }
  const row: unknown = JSON.parse(line, reviver);
  return new Map(seen.filter(({ holder }) => holder === row).map(({ name, source }) => [name, source]));
}

/** Only the footer: parquet declares its types, so no value needs to be looked at. */
async function readParquet({ handle, size }: OpenFile, schema: Schema): Promise<FileFindings> {
  const slice = async (start: number, end = size) => {
    const bytes = new Uint8Array(end - start);
    await handle.read(bytes, 0, bytes.length, start);
    return bytes.buffer;
  };
  let columns: Map<string, SchemaElement>;
  let rows: number;
  try {
    const metadata = await parquetMetadataAsync({ byteLength: size, slice });
    columns = new Map(parquetSchema(metadata).children.map(({ element }) => [element.name, element]));
    rows = Number(metadata.num_rows);
  } catch {
    return { rows: 0, nullValues: {}, error: "not a parquet file: its footer cannot be read" };
  }
  for (const [i, { name, type }] of schema.fields.entries()) {
    const column = columns.get(name);
    const at = `column ${i + 1} ("${name}")`;
    if (!column) return { rows, nullValues: {}, error: `${at} is missing` };
    if (!PARQUET_TYPES[type](column)) {
      return { rows, nullValues: {}, error: `${at} is ${describe(column)}, which Spark does not read as ${type}` };
    }
  }
  return { rows, nullValues: {} };
}

/** What Spark's parquet reader converts to each type. */
const PARQUET_TYPES: Record<FieldType, (column: SchemaElement) => boolean> = {
  string: (column) => column.type === "BYTE_ARRAY",
  boolean: (column) => column.type === "BOOLEAN",
  integer: (column) => isInteger(column, "INT32"),
  long: (column) => isInteger(column, "INT32", "INT64"),
  number: (column) => column.type === "DOUBLE" || column.type === "FLOAT",
  date: (column) => column.type === "INT32" && annotation(column) === "DATE",
  timestamp: (column) =>
    column.type === "INT96" || (column.type === "INT64" && annotation(column).startsWith("TIMESTAMP")),
};

function isInteger(column: SchemaElement, ...types: readonly string[]): boolean {
  return types.includes(column.type ?? "") && /^(?:|INTEGER|U?INT_\d+)$/.test(annotation(column));
}

function annotation(column: SchemaElement): string {
  return column.logical_type?.type ?? column.converted_type ?? "";
}

function describe(column: SchemaElement): string {
  return [column.type ?? "a group", annotation(column)].filter((part) => part).join(" ");
}
