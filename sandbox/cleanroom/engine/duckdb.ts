import {
  DuckDBInstance,
  VARCHAR,
  type DuckDBConnection,
  DuckDBDataChunk,
  DuckDBDateValue,
  DuckDBTimestampValue,
} from "@duckdb/node-api";
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {
  executionOrder,
  QueryError,
  type DataFile,
  type InputDataset,
  type OutputDataset,
  type QueryEngine,
  type QueryJob,
  type QueryOutcome,
  type QueryProgress,
  type QuerySegment,
} from "./contracts.ts";
import { readRecords, type TextRow } from "./records.ts";
import { resultToCsv, resultToJson, type ResultColumn, type ResultValue } from "./results.ts";
import { macroDefinitions } from "./spark-functions.ts";
import { loadTranslator, quote, translate } from "./translate.ts";
import { duckTypes, parseColumn, sparkTypes } from "./types.ts";

const ROWS_PER_CHUNK = 2048;
const STAGING = "staging";

/**
 * Runs Spark SQL on an in-memory DuckDB. Once the data is loaded, the database can no longer reach files, network,
 * extensions or its own settings; only then does a statement of the query run.
 */
export class DuckDbEngine implements QueryEngine {
  readonly name = "duckdb";

  async run(job: QueryJob, onProgress: (progress: QueryProgress) => void): Promise<QueryOutcome> {
    const segments = executionOrder(job.segments);
    await loadTranslator();
    const instance = await DuckDBInstance.create(":memory:", { threads: "2" });
    const connection = await instance.connect();
    try {
      await prepare(connection);
      const views: string[] = [];
      let rowsRead = 0;
      for (const input of job.inputs) {
        const rows = await load(connection, input);
        views.push(input.view);
        rowsRead += rows;
        onProgress({ kind: "datasetLoaded", dataset: input.name, rows });
      }
      await lock(connection);
      const result = await execute(connection, segments, views, job.output, onProgress);
      return { rowsRead, rowsWritten: result.rows.length, parts: [await writePart(job.output, result)] };
    } finally {
      connection.closeSync();
      instance.closeSync();
    }
  }
}

interface Result {
  readonly columns: readonly ResultColumn[];
  readonly rows: readonly (readonly ResultValue[])[];
}

async function prepare(connection: DuckDBConnection): Promise<void> {
  await connection.run("SET TimeZone = 'UTC'");
  await connection.run("SET default_null_order = 'NULLS_FIRST_ON_ASC_LAST_ON_DESC'");
  await connection.run("CREATE SCHEMA datasets");
  for (const definition of macroDefinitions) await connection.run(definition);
}

async function lock(connection: DuckDBConnection): Promise<void> {
  await connection.run("SET enable_external_access = false");
  await connection.run("SET lock_configuration = true");
}

// ---- loading ----

/** Creates the view of a dataset with its allowed columns only. @returns the number of rows. */
async function load(connection: DuckDBConnection, input: InputDataset): Promise<number> {
  const columns = input.fields.filter((field) => input.allowedFields.includes(field.name));
  if (columns.length === 0) throw new QueryError(`Dataset ${input.name}: none of its allowed fields is in its schema.`);
  const table = `datasets.${quote(input.view)}`;
  if (input.format === "parquet") await loadParquet(connection, input, table);
  else await loadText(connection, input, table);
  await connection.run(
    `CREATE TEMPORARY VIEW ${quote(input.view)} AS SELECT ${columns.map((field) => quote(field.name)).join(", ")} FROM ${table}`,
  );
  return count(connection, input.view);
}

async function loadText(connection: DuckDBConnection, input: InputDataset, table: string): Promise<void> {
  const { format, fields } = input;
  if (format === "parquet") throw new Error("Parquet is not text.");
  await connection.run(`CREATE TABLE ${STAGING} (${fields.map((_, index) => `c${index} VARCHAR`).join(", ")})`);
  const appender = await connection.createAppender(STAGING);
  let rows: TextRow[] = [];
  const flush = (): void => {
    if (rows.length === 0) return;
    const chunk = DuckDBDataChunk.create(fields.map(() => VARCHAR));
    chunk.setRows(rows);
    appender.appendDataChunk(chunk);
    rows = [];
  };
  for (const file of input.files) {
    for (const row of readRecords(format, file.content, fields)) {
      rows.push(row);
      if (rows.length === ROWS_PER_CHUNK) flush();
    }
  }
  flush();
  appender.closeSync();
  const typed = fields.map((field, index) => `${parseColumn(`c${index}`, field.type)} AS ${quote(field.name)}`);
  await connection.run(`CREATE TABLE ${table} AS SELECT ${typed.join(", ")} FROM ${STAGING}`);
  await connection.run(`DROP TABLE ${STAGING}`);
}

