import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { AnalyticsError, type AnalyticsClient, type JobStatus } from "../../../clients/analytics.ts";
import { expectedMentions } from "../../../demos/expected.ts";
import { generateDemoData, type DemoFile } from "../../../demos/generate.ts";
import { decryptBlocks, encryptBlocks } from "../../../sandbox/cleanroom/data/block-format.ts";
import { SandboxCleanRoom } from "../../../sandbox/cleanroom/index.ts";
import { demoSegments, readResult } from "./demo-query.ts";
import { CONTRACT, Environment, type Encryption, type Owner } from "./environment.ts";

jest.setTimeout(120_000);

const IN_FIELDS = [
  ["date", "date"],
  ["time", "string"],
  ["author", "string"],
  ["mentions", "string"],
] as const;
const OUT_FIELDS = [
  ["author", "string"],
  ["Number_Of_Mentions", "long"],
  ["Restricted_Sum", "number"],
] as const;

let environment: Environment;
let client: AnalyticsClient;
let directory: string;
let files: DemoFile[];
const deks = new Map<string, Buffer>();

beforeAll(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "agent-data-"));
  ({ files } = generateDemoData(directory));
  environment = await Environment.start();
});
afterAll(async () => {
  client?.close();
  await environment.stop();
  fs.rmSync(directory, { recursive: true });
});

function cpkHeaders(key: Buffer): Record<string, string> {
  return {
    "x-ms-encryption-key": key.toString("base64"),
    "x-ms-encryption-key-sha256": crypto.createHash("sha256").update(key).digest("base64"),
    "x-ms-encryption-algorithm": "AES256",
  };
}

/** The three datasets and the query of the demo. */
async function publishDemo(prefix: string, encryption: Encryption): Promise<void> {
  const key = async (owner: Owner, id: string): Promise<Buffer> => {
    const dek = crypto.randomBytes(32);
    deks.set(id, dek);
    if (encryption !== "SSE") await environment.storeDek(owner, id, dek);
    return dek;
  };
  for (const owner of ["northwind", "woodgrove"] as const) {
    const id = `${prefix}-${owner}-input`;
    const dek = await key(owner, id);
    await environment.publishDataset({
      id,
      owner,
      encryption,
      fields: IN_FIELDS,
      allowedFields: ["date", "author", "mentions"],
    });
    for (const file of files.filter((candidate) => candidate.persona === owner)) {
      const content = fs.readFileSync(file.path);
      const name = `${file.day}/${path.basename(file.path)}`;
      const stored = encryption === "CSE" ? encryptBlocks(content, dek) : content;
      await environment.putBlob(owner, id, name, stored, encryption === "CPK" ? cpkHeaders(dek) : {});
    }
  }
  const output = `${prefix}-woodgrove-output`;
  await key("woodgrove", output);
  await environment.publishDataset({
    id: output,
    owner: "woodgrove",
    access: "write",
    encryption,
    fields: OUT_FIELDS,
    allowedFields: ["author", "Number_Of_Mentions"],
  });
  const inputs = { publisher_data: `${prefix}-northwind-input`, consumer_data: `${prefix}-woodgrove-input` };
  await environment.publishQuery(`${prefix}-query`, inputs, output, demoSegments(), ["northwind", "woodgrove"]);
}

async function finished(jobId: string): Promise<JobStatus> {
  for (;;) {
    const status = await client.status(jobId);
    if (["COMPLETED", "FAILED"].includes(status.status.applicationState.state)) return status;
    await delay(50);
  }
}

const code = async (promise: Promise<unknown>): Promise<string> => {
  const error = await promise.then(
    () => new Error("succeeded"),
    (reason: unknown) => reason,
  );
  return error instanceof AnalyticsError ? `${error.status} ${error.code}` : String(error);
};

test("nothing listens before the contract has a policy and a certificate authority", async () => {
  await environment.cleanRoom.install(await environment.spec());
  await delay(1500);
  client = await environment.client("woodgrove");
  expect(await client.ready()).toBe(false);
  await environment.admitCleanRoom();
  client.close();
  client = await environment.client("woodgrove");
  await expect(ready()).resolves.toBe(true);
});

