import { digestOf } from "../../domain/json.ts";
import type { Schema } from "../../domain/data/schema.ts";
import { concurrently } from "./concurrently.ts";
import { readJsonLines, writeJsonLines } from "./lineFile.ts";
import { READERS, type FileFindings } from "./readers.ts";
import { openToRead, type Scan } from "./scan.ts";

export interface CheckOptions {
  /** Values that will be NULL are errors. Default: warnings. */
  readonly strict?: boolean;
  /** Where to remember results by content, e.g. `.cleanroom/index/<dataset>.check`. Without it every file is read. */
  readonly indexFile?: string;
  readonly signal?: AbortSignal;
}

/** Texts for a person; none holds a value of the data. */
export interface CheckResult {
  readonly warnings: readonly string[];
  readonly errors: readonly string[];
  /** In all files together; of unreadable files only the rows before the error. */
  readonly rows: number;
  /** Files whose content had to be read. */
  readonly filesRead: number;
}

type IndexRow = readonly [sha256: string, findings: FileFindings];

const PARALLEL_FILES = 2;
/** Who has more has one cause for all of them. */
const ERRORS_SHOWN = 20;

/**
 * Checks files against a schema before anything is uploaded, as the clean room will read them. Reads only content that
 * was not checked for this schema before; of parquet only the footers.
 *
 * Errors: a file that cannot be read, a wrong number of columns; each names file, line and column. Warnings (errors
 * when strict): values that do not parse as their field's type and so will be NULL; one line a field.
 */
export async function checkFiles(
  directory: string,
  scan: Scan,
  schema: Schema,
  options: CheckOptions = {},
): Promise<CheckResult> {
  const header = JSON.stringify({ cleanroom: "schema checks", version: 1, schema: digestOf(schema) });
  const known = new Map<string, FileFindings>(
    options.indexFile ? await readJsonLines<IndexRow>(options.indexFile, header) : [],
  );
  const unchecked = scan.files.filter((file) => !known.has(file.sha256));
  await concurrently(
    unchecked,
    PARALLEL_FILES,
    async (file) => {
      const handle = await openToRead(directory, file.path);
      try {
        known.set(
          file.sha256,
          await READERS[schema.format]({ handle, size: file.size, signal: options.signal }, schema),
        );
      } finally {
        await handle.close();
      }
    },
    options.signal,
  );
  if (options.indexFile && unchecked.length > 0)
    await writeJsonLines(options.indexFile, header, indexRows(scan, known));
  return { ...report(scan, known, schema, options.strict ?? false), filesRead: unchecked.length };
}

function* indexRows(scan: Scan, known: ReadonlyMap<string, FileFindings>): Generator<IndexRow> {
  const written = new Set<string>();
  for (const { sha256 } of scan.files) {
    if (written.has(sha256)) continue;
    written.add(sha256);
    yield [sha256, known.get(sha256)!];
  }
}

function report(
  scan: Scan,
  known: ReadonlyMap<string, FileFindings>,
  schema: Schema,
  strict: boolean,
): Omit<CheckResult, "filesRead"> {
  const errors: string[] = [];
  const nulls = new Map<string, { count: number; first: string }>();
  let rows = 0;
  for (const { path, sha256 } of scan.files) {
    const findings = known.get(sha256)!;
    rows += findings.rows;
    if (findings.error) errors.push(`${path}, ${findings.error}`);
    for (const [field, { count, firstLine }] of Object.entries(findings.nullValues)) {
      const sum = nulls.get(field);
      if (sum) sum.count += count;
      else nulls.set(field, { count, first: `${path}, line ${firstLine}` });
    }
  }
  const shown = errors.slice(0, ERRORS_SHOWN);
  if (errors.length > shown.length) shown.push(`${errors.length - shown.length} more files cannot be read`);
  const nullTexts = schema.fields
    .filter(({ name }) => nulls.has(name))
    .map(({ name, type }) => {
      const { count, first } = nulls.get(name)!;
      return `field "${name}": ${count} of ${rows} values do not parse as ${type} and will be NULL in the clean room; the first is in ${first}`;
    });
  return strict
    ? { warnings: [], errors: [...shown, ...nullTexts], rows }
    : { warnings: nullTexts, errors: shown, rows };
}
