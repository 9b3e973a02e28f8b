import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { BlobServiceClient, type ContainerClient } from "@azure/storage-blob";
import { azureCredential } from "../../clients/azure/credential.ts";
import { provider } from "../../dynamic-providers/datasetFiles.ts";
import { PERSONAS } from "../../sandbox/entra/directory.ts";
import { Storage } from "../support/cleanRoom.ts";
import { Resource } from "../support/engine.ts";
import { Lab } from "../support/lab.ts";

const home = process.cwd();
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dataset files "));
const FIELDS = [
  { name: "date", type: "date" },
  { name: "author", type: "string" },
] as const;

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

/** A container, and a folder with two dated files. */
class Dataset {
  readonly name = `input-${++count}`;
  readonly directory = path.join(folder, this.name);
  readonly resource = new Resource(provider, lab.config("northwind"), ["key"]);

  static async make(): Promise<Dataset> {
    const dataset = new Dataset();
    await storage.container("northwind", dataset.name);
    dataset.write("2025-09-01/a.csv", "2025-09-01,anna\r\n");
    dataset.write("2025-09-02/b.csv", "2025-09-02,bert\r\n");
    return dataset;
  }

  inputs(change: object = {}): object {
    const location = {
      type: "Azure_BlobStorage",
      blobEndpoint: storage.endpoint("northwind").blob,
      container: this.name,
    };
    return {
      directory: this.directory,
      format: "csv",
      fields: FIELDS,
      strict: false,
      location,
      encryption: "SSE",
      ...change,
    };
  }

  write(file: string, text: string): void {
    fs.mkdirSync(path.dirname(path.join(this.directory, file)), { recursive: true });
    fs.writeFileSync(path.join(this.directory, file), text);
  }

  remove(file: string): void {
    fs.rmSync(path.join(this.directory, file));
  }

  get container(): ContainerClient {
    const { tenantId, clientId } = PERSONAS.northwind;
    return new BlobServiceClient(
      storage.endpoint("northwind").blob.replace(/\/$/, ""),
      azureCredential({ tenantId, clientId }),
    ).getContainerClient(this.name);
  }

  /** Name → text of what the store holds. */
  async stored(): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    for await (const { name } of this.container.listBlobsFlat()) {
      found[name] = (await this.container.getBlobClient(name).downloadToBuffer()).toString("utf8");
    }
    return found;
  }

  async uploadedAt(file: string): Promise<number> {
    return (await this.container.getBlobClient(file).getProperties()).lastModified!.getTime();
  }

  async tamper(file: string, text: string): Promise<void> {
    await this.container.getBlockBlobClient(file).upload(text, text.length);
  }
}

const said = (): string => log.mock.calls.map(([line]) => String(line)).join("\n");

