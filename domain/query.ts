import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { UserError } from "./errors.ts";
import { parseObject } from "./dataset.ts";

/** One statement of a query; statements with equal `executionSequence` may run in parallel. */
export interface Segment {
  /** From 1, ascending. The highest number stands once: its result is the output. */
  readonly executionSequence: number;
  /** Spark SQL. */
  readonly data: string;
  /** Checked just before the segment: the view must have at least that many rows. */
  readonly preConditions: readonly { readonly viewName: string; readonly minRowCount: number }[];
  /** Rows are kept where the column is at least the value. */
  readonly postFilters: readonly { readonly columnName: string; readonly value: number }[];
}

export interface QueryDefinition {
  readonly documentId: string;
  /** View name in the SQL → dataset document id. */
  readonly inputs: readonly { readonly view: string; readonly documentId: string }[];
  /** Dataset document id of the sink. */
  readonly output: string;
  readonly segments: readonly Segment[];
}

/** `data` of a user document labelled `spark-application`. */
export interface QueryDocument {
  readonly name: string;
  readonly application: {
    readonly applicationType: "Spark-SQL";
    readonly inputDataset: readonly { readonly specification: string; readonly view: string }[];
    readonly outputDataset: { readonly specification: string; readonly view: string };
    /** base64 of `{"segments": …}`. */
    readonly query: string;
  };
}

/** The output view is stored by the service but never read: the clean room names it after the sink. */
const OUTPUT_VIEW = "datasink";

const count = z.number().int().nonnegative();
const segmentSchema = z.strictObject({
  executionSequence: z.number().int().positive(),
  data: z.string().trim().min(1),
  preConditions: z
    .array(z.strictObject({ viewName: z.string().min(1), minRowCount: count }))
    .nullish()
    .transform((list) => list ?? []),
  postFilters: z
    .array(z.strictObject({ columnName: z.string().min(1), value: count }))
    .nullish()
    .transform((list) => list ?? []),
});
const segmentsSchema = z.strictObject({ segments: z.array(segmentSchema).min(1) });

const datasetReference = z.strictObject({ specification: z.string().min(1), view: z.string().min(1) });
const documentSchema = z.strictObject({
  name: z.string(),
  application: z.strictObject({
    applicationType: z.literal("Spark-SQL"),
    inputDataset: z.array(datasetReference),
    outputDataset: datasetReference,
    query: z.base64(),
  }),
});

/**
 * Reads a segmented query file.
 * @param file only named in errors.
 * @throws UserError naming file and place.
 */
export function parseQueryFile(file: string, text: string): Segment[] {
  let content: unknown;
  try {
    content = parseYaml(text);
  } catch (error) {
    throw new UserError(`Query file ${file} is not YAML: ${(error as Error).message}`, { cause: error });
  }
  return checkSegments(`Query file ${file}`, content);
}

export function queryDocument(query: QueryDefinition): QueryDocument {
  return {
    name: query.documentId,
    application: {
      applicationType: "Spark-SQL",
      inputDataset: query.inputs.map((input) => ({ specification: input.documentId, view: input.view })),
      outputDataset: { specification: query.output, view: OUTPUT_VIEW },
      query: Buffer.from(JSON.stringify({ segments: query.segments }), "utf8").toString("base64"),
    },
  };
}

/**
 * Reads `data` of a query document somebody published.
 * @throws UserError when it is none, or holds anything besides what is read here: the clean room might make something
 * of it that nobody has reviewed.
 */
export function parseQueryDocument(documentId: string, data: string): QueryDefinition {
  const result = documentSchema.safeParse(parseObject(documentId, data));
  if (!result.success)
    throw new UserError(`Document ${documentId} is not a Spark SQL query: ${problemsOf(result.error)}`);
  const { application } = result.data;
  const segments = parseObject(documentId, Buffer.from(application.query, "base64").toString("utf8"));
  return {
    documentId,
    inputs: application.inputDataset.map((input) => ({ view: input.view, documentId: input.specification })),
    output: application.outputDataset.specification,
    segments: checkSegments(`Document ${documentId}`, segments),
  };
}

function checkSegments(what: string, content: unknown): Segment[] {
  const result = segmentsSchema.safeParse(content);
  if (!result.success) {
    throw new UserError(
      `${what} is not a segmented query (segments: [{executionSequence, data, preConditions, postFilters}]): ${problemsOf(result.error)}`,
    );
  }
  const { segments } = result.data;
  const last = Math.max(...segments.map((segment) => segment.executionSequence));
  if (segments.filter((segment) => segment.executionSequence === last).length !== 1) {
    throw new UserError(
      `${what}: executionSequence ${last} is the last and must stand exactly once, because its result is the output.`,
    );
  }
  return segments;
}

function problemsOf(error: z.ZodError): string {
  return error.issues.map((issue) => `${issue.path.join(".") || "document"}: ${issue.message}`).join("; ");
}