async function ready(): Promise<boolean> {
  for (let attempt = 0; attempt < 20; attempt++) {
    if (await client.ready()) return true;
    await delay(500);
  }
  return false;
}

describe("the demo without keys of the owners", () => {
  beforeAll(() => publishDemo("sse", "SSE"));

  test("runs, and the whole story can be told", async () => {
    expect(await client.runs("sse-query")).toBeUndefined();
    const submitted = await client.run("sse-query", { runId: "Run_1" });
    expect(submitted).toEqual({ jobId: "cl-spark-run-1", isKnown: false });
    const status = await finished(submitted.jobId);
    expect(status.status.applicationState).toEqual({ state: "COMPLETED", errorMessage: "" });
    expect(status.events.map((event) => event.reason)).toEqual([
      "DATASET_LOAD_STARTED",
      "DATASET_LOAD_STARTED",
      "DATASET_LOAD_COMPLETED",
      "DATASET_LOAD_COMPLETED",
      "QUERY_SEGMENT_EXECUTION_STARTED",
      "QUERY_SEGMENT_EXECUTION_COMPLETED",
      "QUERY_SEGMENT_EXECUTION_STARTED",
      "QUERY_SEGMENT_EXECUTION_COMPLETED",
      "QUERY_SEGMENT_EXECUTION_STARTED",
      "QUERY_SEGMENT_EXECUTION_COMPLETED",
      "DATASET_WRITE_STARTED",
      "DATASET_WRITE_COMPLETED",
      "QUERY_EXECUTION_COMPLETED",
      "QUERY_STATISTICS",
    ]);
    const expected = expectedMentions(files);
    expect(JSON.parse(status.events.at(-1)?.message ?? "")).toMatchObject({
      num_rows_read: 13872,
      num_rows_written: expected.length,
    });

    const [name, ...others] = await environment.blobNames("woodgrove", "sse-woodgrove-output");
    expect(others).toEqual([]);
    const today = new Date().toISOString().slice(0, 10);
    expect(name).toMatch(new RegExp(`^${CONTRACT}/${today}/Run_1/part-00000-[0-9a-f-]{36}-c000\\.csv$`));
    const result = readResult(await environment.getBlob("woodgrove", `sse-woodgrove-output/${name}`));
    expect(new Map(result.map((row) => [row["author"], Number(row["Number_Of_Mentions"])]))).toEqual(
      new Map(expected.map((row) => [row.author, row.mentions])),
    );

    expect(await environment.audit()).toEqual([
      "spark-analytics-agent: Starting query execution for queryId: sse-query. Job id: Run_1",
      "dataset_loader: 3001: Dataset sse-northwind-input loaded. Job id: Run_1",
      "dataset_loader: 3001: Dataset sse-woodgrove-input loaded. Job id: Run_1",
      expect.stringMatching(
        /^dataset_loader: 3005: \d+ rows written to dataset sse-woodgrove-output at .*Job id: Run_1$/,
      ),
      "run_query: 3003: The query sse-query is done. Job id: Run_1",
    ]);
    expect(await client.runs("sse-query")).toMatchObject({
      queryId: "sse-query",
      latestRun: {
        runId: "cl-spark-run-1",
        isSuccessful: true,
        stats: { rowsRead: 13872, rowsWritten: expected.length },
      },
      summary: { totalRuns: 1, successfulRuns: 1, failedRuns: 0, totalRowsRead: 13872 },
    });
  });

  test("answers a known run id with its status", async () => {
    expect(await client.run("sse-query", { runId: "Run_1" })).toEqual({ jobId: "cl-spark-run-1", isKnown: true });
    expect(await environment.blobNames("woodgrove", "sse-woodgrove-output")).toHaveLength(1);
  });

  test("runs on the days asked for, and fails where a threshold is not reached", async () => {
    const { jobId } = await client.run("sse-query", { runId: "days", startDate: "2025-09-03", endDate: "2025-09-04" });
    const status = await finished(jobId);
    expect(JSON.parse(status.events.at(-1)?.message ?? "")).toMatchObject({ num_rows_read: 3981 + 3987 + 1885 + 2355 });

    const failing = await client.run("sse-query", { runId: "day-2", startDate: "2025-09-02", endDate: "2025-09-02" });
    const failed = await finished(failing.jobId);
    expect(failed.status.applicationState).toEqual({
      state: "FAILED",
      errorMessage: "Precondition: view consumer_view has fewer than the required 100 rows.",
    });
    expect((await client.runs("sse-query"))?.latestRun).toMatchObject({
      isSuccessful: false,
      error: { code: "SPARK_JOB_FAILED" },
    });
    expect((await environment.audit()).at(-1)).toMatch(
      /^run_query: 3004: .*fewer than the required 100 rows.*Job id: day-2$/,
    );
  });

  test("reads everything when none of the days exists", async () => {
    const { jobId } = await client.run("sse-query", {
      runId: "no-days",
      startDate: "2020-01-01",
      endDate: "2020-01-02",
    });
    expect(JSON.parse((await finished(jobId)).events.at(-1)?.message ?? "")).toMatchObject({ num_rows_read: 13872 });
  });

  test("prepares but does not start a dry run", async () => {
    expect(await client.run("sse-query", { runId: "dry", dryRun: true })).toEqual({ jobId: "none", isKnown: false });
    expect(await code(client.status("cl-spark-dry"))).toBe("404 JobNotFound");
  });

  test.each([
    [{ startDate: "2025-09-01" }, "400 InvalidDateRange"],
    [{ startDate: "2025-09-02", endDate: "2025-09-01" }, "400 InvalidDateRange"],
    [{ startDate: "2025-09-02T10:00:00Z", endDate: "2025-09-03" }, "400 InvalidDateFormat"],
    [{ startDate: "2025-02-30", endDate: "2025-03-01" }, "400 InvalidDateFormat"],
    [{ runId: "../../elsewhere" }, "400 InvalidRequest"],
  ])("refuses %j", async (change, expected) => {
    expect(await code(client.run("sse-query", { runId: "refused", ...change }))).toBe(expected);
  });

  test("refuses who is not an active user of the consortium", async () => {
    const stranger = await environment.client("contoso");
    expect(await code(stranger.run("sse-query", { runId: "x" }))).toBe("403 CallerNotAuthorized");
    expect(await code(stranger.status("cl-spark-run-1"))).toBe("403 CallerNotAuthorized");
    stranger.close();
  });

  test("refuses while one owner has taken back consent", async () => {
    await environment.setConsent("sse-northwind-input", "northwind", "disable");
    expect(await code(client.run("sse-query", { runId: "no-consent" }))).toBe("400 UserDocumentRuntimeOptionDisabled");
    expect((await environment.audit()).at(-1)).toMatch(
      /^spark-analytics-agent: Query execution denied for queryId sse-query: .*Job id: no-consent$/,
    );
    await environment.setConsent("sse-northwind-input", "northwind", "enable");
  });

  test("fails when the owner's identity does not trust the contract's subject", async () => {
    environment.trustOwner("northwind", "another-subject");
    const { jobId } = await client.run("sse-query", { runId: "no-trust" });
    const status = await finished(jobId);
    expect(status.status.applicationState.errorMessage).toMatch(/AADSTS700213/);
    expect(status.events.map((event) => event.reason)).toContain("DATASET_LOAD_FAILED");
    environment.trustOwner("northwind", `${CONTRACT}-2c308c74-7c21-4e75-9f5d-812f7d3e2c02`);
  });
});

