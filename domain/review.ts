import { parseDatasetDocument, type Field } from "./dataset.ts";
import { canonicalJson, digestOf, sha256Hex } from "./json.ts";
import { parseQueryDocument, type Segment } from "./query.ts";

/** A dataset as an approver sees it: whose it is, what it looks like, which fields the query may touch. */
export interface ReviewedDataset {
  readonly documentId: string;
  /** User id (`oid`) of who published it: the `proposerId` of the accepted document. */
  readonly ownerId: string;
  /** `sha256:` over the document's text, so that nothing in it can change unseen. */
  readonly content: string;
  readonly format: string;
  readonly fields: readonly Field[];
  readonly allowedFields: readonly string[];
}

/**
 * Exactly what would run if a query were approved. Its digest is what an owner pins: two reviews with one digest let
 * the clean room do the same thing.
 */
export interface QueryReview {
  readonly version: 1;
  readonly contractId: string;
  readonly documentId: string;
  readonly inputs: readonly (ReviewedDataset & { readonly view: string })[];
  readonly output: ReviewedDataset;
  readonly segments: readonly Segment[];
  /** User ids that have to vote, sorted. */
  readonly approvers: readonly string[];
}

/** A user document as the consortium holds it (governance API, user documents). */
export interface LedgerDocument {
  readonly id: string;
  readonly state: "Draft" | "Proposed" | "Accepted";
  readonly contractId: string;
  readonly data: string;
  readonly proposerId: string;
  readonly approvers?: readonly { readonly approverId: string; readonly approverIdType: string }[];
}

/** Puts a review together from the ledger's own documents. */
export function reviewOf(query: LedgerDocument, datasets: ReadonlyMap<string, LedgerDocument>): QueryReview {
  const definition = parseQueryDocument(query.id, query.data);
  return {
    version: 1,
    contractId: query.contractId,
    documentId: query.id,
    inputs: definition.inputs.map((input) => ({ view: input.view, ...reviewedDataset(datasets, input.documentId) })),
    output: reviewedDataset(datasets, definition.output),
    segments: definition.segments,
    approvers: [...new Set((query.approvers ?? []).map((approver) => approver.approverId))].sort(),
  };
}

export function reviewDigest(review: QueryReview): string {
  return digestOf(review);
}

/** Everyone whose data goes in and whoever owns the sink: the only acceptable approver list, sorted. */
export function requiredApprovers(datasets: Iterable<{ readonly ownerId: string }>): string[] {
  return [...new Set([...datasets].map((dataset) => dataset.ownerId))].sort();
}

/**
 * The rules a query must keep before an owner's vote goes out. The governance service checks none of them: it accepts
 * any approver list and any document id.
 * @param expected.owners dataset document id → user id, as the owners themselves say it: a document nobody claims may
 * be somebody else's under a familiar name.
 * @returns one sentence for each broken rule; empty when the query may be approved.
 */
