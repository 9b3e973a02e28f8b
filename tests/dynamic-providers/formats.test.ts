import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { parquetWriteBuffer, schemaFromColumnData } from "hyparquet-writer";
import { parseResult } from "../../cli/results.ts";
import { azureCredential } from "../../clients/azure/credential.ts";
import { downloadResult, listResults } from "../../clients/stores/download.ts";
import type { Encryption } from "../../domain/data/publishedFile.ts";
import type { DatasetFormat, Field } from "../../domain/dataset.ts";
import { DEFAULT_ATTESTATION_AUTHORITY, keyEncryptionKeyName, wrappedKeyName } from "../../domain/keys.ts";
import { provider as dataKeys } from "../../dynamic-providers/dataEncryptionKey.ts";
import type { DatasetContent } from "../../dynamic-providers/datasetDocument.ts";
import { provider as files } from "../../dynamic-providers/datasetFiles.ts";
import { provider as wrappingKeys } from "../../dynamic-providers/keyEncryptionKey.ts";
import { provider as runs } from "../../dynamic-providers/queryRun.ts";
import { provider as wrapped } from "../../dynamic-providers/wrappedKey.ts";
import { PERSONAS, type PersonaName } from "../../sandbox/entra/directory.ts";
import { approve, content, publishGround, queryInputs, queryOf } from "../support/agreed.ts";
import { CleanRoomLab, Storage } from "../support/cleanRoom.ts";
import { Resource } from "../support/engine.ts";
import { CONTRACT, Lab } from "../support/lab.ts";
import { vaultId, Vaults } from "../support/vaults.ts";

/* From files in a folder to the rows of a result, with keys, through every provider on the way and the clean room. */

jest.setTimeout(60_000);

const FIELDS: readonly Field[] = [
  { name: "author", type: "string" },
  { name: "small", type: "integer" },
  { name: "large", type: "long" },
  { name: "share", type: "number" },
  { name: "seen", type: "boolean" },
  { name: "day", type: "date" },
  { name: "at", type: "timestamp" },
];
const ROWS = [
  ["anna", 1, 9007199254740993n, 0.5, true, "2025-09-01", "2025-09-01T10:00:00.000Z"],
  ['bert "quoted", ü', -2, 3n, 1e21, false, "2024-02-29", "2024-02-29T23:59:59.500Z"],
] as const;
const SEGMENTS = [
  {
    executionSequence: 1,
    data: "SELECT * FROM theirs UNION ALL SELECT * FROM ours",
    preConditions: [],
    postFilters: [],
  },
];

const home = process.cwd();
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "formats "));
let lab: Lab;
let storage: Storage;
let vaults: Vaults;
let room: CleanRoomLab;
let identities: Record<"northwind" | "woodgrove", DatasetContent["identity"]>;
let measurement: string;

beforeAll(async () => {
  jest.spyOn(console, "log").mockImplementation(() => undefined);
  process.chdir(folder);
  lab = await Lab.start();
  storage = await Storage.start(lab, "operator", "northwind", "woodgrove");
  vaults = await Vaults.start(lab, "northwind", "woodgrove");
  room = await CleanRoomLab.start(lab, storage);
  identities = { northwind: identityOf("northwind"), woodgrove: identityOf("woodgrove") };
  const { policy } = await lab.user("northwind").cgs.contracts.cleanRoomPolicy(CONTRACT);
  measurement = String(policy["x-ms-sevsnpvm-hostdata"]![0]);
});
afterAll(async () => {
  await room?.stop();
  await vaults?.service.stop();
  await storage?.blobs.stop();
  await lab?.stop();
  process.chdir(home);
  fs.rmSync(folder, { recursive: true });
});

function identityOf(persona: PersonaName): NonNullable<DatasetContent["identity"]> {
  const identity = room.identityOf(persona, storage);
  vaults.access.grant(lab.entra.findByClientId(identity.tenantId, identity.clientId)!.objectId, vaultId(persona));
  return identity;
}

/** One file of a source. */
function fileOf(format: DatasetFormat): Buffer {
  if (format === "json") return Buffer.from(ROWS.map(jsonLine).join(""));
  const isTime = ({ type }: Field): boolean => type === "date" || type === "timestamp";
  const columnData = FIELDS.map((field, index) => ({
    name: field.name,
    data: ROWS.map((row) => (isTime(field) ? new Date(String(row[index])) : row[index])),
  }));
  const schemaOverrides = {
    share: { name: "share", type: "DOUBLE" },
    day: { name: "day", type: "INT32", converted_type: "DATE" },
  } as const;
  const schema = schemaFromColumnData({ columnData, schemaOverrides });
  return Buffer.from(parquetWriteBuffer({ columnData, schema }));
}

function jsonLine(row: (typeof ROWS)[number]): string {
  const members = FIELDS.map(({ name }, index) => {
    const value = row[index];
    return `${JSON.stringify(name)}:${typeof value === "bigint" ? value : JSON.stringify(value)}`;
  });
  return `{${members.join(",")}}\n`;
}

