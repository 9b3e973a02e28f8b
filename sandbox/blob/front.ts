import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { readBody } from "../listener.ts";
import type { Account, BlobAuthorizer } from "./authorizer.ts";
import { headersOf, withoutHopByHop } from "./backend.ts";
import type { Backend } from "./backend.ts";
import { sendStorageError, StorageError } from "./errors.ts";
import { parseOperation, parsePath } from "./operations.ts";
import type { Operation } from "./operations.ts";

/** Beyond what 5000 entries of a listing, the most there are, take. */
const MAX_LISTING_BYTES = 64 * 1024 * 1024;

export interface FrontDependencies {
  readonly backend: Backend;
  readonly authorizer: BlobAuthorizer;
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
      request.resume();
      sendStorageError(response, error, request.method !== "HEAD");
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
    const headers = withoutHopByHop(headersOf(request));
    const copySource = this.copySource(request, operation, mayRead);
    if (copySource) headers["x-ms-copy-source"] = copySource;
    const answer = await this.dependencies.backend.send(operation.account, { method, target, headers, body: request });
    if (operation.name.startsWith("List")) return this.sendListing(response, answer);
    response.writeHead(answer.statusCode ?? 500, withoutHopByHop(headersOf(answer)));
    await pipeline(answer, response);
  }

  /** The source's address at the backend. @throws StorageError unless the caller may read it. */
  private copySource(
    request: IncomingMessage,
    operation: Operation,
    mayRead: (container: string) => boolean,
  ): string | undefined {
    const source = request.headers["x-ms-copy-source"];
    if (source === undefined) return undefined;
    const prefix = `${this.dependencies.publicUrl()}/`;
    if (typeof source !== "string" || !source.startsWith(prefix))
      throw cannotVerifySource("it is not at this blob service");
    const target = source.slice(prefix.length - 1);
    const { account, container } = parsePath(target.split("?", 1)[0] ?? "");
    if (account !== operation.account) throw cannotVerifySource("the sandbox copies only within one storage account");
    if (!mayRead(container)) throw cannotVerifySource("the caller may not read it", 403);
    return `${this.dependencies.backend.url}${target}`;
  }

  private async sendListing(response: ServerResponse, answer: IncomingMessage): Promise<void> {
    const xml = (await readBody(answer, MAX_LISTING_BYTES)).toString("utf8");
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
