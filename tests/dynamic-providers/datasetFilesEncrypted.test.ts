import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { inspect } from "node:util";
import { BlobServiceClient, type ContainerClient } from "@azure/storage-blob";
import { azureCredential } from "../../clients/azure/credential.ts";
import { provider } from "../../dynamic-providers/datasetFiles.ts";
import { decryptBlocks } from "../../sandbox/cleanroom/data/block-format.ts";
import { PERSONAS } from "../../sandbox/entra/directory.ts";
import { bytesBelow } from "../sandbox/blob/support.ts";
import { Storage } from "../support/cleanRoom.ts";
import { Resource, UNKNOWN } from "../support/engine.ts";
import { Lab } from "../support/lab.ts";

type Mode = "CSE" | "CPK";

const home = process.cwd();
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "encrypted files "));
const FILES = { "2025-09-01/a.csv": "2025-09-01,anna\n", "2025-09-02/b.csv": "2025-09-02,bert\n", "empty.csv": "" };

let lab: Lab;
let storage: Storage;
let log: jest.SpyInstance;
let count = 0;
beforeAll(async () => {
  log = jest.spyOn(console, "log").mockImplementation(() => undefined);
  process.chdir(folder);
  lab = await Lab.signedIn();
  storage = await Storage.start(lab, "northwind");
});
afterAll(async () => {
  await storage?.blobs.stop();
  await lab?.stop();
  process.chdir(home);
  fs.rmSync(folder, { recursive: true });
});
beforeEach(() => log.mockClear());

const newKey = (): string => randomBytes(32).toString("base64");
const resource = (): Resource => new Resource(provider, lab.config("northwind"), ["key"]);

/** A folder with files and an empty container. */
async function inputs(encryption: Mode, change: object = {}) {
  const name = `input-${++count}`;
  await storage.container("northwind", name);
  const directory = path.join(folder, name);
  for (const [file, text] of Object.entries(FILES)) write(directory, file, text);
  return {
    directory,
    format: "csv",
    fields: [
      { name: "date", type: "date" },
      { name: "author", type: "string" },
    ],
    strict: true,
    location: { type: "Azure_BlobStorage", blobEndpoint: storage.endpoint("northwind").blob, container: name },
    encryption,
    key: newKey(),
    ...change,
  };
}
type Wanted = Awaited<ReturnType<typeof inputs>>;

function write(directory: string, file: string, text: string): void {
  fs.mkdirSync(path.dirname(path.join(directory, file)), { recursive: true });
  fs.writeFileSync(path.join(directory, file), text);
}

function container({ location }: Wanted): ContainerClient {
  const endpoint = location.blobEndpoint.replace(/\/$/, "");
  return new BlobServiceClient(endpoint, azureCredential(PERSONAS.northwind)).getContainerClient(location.container);
}

/** One object's content, as somebody who has a key reads it. */
async function read(wanted: Wanted, file: string, key = wanted.key): Promise<string> {
  const bytes = Buffer.from(key, "base64");
  const customerProvidedKey = {
    encryptionKey: key,
    encryptionKeySha256: createHash("sha256").update(bytes).digest("base64"),
    encryptionAlgorithm: "AES256" as const,
  };
  const options = wanted.encryption === "CPK" ? { customerProvidedKey } : {};
  const stored = await container(wanted).getBlobClient(file).downloadToBuffer(0, undefined, options);
  return (wanted.encryption === "CSE" ? decryptBlocks(stored, bytes) : stored).toString("utf8");
}

async function everything(wanted: Wanted, key = wanted.key): Promise<Record<string, string>> {
  const contents: Record<string, string> = {};
  for await (const { name } of container(wanted).listBlobsFlat()) contents[name] = await read(wanted, name, key);
  return contents;
}

/** How many files the last call says it uploaded. */
const uploaded = (): number => Number(/: (\d+) files uploaded/.exec(log.mock.calls.flat().join("\n"))?.[1]);

