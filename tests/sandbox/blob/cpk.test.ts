import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { request, runScript, temporaryHost, userEnvironment, userToken } from "../entra/support.ts";
import type { OpenHost } from "../entra/support.ts";
import { ACCOUNT, bytesBelow, startServices, STORAGE_SCOPE } from "./support.ts";
import type { Services } from "./support.ts";

const CHUNK = 256 * 1024;
const MARK = "THE PLAINTEXT OF A CUSTOMER ";
const key = keyHeaders(crypto.randomBytes(32));
const otherKey = keyHeaders(crypto.randomBytes(32));

let host: OpenHost;
let services: Services;
let token: string;

beforeAll(async () => {
  host = await temporaryHost();
  services = await startServices(host);
  await services.blob.putContainer(ACCOUNT, "data", "None");
  token = await userToken(host, services.entra, "northwind", STORAGE_SCOPE);
});
afterAll(async () => {
  await services.blob.stop();
  await services.entra.stop();
  host.close();
});

function keyHeaders(bytes: Buffer): Record<string, string> {
  return {
    "x-ms-encryption-key": bytes.toString("base64"),
    "x-ms-encryption-key-sha256": crypto.createHash("sha256").update(bytes).digest("base64"),
    "x-ms-encryption-algorithm": "AES256",
  };
}

/** Text that would be found at rest if it were not encrypted, of any size. */
function plaintext(size: number): Buffer {
  return Buffer.concat([Buffer.from(MARK), crypto.randomBytes(size)]).subarray(0, size);
}

async function call(method: string, target: string, headers: Record<string, string> = {}, body?: Buffer | string) {
  const answer = await request(host, `${services.endpoint}${target}`, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      "x-ms-version": "2025-11-05",
      ...(method === "PUT" && { "content-length": String(body ? Buffer.byteLength(body) : 0) }),
      ...headers,
    },
    ...(body !== undefined && { body }),
  });
  return { ...answer, code: answer.headers["x-ms-error-code"] };
}

const putBlob = (name: string, body: Buffer, headers: Record<string, string> = {}) =>
  call("PUT", `data/${name}`, { "x-ms-blob-type": "BlockBlob", ...headers }, body);
const blockId = (index: number) => Buffer.from(`block-${String(index).padStart(5, "0")}`).toString("base64");
const putBlock = (name: string, index: number, body: Buffer, headers: Record<string, string> = {}) =>
  call("PUT", `data/${name}?comp=block&blockid=${encodeURIComponent(blockId(index))}`, headers, body);
const putBlockList = (name: string, entries: [string, number][], headers: Record<string, string> = {}) =>
  call(
    "PUT",
    `data/${name}?comp=blocklist`,
    headers,
    `<?xml version="1.0" encoding="utf-8"?><BlockList>${entries.map(([kind, index]) => `<${kind}>${blockId(index)}</${kind}>`).join("")}</BlockList>`,
  );

test("the unmodified SDK uploads in blocks, downloads, reads ranges and properties with the key only", async () => {
  const script = `
    import { DefaultAzureCredential } from "@azure/identity";
    import { BlobServiceClient } from "@azure/storage-blob";
    import crypto from "node:crypto";
    const service = new BlobServiceClient(process.env.endpoint, new DefaultAzureCredential({ disableInstanceDiscovery: true }));
    const blob = service.getContainerClient("data").getBlockBlobClient("sdk/file.csv");
    const cpk = (bytes) => ({ encryptionKey: bytes.toString("base64"), encryptionAlgorithm: "AES256",
      encryptionKeySha256: crypto.createHash("sha256").update(bytes).digest("base64") });
    const customerProvidedKey = cpk(crypto.randomBytes(32));
    const code = (work) => work.then(() => "none", (error) => error.statusCode + " " + (error.code ?? error.details?.errorCode));
    const big = crypto.randomBytes(5 * 1024 * 1024 + 123);
    // uploadData() would stage its blocks without the key: an omission of the SDK.
    const parts = [0, 1, 2, 3, 4, 5].map((index) => big.subarray(index * 1024 * 1024, (index + 1) * 1024 * 1024));
    const ids = parts.map((_, index) => Buffer.from("b" + index).toString("base64"));
    await Promise.all(parts.map((part, index) => blob.stageBlock(ids[index], part, part.length, { customerProvidedKey })));
    await blob.commitBlockList(ids, { customerProvidedKey, metadata: { Rows: "12" } });
    const properties = await blob.getProperties({ customerProvidedKey });
    console.log(JSON.stringify({
      same: (await blob.downloadToBuffer(0, undefined, { customerProvidedKey, blockSize: 700_001, concurrency: 3 })).equals(big),
      range: (await blob.downloadToBuffer(1_048_570, 12, { customerProvidedKey })).equals(big.subarray(1_048_570, 1_048_582)),
      length: properties.contentLength, metadata: properties.metadata,
      sha: properties.encryptionKeySha256 === customerProvidedKey.encryptionKeySha256,
      without: await code(blob.download()), wrong: await code(blob.download(0, 10, { customerProvidedKey: cpk(crypto.randomBytes(32)) })),
      exists: await blob.exists(),
    }));`;
  expect(
    await runScript(host, script, { ...userEnvironment(services.entra, "northwind"), endpoint: services.endpoint }),
  ).toEqual({
    same: true,
    range: true,
    length: 5 * 1024 * 1024 + 123,
    metadata: { rows: "12" },
    sha: true,
    without: "409 BlobUsesCustomerSpecifiedEncryption",
    wrong: "409 BlobCustomerSpecifiedEncryptionMismatch",
    exists: true,
  });
});

