import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { generateDemoData } from "../../../demos/generate.ts";
import type { QueryEngine, QueryJob, QueryProgress } from "../../../sandbox/cleanroom/engine/contracts.ts";
import { DuckDbEngine } from "../../../sandbox/cleanroom/engine/duckdb.ts";
import { selectEngine } from "../../../sandbox/cleanroom/engine/index.ts";
import { SparkEngine } from "../../../sandbox/cleanroom/engine/spark.ts";
import { demoInput, demoOutput, demoSegments, readResult } from "./demo-query.ts";

test("the engine is chosen by name", () => {
  expect(selectEngine(undefined).name).toBe("duckdb");
  expect(selectEngine("spark").name).toBe("spark");
  expect(() => selectEngine("hive")).toThrow(/CLEANROOM_QUERY_ENGINE must be/);
});

test("a Python that is not there is said so", async () => {
  const before = process.env["CLEANROOM_SPARK_PYTHON"];
  process.env["CLEANROOM_SPARK_PYTHON"] = "/nowhere/python";
  const job: QueryJob = { inputs: [], segments: demoSegments(), output: demoOutput };
  await expect(new SparkEngine().run(job, () => undefined)).rejects.toThrow(/CLEANROOM_SPARK_PYTHON/);
  if (before === undefined) delete process.env["CLEANROOM_SPARK_PYTHON"];
  else process.env["CLEANROOM_SPARK_PYTHON"] = before;
});

// Real Spark takes half a minute, Java 17 and 500 MB of Python packages.
const enabled = process.env["CLEANROOM_TEST_SPARK"] === "1";
if (!enabled)
  process.stdout.write(
    "Comparison with Spark skipped: set CLEANROOM_TEST_SPARK=1 and CLEANROOM_SPARK_PYTHON to a Python with pyspark 4.0.\n",
  );

(enabled ? describe : describe.skip)("both engines", () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "spark-data-"));
  const { files } = generateDemoData(directory);
  afterAll(() => fs.rmSync(directory, { recursive: true }));

  async function run(engine: QueryEngine, days?: string[]) {
    const progress: QueryProgress[] = [];
    const job = {
      inputs: [demoInput("northwind", files, days), demoInput("woodgrove", files, days)],
      segments: demoSegments(),
      output: demoOutput,
    };
    const outcome = await engine.run(job, (step) => progress.push(step));
    const rows = readResult(outcome.parts[0]?.content as Buffer);
    return {
      rowsRead: outcome.rowsRead,
      rowsWritten: outcome.rowsWritten,
      progress,
      counts: rows.map((row) => row["Number_Of_Mentions"]),
      rows: new Set(rows.map((row) => JSON.stringify(row))),
    };
  }

  test("answer the demo query alike", async () => {
    expect(await run(new SparkEngine())).toEqual(await run(new DuckDbEngine()));
  }, 600_000);

  test("refuse a day with too few rows alike", async () => {
    const message = /consumer_view has fewer than the required 100 rows/;
    await expect(run(new SparkEngine(), ["2025-09-02"])).rejects.toThrow(message);
    await expect(run(new DuckDbEngine(), ["2025-09-02"])).rejects.toThrow(message);
  }, 600_000);
});
