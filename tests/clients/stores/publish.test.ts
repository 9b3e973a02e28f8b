import fs from "node:fs";
import path from "node:path";
import { scanDirectory } from "../../../clients/files/scan.ts";
import { publishFiles, type PublishOptions } from "../../../clients/stores/publish.ts";
import { deletePublished } from "../../../clients/stores/remove.ts";
import { comparePublished, readPublished } from "../../../clients/stores/verify.ts";
import { makeFolder } from "../files/folder.ts";
import { startAzurite, type TestContainer } from "./azurite.ts";

const SSE = { mode: "SSE" } as const;

let azurite: Awaited<ReturnType<typeof startAzurite>>;
let store: TestContainer;
let folder: ReturnType<typeof makeFolder>;
let containers = 0;

beforeAll(async () => {
  azurite = await startAzurite();
});
afterAll(() => azurite.stop());
beforeEach(async () => {
  store = await azurite.container(`dataset${++containers}`);
  folder = makeFolder({
    "2025-09-01/a.csv": "1,2\n",
    "2025-09-02/b.csv": "3,4\n",
    "ünï cödé %.csv": "5,6\n",
    "empty.csv": "",
  });
});
afterEach(() => folder.remove());

const scan = () => scanDirectory(folder.directory, { format: "csv" });
const publish = async (options: Partial<PublishOptions> = {}) =>
  publishFiles({ directory: folder.directory, scan: await scan(), target: store.target, encryption: SSE, ...options });
const contentOf = async (name: string) => (await store.client.getBlobClient(name).downloadToBuffer()).toString();
const puts = () => store.requests.filter((request) => request.startsWith("PUT ")).map((request) => request.slice(4));

test("publishes every file under its path, and finds it again", async () => {
  const result = await publish();
  expect(result).toMatchObject({ count: 4, bytes: 12, uploaded: { count: 4, bytes: 12 }, deleted: 0, foreign: [] });
  expect(await contentOf("2025-09-01/a.csv")).toBe("1,2\n");
  expect(await contentOf("ünï cödé %.csv")).toBe("5,6\n");
  expect(await contentOf("empty.csv")).toBe("");
  expect(result.contentDigest).toBe((await scan()).contentDigest);
  expect(await readPublished(store.target)).toEqual({
    count: 4,
    bytes: 12,
    contentDigest: result.contentDigest,
    foreign: [],
    damaged: [],
  });
});

test("uploads a large file in parts", async () => {
  const large = Buffer.alloc(20 * 1024 * 1024 + 1, "0123456789abcdef,\n");
  folder.write("large.csv", large);
  await publish();
  expect(puts().filter((request) => request.startsWith("large.csv?comp=block&"))).toHaveLength(3);
  expect((await store.client.getBlobClient("large.csv").downloadToBuffer()).equals(large)).toBe(true);
});

test("publishing again uploads nothing; after a change only what changed", async () => {
  const first = await publish();
  store.requests.length = 0;
  expect(await publish()).toEqual({ ...first, uploaded: { count: 0, bytes: 0 } });
  expect(store.requests).toEqual([expect.stringMatching(/^GET \?.*comp=list/)]);

  folder.write("2025-09-02/b.csv", "3,5\n");
  fs.rmSync(path.join(folder.directory, "empty.csv"));
  const second = await publish();
  expect(second).toMatchObject({ count: 3, uploaded: { count: 1, bytes: 4 }, deleted: 1 });
  expect(second.contentDigest).not.toBe(first.contentDigest);
  expect(puts()).toEqual(["2025-09-02/b.csv"]);
  expect(await store.client.getBlobClient("empty.csv").exists()).toBe(false);
});

