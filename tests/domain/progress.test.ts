import type { CollaboratorHandoff, SharedDataset, SharedQuery } from "../../domain/handoff.ts";
import { isCurrent, requiredApprovals } from "../../domain/progress.ts";
import { reviewDigest, reviewOf, type QueryReview } from "../../domain/review.ts";
import { acceptedDataset, proposedQuery, query as definition, source } from "./support.ts";

const shared = (documentId: string): SharedDataset => ({
  documentId,
  kind: "source",
  format: "csv",
  fields: [...source.fields],
  allowedFields: ["day"],
});
const handoff = (persona: string, datasets: Record<string, SharedDataset>): CollaboratorHandoff => ({
  version: 1,
  persona,
  identity: { email: `${persona}@example.org` },
  datasets,
  queries: {},
  approvals: {},
});

const configured = {
  segments: definition.segments,
  inputs: { orders: { owner: "northwind", dataset: "input" }, visits: { owner: "woodgrove", dataset: "input" } },
  output: "output",
};
const own = handoff("woodgrove", { input: shared("store-visits"), output: shared("overlap-out") });
const partners = new Map([["northwind", handoff("northwind", { input: shared("retail-orders") })]]);
const review: QueryReview = reviewOf(
  proposedQuery(definition, ["wanda", "nora"]),
  new Map(
    [
      source,
      { ...source, documentId: "store-visits" },
      { ...source, documentId: "overlap-out", kind: "sink" as const },
    ].map((dataset) => [dataset.documentId, acceptedDataset(dataset, "wanda")]),
  ),
);
const published = { documentId: review.documentId, digest: reviewDigest(review), review } as SharedQuery;

describe("who has to approve", () => {
  test("is every owner of an input, and the author whose sink it is", () => {
    expect(requiredApprovals(configured, "woodgrove")).toEqual(["northwind", "woodgrove"]);
    expect(
      requiredApprovals({ ...configured, inputs: { orders: { owner: "northwind", dataset: "input" } } }, "contoso"),
    ).toEqual(["contoso", "northwind"]);
  });
});

describe("a published query is what the author's configuration says", () => {
  const current = (change: { query?: object; own?: CollaboratorHandoff; partners?: typeof partners }): boolean =>
    isCurrent(
      published,
      { ...configured, ...change.query },
      "woodgrove",
      change.partners ?? partners,
      change.own ?? own,
    );

  test("while nothing has changed", () => {
    expect(current({})).toBe(true);
  });

  test.each([
    ["its text has changed", { query: { segments: definition.segments.slice(1) } }],
    [
      "a view has another name",
      { query: { inputs: { o: configured.inputs.orders, visits: configured.inputs.visits } } },
    ],
    [
      "it reads another dataset",
      { query: { inputs: { ...configured.inputs, orders: { owner: "woodgrove", dataset: "input" } } } },
    ],
    ["it writes to another sink", { query: { output: "other" } }],
    [
      "a partner has published a dataset anew",
      { partners: new Map([["northwind", handoff("northwind", { input: shared("retail-orders-r2") })]]) },
    ],
    ["a partner has taken a dataset back", { partners: new Map([["northwind", handoff("northwind", {})]]) }],
    ["nothing is known of a partner", { partners: new Map() }],
    [
      "the author's own sink was published anew",
      { own: handoff("woodgrove", { input: shared("store-visits"), output: shared("overlap-out-r2") }) },
    ],
  ])("but not when %s", (_what, change) => {
    expect(current(change)).toBe(false);
  });
});
