import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { expectedMentions } from "../../../demos/expected.ts";
import { generateDemoData, type DemoFile } from "../../../demos/generate.ts";
import type { Field, FieldType, QueryJob, QueryProgress } from "../../../sandbox/cleanroom/engine/contracts.ts";
import { DuckDbEngine } from "../../../sandbox/cleanroom/engine/duckdb.ts";
import { demoInput, demoOutput, demoSegments, readResult } from "./demo-query.ts";

const engine = new DuckDbEngine();
const ignore = (): void => undefined;

function mentionsOf(content: Buffer): { author: string; mentions: number }[] {
  return readResult(content).map((row) => ({
    author: row["author"] ?? "",
    mentions: Number(row["Number_Of_Mentions"]),
  }));
}

/** One statement over a table `t(x integer, s string)`; every column of the result is written as given. */
async function evaluate(
  sql: string,
  columns: Record<string, FieldType>,
  rows = "1,a b\n2,c\n4,\n",
): Promise<string[][]> {
  const fields = Object.entries(columns).map(([name, type]) => ({ name, type }));
  const outcome = await engine.run(job(sql, fields, rows), ignore);
  const [header, ...lines] = (outcome.parts[0]?.content.toString() ?? "").split("\n").slice(0, -1);
  expect(header).toBe(fields.map((field) => field.name).join(","));
  return lines.map((line) => line.split(","));
}

function job(
  sql: string,
  fields: Field[],
  rows = "1,a b\n2,c\n4,\n",
  changes: Partial<QueryJob["segments"][0]> = {},
): QueryJob {
  const input: Field[] = [
    { name: "x", type: "integer" },
    { name: "s", type: "string" },
  ];
  return {
    inputs: [
      {
        name: "input",
        view: "t",
        format: "csv",
        fields: input,
        allowedFields: ["x", "s"],
        files: [{ path: "a.csv", content: Buffer.from(rows) }],
      },
    ],
    segments: [{ executionSequence: 1, data: sql, preConditions: [], postFilters: [], ...changes }],
    output: { name: "output", format: "csv", fields, allowedFields: fields.map((field) => field.name) },
  };
}

const failure = (sql: string, changes: Partial<QueryJob["segments"][0]> = {}): Promise<unknown> =>
  engine.run(job(sql, [{ name: "v", type: "integer" }], undefined, changes), ignore);

describe("the demo query", () => {
  let directory: string;
  let files: DemoFile[];
  beforeAll(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "demo-data-"));
    ({ files } = generateDemoData(directory));
  });
  afterAll(() => fs.rmSync(directory, { recursive: true }));

  const demoJob = (days?: string[]): QueryJob => ({
    inputs: [demoInput("northwind", files, days), demoInput("woodgrove", files, days)],
    segments: demoSegments(),
    output: demoOutput,
  });

  it("gives the independently counted answer, and only allowed columns", async () => {
    const progress: QueryProgress[] = [];
    const outcome = await engine.run(demoJob(), (step) => progress.push(step));
    expect(outcome.rowsRead).toBe(9437 + 4435);
    const [part] = outcome.parts;
    expect(part?.path).toMatch(/^part-00000-[0-9a-f-]{36}-c000\.csv$/);
    expect(part?.content.toString().split("\n")[0]).toBe("author,Number_Of_Mentions");
    const actual = mentionsOf(part?.content as Buffer);
    const expected = expectedMentions(files);
    expect(expected.length).toBeGreaterThan(50);
    expect(actual.map((row) => row.mentions)).toEqual(expected.map((row) => row.mentions));
    expect(new Map(actual.map((row) => [row.author, row.mentions]))).toEqual(
      new Map(expected.map((row) => [row.author, row.mentions])),
    );
    expect(outcome.rowsWritten).toBe(expected.length);
    expect(progress.map((step) => step.kind)).toEqual([
      "datasetLoaded",
      "datasetLoaded",
      "segmentStarted",
      "segmentCompleted",
      "segmentStarted",
      "segmentCompleted",
      "segmentStarted",
      "segmentCompleted",
    ]);
  });

  it("answers for a range of days", async () => {
    const days = ["2025-09-03", "2025-09-04"];
    const outcome = await engine.run(demoJob(days), ignore);
    expect(outcome.rowsRead).toBe(3981 + 3987 + 1885 + 2355);
    expect(
      new Set(mentionsOf(outcome.parts[0]?.content as Buffer).map((row) => `${row.author} ${row.mentions}`)),
    ).toEqual(new Set(expectedMentions(files, days).map((row) => `${row.author} ${row.mentions}`)));
  });

  it("refuses a day on which one side has too few rows", async () => {
    const progress: QueryProgress[] = [];
    await expect(engine.run(demoJob(["2025-09-02"]), (step) => progress.push(step))).rejects.toThrow(
      /consumer_view has fewer than the required 100 rows/,
    );
    expect(progress.at(-1)).toMatchObject({ kind: "segmentFailed", segment: 3 });
  });

  it("fails, as Spark does, once the sum over text is to be written", async () => {
    const all = {
      ...demoJob(),
      output: { ...demoOutput, allowedFields: ["author", "Number_Of_Mentions", "Restricted_Sum"] },
    };
    await expect(engine.run(all, ignore)).rejects.toThrow(/^A value cannot be converted to DOUBLE\.$/);
  });
});

