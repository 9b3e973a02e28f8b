import type { FieldType } from "./contracts.ts";

/** A dataset's column type in DuckDB, and the DuckDB types of a result that Spark would consider equal to it. */
export const duckTypes: Readonly<Record<FieldType, { readonly type: string; readonly equals: readonly string[] }>> = {
  string: { type: "VARCHAR", equals: ["VARCHAR"] },
  integer: { type: "INTEGER", equals: ["INTEGER"] },
  number: { type: "DOUBLE", equals: ["DOUBLE"] },
  boolean: { type: "BOOLEAN", equals: ["BOOLEAN"] },
  date: { type: "DATE", equals: ["DATE"] },
  // Sums of integers are HUGEINT in DuckDB and long in Spark.
  long: { type: "BIGINT", equals: ["BIGINT", "HUGEINT"] },
  timestamp: { type: "TIMESTAMP", equals: ["TIMESTAMP"] },
};

/** Name of the Spark type, for messages. */
export const sparkTypes: Readonly<Record<FieldType, string>> = {
  string: "string",
  integer: "int",
  number: "double",
  boolean: "boolean",
  date: "date",
  long: "bigint",
  timestamp: "timestamp",
};

/** Types a dataset document may name; an unknown one is text, as in the original. */
export function fieldType(name: string): FieldType {
  return Object.hasOwn(duckTypes, name) ? (name as FieldType) : "string";
}

const DATE = "[+-]?[0-9]{4,7}(-[0-9]{1,2}(-[0-9]{1,2}([ T].*)?)?)?";

/**
 * SQL that turns a text column into its declared type the way Spark's permissive readers do: what does not parse is NULL.
 * @param column quoted identifier of a VARCHAR column.
 */
export function parseColumn(column: string, type: FieldType): string {
  switch (type) {
    case "string":
      return column;
    case "integer":
    case "long":
      return `CASE WHEN regexp_full_match(${column}, '[+-]?[0-9]+') THEN TRY_CAST(${column} AS ${duckTypes[type].type}) END`;
    case "number":
      return `TRY_CAST(CASE ${column} WHEN 'Inf' THEN 'Infinity' WHEN '-Inf' THEN '-Infinity' ELSE ${column} END AS DOUBLE)`;
    case "boolean":
      return `CASE lower(${column}) WHEN 'true' THEN true WHEN 'false' THEN false END`;
    case "date":
      return `CASE WHEN regexp_full_match(${column}, '${DATE}') THEN TRY_CAST(${completeDate(column)} AS DATE) END`;
    case "timestamp":
      return `CASE WHEN regexp_full_match(${column}, '${DATE}')
        THEN CAST(TRY_CAST(${completeDate(column)} || coalesce(nullif(regexp_extract(${column}, '[ T].*'), ''), ' 00:00:00') AS TIMESTAMPTZ) AS TIMESTAMP) END`;
  }
}

/** `2025` and `2025-09` stand for their first day. */
function completeDate(column: string): string {
  const day = `regexp_extract(${column}, '^[^ T]*')`;
  return `${day} || CASE len(string_split(ltrim(${day}, '-'), '-')) WHEN 1 THEN '-01-01' WHEN 2 THEN '-01' ELSE '' END`;
}
