import http from "node:http";
import path from "node:path";
import fs from "node:fs";
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import type { SandboxHost } from "../contracts.ts";
import { authorization } from "./shared-key.ts";

const KEEP_ALIVE_SECONDS = 5;
/** What a crash may lose; Azurite's own interval is ten times that. */
const SAVE_INTERVAL_MS = 500;
const HOP_BY_HOP = ["host", "connection", "keep-alive", "transfer-encoding", "expect", "authorization", "date"];

interface AzuriteAccount {
  readonly name: string;
  readonly key1: Buffer;
  readonly key2: Buffer;
}

interface LokiDatabase {
  /** Milliseconds. */
  autosaveInterval: number;
  autosaveDisable(): void;
  autosaveEnable(): void;
}

/** What is reached into of Azurite's `BlobServer`. */
interface AzuriteServer {
  readonly accountDataStore: { getAccount(name: string): AzuriteAccount | undefined };
  readonly metadataStore: { readonly db: LokiDatabase };
  readonly extentMetadataStore: { readonly db: LokiDatabase };
  start(): Promise<string>;
  close(): Promise<void>;
}

export interface BackendRequest {
  readonly method: string;
  /** Path and query, still encoded. */
  readonly target: string;
  readonly headers: OutgoingHttpHeaders;
  readonly body?: Readable | Buffer;
}

/**
 * Azurite in this process, on its own loopback port. It answers only requests signed with a random account key that
 * never leaves the sandbox's front, so that nothing goes around the front's checks.
 */
export class Backend {
  private readonly host: SandboxHost;
  private readonly keysOf: (account: string) => readonly [string, string] | undefined;
  private readonly agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  private azurite: { server: AzuriteServer; port: number } | undefined;

  /** @param keysOf base64 keys of an account; asked on every request, so that accounts come and go while running. */
  constructor(host: SandboxHost, keysOf: (account: string) => readonly [string, string] | undefined) {
    this.host = host;
    this.keysOf = keysOf;
  }

  async start(): Promise<void> {
    const port = await this.host.port("azurite");
    const server = await createAzurite(path.join(this.host.stateDir, "blobs"), port);
    server.accountDataStore.getAccount = (name) => {
      const keys = this.keysOf(name);
      return keys && { name, key1: Buffer.from(keys[0], "base64"), key2: Buffer.from(keys[1], "base64") };
    };
    await server.start();
    for (const { db } of [server.extentMetadataStore, server.metadataStore]) {
      db.autosaveDisable();
      db.autosaveInterval = SAVE_INTERVAL_MS;
      db.autosaveEnable();
    }
    this.azurite = { server, port };
  }

  async stop(): Promise<void> {
    this.agent.destroy();
    await this.azurite?.server.close();
    this.azurite = undefined;
  }

  /** `http://127.0.0.1:PORT` */
  get url(): string {
    if (!this.azurite) throw new Error("The blob service of the sandbox is not running: call start() first.");
    return `http://127.0.0.1:${this.azurite.port}`;
  }

  /** For management; the data path goes through `send`. */
  client(account: string): BlobServiceClient {
    return new BlobServiceClient(`${this.url}/${account}`, new StorageSharedKeyCredential(account, this.key(account)));
  }

  /** Signs and sends; a body is streamed. */
  async send(account: string, request: BackendRequest): Promise<IncomingMessage> {
    const headers = withoutHopByHop(request.headers);
    headers["x-ms-date"] = new Date().toUTCString();
    if (Buffer.isBuffer(request.body)) headers["content-length"] = String(request.body.length);
    headers.authorization = authorization(account, this.key(account), request.method, request.target, headers);
    const { hostname, port } = new URL(this.url);
    const outgoing = http.request({
      hostname,
      port,
      method: request.method,
      path: request.target,
      headers,
      agent: this.agent,
    });
    const answer = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once("response", resolve);
      outgoing.once("error", reject);
    });
    if (request.body && !Buffer.isBuffer(request.body)) sendStream(request.body, outgoing);
    else outgoing.end(request.body);
    return answer;
  }

  private key(account: string): string {
    const keys = this.keysOf(account);
    if (!keys) throw new Error(`The sandbox has no storage account '${account}'.`);
    return keys[0];
  }
}

/**
 * A broken body breaks the request. A request that was answered before its body was read is given up, but not its body:
 * that may be a client's connection, which still has to carry the answer.
 */
function sendStream(body: Readable, outgoing: http.ClientRequest): void {
  body.once("error", (error) => outgoing.destroy(error));
  body.pipe(outgoing);
  outgoing.once("response", (response: IncomingMessage) =>
    response.once("close", () => {
      if (!outgoing.writableFinished) outgoing.destroy();
    }),
  );
}

/** Headers of a request or answer that may be passed on, in their original case. */
export function withoutHopByHop<T extends IncomingHttpHeaders | OutgoingHttpHeaders>(headers: T): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.includes(name.toLowerCase())));
}

/** `rawHeaders` as an object: metadata names keep their case. */
export function headersOf(message: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let index = 0; index < message.rawHeaders.length; index += 2) {
    headers[message.rawHeaders[index] ?? ""] = message.rawHeaders[index + 1] ?? "";
  }
  return headers;
}

async function createAzurite(dir: string, port: number): Promise<AzuriteServer> {
  fs.mkdirSync(dir, { recursive: true, mode: 0o700 });
  const BlobConfiguration = classOf(await import("azurite/dist/src/blob/BlobConfiguration.js"));
  const BlobServer = classOf(await import("azurite/dist/src/blob/BlobServer.js"));
  const configuration = new BlobConfiguration(
    "127.0.0.1",
    port,
    KEEP_ALIVE_SECONDS,
    path.join(dir, "metadata.json"),
    path.join(dir, "extents.json"),
    [{ locationId: "Default", locationPath: path.join(dir, "extents"), maxConcurrency: 10 }],
    false, // access log
    undefined,
    false, // debug log
    undefined,
    false, // loose
    true, // skip the check of the API version: SDKs are ahead of it
    "", // no TLS of its own: the front has it
    "",
    "",
    undefined, // no OAuth: its check would not look at the signature
    true, // path style only
    false, // keep on disk
  );
  return new BlobServer(configuration) as AzuriteServer;
}

/** CommonJS behind `import()`: the class is `default.default` in Node and `default` where the bundler unwraps it. */
function classOf(module: { default: unknown }): new (...args: unknown[]) => unknown {
  const inner = module.default as { default?: unknown };
  return (inner.default ?? inner) as new (...args: unknown[]) => unknown;
}