describe("the files of a dataset", () => {
  test("are uploaded; then nothing changes any more", async () => {
    const dataset = await Dataset.make();
    expect(await dataset.resource.up(dataset.inputs())).toBe("create");
    expect(await dataset.stored()).toEqual({
      "2025-09-01/a.csv": "2025-09-01,anna\r\n",
      "2025-09-02/b.csv": "2025-09-02,bert\r\n",
    });
    expect(dataset.resource.outputs).toMatchObject({
      count: 2,
      bytes: 34,
      contentDigest: expect.stringMatching(/^sha256:/),
    });
    expect(await dataset.resource.up(dataset.inputs())).toBe("same");
    expect(await dataset.resource.refresh()).toBe("same");
    expect(await dataset.resource.up(dataset.inputs())).toBe("same");
  });

  test("that were uploaded before a crash are not uploaded again", async () => {
    const dataset = await Dataset.make();
    await dataset.resource.up(dataset.inputs());
    log.mockClear();
    await dataset.resource.upAfterCrash(dataset.inputs());
    expect(said()).toContain("0 files uploaded, 0 removed, 2 in all");
  });

  test("of which some were uploaded before a crash are completed", async () => {
    const dataset = await Dataset.make();
    await dataset.resource.up(dataset.inputs());
    await dataset.container.deleteBlob("2025-09-01/a.csv");
    log.mockClear();
    await dataset.resource.upAfterCrash(dataset.inputs());
    expect(said()).toContain("1 files uploaded, 0 removed, 2 in all");
    expect(Object.keys(await dataset.stored())).toHaveLength(2);
  });

  test("are followed: what changed or came is uploaded, what went is deleted, the rest stays", async () => {
    const dataset = await Dataset.make();
    await dataset.resource.up(dataset.inputs());
    dataset.write("2025-09-01/a.csv", "2025-09-01,anne\r\n");
    dataset.write("2025-09-03/c.csv", "2025-09-03,carl\r\n");
    dataset.remove("2025-09-02/b.csv");
    expect(await dataset.resource.preview(dataset.inputs())).toBe("update");
    expect(Object.keys(await dataset.stored())).toEqual(["2025-09-01/a.csv", "2025-09-02/b.csv"]);
    log.mockClear();
    await dataset.resource.up(dataset.inputs());
    expect(said()).toContain("2 files uploaded, 1 removed, 2 in all");
    expect(await dataset.stored()).toEqual({
      "2025-09-01/a.csv": "2025-09-01,anne\r\n",
      "2025-09-03/c.csv": "2025-09-03,carl\r\n",
    });
  });

  test("that were only touched are the same", async () => {
    const dataset = await Dataset.make();
    await dataset.resource.up(dataset.inputs());
    fs.utimesSync(path.join(dataset.directory, "2025-09-01/a.csv"), new Date(), new Date(Date.now() + 5000));
    expect(await dataset.resource.up(dataset.inputs())).toBe("same");
  });

  test("lie elsewhere on this machine: nothing is uploaded", async () => {
    const dataset = await Dataset.make();
    await dataset.resource.up(dataset.inputs());
    const before = await dataset.uploadedAt("2025-09-01/a.csv");
    const moved = path.join(folder, `${dataset.name} moved`);
    fs.cpSync(dataset.directory, moved, { recursive: true });
    expect(await dataset.resource.up(dataset.inputs({ directory: moved, strict: true }))).toBe("update");
    expect(await dataset.uploadedAt("2025-09-01/a.csv")).toBe(before);
  });

  test("in another container are uploaded there, and none is left behind", async () => {
    const dataset = await Dataset.make();
    const inputs = dataset.inputs() as { location: object };
    await dataset.resource.up(inputs);
    const other = await Dataset.make();
    expect(await dataset.resource.up({ ...inputs, location: { ...inputs.location, container: other.name } })).toBe(
      "replace",
    );
    expect(Object.keys(await other.stored())).toHaveLength(2);
    expect(await dataset.stored()).toEqual({});
  });
});