describe("a query document", () => {
  const segments = [{ executionSequence: 1, data: "SELECT author FROM p", preConditions: null, postFilters: null }];

  test("needs the vote of every owner of an input", async () => {
    await environment.publishQuery("unapproved", { p: "sse-northwind-input" }, "sse-woodgrove-output", segments, [
      "woodgrove",
    ]);
    expect(await code(client.run("unapproved", { runId: "u" }))).toBe("400 QueryMissingApprovalsFromDatasetOwners");
    expect((await environment.audit()).at(-1)).toMatch(/denied for queryId unapproved: approvals missing .*Job id: u$/);
  });

  test.each([
    ["no-inputs", {}, "sse-woodgrove-output", segments, "400 DatasetMissing"],
    ["no-output", { p: "sse-northwind-input" }, undefined, segments, "400 DatasinkMissing"],
    ["empty", { p: "sse-northwind-input" }, "sse-woodgrove-output", "", "400 ContentEmpty"],
    ["garbage", { p: "sse-northwind-input" }, "sse-woodgrove-output", "bm90IGpzb24=", "400 InvalidQueryFormat"],
    ["unknown-input", { p: "nowhere" }, "sse-woodgrove-output", segments, "404 UserDocumentNotFound"],
  ] as [string, Record<string, string>, string | undefined, unknown, string][])(
    "%s is refused",
    async (id, inputs, output, content, expected) => {
      await environment.publishQuery(id, inputs, output, content, ["northwind", "woodgrove"]);
      expect(await code(client.run(id, { runId: id }))).toBe(expected);
    },
  );

  test("is refused over datasets that say too little or are out of reach", async () => {
    const base = { owner: "northwind", fields: IN_FIELDS } as const;
    await environment.publishDataset({ ...base, id: "no-fields", allowedFields: [] });
    await environment.publishDataset({
      ...base,
      id: "one-lake",
      allowedFields: ["author"],
      storeType: "Azure_OneLake",
    });
    for (const [dataset, expected] of [
      ["no-fields", "400 AllowedFieldsNotSpecified"],
      ["one-lake", "400 UnsupportedAccessPointStoreType"],
    ] as const) {
      await environment.publishQuery(`over-${dataset}`, { p: dataset }, "sse-woodgrove-output", segments, [
        "northwind",
        "woodgrove",
      ]);
      expect(await code(client.run(`over-${dataset}`, { runId: dataset }))).toBe(expected);
    }
  });
});

