import crypto from "node:crypto";
import { decodeJwt, generateKeyPair, SignJWT } from "jose";
import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import type { RestError } from "@azure/storage-blob";
import { PERSONAS } from "../../../sandbox/entra/directory.ts";
import { request, runScript, temporaryHost, userEnvironment, userToken } from "../entra/support.ts";
import type { OpenHost } from "../entra/support.ts";
import { ACCOUNT, ACCOUNT_ID, accountSpec, startServices, STORAGE_SCOPE } from "./support.ts";
import type { Services } from "./support.ts";

const VERSION = { "x-ms-version": "2025-11-05" };
const BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
const scope = (container: string) => `${ACCOUNT_ID}/blobServices/default/containers/${container}`;

let host: OpenHost;
let services: Services;

beforeAll(async () => {
  host = await temporaryHost();
  services = await startServices(host);
  await services.blob.putContainer(ACCOUNT, "data", "None");
});
afterAll(async () => {
  await services.blob.stop();
  await services.entra.stop();
  host.close();
});

async function call(
  token: string | undefined,
  method: string,
  target: string,
  options: { headers?: Record<string, string>; body?: string | Buffer } = {},
) {
  const authorization: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
  return request(host, `${services.endpoint}${target}`, {
    method,
    ...(options.body !== undefined && { body: options.body }),
    headers: { ...VERSION, ...authorization, ...options.headers },
  });
}

const put = (token: string | undefined, target: string, body: string) =>
  call(token, "PUT", target, {
    body,
    headers: { "x-ms-blob-type": "BlockBlob", "content-length": String(body.length) },
  });

const owner = () => userToken(host, services.entra, "northwind", STORAGE_SCOPE);

test("the unmodified SDK, signed in by the default credential chain, writes, reads, lists and copies", async () => {
  const script = `
    import { DefaultAzureCredential } from "@azure/identity";
    import { BlobServiceClient } from "@azure/storage-blob";
    import crypto from "node:crypto";
    const service = new BlobServiceClient(process.env.endpoint, new DefaultAzureCredential({ disableInstanceDiscovery: true }));
    const container = service.getContainerClient("sdk");
    await container.create();
    const big = crypto.randomBytes(9 * 1024 * 1024 + 7);
    const blob = container.getBlockBlobClient("a folder/ünï code & 100%.bin");
    await blob.uploadData(big, { blockSize: 4 * 1024 * 1024, maxSingleShotSize: 1024, metadata: { Owner: "northwind" }, concurrency: 3 });
    const downloaded = await blob.downloadToBuffer();
    const copy = container.getBlockBlobClient("copy");
    await (await copy.beginCopyFromURL(blob.url)).pollUntilDone();
    const names = [];
    for await (const item of container.listBlobsFlat({ includeMetadata: true })) names.push([item.name, item.properties.contentLength]);
    const properties = await blob.getProperties();
    await copy.delete();
    console.log(JSON.stringify({ same: downloaded.equals(big), names, metadata: properties.metadata, copyGone: !(await copy.exists()),
      range: (await blob.downloadToBuffer(5_000_000, 10)).equals(big.subarray(5_000_000, 5_000_010)) }));`;
  const result = await runScript(host, script, {
    ...userEnvironment(services.entra, "northwind"),
    endpoint: services.endpoint,
  });
  const size = 9 * 1024 * 1024 + 7;
  expect(result).toEqual({
    same: true,
    range: true,
    names: [
      ["a folder/ünï code & 100%.bin", size],
      ["copy", size],
    ],
    metadata: { owner: "northwind" },
    copyGone: true,
  });
  expect(await services.blob.blobCount(ACCOUNT, "sdk")).toBe(1);
});

