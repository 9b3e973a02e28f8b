import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { BlobServiceClient } from "@azure/storage-blob";
import { azureCredential } from "../../clients/azure/credential.ts";
import { provider as files } from "../../dynamic-providers/datasetFiles.ts";
import { provider } from "../../dynamic-providers/queryRun.ts";
import type { DatasetContent } from "../../dynamic-providers/datasetDocument.ts";
import { PERSONAS, type PersonaName } from "../../sandbox/entra/directory.ts";
import {
  approvalInputs,
  approvalOf,
  approve,
  content,
  publishGround,
  queryInputs,
  queryOf,
  SEGMENTS,
  sinkContent,
  type Ground,
} from "../support/agreed.ts";
import { CleanRoomLab, Storage } from "../support/cleanRoom.ts";
import { Resource } from "../support/engine.ts";
import { CONTRACT, Lab } from "../support/lab.ts";

jest.setTimeout(60_000);

const home = process.cwd();
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "query runs "));
let lab: Lab;
let storage: Storage;
let room: CleanRoomLab;
let ground: Ground;
let log: jest.SpyInstance;
let count = 0;

beforeAll(async () => {
  log = jest.spyOn(console, "log").mockImplementation(() => undefined);
  process.chdir(folder);
  lab = await Lab.start();
  storage = await Storage.start(lab, "operator", "northwind", "woodgrove");
  room = await CleanRoomLab.start(lab, storage);
  const [theirs, ours] = [room.identityOf("northwind", storage), room.identityOf("woodgrove", storage)];
  ground = await publishGround(lab, "demo", {
    theirs: content({ identity: theirs, store: await filled("northwind", "2025-09-01,anna\r\n2025-09-01,bert\r\n") }),
    ours: content({ identity: ours, store: await filled("woodgrove", "2025-09-01,anna\r\n2025-09-02,anna\r\n") }),
    sink: sinkContent({ identity: ours, store: await store("woodgrove", "output") }),
  });
});
afterAll(async () => {
  await room?.stop();
  await storage?.blobs.stop();
  await lab?.stop();
  process.chdir(home);
  fs.rmSync(folder, { recursive: true });
});

async function store(persona: PersonaName, container: string): Promise<DatasetContent["store"]> {
  await storage.container(persona, container);
  return { type: "Azure_BlobStorage", url: storage.endpoint(persona).blob, container };
}

/** A container with one dated folder, published as a stack publishes it. */
async function filled(persona: PersonaName, rows: string): Promise<DatasetContent["store"]> {
  const directory = path.join(folder, persona);
  fs.mkdirSync(path.join(directory, "2025-09-01"), { recursive: true });
  fs.writeFileSync(path.join(directory, "2025-09-01", "data.csv"), rows);
  const target = await store(persona, "input");
  const location = { type: "Azure_BlobStorage", blobEndpoint: target.url, container: "input" };
  const { format, fields, encryption } = content();
  await new Resource(files, lab.config(persona)).up({ directory, format, fields, strict: true, location, encryption });
  return target;
}

async function approved(segments = SEGMENTS): Promise<Resource> {
  const query = queryOf(lab);
  await query.up(queryInputs(lab, ground, `query-${++count}`, segments));
  await approve(lab, ground, query);
  return query;
}

const run = (persona: PersonaName = "woodgrove"): Resource => new Resource(provider, lab.config(persona));
const inputs = (query: Resource, runId: string, change: object = {}): object => ({
  consortium: lab.access,
  contractId: CONTRACT,
  analytics: room.analytics,
  documentId: query.id,
  digest: query.outputs["digest"],
  runId,
  timeoutMinutes: 1,
  ...change,
});
const history = async (query: Resource): Promise<number> =>
  (await room.client("woodgrove").runs(query.id))?.runs.length ?? 0;

async function resultOf(resource: Resource): Promise<string> {
  const { tenantId, clientId } = PERSONAS.woodgrove;
  const container = new BlobServiceClient(
    storage.endpoint("woodgrove").blob.replace(/\/$/, ""),
    azureCredential({ tenantId, clientId }),
  ).getContainerClient("output");
  for await (const { name } of container.listBlobsFlat({ prefix: `${String(resource.outputs["resultPath"])}/` })) {
    if (name.endsWith(".csv")) return (await container.getBlobClient(name).downloadToBuffer()).toString("utf8");
  }
  return "nothing was written there";
}