describe("what others did to the store", () => {
  const meddling: [string, (dataset: Dataset) => Promise<unknown>][] = [
    ["deleted a file", (dataset) => dataset.container.deleteBlob("2025-09-01/a.csv")],
    ["wrote over a file", (dataset) => dataset.tamper("2025-09-01/a.csv", "2025-09-01,mall\r\n")],
  ];
  test.each(meddling)("who %s is seen, again and again, until the next up puts it right", async (_what, meddle) => {
    const dataset = await Dataset.make();
    await dataset.resource.up(dataset.inputs());
    const wanted = await dataset.stored();
    await meddle(dataset);
    expect(await dataset.resource.refresh()).toBe("drifted");
    expect(await dataset.resource.preview(dataset.inputs())).toBe("update");
    await dataset.resource.refresh();
    expect(await dataset.resource.up(dataset.inputs())).toBe("update");
    expect(await dataset.stored()).toEqual(wanted);
    expect(await dataset.resource.refresh()).toBe("same");
    expect(await dataset.resource.up(dataset.inputs())).toBe("same");
  });

  test("who added a file is told with every up, and seen until somebody takes it away: it is not ours to delete", async () => {
    const dataset = await Dataset.make();
    await dataset.resource.up(dataset.inputs());
    await dataset.tamper("2025-09-01/mallory.csv", "2025-09-01,mall\r\n");
    expect(await dataset.resource.refresh()).toBe("drifted");
    log.mockClear();
    expect(await dataset.resource.up(dataset.inputs())).toBe("update");
    expect(said()).toMatch(/warning: .*2025-09-01\/mallory\.csv, which this stack did not write/);
    expect(Object.keys(await dataset.stored())).toContain("2025-09-01/mallory.csv");
    expect(await dataset.resource.refresh()).toBe("drifted");
    await dataset.container.deleteBlob("2025-09-01/mallory.csv");
    await dataset.resource.up(dataset.inputs());
    expect(await dataset.resource.refresh()).toBe("same");
  });

  test("who took away everything, or the container itself: it is gone", async () => {
    const dataset = await Dataset.make();
    await dataset.resource.up(dataset.inputs());
    for (const name of Object.keys(await dataset.stored())) await dataset.container.deleteBlob(name);
    expect(await dataset.resource.refresh()).toBe("gone");
    expect(await dataset.resource.up(dataset.inputs())).toBe("create");
    await storage.blobs.deleteContainer("northwindstore", dataset.name);
    const state = dataset.resource.state!;
    expect(await dataset.resource.refresh()).toBe("gone");
    dataset.resource.state = state;
    await dataset.resource.destroy();
  });
});

describe("a dataset that is deleted", () => {
  test("takes its own files along, as often as one likes, and leaves those of others", async () => {
    const dataset = await Dataset.make();
    await dataset.resource.up(dataset.inputs());
    await dataset.tamper("notes.txt", "not ours");
    await dataset.resource.destroy();
    expect(await dataset.stored()).toEqual({ "notes.txt": "not ours" });
    await dataset.resource.destroy();
  });
});

describe("files that cannot be used are refused in the preview:", () => {
  const refused = async (change: object, dataset: Dataset | undefined = undefined): Promise<string> => {
    const used = dataset ?? (await Dataset.make());
    return used.resource.preview(used.inputs(change)).then(
      () => "accepted",
      (error: Error) => error.message,
    );
  };

  test("a folder that is not there", async () => {
    expect(await refused({ directory: path.join(folder, "nowhere") })).toMatch(/^directory: .*nowhere/);
  });

  test("a folder without files", async () => {
    const empty = path.join(folder, "empty");
    fs.mkdirSync(empty);
    expect(await refused({ directory: empty })).toMatch(/^directory: .*empty/);
  });

  test("a file with another number of columns than the schema", async () => {
    const dataset = await Dataset.make();
    dataset.write("2025-09-03/wide.csv", "2025-09-03,carl,extra\r\n");
    expect(await refused({}, dataset)).toMatch(/^directory: .*2025-09-03\/wide\.csv.*3.*2/);
  });

  test("a value that is not of its type, where the dataset is strict; else it is a warning", async () => {
    const dataset = await Dataset.make();
    dataset.write("2025-09-03/odd.csv", "yesterday,carl\r\n");
    expect(await refused({ strict: true }, dataset)).toMatch(/^directory: .*date/);
    expect(await refused({ strict: false }, dataset)).toBe("accepted");
    expect(said()).toMatch(/warning: .*date/);
  });
});

test("a preview knows what it can before the container is known", async () => {
  const dataset = await Dataset.make();
  const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
  expect(await dataset.resource.preview(dataset.inputs({ location: unknown }))).toBe("create");
  await dataset.resource.up(dataset.inputs());
  expect(await dataset.resource.preview(dataset.inputs({ location: unknown }))).toBe("replace");
});
