import type { DatasetFormat, Field, FieldType } from "../dataset.ts";

export interface Schema {
  readonly format: DatasetFormat;
  readonly fields: readonly Field[];
}

/** Values of one field that the clean room will see as NULL though the file has something there. */
export interface NullValues {
  readonly count: number;
  /** Line (from 1) of the first one. The value itself is never kept: it is confidential. */
  readonly firstLine: number;
}

export interface RowFindings {
  readonly rows: number;
  /** Only fields that have such values, by name. */
  readonly nullValues: Readonly<Record<string, NullValues>>;
}

/**
 * Whether Spark reads a CSV text as a value of the type. Spark reads permissively: a text that does not parse becomes
 * NULL, silently, which is what this check exists for. An empty text is NULL in every type, so it always "parses".
 *
 * Rules: Spark's `UnivocityParser` with default options: Java's number grammars, `cast` grammar for date and time.
 */
export function textParses(type: FieldType, text: string): boolean {
  return text === "" || TEXT_CHECKS[type](text);
}

/**
 * Whether Spark's JSON reader accepts a member's value for the type (`JacksonParser`): numbers are not read from texts.
 * @param source the number as written, needed to tell `1` from `1.0` and for integers beyond 2^53.
 */
export function jsonParses(type: FieldType, value: unknown, source?: string): boolean {
  if (value === null || value === undefined) return true;
  switch (type) {
    case "string":
      return true;
    case "boolean":
      return typeof value === "boolean";
    case "integer":
    case "long":
      return typeof value === "number" && TEXT_CHECKS[type](source ?? String(value));
    case "number":
      return typeof value === "number" || (typeof value === "string" && NOT_FINITE.has(value));
    case "date":
      return typeof value === "string" && isDate(value);
    case "timestamp":
      return (typeof value === "string" && isTimestamp(value)) || Number.isInteger(value);
  }
}

/** Collects what becomes NULL, row by row. */
export class RowChecker {
  private readonly fields: readonly Field[];
  private readonly found = new Map<string, { count: number; firstLine: number }>();
  private rows = 0;

  constructor(fields: readonly Field[]) {
    this.fields = fields;
  }

  /**
   * A row by position, as CSV has it.
   * @returns what is wrong with the number of columns, or `undefined`.
   */
  textRow(values: readonly string[], line: number): string | undefined {
    if (values.length !== this.fields.length) return this.wrongColumns(values.length);
    this.rows++;
    for (let i = 0; i < this.fields.length; i++) {
      const field = this.fields[i]!;
      if (!textParses(field.type, values[i]!)) this.becomesNull(field.name, line);
    }
    return undefined;
  }

  /** A row by field name, as JSON has it; an absent member is NULL on purpose. */
  jsonRow(row: Readonly<Record<string, unknown>>, line: number, sources?: ReadonlyMap<string, string>): void {
    this.rows++;
    for (const { name, type } of this.fields) {
      if (!jsonParses(type, row[name], sources?.get(name))) this.becomesNull(name, line);
    }
  }

  get findings(): RowFindings {
    return { rows: this.rows, nullValues: Object.fromEntries(this.found) };
  }

  private becomesNull(name: string, line: number): void {
    const known = this.found.get(name);
    if (known) known.count++;
    else this.found.set(name, { count: 1, firstLine: line });
  }

  private wrongColumns(actual: number): string {
    const expected = this.fields.length;
    const where =
      actual < expected
        ? `column ${actual + 1} ("${this.fields[actual]!.name}") is missing`
        : `column ${expected + 1} is more than the schema has`;
    return `${where}: ${actual} columns, ${expected} expected`;
  }
}

const NOT_FINITE = new Set(["NaN", "Infinity", "+Infinity", "-Infinity", "+INF", "INF", "-INF"]);
const DOUBLE = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[dDfF]?\s*$/;
const TEXT_NOT_FINITE = /^(?:-?Inf|\s*[+-]?(?:Infinity|NaN)\s*)$/;
const INTEGER = /^[+-]?\d+$/;
const DATE = /^[+-]?(\d{4,7})(?:-(\d{1,2})(?:-(\d{1,2})(?:[ T].*)?)?)?$/s;
const TIME = /^T?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.\d{1,9})?)?\s*(\S.*)?$/;
const TIMESTAMP = /^([+-]?\d{4,7}(?:-\d{1,2}(?:-\d{1,2})?)?)(?:[ T](.*))?$/s;
const ZONE = /^(?:Z|(?:UTC|GMT|UT)?(?:[+-]\d{1,2}(?::?\d{1,2}(?::?\d{2})?)?)?|[A-Za-z]+(?:\/[A-Za-z_+\-0-9]+)+)$/;

const TEXT_CHECKS: Record<FieldType, (text: string) => boolean> = {
  string: () => true,
  boolean: (text) => /^(?:true|false)$/i.test(text),
  integer: (text) => isIntegerWithin(text, 31),
  long: (text) => isIntegerWithin(text, 63),
  number: (text) => DOUBLE.test(text) || TEXT_NOT_FINITE.test(text),
  date: isDate,
  timestamp: isTimestamp,
};

function isIntegerWithin(text: string, bits: number): boolean {
  if (!INTEGER.test(text)) return false;
  if (text.length < 10) return true;
  const value = BigInt(text.startsWith("+") ? text.slice(1) : text);
  return BigInt.asIntN(bits + 1, value) === value;
}

/** `yyyy[-[m]m[-[d]d]]`, then optionally a blank or `T` and anything. */
function isDate(text: string): boolean {
  const match = DATE.exec(text.trim());
  return match !== null && isCalendarDay(Number(match[1]), Number(match[2] ?? 1), Number(match[3] ?? 1));
}

/** A date, optionally with `[h]h:[m]m[:[s]s[.fraction]]` and a zone; or such a time alone (Spark adds today's date). */
function isTimestamp(text: string): boolean {
  const trimmed = text.trim();
  const match = TIMESTAMP.exec(trimmed);
  if (!match) return isTime(trimmed);
  return isDate(match[1]!) && (match[2] === undefined || match[2] === "" || isTime(match[2]));
}

function isTime(text: string): boolean {
  const match = TIME.exec(text);
  if (!match) return false;
  const [, hours, minutes, seconds, zone] = match;
  return (
    Number(hours) < 24 &&
    Number(minutes) < 60 &&
    Number(seconds ?? 0) < 60 &&
    (zone === undefined || ZONE.test(zone.trim()))
  );
}

function isCalendarDay(year: number, month: number, day: number): boolean {
  if (month < 1 || month > 12 || day < 1) return false;
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  return day <= days[month - 1]!;
}