describe.each<[Mode, object]>([
  ["CSE", { message: "A client-side encrypted file does not open with the dataset's key." }],
  ["CPK", { statusCode: 409 }],
])("files under %s", (mode, refusal) => {
  test("are readable with the key and only with it; then nothing changes any more", async () => {
    const files = resource();
    const wanted = await inputs(mode);
    expect(await files.up(wanted)).toBe("create");
    expect(await everything(wanted)).toEqual(FILES);
    await expect(read(wanted, "2025-09-01/a.csv", newKey())).rejects.toMatchObject(refusal);
    expect(bytesBelow(lab.host.stateDir).includes("2025-09-01,anna")).toBe(false);
    expect(await files.up(wanted)).toBe("same");
    expect(await files.refresh()).toBe("same");
    expect(await files.up(wanted)).toBe("same");
  });

  test("that were uploaded before a crash are not uploaded again", async () => {
    const files = resource();
    const wanted = await inputs(mode);
    await files.up(wanted);
    log.mockClear();
    await files.upAfterCrash(wanted);
    expect(uploaded()).toBe(0);
  });

  test("are followed: only what changed is encrypted and uploaded", async () => {
    const files = resource();
    const wanted = await inputs(mode);
    await files.up(wanted);
    write(wanted.directory, "2025-09-02/b.csv", "2025-09-02,berta\n");
    log.mockClear();
    expect(await files.up(wanted)).toBe("update");
    expect(uploaded()).toBe(1);
    expect(await everything(wanted)).toEqual({ ...FILES, "2025-09-02/b.csv": "2025-09-02,berta\n" });
  });

  test("are encrypted and uploaded again, all of them, with another key", async () => {
    const files = resource();
    const wanted = await inputs(mode);
    await files.up(wanted);
    const rotated = { ...wanted, key: newKey() };
    expect(await files.preview(rotated)).toBe("update");
    log.mockClear();
    expect(await files.up(rotated)).toBe("update");
    expect(uploaded()).toBe(Object.keys(FILES).length);
    expect(await everything(rotated)).toEqual(FILES);
    await expect(read(rotated, "2025-09-01/a.csv", wanted.key)).rejects.toMatchObject(refusal);
    expect(await files.refresh()).toBe("same");
  });

  test("one of which somebody replaced with plain text drift, and are put right", async () => {
    const files = resource();
    const wanted = await inputs(mode);
    await files.up(wanted);
    await container(wanted).deleteBlob("2025-09-01/a.csv");
    await container(wanted).getBlockBlobClient("2025-09-01/a.csv").upload("2025-09-01,eve\n", 15);
    expect(await files.refresh()).toBe("drifted");
    expect(await files.preview(wanted)).toBe("update");
    await files.up(wanted);
    expect(await everything(wanted)).toEqual(FILES);
  });

  test("are planned while the key is not known yet", async () => {
    const files = resource();
    const wanted = await inputs(mode);
    expect(await files.preview({ ...wanted, key: UNKNOWN })).toBe("create");
    await files.up(wanted);
    expect(await files.preview({ ...wanted, key: UNKNOWN })).toBe("update");
  });

  test("are all there, encrypted anew, after the encryption has changed in the same container", async () => {
    const files = resource();
    const wanted = await inputs(mode);
    await files.up(wanted);
    const other = { ...wanted, encryption: mode === "CSE" ? ("CPK" as const) : ("CSE" as const) };
    expect(await files.preview(other)).toBe("update");
    expect(await files.up(other)).toBe("update");
    expect(await everything(other)).toEqual(FILES);
    expect(await files.refresh()).toBe("same");
  });

  test("are deleted without the key being asked for, as often as one likes", async () => {
    const files = resource();
    const wanted = await inputs(mode);
    await files.up(wanted);
    await files.destroy();
    await files.destroy();
    expect(await files.refresh()).toBe("gone");
    expect(await files.up(wanted)).toBe("create");
    expect(await everything(wanted)).toEqual(FILES);
  });

  test("tell the key to nobody: not in outputs, progress, names or properties of objects", async () => {
    const files = resource();
    const wanted = await inputs(mode);
    await files.up(wanted);
    const { key: _, ...outputs } = files.outputs;
    const objects: unknown[] = [];
    for await (const object of container(wanted).listBlobsFlat({ includeMetadata: true })) objects.push(object);
    expectNothingOf(wanted.key, [outputs, files.id, log.mock.calls, objects]);
  });

  test("nor in an error: the store refuses, the key is none", async () => {
    const elsewhere = await inputs(mode);
    const location = { ...elsewhere.location, container: "not-a-container" };
    const short = randomBytes(16).toString("base64");
    for (const wanted of [
      { ...elsewhere, location },
      { ...elsewhere, key: short },
    ]) {
      const error = await resource()
        .up(wanted)
        .catch((reason: unknown) => reason);
      expect(error).toHaveProperty("message");
      expectNothingOf(wanted.key, [error, log.mock.calls]);
    }
    await expect(resource().up({ ...elsewhere, key: short })).rejects.toThrow(
      "The data encryption key must have 32 bytes.",
    );
    await expect(resource().up({ ...elsewhere, key: undefined })).rejects.toThrow(
      `encryption ${mode} needs a data encryption key`,
    );
  });
});

function expectNothingOf(key: string, values: unknown): void {
  const bytes = Buffer.from(key, "base64");
  const text = inspect(values, { depth: 12, showHidden: true, maxStringLength: null, maxArrayLength: null });
  for (const form of [key, bytes.toString("hex"), bytes.toString("base64url")]) expect(text).not.toContain(form);
}