describe.each<Encryption>(["CPK", "CSE"])("the demo under %s", (encryption) => {
  const prefix = encryption.toLowerCase();
  beforeAll(() => publishDemo(prefix, encryption));

  test("decrypts with released keys and writes an encrypted result", async () => {
    const { jobId } = await client.run(`${prefix}-query`, { runId: `${prefix}-1` });
    const status = await finished(jobId);
    expect(status.status.applicationState).toEqual({ state: "COMPLETED", errorMessage: "" });
    const output = `${prefix}-woodgrove-output`;
    const [name] = await environment.blobNames("woodgrove", output);
    const dek = deks.get(output) as Buffer;
    const stored = await environment.getBlob(
      "woodgrove",
      `${output}/${name}`,
      encryption === "CPK" ? cpkHeaders(dek) : {},
    );
    if (encryption === "CPK")
      await expect(environment.getBlob("woodgrove", `${output}/${name}`)).rejects.toThrow(/409/);
    const plain = encryption === "CSE" ? decryptBlocks(stored, dek) : stored;
    expect(readResult(plain)).toHaveLength(expectedMentions(files).length);
  });

  test("is refused when the key was bound to another clean room", async () => {
    const id = `${prefix}-foreign`;
    await environment.storeDek("northwind", id, crypto.randomBytes(32), "another policy");
    await environment.publishDataset({
      id,
      owner: "northwind",
      encryption,
      fields: IN_FIELDS,
      allowedFields: ["author"],
    });
    const segments = [{ executionSequence: 1, data: "SELECT author FROM p" }];
    await environment.publishQuery(`${id}-query`, { p: id }, "sse-woodgrove-output", segments, [
      "northwind",
      "woodgrove",
    ]);
    expect(await code(client.run(`${id}-query`, { runId: id }))).toMatch(/^(500|403)/);
  });
});

test("a release survives a restart of the sandbox with its history, and ends with its uninstallation", async () => {
  await environment.cleanRoom.stop();
  expect(await client.ready()).toBe(false);
  environment.cleanRoom = new SandboxCleanRoom(environment.host, environment.attestation, environment.entra.authority);
  await environment.cleanRoom.start();
  expect(await ready()).toBe(true);
  expect((await client.runs("sse-query"))?.summary.totalRuns).toBeGreaterThan(1);
  expect(await client.run("sse-query", { runId: "Run_1" })).toMatchObject({ isKnown: true });

  await environment.cleanRoom.install(await environment.spec({ recoveryMembers: ["somebody else"] }));
  expect(await ready()).toBe(true);
  expect(await code(client.run("sse-query", { runId: "members" }))).toBe("409 ConsortiumRecoveryMembershipMismatch");

  await environment.cleanRoom.uninstall((await environment.spec()).id);
  expect(await client.ready()).toBe(false);
});
