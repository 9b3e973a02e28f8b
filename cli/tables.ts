import Table from "cli-table3";
import type { AuditEvent } from "../clients/cgs/types.ts";
import type { ResultRows } from "./results.ts";

const ROWS_SHOWN = 20;
const WIDTH = 110;

/** Tables with plain borders read well in logs, too. */
export function table(
  head: readonly string[],
  rows: readonly (readonly unknown[])[],
  rightAligned: readonly number[] = [],
): string {
  const grid = new Table({
    head: [...head],
    colAligns: head.map((_, index) => (rightAligned.includes(index) ? "right" : "left")),
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) grid.push(row.map((value) => shown(value)));
  return grid.toString();
}

export function resultTable({ columns, rows }: ResultRows): string {
  const numeric = columns.flatMap((_, index) => (rows.every((row) => isNumber(row[index])) ? [index] : []));
  const rest = rows.length - ROWS_SHOWN;
  const lines = [table(columns, rows.slice(0, ROWS_SHOWN), numeric)];
  if (rest > 0) lines.push(`… and ${rest} more rows (${rows.length} in all)`);
  return lines.join("\n");
}

export function auditTable(events: readonly AuditEvent[]): string {
  return table(
    ["time", "source", "event"],
    events.map(({ timestamp, data }) => {
      const { source = "", message = "" } = (typeof data === "object" && data !== null ? data : {}) as {
        source?: string;
        message?: string;
      };
      return [timestamp.replace("T", " ").slice(0, 19), source, message];
    }),
  );
}

function shown(value: unknown): string {
  const text = typeof value === "string" ? value : value === null || value === undefined ? "" : JSON.stringify(value);
  return text.length > WIDTH ? `${text.slice(0, WIDTH - 1)}…` : text;
}

function isNumber(value: unknown): boolean {
  return (
    typeof value === "number" ||
    typeof value === "bigint" ||
    (typeof value === "string" && /^-?\d+(\.\d+)?$/.test(value))
  );
}
