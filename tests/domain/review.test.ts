import fc from "fast-check";
import type { DatasetDefinition } from "../../domain/dataset.ts";
import type { QueryDefinition } from "../../domain/query.ts";
import {
  requiredApprovers,
  reviewDifferences,
  reviewDigest,
  reviewOf,
  reviewProblems,
  type LedgerDocument,
  type QueryReview,
} from "../../domain/review.ts";
import { acceptedDataset, CONTRACT, proposedQuery, query, segment, source } from "./support.ts";

const sink: DatasetDefinition = { ...source, documentId: "overlap-out", kind: "sink" };
const visits: DatasetDefinition = { ...source, documentId: "store-visits" };

/** What an honest author's ledger holds: two sources of two owners, a sink of the author's, and the query. */
function ledger(): { query: LedgerDocument; datasets: Map<string, LedgerDocument>; owners: Map<string, string> } {
  const documents = [acceptedDataset(source, "nora"), acceptedDataset(visits, "wanda"), acceptedDataset(sink, "wanda")];
  return {
    query: proposedQuery(query, ["wanda", "nora"]),
    datasets: new Map(documents.map((document) => [document.id, document])),
    owners: new Map(documents.map((document) => [document.id, document.proposerId])),
  };
}

function problems(change: (honest: ReturnType<typeof ledger>) => Partial<ReturnType<typeof ledger>>): string[] {
  const honest = ledger();
  const { query: proposed, datasets, owners } = { ...honest, ...change(honest) };
  return reviewProblems(proposed, datasets, { contractId: CONTRACT, owners });
}

describe("a review", () => {
  test("shows what would run, on whose data, and who decides", () => {
    const { query: proposed, datasets } = ledger();
    const review = reviewOf(proposed, datasets);
    expect(review).toMatchObject({
      version: 1,
      contractId: CONTRACT,
      documentId: "weekly-overlap",
      inputs: [
        {
          view: "orders",
          documentId: "retail-orders",
          ownerId: "nora",
          format: "csv",
          fields: source.fields,
          allowedFields: ["day", "sku"],
        },
        { view: "visits", documentId: "store-visits", ownerId: "wanda" },
      ],
      output: { documentId: "overlap-out", ownerId: "wanda" },
      segments: query.segments,
      approvers: ["nora", "wanda"],
    });
  });

  test("is the same however the author ordered or repeated its approvers", () => {
    const { query: proposed, datasets } = ledger();
    const twice = proposedQuery(query, ["nora", "wanda", "nora"]);
    expect(reviewDigest(reviewOf(twice, datasets))).toBe(reviewDigest(reviewOf(proposed, datasets)));
  });
});

