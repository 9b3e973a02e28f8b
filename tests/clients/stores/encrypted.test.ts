import { randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { BLOCK_OVERHEAD, TRAILER_LENGTH } from "../../../domain/data/blockFormat.ts";
import type { Encryption } from "../../../domain/data/publishedFile.ts";
import { scanDirectory } from "../../../clients/files/scan.ts";
import { downloadResult, listResults } from "../../../clients/stores/download.ts";
import { publishFiles, type PublishOptions } from "../../../clients/stores/publish.ts";
import { readPublished, verifyContent } from "../../../clients/stores/verify.ts";
import { makeFolder } from "../files/folder.ts";
import { startAzurite, type TestContainer } from "./azurite.ts";

const BLOCK = 256 * 1024;
const KEY = randomBytes(32);
const CSE = { mode: "CSE", key: KEY, blockSize: BLOCK } as const;

let azurite: Awaited<ReturnType<typeof startAzurite>>;
let store: TestContainer;
let folder: ReturnType<typeof makeFolder>;
let containers = 0;
const contents: Record<string, Buffer> = {
  "empty.csv": Buffer.alloc(0),
  "small.csv": Buffer.from("1,2\n"),
  "block.csv": randomBytes(BLOCK),
  "one-more.csv": randomBytes(BLOCK + 1),
  "folder/parts.csv": randomBytes(70 * BLOCK - 3),
};

beforeAll(async () => {
  azurite = await startAzurite();
});
afterAll(() => azurite.stop());
beforeEach(async () => {
  store = await azurite.container(`encrypted${++containers}`);
  folder = makeFolder(contents);
});
afterEach(() => folder.remove());

const publish = async (encryption: Encryption, options: Partial<PublishOptions> = {}) =>
  publishFiles({
    directory: folder.directory,
    scan: await scanDirectory(folder.directory, { format: "csv" }),
    target: store.target,
    encryption,
    ...options,
  });
const stored = (name: string) => store.client.getBlobClient(name).downloadToBuffer();
/** Writes other content under a name and keeps what we noted there, as a careful forger would. */
async function replace(name: string, content: Buffer) {
  const { contentDisposition } = await store.client.getBlobClient(name).getProperties();
  await store.client
    .getBlockBlobClient(name)
    .upload(content, content.length, { blobHTTPHeaders: { blobContentDisposition: contentDisposition } });
}

test("CSE: every file comes back as it was, and nothing of it is readable in the store", async () => {
  const result = await publish(CSE);
  expect(result).toMatchObject({ count: 5, uploaded: { count: 5 } });
  expect(store.requests.filter((request) => request.startsWith("PUT folder/parts.csv?comp=block&"))).toHaveLength(3);
  for (const [name, content] of Object.entries(contents)) {
    expect((await buffer(await downloadResult(store.target, name, CSE))).equals(content)).toBe(true);
    expect((await stored(name)).includes(content.subarray(0, 16))).toBe(content.length === 0);
  }
  expect(await stored("empty.csv")).toHaveLength(TRAILER_LENGTH);
  expect(await stored("small.csv")).toHaveLength(BLOCK + BLOCK_OVERHEAD + TRAILER_LENGTH);
  expect((await stored("small.csv")).subarray(0, 12)).not.toEqual((await stored("block.csv")).subarray(0, 12));
  expect(await verifyContent(store.target, CSE)).toEqual([]);
});

test("CSE: 16 MiB blocks unless told otherwise", async () => {
  await publish({ mode: "CSE", key: KEY });
  expect(await stored("small.csv")).toHaveLength(16 * 1024 * 1024 + 36);
  expect((await buffer(await downloadResult(store.target, "small.csv", { mode: "CSE", key: KEY }))).toString()).toBe(
    "1,2\n",
  );
});

test("CSE: publishing again uploads nothing; another key or block size uploads everything", async () => {
  const first = await publish(CSE);
  expect((await publish(CSE)).uploaded.count).toBe(0);
  expect((await publish({ ...CSE, blockSize: BLOCK / 2 })).uploaded.count).toBe(5);
  const rotated = await publish({ ...CSE, key: randomBytes(32) });
  expect(rotated.uploaded.count).toBe(5);
  expect(rotated.contentDigest).not.toBe(first.contentDigest);
});

test("what the store shows about a file does not tell its digest, nor that two files are equal", async () => {
  folder.write("copy.csv", contents["small.csv"]!);
  await publish(CSE);
  const scan = await scanDirectory(folder.directory, { format: "csv" });
  const shown: string[] = [];
  for await (const blob of store.client.listBlobsFlat({ includeMetadata: true })) shown.push(JSON.stringify(blob));
  for (const { sha256 } of scan.files) {
    const forms = [sha256, Buffer.from(sha256, "hex").toString("base64")];
    for (const form of forms) expect(shown.join()).not.toContain(form);
  }
  const digests = shown.filter((blob) => /small|copy/.test(blob)).map((blob) => /\/([0-9a-f]{64})/.exec(blob)![1]);
  expect(new Set(digests).size).toBe(2);
});

test("CSE: damage that the format detects", async () => {
  await publish(CSE);
  const content = await stored("one-more.csv");
  content[100]! ^= 1;
  await replace("one-more.csv", content);
  await expect(downloadResult(store.target, "one-more.csv", CSE).then(buffer)).rejects.toThrow(
    /one-more\.csv: a block does not authenticate/,
  );
  await expect(
    downloadResult(store.target, "small.csv", { ...CSE, key: randomBytes(32) }).then(buffer),
  ).rejects.toThrow(/encrypted with another key/);
  await expect(
    downloadResult(store.target, "small.csv", { ...CSE, blockSize: BLOCK * 2 }).then(buffer),
  ).rejects.toThrow(/is not a length of a file/);
  const { length } = await stored("block.csv");
  const trailer = Buffer.alloc(TRAILER_LENGTH);
  trailer.writeBigUInt64BE(5n);
  await replace(
    "block.csv",
    Buffer.concat([(await stored("block.csv")).subarray(0, length - TRAILER_LENGTH), trailer]),
  );
  await expect(downloadResult(store.target, "block.csv", CSE).then(buffer)).rejects.toThrow(
    /counts bytes of the file as padding/,
  );
});

test("CSE: swapped blocks decrypt, and only the published digest finds them", async () => {
  await publish(CSE);
  const sealed = BLOCK + BLOCK_OVERHEAD;
  const content = await stored("folder/parts.csv");
  await replace(
    "folder/parts.csv",
    Buffer.concat([content.subarray(sealed, 2 * sealed), content.subarray(0, sealed), content.subarray(2 * sealed)]),
  );
  const read = await buffer(await downloadResult(store.target, "folder/parts.csv", CSE));
  expect(read.equals(contents["folder/parts.csv"]!)).toBe(false);
  expect(read).toHaveLength(contents["folder/parts.csv"]!.length);
  expect(await verifyContent(store.target, CSE)).toEqual(["folder/parts.csv"]);
});

test("CSE: blocks cut off at a border decrypt, and a listing is enough to find them", async () => {
  const before = await publish(CSE);
  const content = await stored("folder/parts.csv");
  const sealed = BLOCK + BLOCK_OVERHEAD;
  await replace("folder/parts.csv", Buffer.concat([content.subarray(0, 3 * sealed), Buffer.alloc(TRAILER_LENGTH)]));
  expect(await buffer(await downloadResult(store.target, "folder/parts.csv", CSE))).toHaveLength(3 * BLOCK);
  const after = await readPublished(store.target);
  expect(after).toMatchObject({ damaged: ["folder/parts.csv"] });
  expect(after!.contentDigest).not.toBe(before.contentDigest);
  expect(await verifyContent(store.target, CSE)).toEqual(["folder/parts.csv"]);
});

test("an earlier version of a file put back is found by a listing", async () => {
  await publish(CSE);
  const old = await stored("small.csv");
  const { contentDisposition } = await store.client.getBlobClient("small.csv").getProperties();
  folder.write("small.csv", "3,4\n");
  const current = await publish(CSE);
  await store.client
    .getBlockBlobClient("small.csv")
    .upload(old, old.length, { blobHTTPHeaders: { blobContentDisposition: contentDisposition } });
  expect((await readPublished(store.target))!.contentDigest).not.toBe(current.contentDigest);
  expect((await publish(CSE)).uploaded.count).toBe(1);
});

test("results are listed below a path, recursively, without Hadoop's own files", async () => {
  for (const name of [
    "c1/2025-09-01/run/part-0.csv",
    "c1/2025-09-01/run/.part-0.csv.crc",
    "c1/2025-09-01/run/_SUCCESS",
    "c2/part-0.csv",
  ]) {
    await store.client.getBlockBlobClient(name).upload("x", 1);
  }
  const found = [];
  for await (const file of listResults(store.target, { path: "c1" })) found.push(file);
  expect(found).toEqual([{ name: "c1/2025-09-01/run/part-0.csv", storedSize: 1 }]);
});

test("a file that the file system plugin created and never wrote reads as empty", async () => {
  await store.client.getBlockBlobClient("created.csv").upload("", 0);
  expect(await buffer(await downloadResult(store.target, "created.csv", CSE))).toHaveLength(0);
});

test.each([
  [{ ...CSE, key: randomBytes(16) }, /must have 32 bytes/],
  [{ ...CSE, blockSize: 0 }, /block size must be a number of bytes from 1/],
  [{ ...CSE, blockSize: 1e9 }, /block size must be a number of bytes from 1/],
])("refuses keys and block sizes that cannot be", async (encryption, message) => {
  await expect(publish(encryption)).rejects.toThrow(message);
});