describe("a blob put with a key", () => {
  test.each([0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17])(
    "of %i bytes reads back the same",
    async (size) => {
      const body = plaintext(size);
      const put = await putBlob(`size-${size}`, body, key);
      expect([put.status, put.headers["x-ms-encryption-key-sha256"]]).toEqual([201, key["x-ms-encryption-key-sha256"]]);
      const got = await call("GET", `data/size-${size}`, key);
      expect([got.status, got.body.equals(body)]).toEqual([200, true]);
      const md5 = crypto.createHash("md5").update(body).digest("base64");
      expect([put.headers["content-md5"], got.headers["content-md5"]]).toEqual([md5, md5]);
      expect((await call("HEAD", `data/size-${size}`, key)).headers["content-length"]).toBe(String(size));
    },
  );

  test.each([
    ["bytes=0-0", 0, 1],
    [`bytes=${CHUNK - 1}-${CHUNK}`, CHUNK - 1, CHUNK + 1],
    [`bytes=${CHUNK}-${2 * CHUNK - 1}`, CHUNK, 2 * CHUNK],
    [`bytes=${2 * CHUNK + 5}-`, 2 * CHUNK + 5, undefined],
    ["bytes=10-99999999", 10, undefined],
  ])("answers range %s", async (range, start, end) => {
    const body = plaintext(2 * CHUNK + 1000);
    await putBlob("ranges", body, key);
    const got = await call("GET", "data/ranges", { ...key, range });
    const expected = body.subarray(start, end);
    expect([got.status, got.body.equals(expected)]).toEqual([206, true]);
    expect(got.headers["content-range"]).toBe(`bytes ${start}-${start + expected.length - 1}/${body.length}`);
    expect(got.headers["content-length"]).toBe(String(expected.length));
  });

  test("refuses a range behind its end, and honours conditions", async () => {
    await putBlob("conditions", plaintext(10), key);
    const beyond = await call("GET", "data/conditions", { ...key, range: "bytes=10-20" });
    expect([beyond.status, beyond.code]).toEqual([416, "InvalidRange"]);
    const { etag } = (await call("HEAD", "data/conditions", key)).headers;
    expect((await call("GET", "data/conditions", { ...key, "if-none-match": String(etag) })).status).toBe(304);
    expect((await putBlob("conditions", plaintext(10), { ...key, "if-none-match": "*" })).status).toBe(409);
    expect((await call("GET", "data/conditions", key)).status).toBe(200);
  });

  test("cannot be read or changed without its key", async () => {
    await putBlob("locked", plaintext(50), key);
    const attempts = (headers: Record<string, string>) =>
      Promise.all([
        call("GET", "data/locked", headers),
        call("HEAD", "data/locked", headers),
        call("PUT", "data/locked?comp=metadata", { ...headers, "x-ms-meta-a": "b" }),
        call("PUT", "data/locked?comp=snapshot", headers),
        call("PUT", "data/locked?comp=properties", headers),
      ]);
    const without = await attempts({});
    expect(without.map(({ status }) => status)).toEqual([409, 409, 409, 409, 409]);
    expect(new Set(without.map(({ code }) => code))).toEqual(new Set(["BlobUsesCustomerSpecifiedEncryption"]));
    const wrong = await attempts(otherKey);
    expect(new Set(wrong.map(({ code }) => code))).toEqual(new Set(["BlobCustomerSpecifiedEncryptionMismatch"]));
    expect((await attempts(key)).map(({ status }) => status)).toEqual([200, 200, 200, 201, 200]);
    const after = await call("GET", "data/locked", key);
    expect([after.headers["x-ms-meta-a"], after.body.length]).toEqual(["b", 50]);
    expect(Object.keys(after.headers).filter((name) => name.includes("sandbox"))).toEqual([]);
  });

  test("cannot be copied, and may be overwritten and deleted without it", async () => {
    await putBlob("source", plaintext(50), key);
    const copy = await call("PUT", "data/copied", { "x-ms-copy-source": `${services.endpoint}data/source` });
    expect([copy.status, copy.code]).toEqual([409, "BlobUsesCustomerSpecifiedEncryption"]);
    expect((await putBlob("source", Buffer.from("plain now"))).status).toBe(201);
    expect((await call("GET", "data/source")).body.toString()).toBe("plain now");
    await putBlob("source", plaintext(5), key);
    expect((await call("DELETE", "data/source")).status).toBe(202);
  });

  test("can be filled from a blob that has none", async () => {
    const body = plaintext(CHUNK + 3);
    await putBlob("open", body);
    const source = { "x-ms-copy-source": `${services.endpoint}data/open` };
    expect((await call("PUT", "data/filled", { ...key, ...source, "x-ms-blob-type": "BlockBlob" })).status).toBe(201);
    expect((await call("GET", "data/filled", key)).body.equals(body)).toBe(true);
    expect((await call("GET", "data/filled")).status).toBe(409);
  });
});