/** DuckDB reads Parquet from files only: they exist for the time of the read, readable by this user only. */
async function loadParquet(connection: DuckDBConnection, input: InputDataset, table: string): Promise<void> {
  const columns = input.fields.map((field) => `${quote(field.name)} ${duckTypes[field.type].type}`);
  if (input.files.length === 0) {
    await connection.run(`CREATE TABLE ${table} (${columns.join(", ")})`);
    return;
  }
  await inTemporaryFolder(async (folder) => {
    const files = input.files.map((file, index) => {
      const name = path.join(folder, `${index}.parquet`);
      fs.writeFileSync(name, file.content, { mode: 0o600 });
      return sqlText(name);
    });
    const source = `read_parquet([${files.join(", ")}], union_by_name = true)`;
    const actual = new Map(
      (await describe(connection, `SELECT * FROM ${source}`)).map((column) => [column.name, column.type]),
    );
    const selected = input.fields.map(({ name, type }) => {
      const found = actual.get(name);
      if (found === undefined) return `CAST(NULL AS ${duckTypes[type].type}) AS ${quote(name)}`;
      const utc = found === "TIMESTAMP WITH TIME ZONE" ? "TIMESTAMP" : found;
      if (!duckTypes[type].equals.includes(utc)) {
        throw new QueryError(
          `Dataset ${input.name}: column ${name} is ${found} in the Parquet files, its schema says ${type}.`,
        );
      }
      return `CAST(${quote(name)} AS ${duckTypes[type].type}) AS ${quote(name)}`;
    });
    await connection.run(`CREATE TABLE ${table} AS SELECT ${selected.join(", ")} FROM ${source}`);
  });
}

// ---- executing ----

async function execute(
  connection: DuckDBConnection,
  segments: readonly QuerySegment[],
  views: string[],
  output: OutputDataset,
  onProgress: (progress: QueryProgress) => void,
): Promise<Result> {
  let result: Result | undefined;
  for (const [index, segment] of segments.entries()) {
    onProgress({ kind: "segmentStarted", segment: index + 1 });
    try {
      const last = index === segments.length - 1;
      result = await executeSegment(connection, segment, views, last ? output : undefined);
    } catch (error) {
      const failure = queryError(error);
      onProgress({ kind: "segmentFailed", segment: index + 1, reason: failure.message });
      throw failure;
    }
    onProgress({ kind: "segmentCompleted", segment: index + 1 });
  }
  if (!result) throw new QueryError("The last segment creates a view; it must be the SELECT whose result is written.");
  return result;
}

async function executeSegment(
  connection: DuckDBConnection,
  segment: QuerySegment,
  views: string[],
  output: OutputDataset | undefined,
): Promise<Result | undefined> {
  for (const { viewName, minRowCount } of segment.preConditions) {
    if (!views.some((view) => view.toLowerCase() === viewName.toLowerCase())) {
      throw new QueryError(`Precondition: there is no view ${viewName}.`);
    }
    const rows = await count(connection, viewName);
    if (rows < minRowCount)
      throw new QueryError(`Precondition: view ${viewName} has fewer than the required ${minRowCount} rows.`);
  }
  const statement = translate(segment.data, views);
  if (statement.kind === "view") {
    if (segment.postFilters.length > 0)
      throw new QueryError("A segment that creates a view has no columns to apply postFilters to.");
    await connection.run(statement.sql);
    views.push(statement.name);
    return undefined;
  }
  const columns = await describe(connection, statement.sql);
  for (const { columnName } of segment.postFilters) {
    if (!columns.some((column) => column.name === columnName))
      throw new QueryError(`Post filter: the result has no column ${columnName}.`);
  }
  return output ? select(connection, statement.sql, columns, segment, output) : undefined;
}

/**
 * Evaluates the last segment inside a projection on the allowed columns: what is not written is not computed, so that,
 * as in Spark, an aggregate that would fail does no harm when its column is dropped anyway.
 */