describe("segments", () => {
  it("must end in a single one", async () => {
    const single = job("SELECT x AS v FROM t", [{ name: "v", type: "integer" }]);
    await expect(engine.run({ ...single, segments: [...single.segments, ...single.segments] }, ignore)).rejects.toThrow(
      /must occur exactly once/,
    );
    await expect(engine.run({ ...single, segments: [] }, ignore)).rejects.toThrow(/no segments/);
  });
  it("must not end in a view", async () => {
    await expect(failure("CREATE TEMP VIEW v AS SELECT x FROM t")).rejects.toThrow(/must be the SELECT/);
  });
  it("run in the order of executionSequence, whatever their order in the document", async () => {
    const last = job("SELECT v FROM w", [{ name: "v", type: "integer" }]);
    const first = {
      executionSequence: 0,
      data: "CREATE TEMP VIEW w AS SELECT x AS v FROM t WHERE x > 1",
      preConditions: [],
      postFilters: [],
    };
    const outcome = await engine.run({ ...last, segments: [...last.segments, first] }, ignore);
    expect(outcome.rowsWritten).toBe(2);
  });
  it.each([
    [{ preConditions: [{ viewName: "nowhere", minRowCount: 1 }] }, /no view nowhere/],
    [{ preConditions: [{ viewName: "t", minRowCount: 4 }] }, /fewer than the required 4/],
    [{ postFilters: [{ columnName: "n", value: 1 }] }, /no column n/],
  ])("check their conditions %j", async (changes, message) => {
    await expect(failure("SELECT x AS v FROM t", changes)).rejects.toThrow(message);
  });
  it("keep rows at and above a post filter, by a column that is not written", async () => {
    const filtered = job("SELECT x AS v, x * 10 AS n FROM t", [{ name: "v", type: "integer" }], undefined, {
      preConditions: [{ viewName: "T", minRowCount: 3 }],
      postFilters: [{ columnName: "n", value: 20 }],
    });
    const outcome = await engine.run(filtered, ignore);
    expect(outcome.parts[0]?.content.toString()).toBe("v\n2\n4\n");
  });
  it("write a header for an empty result", async () => {
    expect(await evaluate("SELECT x AS v FROM t WHERE x > 100", { v: "integer" })).toEqual([]);
  });
});

describe("the schema of the output", () => {
  it("must match exactly", async () => {
    await expect(evaluate("SELECT x AS v FROM t", { v: "long" })).rejects.toThrow(
      /type int, but the schema .* says bigint/,
    );
    await expect(evaluate("SELECT 1.5 AS v FROM t", { v: "number" })).rejects.toThrow(/decimal\(2,1\)/);
  });
  it("must share a column with the result", async () => {
    await expect(evaluate("SELECT x AS other FROM t", { v: "integer" })).rejects.toThrow(/No column of the result/);
  });
});

