import type { IncomingMessage, ServerResponse } from "node:http";
import { readBody } from "../listener.ts";
import type { Account, BlobAuthorizer } from "./authorizer.ts";
import { headersOf, withoutHopByHop } from "./backend.ts";
import type { Backend } from "./backend.ts";
import { cleanListing } from "./customer-keys/marker.ts";
import type { CustomerKeys } from "./customer-keys/index.ts";
import { sendStorageError, StorageError } from "./errors.ts";
import { parseOperation, parsePath, splitTarget } from "./operations.ts";
import type { Operation } from "./operations.ts";
import { changedHeaders, relay } from "./relay.ts";
import type { BlobCall } from "./relay.ts";

/** The backend would refuse them, and has no business to see a key. */
const KEY_HEADERS = {
  "x-ms-encryption-key": undefined,
  "x-ms-encryption-key-sha256": undefined,
  "x-ms-encryption-algorithm": undefined,
};
/** Beyond what 5000 entries of a listing, the most there are, take. */
const MAX_LISTING_BYTES = 64 * 1024 * 1024;

export interface FrontDependencies {
  readonly backend: Backend;
  readonly authorizer: BlobAuthorizer;
  readonly customerKeys: CustomerKeys;
  readonly findAccount: (name: string) => Account | undefined;
  /** `https://127.0.0.1:PORT`, as clients know it. */
  readonly publicUrl: () => string;
}

/** What every client talks to: authorises, then passes on. */
export class BlobFront {
  private readonly dependencies: FrontDependencies;

  constructor(dependencies: FrontDependencies) {
    this.dependencies = dependencies;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.serve(request, response);
    } catch (error) {
      if (!(error instanceof StorageError) || response.headersSent) throw error;
      sendStorageError(response, error, request.method !== "HEAD");
    } finally {
      // A body that nobody wanted would block the connection's next request.
      request.unpipe();
      request.resume();
    }
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { authorizer, findAccount, publicUrl } = this.dependencies;
    const target = request.url ?? "/";
    const method = request.method ?? "GET";
    const operation = parseOperation(method, target);
    const account = findAccount(operation.account);
    if (!account)
      throw new StorageError(404, "AccountNotFound", `The sandbox has no storage account '${operation.account}'.`);
    const mayRead = await authorizer.authorize(request, operation, account, `${publicUrl()}/${operation.account}`);
    refusePublicContainer(request, operation, account);
    const copySource = this.copySource(request, operation, mayRead);
    const headers = changedHeaders(withoutHopByHop(headersOf(request)), KEY_HEADERS);
    if (copySource !== undefined) headers["x-ms-copy-source"] = `${this.dependencies.backend.url}${copySource}`;
    const source = copySource !== undefined && { copySource };
    const call: BlobCall = { operation, request, response, method, target, headers, ...source };
    if (operation.name === "List Blobs") return this.listBlobs(call);
    if (await this.dependencies.customerKeys.serve(call)) return;
    const answer = await this.dependencies.backend.send(operation.account, { method, target, headers, body: request });
    if (operation.name === "List Containers") return this.sendListing(response, answer, (xml) => xml);
    await relay(response, answer);
  }

  /** Path and query of the source. @throws StorageError unless the caller may read it. */
  private copySource(
    request: IncomingMessage,
    operation: Operation,
    mayRead: (container: string) => boolean,
  ): string | undefined {
    const source = request.headers["x-ms-copy-source"];
    if (source === undefined) return undefined;
    const url = typeof source === "string" && URL.canParse(source) ? new URL(source) : undefined;
    if (url?.origin !== this.dependencies.publicUrl()) throw cannotVerifySource("it is not at this blob service");
    // Normalised (`..` is gone), as the backend would do it: both must mean the same blob.
    const target = `${url.pathname}${url.search}`;
    const { account, container } = parsePath(url.pathname);
    if (account !== operation.account) throw cannotVerifySource("the sandbox copies only within one storage account");
    if (!mayRead(container)) throw cannotVerifySource("the caller may not read it", 403);
    return target;
  }

  /** Metadata says which blobs are encrypted, so it is always asked for. */
  private async listBlobs({ operation, response, method, target, headers }: BlobCall): Promise<void> {
    const include = (operation.query.get("include") ?? "").split(",").filter((item) => item !== "");
    const withMetadata = include.includes("metadata");
    const query = new URLSearchParams(operation.query);
    query.set("include", [...new Set([...include, "metadata"])].join(","));
    const { path } = splitTarget(target);
    const answer = await this.dependencies.backend.send(operation.account, {
      method,
      target: `${path}?${query}`,
      headers,
    });
    await this.sendListing(response, answer, (xml) => cleanListing(xml, withMetadata));
  }

  private async sendListing(
    response: ServerResponse,
    answer: IncomingMessage,
    clean: (xml: string) => string,
  ): Promise<void> {
    const xml = clean((await readBody(answer, MAX_LISTING_BYTES)).toString("utf8"));
    const body = Buffer.from(xml.replaceAll(this.dependencies.backend.url, this.dependencies.publicUrl()));
    const headers = withoutHopByHop(headersOf(answer));
    response.writeHead(answer.statusCode ?? 500, { ...headers, "content-length": String(body.length) });
    response.end(body);
  }
}

function cannotVerifySource(reason: string, status = 404): StorageError {
  return new StorageError(status, "CannotVerifyCopySource", `The copy source cannot be verified: ${reason}.`);
}

function refusePublicContainer(request: IncomingMessage, operation: Operation, account: Account): void {
  const opens = operation.name === "Create Container" || operation.name === "Set Container ACL";
  if (opens && request.headers["x-ms-blob-public-access"] !== undefined && !account.spec.allowBlobPublicAccess) {
    throw new StorageError(409, "PublicAccessNotPermitted", "Public access is not permitted on this storage account.");
  }
}
