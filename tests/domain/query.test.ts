import fs from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { UserError } from "../../domain/errors.ts";
import { parseQueryDocument, parseQueryFile, queryDocument, type QueryDefinition } from "../../domain/query.ts";
import { query } from "./support.ts";

const file = (segments: string): string => `segments:\n${segments}`;
const one = "  - { executionSequence: 1, data: SELECT 1 }\n";

describe("a query file", () => {
  test("of the demo is read whole", () => {
    const name = path.join("demos", "query", "mentions.yaml");
    const segments = parseQueryFile(name, fs.readFileSync(path.join(__dirname, "..", "..", name), "utf8"));
    expect(segments.map(({ executionSequence }) => executionSequence)).toEqual([1, 1, 2]);
    expect(segments.at(-1)!.preConditions.length).toBeGreaterThan(0);
    expect(segments.at(-1)!.postFilters.length).toBeGreaterThan(0);
  });

  test("may leave conditions and filters out, or empty", () => {
    const text = file("  - executionSequence: 1\n    data: SELECT 1\n    preConditions:\n");
    expect(parseQueryFile("q.yaml", text)).toEqual([
      { executionSequence: 1, data: "SELECT 1", preConditions: [], postFilters: [] },
    ]);
  });

  test("may run statements side by side, but ends in one", () => {
    expect(parseQueryFile("q", file(`${one}${one}  - { executionSequence: 2, data: SELECT 2 }\n`))).toHaveLength(3);
    expect(() => parseQueryFile("q", file(one + one))).toThrow(
      "executionSequence 1 is the last and must stand exactly once",
    );
  });

  test.each([
    ["is not YAML", "segments: [", /not YAML/],
    ["is empty", "", /not a segmented query/],
    ["is a plain text", "SELECT 1", /not a segmented query/],
    ["has no segment", "segments: []", /segments: /],
    ["has a segment without a statement", file("  - { executionSequence: 1, data: '  ' }\n"), /segments\.0\.data/],
    ["counts from 0", file("  - { executionSequence: 0, data: SELECT 1 }\n"), /segments\.0\.executionSequence/],
    ["counts in halves", file("  - { executionSequence: 1.5, data: SELECT 1 }\n"), /segments\.0\.executionSequence/],
    ["does not count", file("  - { data: SELECT 1 }\n"), /segments\.0\.executionSequence/],
    ["misspells a key", file("  - { executionSequence: 1, data: SELECT 1, postFilter: [] }\n"), /postFilter/],
    [
      "has a threshold below 0",
      file("  - { executionSequence: 1, data: SELECT 1, postFilters: [{ columnName: n, value: -1 }] }\n"),
      /segments\.0\.postFilters\.0\.value/,
    ],
    [
      "has a threshold that is no number",
      file("  - { executionSequence: 1, data: SELECT 1, preConditions: [{ viewName: v, minRowCount: many }] }\n"),
      /segments\.0\.preConditions\.0\.minRowCount/,
    ],
  ])("that %s is refused by name and place", (_what, text, problem) => {
    expect(() => parseQueryFile("q.yaml", text)).toThrow(UserError);
    expect(() => parseQueryFile("q.yaml", text)).toThrow(problem);
    expect(() => parseQueryFile("q.yaml", text)).toThrow(/^Query file q\.yaml/);
  });
});

describe("a query document", () => {
  test("is the one the governance service's tools write", () => {
    const document = queryDocument(query);
    expect(document).toEqual({
      name: "weekly-overlap",
      application: {
        applicationType: "Spark-SQL",
        inputDataset: [
          { specification: "retail-orders", view: "orders" },
          { specification: "store-visits", view: "visits" },
        ],
        outputDataset: { specification: "overlap-out", view: "datasink" },
        query: document.application.query,
      },
    });
    expect(JSON.parse(Buffer.from(document.application.query, "base64").toString("utf8"))).toEqual({
      segments: query.segments,
    });
  });

  test("says everything that was put into it", () => {
    const text = fc.string({ minLength: 1 });
    const definition: fc.Arbitrary<QueryDefinition> = fc.record({
      documentId: text,
      inputs: fc.array(fc.record({ view: text, documentId: text })),
      output: text,
      segments: fc
        .array(
          fc.record({
            data: text.map((sql) => `SELECT ${sql}.`),
            preConditions: fc.array(fc.record({ viewName: text, minRowCount: fc.nat() })),
            postFilters: fc.array(fc.record({ columnName: text, value: fc.nat() })),
          }),
          { minLength: 1 },
        )
        .map((segments) => segments.map((entry, index) => ({ executionSequence: index + 1, ...entry }))),
    });
    fc.assert(
      fc.property(definition, (value) => {
        expect(parseQueryDocument(value.documentId, JSON.stringify(queryDocument(value)))).toEqual(value);
      }),
    );
  });

  test("of another tool may leave lists out and format as it likes", () => {
    const { application, ...rest } = queryDocument(query);
    const segments = { segments: [{ executionSequence: 1, data: "SELECT 1", preConditions: null }] };
    const encoded = Buffer.from(JSON.stringify(segments, undefined, 4)).toString("base64");
    const text = JSON.stringify({ ...rest, application: { ...application, query: encoded } }, undefined, 2);
    expect(parseQueryDocument("q", text).segments).toEqual([
      { executionSequence: 1, data: "SELECT 1", preConditions: [], postFilters: [] },
    ]);
  });

  const good = queryDocument(query);
  const changed = (change: object): string =>
    JSON.stringify({ ...good, application: { ...good.application, ...change } });
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");
  test.each([
    ["is not JSON", "SELECT 1", /JSON object/],
    ["is a dataset", JSON.stringify({ name: "d", datasetSchema: {} }), /not a Spark SQL query/],
    ["is of another kind", changed({ applicationType: "Spark-ML" }), /applicationType/],
    ["has no inputs", changed({ inputDataset: undefined }), /inputDataset/],
    ["has no output", changed({ outputDataset: undefined }), /outputDataset/],
    ["hides a member beside the query", changed({ Query: encode({ segments: [] }) }), /Query/],
    [
      "hides a member of a segment",
      changed({ query: encode({ segments: [{ executionSequence: 1, data: "SELECT 1", Data: "SELECT *" }] }) }),
      /Data/,
    ],
    ["has a query that is not base64", changed({ query: "%%%" }), /application\.query/],
    ["has a query that is not JSON", changed({ query: Buffer.from("SELECT 1").toString("base64") }), /JSON object/],
    [
      "ends in two statements",
      changed({ query: encode({ segments: [query.segments[0], query.segments[0]] }) }),
      /exactly once/,
    ],
  ])("that %s is refused", (_what, data, problem) => {
    expect(() => parseQueryDocument("q", data)).toThrow(UserError);
    expect(() => parseQueryDocument("q", data)).toThrow(problem);
  });
});
