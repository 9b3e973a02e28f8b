import { ContainerClient } from "@azure/storage-blob";
import { randomBytes } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { PERSONAS } from "../../../sandbox/entra/directory.ts";
import type { Encryption } from "../../../domain/data/publishedFile.ts";
import { scanDirectory } from "../../../clients/files/scan.ts";
import type { BlobTarget } from "../../../clients/stores/azureBlob.ts";
import { downloadResult } from "../../../clients/stores/download.ts";
import { publishFiles, type PublishOptions } from "../../../clients/stores/publish.ts";
import { comparePublished, readPublished, verifyContent } from "../../../clients/stores/verify.ts";
import {
  ACCOUNT,
  ACCOUNT_ID,
  bytesBelow,
  startServices,
  STORAGE_SCOPE,
  type Services,
} from "../../sandbox/blob/support.ts";
import { runScript, temporaryHost, userEnvironment, userToken, type OpenHost } from "../../sandbox/entra/support.ts";
import { makeFolder } from "../files/folder.ts";

/* Against the sandbox's blob service: TLS, tokens, role assignments, and customer-provided keys (CPK) done for real. */

const CPK = { mode: "CPK", key: randomBytes(32) } as const;
const LARGE = randomBytes(20 * 1024 * 1024 + 5);
const READERS_ACTION = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read";

let host: OpenHost;
let services: Services;
let folder: ReturnType<typeof makeFolder>;
let containers = 0;

beforeAll(async () => {
  host = await temporaryHost();
  services = await startServices(host);
  folder = makeFolder({ "2025-09-01/a.csv": "confidential,1\n", "empty.csv": "", "large.csv": LARGE });
});
afterAll(async () => {
  await services.blob.stop();
  await services.entra.stop();
  host.close();
  folder.remove();
});

async function newTarget(roleDeadlineMs = 0): Promise<BlobTarget & { client: ContainerClient }> {
  const name = `data${++containers}`;
  await services.blob.putContainer(ACCOUNT, name, "None");
  const token = await userToken(host, services.entra, "northwind", STORAGE_SCOPE);
  const credential = { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3_600_000 }) };
  // The SDK hands `tlsOptions` on to its HTTP client, though its own type does not list it.
  const options = { retryOptions: {}, tlsOptions: { ca: host.caCertificate } };
  const client = new ContainerClient(`${services.endpoint}${name}`, credential, options);
  return { type: "Azure_BlobStorage", client, roleDeadlineMs };
}

const scan = () => scanDirectory(folder.directory, { format: "csv" });
const publish = async (target: BlobTarget, encryption: Encryption, options: Partial<PublishOptions> = {}) =>
  publishFiles({ directory: folder.directory, scan: await scan(), target, encryption, ...options });

test("CPK: comes back with the key, in one part and in several; not without it, not with another, not at rest", async () => {
  const target = await newTarget();
  expect(await publish(target, CPK)).toMatchObject({ count: 3, uploaded: { count: 3 } });
  expect((await buffer(await downloadResult(target, "2025-09-01/a.csv", CPK))).toString()).toBe("confidential,1\n");
  expect((await buffer(await downloadResult(target, "large.csv", CPK))).equals(LARGE)).toBe(true);
  expect(await buffer(await downloadResult(target, "empty.csv", CPK))).toHaveLength(0);
  await expect(downloadResult(target, "large.csv", { mode: "SSE" })).rejects.toMatchObject({ statusCode: 409 });
  await expect(downloadResult(target, "large.csv", { mode: "CPK", key: randomBytes(32) })).rejects.toMatchObject({
    statusCode: 409,
  });
  expect(bytesBelow(host.stateDir).includes("confidential,1")).toBe(false);
  expect(await verifyContent(target, CPK)).toEqual([]);
});

test("CPK: publishing again needs one listing and no request a file; another key uploads everything", async () => {
  const target = await newTarget();
  const first = await publish(target, CPK);
  expect(await publish(target, CPK)).toMatchObject({ uploaded: { count: 0 }, contentDigest: first.contentDigest });
  expect(await readPublished(target)).toMatchObject({ count: 3, contentDigest: first.contentDigest });
  expect((await publish(target, { mode: "CPK", key: randomBytes(32) })).uploaded.count).toBe(3);
  expect(await comparePublished(target, await scan(), CPK)).toMatchObject({
    missing: ["2025-09-01/a.csv", "empty.csv", "large.csv"],
  });
});

test("the key is in no error, and in no line of the service's log", async () => {
  const target = await newTarget();
  await publish(target, CPK);
  const failure = await downloadResult(target, "large.csv", { mode: "CPK", key: randomBytes(32) }).catch(
    (error: Error) => error,
  );
  const texts = [String(failure), (failure as Error).stack ?? "", bytesBelow(host.stateDir).toString("latin1")].join(
    "\n",
  );
  for (const form of ["hex", "base64"] as const) expect(texts).not.toContain(CPK.key.toString(form));
  expect(texts).not.toContain(CPK.key.toString("latin1"));
});

test("a role that arrives while we wait is enough; one that never arrives is named", async () => {
  const target = await newTarget(20_000);
  const before = services.access.rows;
  const scope = `${ACCOUNT_ID}/blobServices/default/containers/${target.client.containerName}`;
  services.access.rows = [];
  setTimeout(() => services.access.grant(PERSONAS.northwind.objectId, scope), 1500);
  expect(await publish(target, { mode: "SSE" })).toMatchObject({ uploaded: { count: 3 } });

  services.access.rows = [{ objectId: PERSONAS.northwind.objectId, operation: READERS_ACTION, scope }];
  folder.write("2025-09-01/a.csv", "confidential,2\n");
  const refusal = publish({ ...target, roleDeadlineMs: 0 }, { mode: "SSE" });
  await expect(refusal).rejects.toThrow(/lacks the role "Storage Blob Data Contributor"/);
  services.access.rows = before;
});

test("in a process of its own, signed in by the default credential chain, with worker threads", async () => {
  const target = await newTarget();
  const script = `
    import { DefaultAzureCredential } from "@azure/identity";
    import { scanDirectory } from "./clients/files/scan.ts";
    import { publishFiles } from "./clients/stores/publish.ts";
    import { verifyContent } from "./clients/stores/verify.ts";
    const { endpoint: blobEndpoint, container, directory } = process.env;
    const credential = new DefaultAzureCredential({ disableInstanceDiscovery: true });
    const target = { type: "Azure_BlobStorage", blobEndpoint, container, credential };
    const encryption = { mode: "CSE", key: Buffer.alloc(32, 1), blockSize: 1024 * 1024 };
    const { count, uploaded } = await publishFiles({ directory, scan: await scanDirectory(directory, { format: "csv" }), target, encryption });
    console.log(JSON.stringify({ count, uploaded: uploaded.count, wrong: await verifyContent(target, encryption) }));`;
  const result = await runScript(host, script, {
    ...userEnvironment(services.entra, "northwind"),
    endpoint: services.endpoint,
    container: target.client.containerName,
    directory: folder.directory,
  });
  expect(result).toEqual({ count: 3, uploaded: 3, wrong: [] });
});