describe("the digest of a review", () => {
  const { query: proposed, datasets } = ledger();
  const digest = reviewDigest(reviewOf(proposed, datasets));

  function afterQuery(change: Partial<QueryDefinition>): string {
    return reviewDigest(reviewOf(proposedQuery({ ...query, ...change }, ["wanda", "nora"]), datasets));
  }
  function afterDataset(
    documentId: string,
    change: Partial<DatasetDefinition>,
    document: Partial<LedgerDocument> = {},
  ): string {
    const definition = [source, visits, sink].find((dataset) => dataset.documentId === documentId)!;
    const owner = datasets.get(documentId)!.proposerId;
    const changed = acceptedDataset({ ...definition, ...change }, owner, document);
    return reviewDigest(reviewOf(proposed, new Map(datasets).set(documentId, changed)));
  }

  const segments = query.segments;
  const replaced = (index: number, change: object): QueryDefinition["segments"] =>
    segments.map((entry, at) => (at === index ? { ...entry, ...change } : entry));

  test("changes with any change of any segment", () => {
    const index = fc.nat(segments.length - 1);
    const change = fc.oneof(
      fc.string({ minLength: 1 }).map((text) => ({ data: `${text}.` })),
      fc
        .nat(1000)
        .filter((count) => count !== 50)
        .map((minRowCount) => ({ preConditions: [{ viewName: "orders", minRowCount }] })),
      fc
        .string({ minLength: 1 })
        .filter((name) => name !== "orders")
        .map((viewName) => ({ preConditions: [{ viewName, minRowCount: 50 }] })),
      fc
        .nat(1000)
        .filter((value) => value !== 3)
        .map((value) => ({ postFilters: [{ columnName: "n", value }] })),
      fc
        .string({ minLength: 1 })
        .filter((name) => name !== "n")
        .map((columnName) => ({ postFilters: [{ columnName, value: 3 }] })),
      fc.constantFrom({ preConditions: [] }, { postFilters: [] }),
    );
    fc.assert(fc.property(index, change, (at, value) => afterQuery({ segments: replaced(at, value) }) !== digest));
  });

  test("changes when segments are added, dropped or run in another order", () => {
    expect(afterQuery({ segments: [...segments, { ...segment, executionSequence: 3 }] })).not.toBe(digest);
    expect(afterQuery({ segments: segments.slice(1) })).not.toBe(digest);
    expect(
      afterQuery({
        segments: [
          { ...segments[0]!, executionSequence: 2 },
          { ...segments[1]!, executionSequence: 3 },
        ],
      }),
    ).not.toBe(digest);
  });

  test("changes with views, inputs, output and document id", () => {
    expect(afterQuery({ inputs: [...query.inputs].reverse() })).not.toBe(digest);
    expect(afterQuery({ inputs: query.inputs.slice(1) })).not.toBe(digest);
    expect(afterQuery({ inputs: [{ view: "o", documentId: "retail-orders" }, query.inputs[1]!] })).not.toBe(digest);
    expect(afterQuery({ inputs: [{ view: "orders", documentId: "store-visits" }, query.inputs[1]!] })).not.toBe(digest);
    expect(afterQuery({ output: "store-visits" })).not.toBe(digest);
    expect(afterQuery({ documentId: "another" })).not.toBe(digest);
  });

  test("changes with approvers and contract", () => {
    const digestAs = (changed: LedgerDocument): string => reviewDigest(reviewOf(changed, datasets));
    expect(digestAs(proposedQuery(query, ["wanda"]))).not.toBe(digest);
    expect(digestAs(proposedQuery(query, ["wanda", "nora", "mallory"]))).not.toBe(digest);
    expect(digestAs({ ...proposed, contractId: "other" })).not.toBe(digest);
  });

  test("changes with anything a dataset's document says, and with its owner", () => {
    const change = fc.constantFrom<Partial<DatasetDefinition>>(
      { format: "json" },
      { kind: "sink" },
      { fields: [...source.fields, { name: "price", type: "number" }] },
      { fields: [{ name: "day", type: "string" }, source.fields[1]!] },
      { allowedFields: ["day"] },
      { encryption: "CSE" },
      { store: { ...source.store, container: "another" } as DatasetDefinition["store"] },
      { store: { ...source.store, url: "https://mallory.example" } as DatasetDefinition["store"] },
      { identity: { ...source.identity!, clientId: "mallory" } },
      { identity: { ...source.identity!, issuerUrl: "https://mallory.example" } },
    );
    fc.assert(fc.property(change, (value) => afterDataset("retail-orders", value) !== digest));
    expect(afterDataset("overlap-out", { allowedFields: ["sku"] })).not.toBe(digest);
    expect(afterDataset("retail-orders", {}, { proposerId: "mallory" })).not.toBe(digest);
    expect(afterDataset("retail-orders", {})).toBe(digest);
  });
});

describe("an honest query", () => {
  test("has no problem", () => {
    expect(problems(() => ({}))).toEqual([]);
  });

  test("needs everyone whose data goes in or comes out, once, sorted", () => {
    expect(requiredApprovers([{ ownerId: "wanda" }, { ownerId: "nora" }, { ownerId: "wanda" }])).toEqual([
      "nora",
      "wanda",
    ]);
  });
});

