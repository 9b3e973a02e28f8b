import type { CollaboratorHandoff, SharedQuery } from "./handoff.ts";
import { sameJson } from "./json.ts";
import type { Segment } from "./query.ts";

interface ConfiguredQuery {
  readonly segments: readonly Segment[];
  readonly inputs: Readonly<Record<string, { readonly owner: string; readonly dataset: string }>>;
  readonly output: string;
}

/** Organisations whose data a query uses: everyone who has to approve it. The sink is the author's own. */
export function requiredApprovals(query: ConfiguredQuery, author: string): string[] {
  return [...new Set([...Object.values(query.inputs).map(({ owner }) => owner), author])].sort();
}

/**
 * Whether a published query is still what the author's configuration says, with the datasets as they are published now.
 * @param own what the author itself published with its last update.
 */
export function isCurrent(
  published: SharedQuery,
  query: ConfiguredQuery,
  author: string,
  partners: ReadonlyMap<string, CollaboratorHandoff>,
  own: CollaboratorHandoff,
): boolean {
  const documentOf = (owner: string, dataset: string): string | undefined =>
    (owner === author ? own : partners.get(owner))?.datasets[dataset]?.documentId;
  const { review } = published;
  const inputs = Object.entries(query.inputs).map(([view, { owner, dataset }]) => ({
    view,
    documentId: documentOf(owner, dataset),
  }));
  return (
    sameJson(review.segments, query.segments) &&
    sameJson(
      review.inputs.map(({ view, documentId }) => ({ view, documentId })),
      inputs,
    ) &&
    review.output.documentId === documentOf(author, query.output)
  );
}