describe("Spark SQL", () => {
  // Expected values were taken from pyspark 4.0 in ANSI mode.
  it.each<[string, FieldType, string]>([
    ["split('a,b', ',')[0]", "string", "a"],
    ["element_at(split('a,b', ','), -1)", "string", "b"],
    ["size(split('a b', ' '))", "integer", "2"],
    ["substring('abc', -5, 3)", "string", "a"],
    ["substring('abc', 0, 2)", "string", "ab"],
    ["concat('a', s)", "string", "aa b"],
    ["concat_ws('-', 'a', null, 'b')", "string", "a-b"],
    ["nvl(null, 'x')", "string", "x"],
    ['get_json_object(\'{"a":{"b":"c"}}\', \'$.a.b\')', "string", "c"],
    ["trunc(date'2025-09-17', 'MM')", "date", "2025-09-01"],
    ["add_months(date'2025-01-31', 1)", "date", "2025-02-28"],
    ["datediff(date'2025-02-03', date'2025-02-01')", "integer", "2"],
    ["date_format(date'2025-09-07', 'd/MM/yy')", "string", "7/09/25"],
    ["to_date('01/09/2025', 'dd/MM/yyyy')", "date", "2025-09-01"],
    ["dayofweek(date'2025-09-17')", "integer", "4"],
    ["cast(-1.5 as int)", "integer", "-1"],
    ["round(2.675D, 2)", "number", "2.68"],
    ["1 / 2", "number", "0.5"],
    ["7 div 2", "long", "3"],
    ["-7 % 3", "integer", "-1"],
    ["'a_b' like 'a\\\\_b'", "boolean", "true"],
    ["s rlike '^a.*b$'", "boolean", "true"],
    ["regexp_extract('foo12', '([a-z]+)([0-9]+)')", "string", "foo"],
    ["length('é中😀')", "integer", "3"],
    ["if(x > 1, 'big', 'small')", "string", "small"],
    ["1e10D", "number", "1.0E10"],
    ["x <=> 1", "boolean", "true"],
    ["s || x", "string", "a b1"],
  ])("%s", async (expression, type, expected) => {
    expect(await evaluate(`SELECT ${expression} AS \`v\` FROM t WHERE x = 1`, { v: type })).toEqual([[expected]]);
  });

  it.each<[string, Record<string, FieldType>, string[][]]>([
    [
      "SELECT s, x FROM t ORDER BY s",
      { s: "string", x: "integer" },
      [
        ["", "4"],
        ["a b", "1"],
        ["c", "2"],
      ],
    ],
    [
      "SELECT s, x FROM t ORDER BY s DESC",
      { s: "string", x: "integer" },
      [
        ["c", "2"],
        ["a b", "1"],
        ["", "4"],
      ],
    ],
    ["SELECT x AS v FROM t LEFT ANTI JOIN (SELECT 2 AS y) u ON x = y ORDER BY 1", { v: "integer" }, [["1"], ["4"]]],
    ["SELECT x AS v FROM t LEFT SEMI JOIN (SELECT 2 AS y) u ON x = y", { v: "integer" }, [["2"]]],
    [
      "SELECT w AS v FROM t LATERAL VIEW explode(split(s, ' ')) e AS w ORDER BY w",
      { v: "string" },
      [["a"], ["b"], ["c"]],
    ],
    [
      "SELECT x, w FROM t LATERAL VIEW OUTER explode(split(s, ' ')) e AS w WHERE x > 1 ORDER BY x",
      { x: "integer", w: "string" },
      [
        ["2", "c"],
        ["4", ""],
      ],
    ],
    [
      "SELECT sum(x) AS v, avg(x) AS a, count(DISTINCT s) AS d FROM t",
      { v: "long", a: "number", d: "long" },
      [["7", "2.3333333333333335", "2"]],
    ],
    [
      "SELECT x, row_number() OVER (ORDER BY x DESC) AS r FROM t ORDER BY x",
      { x: "integer", r: "integer" },
      [
        ["1", "3"],
        ["2", "2"],
        ["4", "1"],
      ],
    ],
    ["SELECT percentile(x, 0.5) AS v FROM t", { v: "number" }, [["2.0"]]],
    ["WITH c AS (SELECT x FROM t WHERE x > 1) SELECT count(*) AS v FROM c", { v: "long" }, [["2"]]],
    ["SELECT x AS v FROM t UNION SELECT 1 ORDER BY v LIMIT 2", { v: "integer" }, [["1"], ["2"]]],
  ])("%s", async (sql, columns, expected) => {
    expect(await evaluate(sql, columns)).toEqual(expected);
  });

  it.each([
    ["SELECT x AS v FROM t WHERE x / 0 > 1", /DIVIDE_BY_ZERO/],
    ["SELECT x AS v FROM t WHERE split(s, ' ')[9] = 'a'", /INVALID_ARRAY_INDEX/],
    ["SELECT CAST(s AS INT) AS v FROM t", /A value cannot be converted to INT32/],
    ["SELECT percentile_approx(x, 0.5) AS v FROM t", /percentile_approx .*use percentile/],
    ["SELECT rand() AS v FROM t", /rand .*chance/],
    ["SELECT initcap(s) AS v FROM t", /initcap/],
    ["SELECT x AS v FROM csv.`/etc/hostname`", /table reference with schema/],
    ["SELECT * FROM read_csv('/etc/hostname')", /table function read_csv/],
    ["SELECT x AS v FROM elsewhere", /TABLE_OR_VIEW_NOT_FOUND: elsewhere/],
    ["SELECT x AS v FROM datasets.t", /table reference with schema/],
    ["SELECT x AS v FROM t GROUP BY x WITH ROLLUP", /rollup/],
    ["SELECT x AS v FROM t TABLESAMPLE (10 PERCENT)", /table sample/],
    ["CREATE VIEW w AS SELECT x FROM t", /CREATE VIEW without TEMPORARY/],
    ["DROP VIEW t", /drop_view/],
    ["SELECT 1; SELECT 2", /exactly one statement/],
    ["SELECT 'a\\_b' AS v FROM t", /escaped wildcards/],
    ["SELEC x", /not Spark SQL|does not support/],
  ])("refuses or fails: %s", async (sql, message) => {
    await expect(failure(sql)).rejects.toThrow(message);
  });

  it("cannot reach the files of the machine even with a function of the engine", async () => {
    await expect(failure("SELECT read_text('/etc/hostname') AS v FROM t")).rejects.toThrow(/function read_text/);
  });
});