async function select(
  connection: DuckDBConnection,
  sql: string,
  columns: readonly { name: string; type: string }[],
  segment: QuerySegment,
  output: OutputDataset,
): Promise<Result> {
  const written: ResultColumn[] = [];
  for (const name of output.allowedFields) {
    const column = columns.find((candidate) => candidate.name === name);
    if (!column) continue;
    const field = output.fields.find((candidate) => candidate.name === name);
    if (!field) throw new QueryError(`The result column ${name} is not in the schema of dataset ${output.name}.`);
    if (!duckTypes[field.type].equals.includes(column.type)) {
      throw new QueryError(
        `The result column ${name} has type ${sparkTypeOf(column.type)}, but the schema of dataset ${output.name} says ${sparkTypes[field.type]}.`,
      );
    }
    written.push({ name, type: field.type });
  }
  if (written.length === 0)
    throw new QueryError(`No column of the result is an allowed field of dataset ${output.name}.`);
  const projection = written
    .map(({ name, type }) => `CAST(${quote(name)} AS ${duckTypes[type].type}) AS ${quote(name)}`)
    .join(", ");
  const filters = segment.postFilters.map(({ columnName, value }) => `${quote(columnName)} >= ${BigInt(value)}`);
  const where = filters.length > 0 ? ` WHERE ${filters.join(" AND ")}` : "";
  const reader = await connection.runAndReadAll(`SELECT ${projection} FROM (${sql}) AS result${where}`);
  return { columns: written, rows: reader.getRows().map((row) => row.map(plain)) };
}

function plain(value: unknown): ResultValue {
  if (value instanceof DuckDBDateValue) return value.toString();
  if (value instanceof DuckDBTimestampValue) return new Date(Number(value.micros / 1000n)).toISOString();
  return value as ResultValue;
}

async function count(connection: DuckDBConnection, view: string): Promise<number> {
  const reader = await connection.runAndReadAll(`SELECT count(*) FROM ${quote(view)}`);
  return Number(reader.getRows()[0]?.[0]);
}

async function describe(connection: DuckDBConnection, sql: string): Promise<{ name: string; type: string }[]> {
  const reader = await connection.runAndReadAll(`DESCRIBE ${sql}`);
  return reader.getRows().map(([name, type]) => ({ name: String(name), type: String(type) }));
}

function sparkTypeOf(duckType: string): string {
  const known = Object.entries(duckTypes).find(([, { equals }]) => equals.includes(duckType));
  return known ? sparkTypes[known[0] as keyof typeof sparkTypes] : duckType.toLowerCase();
}

/** DuckDB quotes the offending value when one does not convert; whoever reads a status must not see data. */
function queryError(error: unknown): QueryError {
  if (error instanceof QueryError) return error;
  const message = String((error as Partial<Error>).message ?? error);
  if (message.startsWith("Conversion Error")) {
    const target = /' to ([A-Z0-9(),]+)/.exec(message)?.[1];
    return new QueryError(`A value cannot be converted${target ? ` to ${target}` : ""}.`);
  }
  // Messages of failed evaluations name values only in quotes; the first line of others is about the statement.
  const evaluation = /^(Invalid Input|Out of Range) Error/.test(message);
  return new QueryError((evaluation ? message.split("'", 1)[0] : message.split("\n", 1)[0]) ?? "");
}

// ---- writing ----

async function writePart(output: OutputDataset, result: Result): Promise<DataFile> {
  const stem = `part-00000-${crypto.randomUUID()}-c000`;
  switch (output.format) {
    case "csv":
      return { path: `${stem}.csv`, content: resultToCsv(result.columns, result.rows) };
    case "json":
      return { path: `${stem}.json`, content: resultToJson(result.columns, result.rows) };
    case "parquet":
      return { path: `${stem}.snappy.parquet`, content: await resultToParquet(result) };
  }
}

/** A database of its own: the one that ran the query may not write files. */
async function resultToParquet({ columns, rows }: Result): Promise<Buffer> {
  const instance = await DuckDBInstance.create(":memory:", { threads: "1" });
  const connection = await instance.connect();
  try {
    return await inTemporaryFolder(async (folder) => {
      await connection.run(`CREATE TABLE ${STAGING} (${columns.map((_, index) => `c${index} VARCHAR`).join(", ")})`);
      const appender = await connection.createAppender(STAGING);
      for (let start = 0; start < rows.length; start += ROWS_PER_CHUNK) {
        const chunk = DuckDBDataChunk.create(columns.map(() => VARCHAR));
        chunk.setRows(
          rows
            .slice(start, start + ROWS_PER_CHUNK)
            .map((row) => row.map((value) => (value === null ? null : String(value)))),
        );
        appender.appendDataChunk(chunk);
      }
      appender.closeSync();
      const typed = columns.map(
        ({ name, type }, index) => `CAST(c${index} AS ${duckTypes[type].type}) AS ${quote(name)}`,
      );
      const file = path.join(folder, "result.parquet");
      await connection.run(
        `COPY (SELECT ${typed.join(", ")} FROM ${STAGING}) TO ${sqlText(file)} (FORMAT parquet, COMPRESSION snappy)`,
      );
      return fs.readFileSync(file);
    });
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

const sqlText = (value: string): string => `'${value.replaceAll("'", "''")}'`;

async function inTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "cleanroom-query-"));
  try {
    return await use(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