test("a key that is not needed is refused; malformed keys name their header", async () => {
  await putBlob("plain", Buffer.from("plain"));
  for (const method of ["GET", "HEAD"]) {
    expect((await call(method, "data/plain", key)).code).toBe("BlobDoesNotUseCustomerSpecifiedEncryption");
  }
  const refused = async (changes: Record<string, string | undefined>) => {
    const headers = Object.fromEntries(
      Object.entries({ ...key, ...changes }).filter(([, value]) => value !== undefined),
    );
    const { status, code, body } = await putBlob("bad", Buffer.from("x"), headers as Record<string, string>);
    return [status, code, body.toString()].join(" ");
  };
  expect(await refused({ "x-ms-encryption-key-sha256": otherKey["x-ms-encryption-key-sha256"] })).toMatch(
    /400 InvalidHeaderValue.*-sha256/s,
  );
  expect(await refused({ "x-ms-encryption-algorithm": undefined })).toMatch(/400 MissingRequiredHeader/);
  expect(await refused({ "x-ms-encryption-algorithm": "AES128" })).toMatch(/-algorithm must be AES256/);
  expect(await refused({ "x-ms-encryption-key": Buffer.alloc(16).toString("base64") })).toMatch(/must be 32 bytes/);
  expect((await call("GET", "data/bad")).status).toBe(404);
});

test("a body that does not match its MD5 never becomes a blob", async () => {
  const answer = await putBlob("sum", plaintext(CHUNK * 2), {
    ...key,
    "content-md5": Buffer.alloc(16).toString("base64"),
  });
  expect([answer.status, answer.code]).toEqual([400, "Md5Mismatch"]);
  expect((await call("GET", "data/sum", key)).status).toBe(404);
});

describe("blocks", () => {
  const [a, b, c] = [plaintext(CHUNK + 5), plaintext(10), plaintext(CHUNK)];

  test("are committed in any order, kept and replaced", async () => {
    await putBlock("blocks", 0, a, key);
    await putBlock("blocks", 1, b, key);
    expect(
      (
        await putBlockList(
          "blocks",
          [
            ["Latest", 1],
            ["Uncommitted", 0],
          ],
          key,
        )
      ).status,
    ).toBe(201);
    expect((await call("GET", "data/blocks", key)).body.equals(Buffer.concat([b, a]))).toBe(true);
    await putBlock("blocks", 1, c, key);
    expect(
      (
        await putBlockList(
          "blocks",
          [
            ["Committed", 0],
            ["Latest", 1],
            ["Committed", 1],
          ],
          key,
        )
      ).status,
    ).toBe(201);
    const got = await call("GET", "data/blocks", { ...key, range: `bytes=${a.length - 2}-${a.length + c.length + 1}` });
    expect(got.body.equals(Buffer.concat([a.subarray(-2), c, b.subarray(0, 2)]))).toBe(true);
  });

  test("of different keys, or without one, do not make a blob", async () => {
    await putBlock("mixed", 0, a, key);
    await putBlock("mixed", 1, b, otherKey);
    await putBlock("mixed", 2, c);
    expect(
      (
        await putBlockList(
          "mixed",
          [
            ["Latest", 0],
            ["Latest", 1],
          ],
          key,
        )
      ).code,
    ).toBe("BlobCustomerSpecifiedEncryptionMismatch");
    expect((await putBlockList("mixed", [["Latest", 0]])).code).toBe("BlobUsesCustomerSpecifiedEncryption");
    expect((await putBlockList("mixed", [["Latest", 2]], key)).code).toBe("InvalidBlockList");
    expect((await putBlockList("mixed", [["Latest", 2]])).status).toBe(201);
    expect((await call("GET", "data/mixed")).body.equals(c)).toBe(true);
  });
});