interface Published {
  readonly content: DatasetContent;
  readonly encryption: Encryption;
}

/** Container, keys and, for a source, files: what a stack does before it publishes the document. */
async function publish(
  persona: "northwind" | "woodgrove",
  name: string,
  { format, mode, isSource }: { format: DatasetFormat; mode: "CSE" | "CPK"; isSource: boolean },
): Promise<Published> {
  await storage.container(persona, name);
  const up = async (provider: ConstructorParameters<typeof Resource>[0], inputs: object): Promise<Resource> => {
    const resource = new Resource(provider, lab.config(persona), ["key"]);
    await resource.up(inputs);
    return resource;
  };
  const vaultUri = vaults.uri(persona);
  const keyName = keyEncryptionKeyName(name, name);
  const secretName = wrappedKeyName(name, keyName);
  const authority = DEFAULT_ATTESTATION_AUTHORITY;
  const key = String((await up(dataKeys, { dataset: name, generation: 0 })).outputs["key"]);
  const consortium = { consortium: lab.access, contractId: CONTRACT };
  const { outputs } = await up(wrappingKeys, { vaultUri, keyName, authority, measurement, ...consortium });
  const keyEncryptionKey = { keyName, keyId: outputs["keyId"], publicKey: outputs["publicKey"] };
  await up(wrapped, { vaultUri, secretName, key, keyEncryptionKey, stored: true });
  const blobEndpoint = storage.endpoint(persona).blob;
  if (isSource) {
    const directory = path.join(folder, name);
    fs.mkdirSync(directory);
    fs.writeFileSync(path.join(directory, `part.${format}`), fileOf(format));
    const location = { type: "Azure_BlobStorage", blobEndpoint, container: name };
    await up(files, { directory, format, fields: FIELDS, strict: true, location, encryption: mode, key });
  }
  return {
    encryption: { mode, key: Buffer.from(key, "base64") },
    content: content({
      kind: isSource ? "source" : "sink",
      format,
      fields: [...FIELDS],
      allowedFields: FIELDS.map((field) => field.name),
      encryption: mode,
      store: { type: "Azure_BlobStorage", url: blobEndpoint, container: name },
      identity: identities[persona]!,
      keys: { dek: { secretName, vaultUrl: vaultUri }, kek: { name: keyName, vaultUrl: vaultUri, authority } },
    }),
  };
}

test.each([
  ["json", "parquet", "CSE"],
  ["parquet", "json", "CPK"],
  ["json", "csv", "CPK"],
] as const)("%s in, %s out, under %s", async (input, output, mode) => {
  const prefix = `${input}-${output}`;
  const theirs = await publish("northwind", `${prefix}-theirs`, { format: input, mode, isSource: true });
  const ours = await publish("woodgrove", `${prefix}-ours`, { format: input, mode, isSource: true });
  const sink = await publish("woodgrove", `${prefix}-result`, { format: output, mode, isSource: false });
  const ground = await publishGround(lab, prefix, { theirs: theirs.content, ours: ours.content, sink: sink.content });
  const query = queryOf(lab);
  await query.up(queryInputs(lab, ground, `${prefix}-query`, SEGMENTS));
  await approve(lab, ground, query);
  const run = new Resource(runs, lab.config("woodgrove"));
  await run.up({
    consortium: lab.access,
    contractId: CONTRACT,
    analytics: room.analytics,
    documentId: query.id,
    digest: query.outputs["digest"],
    runId: prefix,
    timeoutMinutes: 1,
  });
  expect(run.outputs).toMatchObject({ state: "COMPLETED", rowsRead: 4, rowsWritten: 4 });

  const { columns, rows } = await readResult(sink, String(run.outputs["resultPath"]));
  expect(columns).toEqual(FIELDS.map(({ name }) => name));
  const expected = ROWS.map((row) => row.map((value) => shown(value)));
  expect(rows.map((row) => row.map((value) => shown(value))).sort()).toEqual([...expected, ...expected].sort());
});

/** As the owner of the sink reads it, with its key. */
async function readResult({ content: sink, encryption }: Published, resultPath: string) {
  const target = {
    type: "Azure_BlobStorage" as const,
    blobEndpoint: sink.store.url,
    container: sink.store.container,
    credential: azureCredential(PERSONAS.woodgrove),
  };
  const parts: Buffer[] = [];
  for await (const { name } of listResults(target, { path: resultPath }))
    parts.push(await buffer(await downloadResult(target, name, encryption)));
  return parseResult(sink.format, parts);
}

/** A value whatever the format says it with: CSV has texts, and Spark writes 1.0E21. */
function shown(value: unknown): string {
  const text = String(value);
  return /^-?[\d.]+E\d+$/.test(text) ? String(Number(text)) : text;
}
