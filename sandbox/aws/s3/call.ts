import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { AwsError } from "../errors.ts";
import type { Identity } from "../policy/evaluate.ts";
import type { RequestContext } from "../policy/conditions.ts";
import { requireAllowed, isAllowed } from "./access.ts";
import type { BucketRecord } from "./catalogue.ts";
import { announcedChecksum, UploadDigests, type Checksum } from "./checksums.ts";
import { decodeChunks, incompleteBody, STREAMING_PAYLOADS } from "./chunked.ts";
import { UNSIGNED_PAYLOAD, type Verified } from "./signature.ts";
import type { Store } from "./store.ts";

export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** An XML document, unless the headers say otherwise. */
  readonly text?: string;
  readonly body?: AsyncIterable<Buffer>;
}

export interface Received {
  readonly size: number;
  readonly md5: Buffer;
  readonly checksum?: Checksum;
}

const LARGEST_UPLOAD = 5 * 1024 ** 3;
const LARGEST_DOCUMENT = 2 * 1024 * 1024;

/** One request whose signature is verified: what it asks for, who asks, and its body. */
export class Call {
  readonly store: Store;
  readonly method: string;
  readonly identity: Identity;
  readonly region: string;
  readonly bucketName: string;
  readonly key: string;
  readonly query: ReadonlyMap<string, string>;
  readonly #request: IncomingMessage;
  readonly #verified: Verified | undefined;

  constructor(options: {
    store: Store;
    request: IncomingMessage;
    verified: Verified | undefined;
    identity: Identity;
    bucketName: string;
    key: string;
    query: ReadonlyMap<string, string>;
  }) {
    this.store = options.store;
    this.method = options.request.method ?? "GET";
    this.identity = options.identity;
    this.region = options.verified?.region ?? "us-east-1";
    this.bucketName = options.bucketName;
    this.key = options.key;
    this.query = options.query;
    this.#request = options.request;
    this.#verified = options.verified;
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name];
    return Array.isArray(value) ? value.join(",") : value;
  }

  headerNames(): string[] {
    return Object.keys(this.#request.headers);
  }

  get bucket(): BucketRecord {
    return this.store.bucket(this.bucketName);
  }

  get accountId(): string {
    if (this.identity.kind === "user") return this.identity.accountId;
    throw new AwsError(403, "AccessDenied", "Anonymous users cannot create buckets.");
  }

  /** @throws {AwsError} 403 `AccessDenied`. */
  require(action: string, place?: { bucketName: string; key?: string }): void {
    requireAllowed(this.#attempt(action, place));
  }

  may(action: string, place?: { bucketName: string; key?: string }): boolean {
    return isAllowed(this.#attempt(action, place));
  }

  /** Hands the body on and verifies what is known about it. @throws {AwsError} when it is not what was announced or signed. */
  async receive(write: (data: Buffer) => Promise<void>): Promise<Received> {
    const payload = this.#verified?.payload ?? UNSIGNED_PAYLOAD;
    const isStreaming = STREAMING_PAYLOADS.includes(payload);
    const announced = announcedChecksum((name) => this.header(name));
    const expectedSize = this.#expectedSize(isStreaming);
    const signsContent = /^[0-9a-f]{64}$/.test(payload);
    if (!signsContent && !isStreaming && payload !== UNSIGNED_PAYLOAD) {
      throw new AwsError(
        400,
        "InvalidArgument",
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING- payload or a valid sha256 value.",
      );
    }
    const digests = new UploadDigests({ sha256: signsContent, checksum: announced?.algorithm });
    const trailers = new Map<string, string>();
    // The connection outlives a refusal: the client is still sending, and shall read why.
    const body = this.#request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
    const pieces = isStreaming ? decodeChunks(body, this.#verified!, trailers) : body;
    for await (const piece of pieces) {
      if (digests.length + piece.length > expectedSize) throw incompleteBody();
      digests.update(piece);
      await write(piece);
    }
    if (digests.length !== expectedSize) throw incompleteBody();
    const { md5, sha256, checksum } = await digests.finish();
    if (signsContent && sha256 !== payload) {
      throw new AwsError(
        400,
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
      );
    }
    this.#checkMd5(md5);
    const given = announced && (announced.value ?? trailers.get(`x-amz-checksum-${announced.algorithm}`));
    if (checksum && given !== checksum.value) {
      const name = checksum.algorithm.toUpperCase();
      throw new AwsError(400, "BadDigest", `The ${name} you specified did not match the calculated checksum.`);
    }
    return { size: digests.length, md5, ...(checksum && { checksum }) };
  }

  /** A small body as a whole. */
  async document(): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let length = 0;
    await this.receive(async (data) => {
      length += data.length;
      if (length > LARGEST_DOCUMENT) throw new AwsError(400, "MaxMessageLengthExceeded", "Your request was too large.");
      pieces.push(data);
    });
    return Buffer.concat(pieces);
  }

  #expectedSize(isStreaming: boolean): number {
    const length = isStreaming ? this.header("x-amz-decoded-content-length") : this.header("content-length");
    if (length === undefined && !isStreaming && this.header("transfer-encoding") === undefined) return 0;
    if (length === undefined || !/^\d{1,15}$/.test(length)) {
      throw new AwsError(411, "MissingContentLength", "You must provide the Content-Length HTTP header.");
    }
    if (Number(length) > LARGEST_UPLOAD) {
      throw new AwsError(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size");
    }
    return Number(length);
  }

  #checkMd5(md5: Buffer): void {
    const given = this.header("content-md5");
    if (given === undefined) return;
    if (Buffer.from(given, "base64").length !== 16)
      throw new AwsError(400, "InvalidDigest", "The Content-MD5 you specified was invalid.");
    if (given !== md5.toString("base64")) {
      throw new AwsError(400, "BadDigest", "The Content-MD5 you specified did not match what we received.");
    }
  }

  #attempt(action: string, place?: { bucketName: string; key?: string }): Parameters<typeof requireAllowed>[0] {
    const { bucketName, key } = place ?? { bucketName: this.bucketName || "*", key: this.key || undefined };
    // Creating is a matter of the creator's account, whoever has a bucket of that name.
    const bucket = action === "CreateBucket" ? undefined : this.store.catalogue.bucket(bucketName);
    return {
      identity: this.identity,
      action,
      bucketName,
      context: this.#context(),
      ...(bucket && { bucket }),
      ...(key !== undefined && { key }),
    };
  }

  /** Condition keys: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html */
  #context(): RequestContext {
    const { socket } = this.#request;
    return {
      "aws:securetransport": String("encrypted" in socket),
      "aws:sourceip": socket.remoteAddress,
      "aws:useragent": this.header("user-agent"),
      "s3:prefix": this.query.get("prefix"),
      "s3:delimiter": this.query.get("delimiter"),
      "s3:max-keys": this.query.get("max-keys"),
      "s3:versionid": this.query.get("versionId"),
      "s3:x-amz-server-side-encryption": this.header("x-amz-server-side-encryption"),
      "s3:x-amz-content-sha256": this.header("x-amz-content-sha256"),
    };
  }
}

/** Ids that S3 makes up and clients only hand back. */
export function hexId(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