test("a listing shows plaintext lengths and the key's digest, and nothing of the sandbox's own", async () => {
  await services.blob.putContainer(ACCOUNT, "listed", "None");
  await call("PUT", "listed/secret", { "x-ms-blob-type": "BlockBlob", "x-ms-meta-own": "1", ...key }, plaintext(77));
  await call("PUT", "listed/open", { "x-ms-blob-type": "BlockBlob" }, "open");
  const bare = (await call("GET", "listed?restype=container&comp=list")).body.toString();
  expect(bare).toContain("<Content-Length>77</Content-Length>");
  expect(bare).toContain(`<CustomerProvidedKeySha256>${key["x-ms-encryption-key-sha256"]}</CustomerProvidedKeySha256>`);
  expect(bare).not.toMatch(/sandboxcpk|<own>/);
  const full = (await call("GET", "listed?restype=container&comp=list&include=metadata")).body.toString();
  expect(full).toContain("<own>1</own>");
  expect(full).not.toContain("sandboxcpk");
});

test("at rest neither content nor key can be found, and a changed byte is noticed", async () => {
  const body = plaintext(CHUNK + 1000);
  await putBlob("rest", body, key);
  await services.blob.stop();
  const stored = bytesBelow(host.stateDir);
  expect(stored.includes(body.subarray(0, 64))).toBe(false);
  expect(stored.includes(body.subarray(CHUNK, CHUNK + 64))).toBe(false);
  expect(stored.includes(key["x-ms-encryption-key"] as string)).toBe(false);
  expect(stored.includes(Buffer.from(key["x-ms-encryption-key"] as string, "base64"))).toBe(false);
  flipLastByte(path.join(host.stateDir, "blobs", "extents"));
  await services.blob.start();
  const [whole, intact] = await Promise.allSettled([
    call("GET", "data/rest", key),
    call("GET", "data/rest", { ...key, range: "bytes=0-99" }),
  ]);
  expect(whole.status === "rejected" || !whole.value.body.equals(body)).toBe(true);
  expect(intact.status === "fulfilled" && intact.value.body.equals(body.subarray(0, 100))).toBe(true);
  const end = await call("GET", "data/rest", { ...key, range: `bytes=${CHUNK}-` });
  expect([end.status, end.code]).toEqual([500, "InternalError"]);
});

test("a large body for a container that does not exist is refused and blocks nothing", async () => {
  const body = plaintext(20 * CHUNK);
  for (const headers of [{}, key]) {
    const answer = await call("PUT", "missing/x", { "x-ms-blob-type": "BlockBlob", ...headers }, body);
    expect([answer.status, answer.code]).toEqual([404, "ContainerNotFound"]);
  }
  expect((await call("GET", "data/plain")).body.toString()).toBe("plain");
});

test("integrity data of blobs that are gone is swept at the next start, that of the others stays", async () => {
  const tables = path.join(host.stateDir, "blob-keys", "tables");
  await putBlob("swept", plaintext(10), key);
  await putBlob("stays", plaintext(10), key);
  await call("DELETE", "data/swept");
  const before = fs.readdirSync(tables).length;
  await services.blob.stop();
  await services.blob.start();
  expect(fs.readdirSync(tables).length).toBeLessThan(before);
  expect((await call("GET", "data/stays", key)).status).toBe(200);
});

/** Of the extent written last: the end of the blob put last. */
function flipLastByte(dir: string): void {
  const files = fs.readdirSync(dir).map((name) => path.join(dir, name));
  const newest = files.sort((x, y) => fs.statSync(y).mtimeMs - fs.statSync(x).mtimeMs)[0] as string;
  const bytes = fs.readFileSync(newest);
  bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
  fs.writeFileSync(newest, bytes);
}
