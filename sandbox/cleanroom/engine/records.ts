import { QueryError, type DataFormat, type Field } from "./contracts.ts";
import { readCsv } from "./csv.ts";

/** Rows of text, one value a declared field, `null` where the file has nothing usable. */
export type TextRow = (string | null)[];

/** Reads CSV (no header, by position) or JSON lines (by name). */
export function* readRecords(
  format: Exclude<DataFormat, "parquet">,
  content: Buffer,
  fields: readonly Field[],
): Generator<TextRow> {
  const text = decode(content);
  if (format === "json") {
    for (const line of text.split(/\r\n|\n|\r/)) if (line.trim() !== "") yield readJsonLine(line, fields);
    return;
  }
  for (const row of readCsv(text)) yield fields.map((_, index) => row[index] ?? null);
}

function decode(content: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch (error) {
    throw new QueryError(
      "The data is not UTF-8 text; is it encrypted in another mode than its dataset document says?",
      { cause: error },
    );
  }
}

/** A line that is not JSON gives a row of nulls; a value of another JSON type than declared gives null. */
function readJsonLine(line: string, fields: readonly Field[]): TextRow {
  let record: unknown;
  const numbers = new Map<string, string>();
  try {
    record = JSON.parse(line, function (this: unknown, key: string, value: unknown, context?: { source: string }) {
      if (typeof value === "number" && context) numbers.set(key, context.source);
      return value;
    } as (key: string, value: unknown) => unknown);
  } catch {
    return fields.map(() => null);
  }
  if (typeof record !== "object" || record === null || Array.isArray(record)) return fields.map(() => null);
  const values = record as Record<string, unknown>;
  return fields.map(({ name, type }) => {
    const value = values[name];
    if (value === undefined || value === null) return null;
    const source = typeof value === "number" ? (numbers.get(name) ?? String(value)) : undefined;
    switch (type) {
      case "string":
        return typeof value === "string" ? value : (source ?? JSON.stringify(value));
      case "boolean":
        return typeof value === "boolean" ? String(value) : null;
      case "integer":
      case "long":
      case "number":
        return source ?? null;
      case "date":
      case "timestamp":
        return typeof value === "string" ? value : null;
    }
  });
}