test("an interrupted run continues with the files that are missing", async () => {
  store.onRequest = (request) => {
    if (request.method === "PUT" && request.url.includes("2025-09-02")) throw new Error("the line is down");
  };
  await expect(publish({ concurrency: 1 })).rejects.toThrow("the line is down");
  const sent = puts();
  expect(sent).toContain("2025-09-01/a.csv");
  store.onRequest = undefined;
  store.requests.length = 0;
  await publish();
  expect(puts()).not.toContain("2025-09-01/a.csv");
  expect(puts()).toContain("2025-09-02/b.csv");
});

test("a large upload that breaks leaves nothing under the name", async () => {
  folder.write("large.csv", Buffer.alloc(20 * 1024 * 1024));
  let blocks = 0;
  store.onRequest = (request) => {
    if (request.url.includes("comp=block&") && ++blocks === 2) throw new Error("the line is down");
  };
  await expect(publish()).rejects.toThrow("the line is down");
  expect(await store.client.getBlobClient("large.csv").exists()).toBe(false);
});

test("stops when it is told to", async () => {
  const stop = new AbortController();
  store.onRequest = (request) => {
    if (request.method === "PUT") stop.abort(new Error("stopped"));
  };
  await expect(publish({ signal: stop.signal, concurrency: 1 })).rejects.toThrow(/stopped|abort/i);
  expect(puts().length).toBeLessThan(4);
});

test("finds what was deleted, replaced, cut and added behind its back, and mends it", async () => {
  const before = await publish();
  await store.client.getBlobClient("empty.csv").delete();
  await store.client.getBlockBlobClient("2025-09-01/a.csv").upload("6,6\n", 4);
  await store.client.getBlockBlobClient("theirs.csv").upload("x", 1);
  const { contentDisposition } = await store.client.getBlobClient("2025-09-02/b.csv").getProperties();
  await store.client
    .getBlockBlobClient("2025-09-02/b.csv")
    .upload("3", 1, { blobHTTPHeaders: { blobContentDisposition: contentDisposition } });

  const found = await readPublished(store.target);
  expect(found).toMatchObject({ count: 1, foreign: ["2025-09-01/a.csv", "theirs.csv"], damaged: ["2025-09-02/b.csv"] });
  expect(found!.contentDigest).not.toBe(before.contentDigest);
  expect(await comparePublished(store.target, await scan(), SSE)).toMatchObject({
    missing: ["2025-09-01/a.csv", "2025-09-02/b.csv", "empty.csv"],
    obsolete: [],
  });

  expect(await publish()).toMatchObject({
    contentDigest: before.contentDigest,
    uploaded: { count: 3 },
    foreign: ["theirs.csv"],
  });
  expect(await contentOf("2025-09-01/a.csv")).toBe("1,2\n");
});

test("removes what it wrote and nothing else", async () => {
  await store.client.getBlockBlobClient("results/part-0.csv").upload("x", 1);
  await publish({ prefix: "/input/" });
  expect(await contentOf("input/2025-09-01/a.csv")).toBe("1,2\n");
  expect(await deletePublished(store.target, { prefix: "other" })).toBe(0);
  expect(await deletePublished(store.target, { prefix: "input" })).toBe(4);
  expect(await deletePublished(store.target)).toBe(0);
  expect(await contentOf("results/part-0.csv")).toBe("x");
});

test("a container that is gone: reads as gone, deletes as deleted, refuses to publish", async () => {
  await store.client.delete();
  expect(await readPublished(store.target)).toBeUndefined();
  expect(await deletePublished(store.target)).toBe(0);
  await expect(publish()).rejects.toThrow(/There is no container "dataset\d+" of http/);
});

test("refuses a file that changed after it was scanned", async () => {
  const scanned = await scan();
  folder.write("2025-09-01/a.csv", "changed\n");
  await expect(publish({ scan: scanned })).rejects.toThrow(/2025-09-01\/a.csv: the file changed after it was checked/);
});

test("says when the store does not hold what was published", async () => {
  let uploaded = 0;
  store.onRequest = (request) => {
    // The service says yes to the upload and stores another record: a writer that races with us.
    if (request.method === "PUT" && ++uploaded === 1)
      request.headers.set("x-ms-blob-content-disposition", "attachment");
  };
  await expect(publish({ concurrency: 1 })).rejects.toThrow(/does not hold what was just published: 1 objects/);
});