describe("a dishonest author is found out who", () => {
  const cases: [string, (honest: ReturnType<typeof ledger>) => Partial<ReturnType<typeof ledger>>, RegExp][] = [
    [
      "leaves an owner of an input out",
      () => ({ query: proposedQuery(query, ["wanda"]) }),
      /leaves out nora, who own data it uses/,
    ],
    ["leaves the owner of the sink out", () => ({ query: proposedQuery(query, ["nora"]) }), /leaves out wanda/],
    [
      "asks nobody",
      () => ({ query: proposedQuery(query, ["wanda", "nora"], { approvers: [] }) }),
      /leaves out nora, wanda/,
    ],
    [
      "asks somebody without a stake",
      () => ({ query: proposedQuery(query, ["wanda", "nora", "mallory"]) }),
      /names mallory, who own none/,
    ],
    [
      "names an owner as something else than a user",
      () => ({
        query: proposedQuery(query, [], {
          proposerId: "wanda",
          approvers: [
            { approverId: "wanda", approverIdType: "user" },
            { approverId: "nora", approverIdType: "member" },
          ],
        }),
      }),
      /names nora, but not as a user/,
    ],
    [
      "publishes a document under the id of somebody else's dataset",
      ({ datasets }) => ({
        datasets: new Map(datasets).set("retail-orders", acceptedDataset(source, "wanda")),
        query: proposedQuery(query, ["wanda"]),
      }),
      /retail-orders was published by wanda, not by its owner nora/,
    ],
    [
      "uses a document nobody calls its own",
      ({ owners }) => ({ owners: new Map([...owners].filter(([id]) => id !== "store-visits")) }),
      /store-visits was published by wanda, and no organisation this stack hears of calls it its own/,
    ],
    [
      "names a dataset that is not there",
      ({ datasets }) => ({ datasets: new Map([...datasets].filter(([id]) => id !== "store-visits")) }),
      /store-visits is not in the consortium/,
    ],
    [
      "names a dataset that can still change",
      ({ datasets }) => ({
        datasets: new Map(datasets).set("store-visits", acceptedDataset(visits, "wanda", { state: "Proposed" })),
      }),
      /store-visits is Proposed, not Accepted/,
    ],
    [
      "takes a dataset of another contract",
      ({ datasets }) => ({
        datasets: new Map(datasets).set("store-visits", acceptedDataset(visits, "wanda", { contractId: "other" })),
      }),
      /store-visits belongs to contract other/,
    ],
    [
      "proposes it under another contract",
      () => ({ query: proposedQuery(query, ["wanda", "nora"], { contractId: "other" }) }),
      /contract other, not c-analytics/,
    ],
    [
      "reads from a sink",
      () => ({
        query: proposedQuery({ ...query, inputs: [...query.inputs, { view: "x", documentId: "overlap-out" }] }, [
          "wanda",
          "nora",
        ]),
      }),
      /input overlap-out is a sink/,
    ],
    [
      "writes into a source",
      () => ({ query: proposedQuery({ ...query, output: "retail-orders" }, ["wanda", "nora"]) }),
      /output retail-orders is a source/,
    ],
    [
      "gives one name to two datasets",
      () => ({
        query: proposedQuery({ ...query, inputs: [...query.inputs, { view: "Orders", documentId: "store-visits" }] }, [
          "wanda",
          "nora",
        ]),
      }),
      /gives the name orders to more than one dataset/,
    ],
    ["reads nothing", () => ({ query: proposedQuery({ ...query, inputs: [] }, ["wanda"]) }), /reads no dataset/],
  ];
  test.each(cases)("%s", (_what, change, problem) => {
    expect(problems(change).join("\n")).toMatch(problem);
  });

  test("breaks several rules: each is told", () => {
    const found = problems(() => ({
      query: proposedQuery({ ...query, output: "retail-orders" }, ["mallory"], { contractId: "other" }),
    }));
    expect(found.length).toBeGreaterThanOrEqual(4);
  });
});

describe("differences between what was reviewed and what is there", () => {
  const { query: proposed, datasets } = ledger();
  const review = reviewOf(proposed, datasets);
  const change = (changes: Partial<QueryReview>): string[] => reviewDifferences(review, { ...review, ...changes });

  test("are none where nothing differs", () => {
    expect(change({})).toEqual([]);
  });

  test.each<[string, Partial<QueryReview>, RegExp]>([
    ["contract", { contractId: "other" }, /^contract: reviewed "c-analytics", now "other"$/],
    ["document", { documentId: "other" }, /^document: /],
    ["approvers", { approvers: ["wanda"] }, /^approvers: reviewed \["nora","wanda"\], now \["wanda"\]$/],
    ["output", { output: { ...review.output, ownerId: "mallory" } }, /^output dataset: .*mallory/],
    ["input", { inputs: [{ ...review.inputs[0]!, allowedFields: ["day"] }, review.inputs[1]!] }, /^input orders: /],
    ["inputs' order", { inputs: [...review.inputs].reverse() }, /^inputs: reviewed \["orders: retail-orders"/],
    [
      "segment",
      { segments: [review.segments[0]!, { ...review.segments[1]!, postFilters: [] }] },
      /^segment 2: .*"n".*now/,
    ],
  ])("in the %s are named", (_what, changes, line) => {
    const lines = change(changes);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(line);
  });

  test("name what came and what went", () => {
    expect(change({ segments: review.segments.slice(0, 1) })[0]).toMatch(/^segment 2: reviewed .*, now nothing$/);
    expect(change({ inputs: [...review.inputs, { ...review.inputs[0]!, view: "extra" }] })[1]).toMatch(
      /^input extra: reviewed nothing, now /,
    );
  });
});
