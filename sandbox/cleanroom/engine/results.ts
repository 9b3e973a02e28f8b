import { writeCsvRow } from "./csv.ts";
import type { FieldType } from "./contracts.ts";

/** A value of a result; dates and timestamps are ISO text in UTC. */
export type ResultValue = string | number | bigint | boolean | null;

export interface ResultColumn {
  readonly name: string;
  readonly type: FieldType;
}

/** CSV with a header line, as Spark writes it. */
export function resultToCsv(columns: readonly ResultColumn[], rows: readonly (readonly ResultValue[])[]): Buffer {
  const lines = [
    columns.map((column) => column.name),
    ...rows.map((row) => row.map((value, index) => textOf(value, columns[index]?.type))),
  ];
  return Buffer.from(
    lines
      .map(writeCsvRow)
      .filter((line) => line !== "")
      .map((line) => `${line}\n`)
      .join(""),
  );
}

/** JSON lines; nulls are left out, as Spark does. */
export function resultToJson(columns: readonly ResultColumn[], rows: readonly (readonly ResultValue[])[]): Buffer {
  const line = (row: readonly ResultValue[]): string => {
    const members = columns.flatMap(({ name, type }, index) => {
      const value = row[index] ?? null;
      if (value === null) return [];
      const text = textOf(value, type) ?? "";
      const bare =
        type === "integer" || type === "long" || type === "boolean" || (type === "number" && Number.isFinite(value));
      return [`${JSON.stringify(name)}:${bare ? text : JSON.stringify(text)}`];
    });
    return `{${members.join(",")}}\n`;
  };
  return Buffer.from(rows.map(line).join(""));
}

function textOf(value: ResultValue, type: FieldType | undefined): string | null {
  if (value === null) return null;
  return type === "number" ? javaDouble(Number(value)) : String(value);
}

/**
 * A double as Java prints it: plain between 1e-3 and 1e7, otherwise in scientific notation, always with a fraction.
 * https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/lang/Double.html#toString(double)
 */
export function javaDouble(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const magnitude = Math.abs(value);
  if (magnitude >= 1e-3 && magnitude < 1e7) return Number.isInteger(value) ? `${value}.0` : String(value);
  const [mantissa = "", exponent = ""] = value.toExponential().split("e");
  return `${mantissa.includes(".") ? mantissa : `${mantissa}.0`}E${Number(exponent)}`;
}