test("reports progress at the end at least, in bytes and files", async () => {
  const reports: unknown[] = [];
  await publish({ onProgress: (progress) => reports.push(progress) });
  expect(reports.at(-1)).toMatchObject({ files: 4, totalFiles: 4, bytes: 12, totalBytes: 12 });
});

test.each(["a\\b.csv", "folder./b.csv", "a\nb.csv"])("names a file that cannot become a blob: %j", async (name) => {
  folder.write(name, "1,2\n");
  await expect(publish()).rejects.toThrow(/cannot be the name of a blob/);
});

test("many files: the store is listed again, and one that was exchanged meanwhile is found", async () => {
  for (let i = 0; i < 70; i++) folder.write(`many/${i}.csv`, `${i}\n`);
  expect(await publish()).toMatchObject({ count: 74, uploaded: { count: 74 } });
  expect(store.requests.filter((request) => request.startsWith("GET "))).toHaveLength(2);

  for (let i = 0; i < 70; i++) folder.write(`many/${i}.csv`, `changed ${i}\n`);
  store.onRequest = (request) => {
    if (request.method === "PUT" && request.url.endsWith("many/7.csv"))
      request.headers.remove("x-ms-blob-content-disposition");
  };
  await expect(publish()).rejects.toThrow(/1 objects are missing, differ or are too many \(many\/7\.csv\)/);
});

describe("what is remembered of the last publication", () => {
  const file = () => path.join(folder.directory, ".cleanroom/index/published");
  const listings = () => store.requests.filter((request) => request.startsWith("GET "));

  test("spares the listing, and gives the same result", async () => {
    await store.client.getBlockBlobClient("theirs.csv").upload("x", 1);
    const first = await publish({ last: { file: file() } });
    store.requests.length = 0;
    folder.write("2025-09-02/b.csv", "3,5\n");
    fs.rmSync(path.join(folder.directory, "empty.csv"));
    const second = await publish({ last: { file: file(), contentDigest: first.contentDigest } });
    expect(store.requests.sort()).toEqual([
      "DELETE empty.csv",
      "HEAD 2025-09-02/b.csv",
      "HEAD empty.csv",
      "PUT 2025-09-02/b.csv",
    ]);
    expect(second).toMatchObject({ count: 3, uploaded: { count: 1 }, deleted: 1, foreign: ["theirs.csv"] });
    expect(await readPublished(store.target)).toMatchObject({ count: 3, contentDigest: second.contentDigest });
  });

  test("is not trusted once a refresh has found something else, nor for another folder", async () => {
    const first = await publish({ last: { file: file() } });
    await store.client.getBlobClient("empty.csv").delete();
    const { contentDigest } = (await readPublished(store.target))!;
    store.requests.length = 0;
    expect(await publish({ last: { file: file(), contentDigest } })).toEqual({
      ...first,
      uploaded: { count: 1, bytes: 0 },
    });
    expect(listings()).toHaveLength(1);
    expect(
      await publish({ prefix: "other", last: { file: file(), contentDigest: first.contentDigest } }),
    ).toMatchObject({ uploaded: { count: 4 } });
  });

  test("is gone after an interruption, so that the next run sees how far that one came", async () => {
    const { contentDigest } = await publish({ last: { file: file() } });
    for (const name of ["2025-09-01/a.csv", "2025-09-02/b.csv"]) folder.write(name, "changed\n");
    store.onRequest = (request) => {
      if (request.method === "PUT" && request.url.includes("2025-09-02")) throw new Error("the line is down");
    };
    await expect(publish({ concurrency: 1, last: { file: file(), contentDigest } })).rejects.toThrow(
      "the line is down",
    );
    store.onRequest = undefined;
    expect((await publish({ last: { file: file(), contentDigest } })).uploaded.count).toBe(1);
  });
});
