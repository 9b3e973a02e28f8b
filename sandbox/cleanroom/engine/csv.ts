/**
 * CSV as Spark reads and writes it with its default options (separator `,`, quote `"`, escape `\`), which is not
 * RFC 4180: a doubled quote inside a quoted field is not an escaped quote. Where such a field is read, it is kept as
 * raw text up to the next separator (univocity's `STOP_AT_DELIMITER`). Checked against pyspark 4.0.
 *
 * Options: https://spark.apache.org/docs/4.0.0/sql-data-sources-csv.html
 */

const QUOTE = '"';
const SEPARATOR = ",";
const ESCAPE = "\\";

/** Rows of a file without header; blank lines are no rows. A missing or empty field is null. */
export function* readCsv(text: string): Generator<(string | null)[]> {
  for (const line of text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/)) {
    if (line.trim() !== "") yield readLine(line);
  }
}

function readLine(line: string): (string | null)[] {
  const row: (string | null)[] = [];
  let position = 0;
  for (;;) {
    const field = line[position] === QUOTE ? quotedField(line, position) : bareField(line, position);
    row.push(field.value === "" ? null : field.value);
    if (field.end >= line.length) return row;
    position = field.end + 1;
  }
}

interface ReadField {
  value: string;
  /** Index of the separator behind the field, or the length of the line. */
  end: number;
}

function bareField(line: string, start: number): ReadField {
  const separator = line.indexOf(SEPARATOR, start);
  const end = separator < 0 ? line.length : separator;
  return { value: line.slice(start, end), end };
}

function quotedField(line: string, start: number): ReadField {
  let value = "";
  for (let position = start + 1; position < line.length; position++) {
    const character = line[position] as string;
    const next = line[position + 1];
    if (character === ESCAPE && (next === QUOTE || next === ESCAPE)) {
      value += next;
      position++;
    } else if (character !== QUOTE) {
      value += character;
    } else {
      const run = /^"*/.exec(line.slice(position))?.[0].length ?? 1;
      const end = skipBlanks(line, position + run);
      // Of several closing quotes, all but one belong to the value.
      if (end === line.length || line[end] === SEPARATOR) return { value: value + QUOTE.repeat(run - 1), end };
      // Not a closing quote: the field is what stands there, raw, up to the next separator.
      return rawField(line, start, position);
    }
  }
  return { value, end: line.length };
}

/** The text before the stray quote has its escapes resolved; the rest is taken as it stands. */
function rawField(line: string, start: number, strayQuote: number): ReadField {
  const { value, end } = bareField(line, strayQuote);
  const before = line.slice(start + 1, strayQuote).replaceAll(/\\(["\\])/g, "$1");
  return { value: QUOTE + before + value, end };
}

function skipBlanks(line: string, from: number): number {
  let position = from;
  while (position < line.length && line[position] !== SEPARATOR && (line[position] as string) <= " ") position++;
  return position;
}

/** One line of a result; values are text already. */
export function writeCsvRow(row: readonly (string | null)[]): string {
  return row.map((value, index) => (value === null ? "" : writeField(value, index === 0))).join(SEPARATOR);
}

/** Quoted where needed, quotes and escapes then escaped by `\`; outer blanks are lost, as in Spark. */
function writeField(value: string, first: boolean): string {
  const trimmed = value.replaceAll(/^[\0- ]+|[\0- ]+$/g, "");
  const quoted = trimmed === "" || /[",\n\r]/.test(value) || (first && trimmed.startsWith("#"));
  return quoted ? `"${trimmed.replaceAll(/["\\]/g, "\\$&")}"` : trimmed;
}