describe("a run of an approved query", () => {
  test("is submitted and waited for; its result lies where it says; then nothing changes any more", async () => {
    const query = await approved();
    const own = run();
    expect(await own.up(inputs(query, "first"))).toBe("create");
    expect(own.outputs).toMatchObject({ state: "COMPLETED", rowsRead: 4, rowsWritten: 2 });
    expect(String(own.outputs["resultPath"])).toMatch(/^analytics\/\d{4}-\d{2}-\d{2}\/first$/);
    expect((await resultOf(own)).trim().split(/\r?\n/).sort()).toEqual(["anna,3", "author,mentions", "bert,1"]);
    expect(log).toHaveBeenCalledWith(expect.stringContaining("run first: COMPLETED"));
    expect(await own.up(inputs(query, "first"))).toBe("same");
    expect(await own.refresh()).toBe("same");
    expect(await own.up(inputs(query, "first", { timeoutMinutes: 2 }))).toBe("update");
    expect(await history(query)).toBe(1);
  });

  test("is waited for again after a crash, not run again", async () => {
    const query = await approved();
    const own = run();
    await expect(own.up(inputs(query, "crashed", { timeoutMinutes: 0 }))).rejects.toThrow(
      "Run crashed has not finished within 0 minutes; it goes on in the clean room, run up again to wait for it.",
    );
    await own.upAfterCrash(inputs(query, "crashed"));
    const { finishedAt } = own.outputs;
    await own.upAfterCrash(inputs(query, "crashed"));
    expect(own.outputs).toMatchObject({ state: "COMPLETED", rowsRead: 4, finishedAt });
    expect(await history(query)).toBe(1);
  });

  test("runs anew under another id or for other days; results of the old one stay", async () => {
    const query = await approved();
    const own = run();
    await own.up(inputs(query, "days-1"));
    expect(await own.preview(inputs(query, "days-1", { from: "2025-09-01", to: "2025-09-02" }))).toBe("replace");
    expect(await own.up(inputs(query, "days-2", { from: "2025-09-01", to: "2025-09-02" }))).toBe("replace");
    expect(own.outputs).toMatchObject({ rowsRead: 4 });
    expect(await history(query)).toBe(2);
    await own.destroy();
    await own.destroy();
    expect(await resultOf(own)).toContain("anna,3");
  });

  test("cannot take an id that another query has used: its result would be the other's", async () => {
    await run().up(inputs(await approved(), "shared-id"));
    const other = await approved();
    await expect(run().up(inputs(other, "shared-id"))).rejects.toThrow(
      `The clean room knows run shared-id, but not as one of the last runs of ${other.id}: the id was used before. Choose another one under cleanroom:runs.`,
    );
  });

  test("that fails says why and what to do", async () => {
    const segments = SEGMENTS.map((segment) => ({
      ...segment,
      preConditions: segment.preConditions.map((condition) => ({ ...condition, minRowCount: 1000 })),
    }));
    const query = await approved(segments);
    await expect(run().up(inputs(query, "too-few"))).rejects.toThrow(
      /^Run too-few failed: .*everything.*The clean room runs an id once: after mending the cause, choose a new id under cleanroom:runs\.$/s,
    );
  });
});

describe("nothing runs", () => {
  test("before everybody has approved: who is missing is named", async () => {
    const query = queryOf(lab);
    await query.up(queryInputs(lab, ground, `query-${++count}`));
    const [northwind, woodgrove] = [PERSONAS.northwind.objectId, PERSONAS.woodgrove.objectId];
    await expect(run().up(inputs(query, "early"))).rejects.toThrow(
      new RegExp(`cannot run: user ${northwind}, user ${woodgrove} has not approved it yet`),
    );
    await approvalOf(lab, "woodgrove").up(approvalInputs(lab, ground, query));
    await expect(run().up(inputs(query, "early"))).rejects.toThrow(
      `Query ${query.id} cannot run: user ${northwind} has not approved it yet. They pin its digest under cleanroom:approvals and run up.`,
    );
    expect(await history(query)).toBe(0);
  });

  test("that is not what this stack published", async () => {
    const query = await approved();
    await expect(run().up(inputs(query, "other", { digest: "sha256:00" }))).rejects.toThrow(
      `Query ${query.id} has digest ${String(query.outputs["digest"])} in the consortium, not sha256:00: it is not the one this stack published.`,
    );
  });

  test("once an owner has withdrawn consent", async () => {
    const query = await approved();
    await lab.user("northwind").cgs.documents.setOption(CONTRACT, query.id, "execution", false);
    await expect(run().up(inputs(query, "withdrawn"))).rejects.toThrow(/UserDocumentRuntimeOptionDisabled/);
    expect(await history(query)).toBe(0);
  });

  test("for somebody who is not a user of the consortium", async () => {
    const query = await approved();
    await expect(run("fabrikam").up(inputs(query, "stranger"))).rejects.toThrow(/403|401/);
  });

  test("where the clean room cannot be reached, or is not the contract's", async () => {
    const query = await approved();
    const closed = `https://localhost:${await lab.host.port("nobody")}`;
    await expect(
      run().up(inputs(query, "closed", { analytics: { ...room.analytics, endpoint: closed } })),
    ).rejects.toThrow(
      new RegExp(`the clean room at ${closed} cannot be reached .*Check that the operator's stack is up`),
    );
    await expect(
      run().up(inputs(query, "false", { analytics: { ...room.analytics, caCertificate: lab.host.caCertificate } })),
    ).rejects.toThrow(/cannot be reached .*(self-signed|certificate)/);
  });
});

test("a run that the clean room has forgotten is kept as recorded, and says so", async () => {
  const query = await approved();
  const own = run();
  await own.up(inputs(query, "kept"));
  own.state = { ...own.state!, id: "never-run" };
  expect(await own.refresh()).toBe("same");
  expect(log).toHaveBeenLastCalledWith(
    expect.stringContaining("no longer in the clean room's history, kept as recorded"),
  );
});
