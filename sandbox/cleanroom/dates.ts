import { AgentError } from "./errors.ts";

/** Inclusive, `yyyy-MM-dd`. */
export interface DateRange {
  readonly start: string;
  readonly end: string;
}

const DATE = /^(\d{4}-\d{2}-\d{2})(?:T00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d{2}:\d{2})?)?$/;

/** @throws {AgentError} `InvalidDateRange` (one of two, or reversed) or `InvalidDateFormat` (not a date, or with a time of day). */
export function parseDateRange(startDate: unknown, endDate: unknown): DateRange | undefined {
  const missing = [startDate, endDate].filter((value) => value === undefined || value === null).length;
  if (missing === 2) return undefined;
  if (missing === 1) throw new AgentError(400, "InvalidDateRange", "startDate and endDate must be given together.");
  const range = { start: parseDate("startDate", startDate), end: parseDate("endDate", endDate) };
  if (range.start > range.end) throw new AgentError(400, "InvalidDateRange", "startDate must not be after endDate.");
  return range;
}

function parseDate(name: string, value: unknown): string {
  const day = typeof value === "string" ? DATE.exec(value)?.[1] : undefined;
  if (!day || Number.isNaN(Date.parse(day)) || new Date(day).toISOString().slice(0, 10) !== day) {
    throw new AgentError(400, "InvalidDateFormat", `${name} must be a date (yyyy-MM-dd) without a time of day.`);
  }
  return day;
}

/** Each day of the range, in order. */
export function daysOf(range: DateRange): string[] {
  const days: string[] = [];
  for (
    let day = new Date(range.start);
    day.toISOString().slice(0, 10) <= range.end;
    day = new Date(day.getTime() + 86_400_000)
  ) {
    days.push(day.toISOString().slice(0, 10));
  }
  return days;
}
