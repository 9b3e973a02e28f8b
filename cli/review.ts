import type { SharedQuery } from "../domain/handoff.ts";
import { table } from "./tables.ts";

/** A query as somebody reads it before approving: text, thresholds, datasets with the fields it may use, who has to agree. */
export function queryText(
  reference: string,
  query: SharedQuery,
  names: ReadonlyMap<string, string> = new Map(),
): string {
  const who = (id: string): string => names.get(id) ?? id;
  const { review } = query;
  const datasets = [
    ...review.inputs.map((input) => ({ ...input, use: `reads as ${input.view}` })),
    { ...review.output, use: "writes to" },
  ];
  const segments = review.segments.flatMap((segment) => [
    `  ${segment.executionSequence}. ${segment.data.trim()}`,
    ...segment.preConditions.map(
      ({ viewName, minRowCount }) => `     only if ${viewName} has at least ${minRowCount} rows`,
    ),
    ...segment.postFilters.map(({ columnName, value }) => `     only rows with ${columnName} of at least ${value}`),
  ]);
  return [
    `Query ${reference} (${query.documentId})`,
    ...segments,
    table(
      ["dataset", "owner", "use", "fields it may use"],
      datasets.map(({ documentId, ownerId, use, allowedFields }) => [
        documentId,
        who(ownerId),
        use,
        allowedFields.join(", "),
      ]),
    ),
    `Has to be approved by ${review.approvers.map(who).join(", ")}`,
    `Digest ${query.digest}`,
  ].join("\n");
}