describe("role assignments decide", () => {
  const reader = PERSONAS.northwind.objectId;

  test("operation by operation and container by container", async () => {
    const token = await owner();
    expect((await put(token, "data/a", "content")).status).toBe(201);
    await services.blob.putContainer(ACCOUNT, "other", "None");
    const before = services.access.rows;
    services.access.rows = [{ objectId: reader, operation: `${BLOBS}/read`, scope: scope("data") }];
    const outcomes = await Promise.all([
      call(token, "GET", "data/a"),
      call(token, "GET", "data?restype=container&comp=list"),
      put(token, "data/b", "x"),
      call(token, "DELETE", "data/a"),
      call(token, "GET", "other?restype=container&comp=list"),
      call(token, "PUT", "third?restype=container", { headers: { "content-length": "0" } }),
      call(token, "GET", "?comp=list"),
    ]);
    services.access.rows = before;
    expect(outcomes.map(({ status }) => status)).toEqual([200, 200, 403, 403, 403, 403, 403]);
    expect(outcomes[2]?.headers["x-ms-error-code"]).toBe("AuthorizationPermissionMismatch");
    expect(outcomes[2]?.body.toString()).toContain("<Code>AuthorizationPermissionMismatch</Code>");
  });

  test("also about the source of a copy", async () => {
    const token = await owner();
    await put(token, "other/secret", "secret");
    const before = services.access.rows;
    services.access.rows = [{ objectId: reader, operation: "*", scope: scope("data") }];
    const headers = { "x-ms-copy-source": `${services.endpoint}other/secret`, "content-length": "0" };
    const answer = await call(token, "PUT", "data/stolen", { headers });
    const detour = { ...headers, "x-ms-copy-source": `${services.endpoint}data/%2e%2e/other/secret` };
    const around = await call(token, "PUT", "data/stolen", { headers: detour });
    services.access.rows = before;
    for (const refused of [answer, around]) {
      expect([refused.status, refused.headers["x-ms-error-code"]]).toEqual([403, "CannotVerifyCopySource"]);
    }
    const abroad = await call(token, "PUT", "data/x", {
      headers: { ...headers, "x-ms-copy-source": "https://elsewhere.example/a" },
    });
    expect(abroad.headers["x-ms-error-code"]).toBe("CannotVerifyCopySource");
  });

  test("about the blob that is meant, however the path is written", async () => {
    const token = await owner();
    const before = services.access.rows;
    services.access.rows = [{ objectId: reader, operation: "*", scope: scope("data") }];
    const answers = await Promise.all([
      call(token, "GET", "other%2Fsecret"),
      call(token, "GET", "data%2F..%2Fother/secret"),
      call(token, "GET", "other/secret?Comp=metadata"),
      call(token, "GET", "data?comp=list&comp=acl&restype=container"),
      call(token, "GET", "data?comp[]=list&restype=container"),
      call(token, "GET", "data?restype=container&comp=list?"),
      call(token, "POST", "?comp=batch"),
    ]);
    services.access.rows = before;
    expect(answers.map(({ status }) => status)).toEqual([403, 404, 400, 400, 400, 501, 501]);
  });
});

describe("a token is refused", () => {
  test("with another signature, audience, tenant, or after its time", async () => {
    const genuine = await owner();
    const { privateKey } = await generateKeyPair("RS256");
    const forged = await new SignJWT(decodeJwt(genuine)).setProtectedHeader({ alg: "RS256" }).sign(privateKey);
    const unsigned = `${Buffer.from('{"alg":"none"}').toString("base64url")}.${genuine.split(".")[1]}.`;
    const vault = await userToken(host, services.entra, "northwind", "https://vault.azure.net/.default");
    const stranger = await userToken(host, services.entra, "woodgrove", STORAGE_SCOPE);
    for (const token of [forged, unsigned, vault, stranger]) {
      const answer = await call(token, "GET", "data/a");
      expect([answer.status, answer.headers["x-ms-error-code"]]).toEqual([401, "InvalidAuthenticationInfo"]);
      expect(answer.headers["www-authenticate"]).toContain(`authorization_uri=${services.entra.authority}/`);
    }
    jest.useFakeTimers({
      now: Date.now() + 3_601_000,
      doNotFake: ["setImmediate", "nextTick", "queueMicrotask", "setTimeout"],
    });
    const late = await call(genuine, "GET", "data/a").finally(() => jest.useRealTimers());
    expect(late.status).toBe(401);
  });

  test("when there is none", async () => {
    const read = await call(undefined, "GET", "data/a");
    expect([read.status, read.headers["x-ms-error-code"]]).toEqual([409, "PublicAccessNotPermitted"]);
    const write = await put(undefined, "data/a", "x");
    expect([write.status, write.headers["x-ms-error-code"]]).toEqual([401, "NoAuthenticationInformation"]);
  });

  test("with the account's own URL as audience it is accepted", async () => {
    const token = await userToken(host, services.entra, "northwind", `${services.endpoint}.default`);
    expect((await call(token, "GET", "data/a")).status).toBe(200);
  });
});

test("an unknown account has a name for it", async () => {
  const answer = await request(host, `${services.endpoint.replace(ACCOUNT, "nobody")}?comp=list`, { headers: VERSION });
  expect([answer.status, answer.headers["x-ms-error-code"]]).toEqual([404, "AccountNotFound"]);
});