export function reviewProblems(
  query: LedgerDocument,
  datasets: ReadonlyMap<string, LedgerDocument>,
  expected: { readonly contractId: string; readonly owners: ReadonlyMap<string, string> },
): string[] {
  const definition = parseQueryDocument(query.id, query.data);
  const ids = [...definition.inputs.map((input) => input.documentId), definition.output];
  const missing = ids.filter((id) => !datasets.has(id));
  if (missing.length > 0) return missing.map((id) => `dataset ${id} is not in the consortium`);

  const problems: string[] = [];
  if (query.contractId !== expected.contractId)
    problems.push(`it belongs to contract ${query.contractId}, not ${expected.contractId}`);
  if (definition.inputs.length === 0) problems.push("it reads no dataset");
  const views = definition.inputs.map((input) => input.view.toLowerCase());
  const repeated = views.filter((view, index) => views.indexOf(view) !== index);
  if (repeated.length > 0) problems.push(`it gives the name ${repeated.join(", ")} to more than one dataset`);
  for (const id of ids) {
    const document = datasets.get(id)!;
    if (document.state !== "Accepted")
      problems.push(`dataset ${id} is ${document.state}, not Accepted: its content could still change`);
    if (document.contractId !== query.contractId)
      problems.push(`dataset ${id} belongs to contract ${document.contractId}`);
    const owner = expected.owners.get(id);
    if (owner === undefined) {
      problems.push(
        `dataset ${id} was published by ${document.proposerId}, and no organisation this stack hears of calls it its own`,
      );
    } else if (owner !== document.proposerId) {
      problems.push(`dataset ${id} was published by ${document.proposerId}, not by its owner ${owner}`);
    }
  }
  problems.push(
    ...accessProblems(
      definition.inputs.map((input) => input.documentId),
      definition.output,
      datasets,
    ),
  );

  const required = requiredApprovers(ids.map((id) => ({ ownerId: datasets.get(id)!.proposerId })));
  const listed = new Set((query.approvers ?? []).map((approver) => approver.approverId));
  const left = required.filter((id) => !listed.has(id));
  const extra = [...listed].filter((id) => !required.includes(id));
  if (left.length > 0) problems.push(`its approver list leaves out ${left.join(", ")}, who own data it uses`);
  if (extra.length > 0) problems.push(`its approver list names ${extra.join(", ")}, who own none of its data`);
  const others = (query.approvers ?? []).filter((approver) => approver.approverIdType !== "user");
  if (others.length > 0)
    problems.push(
      `its approver list names ${others.map((approver) => approver.approverId).join(", ")}, but not as a user`,
    );
  return problems;
}

/** Lines that tell how what was pinned differs from what is there now, for a refusal a person can act on. */
export function reviewDifferences(pinned: QueryReview, current: QueryReview): string[] {
  const differences: string[] = [];
  const compare = (what: string, before: unknown, now: unknown): void => {
    if (digestOf(before ?? null) !== digestOf(now ?? null)) {
      differences.push(`${what}: reviewed ${shown(before)}, now ${shown(now)}`);
    }
  };
  compare("contract", pinned.contractId, current.contractId);
  compare("document", pinned.documentId, current.documentId);
  compare("approvers", pinned.approvers, current.approvers);
  compare("output dataset", pinned.output, current.output);
  const order = ({ inputs }: QueryReview): string[] => inputs.map(({ view, documentId }) => `${view}: ${documentId}`);
  compare("inputs", order(pinned), order(current));
  const views = new Set([...pinned.inputs, ...current.inputs].map((input) => input.view));
  for (const view of views) {
    compare(
      `input ${view}`,
      pinned.inputs.find((input) => input.view === view),
      current.inputs.find((input) => input.view === view),
    );
  }
  const length = Math.max(pinned.segments.length, current.segments.length);
  for (let index = 0; index < length; index++) {
    compare(`segment ${index + 1}`, pinned.segments[index], current.segments[index]);
  }
  return differences;
}

/** In canonical order, so that two texts differ only where their values do. */
function shown(value: unknown): string {
  return value === undefined ? "nothing" : canonicalJson(value);
}

function accessProblems(
  inputs: readonly string[],
  output: string,
  datasets: ReadonlyMap<string, LedgerDocument>,
): string[] {
  const mode = (id: string): string => parseDatasetDocument(id, datasets.get(id)!.data).datasetAccessPolicy.accessMode;
  return [
    ...inputs.filter((id) => mode(id) !== "read").map((id) => `input ${id} is a sink`),
    ...(mode(output) !== "write" ? [`output ${output} is a source`] : []),
  ];
}

function reviewedDataset(datasets: ReadonlyMap<string, LedgerDocument>, documentId: string): ReviewedDataset {
  const ledger = datasets.get(documentId);
  if (!ledger) throw new Error(`dataset ${documentId} was not read`);
  const document = parseDatasetDocument(documentId, ledger.data);
  return {
    documentId,
    ownerId: ledger.proposerId,
    content: `sha256:${sha256Hex(ledger.data)}`,
    format: document.datasetSchema.format,
    fields: document.datasetSchema.fields.map((field) => ({ name: field.fieldName, type: field.fieldType })),
    allowedFields: document.datasetAccessPolicy.allowedFields,
  };
}
