import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { SandboxHost, SandboxService } from "../../contracts.ts";
import { listen, type Listener } from "../../listener.ts";
import { AwsError } from "../errors.ts";
import type { Iam } from "../iam.ts";
import type { Identity } from "../policy/evaluate.ts";
import { Call, type Reply } from "./call.ts";
import { Catalogue } from "./catalogue.ts";
import { DataFiles } from "./data-files.ts";
import { bucketOperations } from "./operations/buckets.ts";
import { listingOperations } from "./operations/listing.ts";
import { multipartOperations } from "./operations/multipart.ts";
import { objectOperations } from "./operations/objects.ts";
import type { Operation } from "./operations/operation.ts";
import { settingsOperations } from "./operations/settings.ts";
import { verifySignature } from "./signature.ts";
import { Store } from "./store.ts";
import { parseAddress, type Address } from "./uri.ts";
import { xmlDocument } from "./xml.ts";

/** Query parameters that change what an address means; with one that no operation knows, the request is for something else. */
const SUBRESOURCES =
  /^(accelerate|acl|analytics|attributes|cors|delete|encryption|intelligent-tiering|inventory|legal-hold|lifecycle|location|logging|metrics|notification|object-lock|ownershipControls|partNumber|policy|policyStatus|publicAccessBlock|replication|requestPayment|restore|retention|select|session|tagging|torrent|uploadId|uploads|versioning|versions|website)$/;

/**
 * Amazon S3, data and bucket API, on loopback HTTPS with path-style addresses. One endpoint stands for all regions: which
 * regional endpoint a client believes to talk to is in the credential scope of its signature.
 *
 * Simulated: signatures (header, presigned, streamed bodies), checksums, identity and bucket policies, public access block,
 * default encryption at rest, versions, multipart uploads, conditional requests, ranges, pagination.
 * Not simulated, and refused: ACLs, KMS and customer-provided keys, object tags and locks, lifecycle rules, replication,
 * notifications, websites, virtual-host addresses, ListObjects version 1.
 */
export class SandboxS3 implements SandboxService {
  /** `https://127.0.0.1:PORT`; filled by `start`. */
  endpoint = "";
  readonly store: Store;
  readonly #host: SandboxHost;
  readonly #iam: Iam;
  readonly #now: () => number;
  readonly #operations: readonly Operation[];
  #listener: Listener | undefined;

  /** @param now milliseconds since 1970. */
  constructor(host: SandboxHost, iam: Iam, now: () => number = Date.now) {
    this.#host = host;
    this.#iam = iam;
    this.#now = now;
    this.store = new Store(new Catalogue(host), new DataFiles(host));
    const operations = [
      ...bucketOperations,
      ...settingsOperations(iam),
      ...objectOperations,
      ...listingOperations,
      ...multipartOperations,
    ];
    this.#operations = operations.sort((a, b) => selectivity(b) - selectivity(a));
  }

  async start(): Promise<void> {
    this.store.files.removeOthers(this.store.catalogue.files());
    this.#listener = await listen(this.#host, "s3", (request, response) => this.#handle(request, response));
    this.endpoint = this.#listener.url;
  }

  async stop(): Promise<void> {
    await this.#listener?.close();
    this.store.catalogue.close();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = randomBytes(8).toString("hex").toUpperCase();
    response.setHeader("x-amz-request-id", requestId);
    response.setHeader("server", "CleanRoomSandboxS3");
    let reply: Reply;
    try {
      reply = await this.#answer(request);
    } catch (error) {
      if (!(error instanceof AwsError)) throw error;
      this.#host.log("s3", `${request.method} ${(request.url ?? "").split("?", 1)[0]} refused: ${error.code}`);
      reply = errorReply(error, request, requestId);
    }
    await send(reply, request, response);
  }

  async #answer(request: IncomingMessage): Promise<Reply> {
    const address = addressOf(request);
    const method = request.method ?? "GET";
    const find = (id: string) => this.#iam.findKey(id);
    const verified = verifySignature({ method, address, headers: request.headers }, find, this.#now());
    const identity: Identity = verified ? this.#iam.identityOf(verified.key) : { kind: "anonymous" };
    const [, bucketName = "", ...rest] = address.path.split("/");
    const query = new Map(address.query);
    const call = new Call({ store: this.store, request, verified, identity, bucketName, key: rest.join("/"), query });
    const operation = this.#operationFor(call);
    if (operation.on !== "service" && operation.needsBucket !== false) checkRegion(call);
    if (operation.action !== undefined) call.require(operation.action);
    return operation.run(call);
  }

  #operationFor(call: Call): Operation {
    const on = call.bucketName === "" ? "service" : call.key === "" ? "bucket" : "object";
    const matching = this.#operations.find(
      (operation) =>
        operation.on === on &&
        operation.method === call.method &&
        (operation.query ?? []).every((name) => call.query.has(name)) &&
        (operation.header === undefined || call.header(operation.header) !== undefined),
    );
    const asked = [...call.query.keys()].filter((name) => SUBRESOURCES.test(name));
    if (matching && asked.every((name) => matching.query?.includes(name))) return matching;
    throw new AwsError(
      501,
      "NotImplemented",
      `The sandbox does not simulate ${call.method} on ${on === "object" ? "an object" : on === "bucket" ? "a bucket" : "the service"}${asked.length > 0 ? ` with ?${asked.join("&")}` : ""}.`,
    );
  }
}

function selectivity({ query = [], header }: Operation): number {
  return query.length + (header === undefined ? 0 : 1);
}

function addressOf(request: IncomingMessage): Address {
  try {
    return parseAddress(request.url ?? "/");
  } catch {
    throw new AwsError(400, "InvalidURI", "Couldn't parse the specified URI.");
  }
}

/** A bucket answers at the endpoint of its own region only. @throws {AwsError} 301 `PermanentRedirect` or `NoSuchBucket`. */
function checkRegion(call: Call): void {
  const { region, name } = call.bucket;
  if (call.identity.kind === "anonymous" || call.region === region) return;
  throw new AwsError(
    301,
    "PermanentRedirect",
    "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.",
    { details: { Endpoint: `s3.${region}.amazonaws.com`, Bucket: name }, headers: { "x-amz-bucket-region": region } },
  );
}

function errorReply(error: AwsError, request: IncomingMessage, requestId: string): Reply {
  const resource = (request.url ?? "/").split("?", 1)[0];
  const content = {
    Code: error.code,
    Message: error.message,
    ...error.details,
    Resource: resource,
    RequestId: requestId,
  };
  return { status: error.status, headers: error.headers, text: xmlDocument("Error", content, false) };
}

async function send(reply: Reply, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const text = reply.text === undefined ? undefined : Buffer.from(reply.text);
  for (const [name, value] of Object.entries(reply.headers ?? {}))
    if (value !== undefined) response.setHeader(name, value);
  if (text && !response.hasHeader("content-type")) response.setHeader("content-type", "application/xml");
  if (text) response.setHeader("content-length", text.length);
  response.statusCode = reply.status;
  // The rest of a refused upload is read and dropped, so that the client gets to read the answer.
  request.resume();
  if (reply.body) return pipeline(Readable.from(reply.body), response);
  response.end(request.method === "HEAD" ? undefined : text);
}