test("account keys work only while the account allows them, and only the right ones", async () => {
  // The pipeline passes `tlsOptions` on, its type does not say so.
  const options = { tlsOptions: { ca: host.caCertificate }, retryOptions: { maxTries: 1 } };
  const client = (key: string) =>
    new BlobServiceClient(services.endpoint, new StorageSharedKeyCredential(ACCOUNT, key), options).getContainerClient(
      "data",
    );
  const failure = (work: Promise<unknown>) =>
    work.then(
      () => "none",
      (error: RestError) => error.code,
    );
  const [first, second] = services.blob.accountKeys(ACCOUNT);
  expect(await failure(client(first).getProperties())).toBe("KeyBasedAuthenticationNotPermitted");
  await services.blob.putAccount(accountSpec({ allowSharedKeyAccess: true }));
  await client(second)
    .getBlockBlobClient("with key?&=")
    .upload("x", 1, { metadata: { b: "1", a_1: "2" } });
  expect(await client(first).getBlockBlobClient("with key?&=").exists()).toBe(true);
  const wrong = crypto.randomBytes(64).toString("base64");
  expect(await failure(client(wrong).getBlockBlobClient("a").download())).toBe("AuthenticationFailed");
  const signed = await call(undefined, "GET", "data/a?sig=x&sv=2020-01-01");
  expect([signed.status, signed.headers["x-ms-error-code"]]).toEqual([403, "AuthenticationFailed"]);
  await services.blob.putAccount(accountSpec());
});

test("public containers are readable by everybody only while the account allows it", async () => {
  await services.blob.putAccount(accountSpec({ allowBlobPublicAccess: true }));
  await services.blob.putContainer(ACCOUNT, "public", "Blob");
  await put(await owner(), "public/p", "everybody");
  expect((await call(undefined, "GET", "public/p")).body.toString()).toBe("everybody");
  expect((await call(undefined, "GET", "public?restype=container&comp=list")).status).toBe(401);
  expect((await call(undefined, "GET", "data/a")).status).toBe(401);
  await services.blob.putContainer(ACCOUNT, "public", "None");
  expect((await call(undefined, "GET", "public/p")).status).toBe(401);
  await services.blob.putAccount(accountSpec());
  const opened = await call(await owner(), "PUT", "public2?restype=container", {
    headers: { "content-length": "0", "x-ms-blob-public-access": "blob" },
  });
  expect(opened.headers["x-ms-error-code"]).toBe("PublicAccessNotPermitted");
});

test("the static website serves $web to everybody, with its index and error documents", async () => {
  const get = (path: string, method = "GET") => request(host, `${services.web}${path}`, { method });
  expect((await get("")).status).toBe(404);
  await services.blob.setStaticWebsite(ACCOUNT, { indexDocument: "index.html", error404Document: "sorry.html" });
  const token = await owner();
  await put(token, "$web/index.html", "welcome");
  await put(token, "$web/sorry.html", "sorry");
  await put(token, "$web/p/.well-known/openid-configuration", "{}");
  expect((await get("")).body.toString()).toBe("welcome");
  expect((await get("p/.well-known/openid-configuration")).body.toString()).toBe("{}");
  const missing = await get("nothing");
  expect([missing.status, missing.body.toString()]).toEqual([404, "sorry"]);
  expect((await get("index.html", "HEAD")).headers["content-length"]).toBe("7");
  expect((await get("index.html", "PUT")).status).toBe(405);
  await services.blob.setStaticWebsite(ACCOUNT, undefined);
  expect((await get("")).status).toBe(404);
});

test("listings show the front's address, not the backend's", async () => {
  const listing = (await call(await owner(), "GET", "data?restype=container&comp=list")).body.toString();
  expect(listing).toContain(`ServiceEndpoint="${services.endpoint.replace(/\/$/, "")}`);
});

test("accounts, keys and data survive a restart; a deleted account leaves nothing", async () => {
  const keys = services.blob.accountKeys(ACCOUNT);
  await services.blob.stop();
  await services.entra.stop();
  const { access } = services;
  services = await startServices(host);
  services.access.rows.push(...access.rows);
  expect(services.blob.accountKeys(ACCOUNT)).toEqual(keys);
  expect((await call(await owner(), "GET", "data/a")).body.toString()).toBe("content");
  await services.blob.deleteAccount(ACCOUNT);
  await services.blob.putAccount(accountSpec());
  expect(await services.blob.containerExists(ACCOUNT, "data")).toBe(false);
  expect(services.blob.accountKeys(ACCOUNT)).not.toEqual(keys);
});
