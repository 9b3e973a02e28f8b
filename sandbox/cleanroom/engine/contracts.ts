/** What the clean room hands to a query engine and what it gets back. */

/** Column types of a dataset document; an unknown type is read as `string`, as the original does. */
export type FieldType = "string" | "integer" | "number" | "boolean" | "date" | "long" | "timestamp";

export type DataFormat = "csv" | "json" | "parquet";

export interface Field {
  readonly name: string;
  readonly type: FieldType;
}

export interface DataFile {
  /** Relative to the dataset (input) or to the result folder (output). */
  readonly path: string;
  readonly content: Buffer;
}

export interface InputDataset {
  /** Document id, for messages. */
  readonly name: string;
  /** Name under which SQL sees it. */
  readonly view: string;
  readonly format: DataFormat;
  /** All columns; CSV files are matched by position. */
  readonly fields: readonly Field[];
  /** Columns that SQL may see; others are dropped before the view exists. */
  readonly allowedFields: readonly string[];
  readonly files: readonly DataFile[];
}

export interface OutputDataset {
  readonly name: string;
  readonly format: DataFormat;
  readonly fields: readonly Field[];
  /** Columns of the result that are written; the rest is dropped, and never evaluated. */
  readonly allowedFields: readonly string[];
}

export interface PreCondition {
  readonly viewName: string;
  readonly minRowCount: number;
}

export interface PostFilter {
  readonly columnName: string;
  /** Rows are kept whose column is at least this. */
  readonly value: number;
}

export interface QuerySegment {
  readonly executionSequence: number;
  /** One Spark SQL statement. */
  readonly data: string;
  readonly preConditions: readonly PreCondition[];
  readonly postFilters: readonly PostFilter[];
}

export interface QueryJob {
  readonly inputs: readonly InputDataset[];
  /** In the order of the document. The highest `executionSequence` must occur once; its result is written. */
  readonly segments: readonly QuerySegment[];
  readonly output: OutputDataset;
}

export interface QueryOutcome {
  readonly rowsRead: number;
  readonly rowsWritten: number;
  /** `part-…` files of the result. */
  readonly parts: readonly DataFile[];
}

/** Progress, in the order things happen. Segments are numbered from 1 in the order they run. */
export type QueryProgress =
  | { readonly kind: "datasetLoaded"; readonly dataset: string; readonly rows: number }
  | { readonly kind: "segmentStarted"; readonly segment: number }
  | { readonly kind: "segmentCompleted"; readonly segment: number }
  | { readonly kind: "segmentFailed"; readonly segment: number; readonly reason: string };

export interface QueryEngine {
  readonly name: string;
  /** @throws {QueryError} for anything wrong with the data or the query. */
  run(job: QueryJob, onProgress: (progress: QueryProgress) => void): Promise<QueryOutcome>;
}

/** Something the query's authors or the data owners have to correct. */
export class QueryError extends Error {
  override readonly name = "QueryError";
}

/** Groups of segments in the order they run. @throws {QueryError} unless the last group is exactly one segment. */
export function executionOrder(segments: readonly QuerySegment[]): QuerySegment[] {
  const ordered = segments.toSorted((a, b) => a.executionSequence - b.executionSequence);
  const last = ordered.at(-1);
  if (!last) throw new QueryError("The query has no segments.");
  if (ordered.filter((segment) => segment.executionSequence === last.executionSequence).length !== 1) {
    throw new QueryError(
      `executionSequence ${last.executionSequence} is the last one and must occur exactly once: its result is what is written.`,
    );
  }
  return ordered;
}
