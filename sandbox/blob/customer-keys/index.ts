import crypto from "node:crypto";
import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { readBody } from "../../listener.ts";
import { headersOf, withoutHopByHop } from "../backend.ts";
import type { Backend } from "../backend.ts";
import { StorageError } from "../errors.ts";
import { splitTarget } from "../operations.ts";
import { changedHeaders, relay } from "../relay.ts";
import type { BlobCall } from "../relay.ts";
import { parseBlockList } from "./block-list.ts";
import { BlockEncryptor, chunksBetween, decryptChunks, macOf } from "./cipher.ts";
import type { SealedBlock } from "./cipher.ts";
import { customerKeyOf } from "./key.ts";
import type { CustomerKey } from "./key.ts";
import { decrypted, markerHeaders, markerOf } from "./marker.ts";
import type { Marker } from "./marker.ts";
import { requestedRange } from "./range.ts";
import type { BlobTable, NamedBlock, TableStore } from "./tables.ts";

const MAX_BLOCK_LIST_BYTES = 16 * 1024 * 1024;
const CONDITIONS = /^(if-|x-ms-if-|x-ms-lease-id$|x-ms-version$)/i;
/** The backend cannot check sums of a body that it does not get, nor fetch a source that has to be encrypted. */
const NOT_FOR_BACKEND = {
  "content-md5": undefined,
  "x-ms-content-crc64": undefined,
  "x-ms-range-get-content-md5": undefined,
  "x-ms-copy-source": undefined,
  "x-ms-source-range": undefined,
};

/**
 * Customer-provided keys (CPK): a blob written with a key is encrypted before the backend gets it, and is read, and its
 * metadata changed, only with the same key. The key itself is kept nowhere.
 * Behaviour: https://learn.microsoft.com/azure/storage/blobs/encryption-customer-provided-keys
 */
export class CustomerKeys {
  private readonly backend: Backend;
  private readonly tables: TableStore;

  constructor(backend: Backend, tables: TableStore) {
    this.backend = backend;
    this.tables = tables;
  }

  /** @returns whether the call has been answered; if not, it has nothing to do with encryption. */
  async serve(call: BlobCall): Promise<boolean> {
    const key = customerKeyOf(call.request);
    refuseMarkers(call);
    if (call.copySource !== undefined) await this.refuseEncryptedSource(call, call.copySource);
    switch (call.operation.name) {
      case "Put Blob":
        return key ? this.putBlob(call, key) : this.putPlainBlob(call);
      case "Put Block":
        return key ? this.putBlock(call, key) : this.putPlainBlock(call);
      case "Put Block List":
        await this.putBlockList(call, key);
        return true;
      case "Get Blob":
        return key ? this.getBlob(call, key) : this.inspect(call, undefined);
      case "Get Blob Properties":
      case "Get Blob Metadata":
        return this.inspect(call, key);
      case "Set Blob Metadata":
      case "Set Blob Properties":
      case "Snapshot Blob":
        return this.modify(call, key);
      case "Append Block":
      case "Put Page":
        if (!key) return false;
        throw new StorageError(
          501,
          "NotImplemented",
          `The sandbox has no customer-provided keys for '${call.operation.name}'.`,
        );
      default:
        return false;
    }
  }

  private async putBlob(call: BlobCall, key: CustomerKey): Promise<true> {
    if (call.request.headers["x-ms-blob-type"] !== "BlockBlob") {
      throw new StorageError(
        501,
        "NotImplemented",
        "The sandbox has customer-provided keys for block blobs only, and not for Copy Blob.",
      );
    }
    const id = crypto.randomUUID();
    let md5 = "";
    const answer = await this.sendEncrypted(call, key, { id, keySha256: key.sha256 }, (block, plainMd5) => {
      md5 = plainMd5;
      this.tables.write(id, tableOf(key, [{ id: "", ...block }], md5));
    });
    if (isSuccess(answer)) this.tables.unstageAll(blobOf(call));
    else this.tables.remove(id);
    await relay(call.response, answer, isSuccess(answer) ? written(key, md5) : {});
    return true;
  }

  /** Putting a blob in one piece discards the blocks that wait for it. */
  private async putPlainBlob(call: BlobCall): Promise<false> {
    this.tables.unstageAll(blobOf(call));
    return false;
  }

  private async putBlock(call: BlobCall, key: CustomerKey): Promise<true> {
    const id = call.operation.query.get("blockid") ?? "";
    let sealed: SealedBlock | undefined;
    let md5 = "";
    const answer = await this.sendEncrypted(call, key, undefined, (block, plainMd5) => {
      sealed = block;
      md5 = plainMd5;
    });
    if (isSuccess(answer) && sealed)
      this.tables.stage(blobOf(call), { keySha256: key.sha256, block: { id, ...sealed } });
    await relay(call.response, answer, isSuccess(answer) ? written(key, md5) : {});
    return true;
  }

  private async putPlainBlock(call: BlobCall): Promise<false> {
    this.tables.unstage(blobOf(call), call.operation.query.get("blockid") ?? "");
    return false;
  }

  private async putBlockList(call: BlobCall, key: CustomerKey | undefined): Promise<void> {
    const body = await readBody(call.request, MAX_BLOCK_LIST_BYTES);
    const blocks = await this.blocksOf(call, body, key);
    if (!key) return relay(call.response, await this.send(call, call.headers, body));
    const id = crypto.randomUUID();
    const md5 = call.request.headers["x-ms-blob-content-md5"];
    this.tables.write(id, tableOf(key, blocks, typeof md5 === "string" ? md5 : undefined));
    const marker = markerHeaders({ id, keySha256: key.sha256 });
    const answer = await this.send(call, changedHeaders(call.headers, { ...NOT_FOR_BACKEND, ...marker }), body);
    if (isSuccess(answer)) this.tables.unstageAll(blobOf(call));
    else this.tables.remove(id);
    await relay(call.response, answer, isSuccess(answer) ? written(key, undefined) : {});
  }

  /** The blocks a list names, all of them encrypted with `key`, or none of them encrypted at all. */
  private async blocksOf(call: BlobCall, body: Buffer, key: CustomerKey | undefined): Promise<NamedBlock[]> {
    const list = parseBlockList(body.toString("utf8"));
    const current = await this.head(call);
    const committed = current.marker && this.tables.read(current.marker.id);
    const found = list.map(({ kind, id }) => {
      const staged = kind === "Committed" ? undefined : this.tables.findStaged(blobOf(call), id);
      if (staged) return staged;
      const block = kind === "Uncommitted" ? undefined : committed?.blocks.find((entry) => entry.id === id);
      return block && committed ? { keySha256: committed.keySha256, block } : undefined;
    });
    if (!key) {
      if (found.some((entry) => entry !== undefined)) throw usesKey();
      return [];
    }
    return found.map((entry) => {
      if (!entry)
        throw new StorageError(
          400,
          "InvalidBlockList",
          "The specified block list is invalid: it names a block that was not put with this key.",
        );
      if (entry.keySha256 !== key.sha256) throw keyMismatch();
      return entry.block;
    });
  }

  private async getBlob(call: BlobCall, key: CustomerKey): Promise<boolean> {
    const { answer: head, marker } = await this.head(call);
    if (!isSuccess(head)) return false;
    const table = this.openTable(marker, key);
    const total = table.blocks.reduce((sum, { length }) => sum + length, 0);
    const range = requestedRange(call.request.headers, total);
    const chunks = chunksBetween(table.blocks, range.start, range.end);
    const body = await this.plaintext(call, key, chunks, range, String(head.headers.etag));
    const first = await body.next().catch(() => {
      throw new StorageError(500, "InternalError", "The stored blob fails its integrity check.");
    });
    const contentRange = range.isPartial ? `bytes ${range.start}-${range.end - 1}/${total}` : undefined;
    const headers = changedHeaders(withoutHopByHop(headersOf(head)), {
      ...decrypted(head, key, table.md5, range.isPartial),
      "content-length": String(range.end - range.start),
      "content-range": contentRange,
    });
    call.response.writeHead(range.isPartial ? 206 : 200, headers);
    await pipeline(Readable.from(startingWith(first, body)), call.response);
    return true;
  }

  private async plaintext(
    call: BlobCall,
    key: CustomerKey,
    chunks: ReturnType<typeof chunksBetween>,
    range: { start: number; end: number },
    etag: string,
  ): Promise<AsyncGenerator<Buffer>> {
    const [first, last] = [chunks[0], chunks.at(-1)];
    if (!first || !last) return cut(decryptChunks(key.key, [], Readable.from([])), 0, 0);
    const version = call.headers["x-ms-version"];
    const source = await this.backend.send(call.operation.account, {
      method: "GET",
      target: call.target,
      headers: {
        ...(version && { "x-ms-version": version }),
        "x-ms-range": `bytes=${first.offset}-${last.offset + last.length - 1}`,
        "if-match": etag,
      },
    });
    if (!isSuccess(source)) {
      source.resume();
      throw new StorageError(412, "ConditionNotMet", "The blob changed while it was read.");
    }
    return cut(decryptChunks(key.key, chunks, source), range.start - first.offset, range.end - first.offset);
  }

  /** Passes on an answer about one blob, once it is clear that the caller has what it takes. */
  private async inspect(call: BlobCall, key: CustomerKey | undefined): Promise<true> {
    const answer = await this.send(call, call.headers);
    if (!isSuccess(answer)) {
      await relay(call.response, answer);
      return true;
    }
    const marker = markerOf(answer);
    try {
      checkKey(marker, key);
    } catch (error) {
      answer.destroy();
      throw error;
    }
    const changes = marker && key ? decrypted(answer, key, this.tables.read(marker.id).md5, false) : {};
    await relay(call.response, answer, changes);
    return true;
  }

  /** Metadata is replaced as a whole, so the marker must be put back. */
  private async modify(call: BlobCall, key: CustomerKey | undefined): Promise<boolean> {
    const { answer: head, marker } = await this.head(call);
    if (!isSuccess(head)) return false;
    checkKey(marker, key);
    if (!marker || !key) return false;
    const replaces =
      call.operation.name === "Set Blob Metadata" ||
      Object.keys(call.headers).some((name) => /^x-ms-meta-/i.test(name));
    const changes = { ...NOT_FOR_BACKEND, ...(replaces && markerHeaders(marker)) };
    await relay(call.response, await this.send(call, changedHeaders(call.headers, changes)), written(key, undefined));
    return true;
  }

  private async refuseEncryptedSource(call: BlobCall, source: string): Promise<void> {
    const head = await this.backend.send(call.operation.account, { method: "HEAD", target: source, headers: {} });
    head.resume();
    if (isSuccess(head) && markerOf(head)) throw usesKey();
  }

  /** The blob as it is now; the conditions of the call apply. */
  private async head(call: BlobCall): Promise<{ answer: IncomingMessage; marker: Marker | undefined }> {
    const headers = Object.fromEntries(Object.entries(call.headers).filter(([name]) => CONDITIONS.test(name)));
    const isRead = call.method === "GET" || call.method === "HEAD";
    const selectors = new URLSearchParams(
      [...call.operation.query].filter(([name]) => name === "snapshot" || name === "versionid"),
    );
    const { path } = splitTarget(call.target);
    const version = call.headers["x-ms-version"];
    const answer = await this.backend.send(call.operation.account, {
      method: "HEAD",
      target: selectors.size > 0 ? `${path}?${selectors.toString()}` : path,
      headers: isRead ? headers : { ...(version && { "x-ms-version": version }) },
    });
    answer.resume();
    return { answer, marker: isSuccess(answer) ? markerOf(answer) : undefined };
  }

  private send(call: BlobCall, headers: OutgoingHttpHeaders, body?: Buffer): Promise<IncomingMessage> {
    const { operation, method, target, request } = call;
    return this.backend.send(operation.account, { method, target, headers, body: body ?? request });
  }

  /** @param marker put on the blob; none for a block. */
  private async sendEncrypted(
    call: BlobCall,
    key: CustomerKey,
    marker: Marker | undefined,
    complete: (block: SealedBlock, md5: string) => void,
  ): Promise<IncomingMessage> {
    const { operation, method, target, request } = call;
    if (request.headers["x-ms-structured-body"] !== undefined) {
      throw new StorageError(400, "UnsupportedHeader", "The sandbox does not read structured bodies.");
    }
    const source = call.copySource === undefined ? request : await this.readSource(call, call.copySource);
    const expected = request.headers["content-md5"];
    const encryptor = new BlockEncryptor(key.key, (block, md5) => {
      if (expected !== undefined && expected !== md5) {
        throw new StorageError(
          400,
          "Md5Mismatch",
          "The MD5 value specified in the request did not match the MD5 value calculated by the server.",
        );
      }
      complete(block, md5);
    });
    const length = source.headers["content-length"];
    const headers = changedHeaders(call.headers, {
      ...NOT_FOR_BACKEND,
      ...(length !== undefined && { "content-length": length }),
      ...(marker && markerHeaders(marker)),
    });
    const piped = pipeline(source, encryptor);
    // Whoever fails first has the reason: the encryptor a broken body, the backend a refusal.
    piped.catch(() => undefined);
    return this.backend.send(operation.account, { method, target, headers, body: encryptor });
  }

  private async readSource(call: BlobCall, target: string): Promise<IncomingMessage> {
    const range = call.request.headers["x-ms-source-range"];
    const headers = typeof range === "string" ? { "x-ms-range": range } : {};
    const source = await this.backend.send(call.operation.account, { method: "GET", target, headers });
    if (isSuccess(source)) return source;
    source.resume();
    throw new StorageError(404, "CannotVerifyCopySource", "The copy source cannot be read.");
  }

  private openTable(marker: Marker | undefined, key: CustomerKey): BlobTable {
    checkKey(marker, key);
    const table = this.tables.read((marker as Marker).id);
    if (table.mac !== macOf(key.key, table.blocks)) {
      throw new StorageError(500, "InternalError", "The stored blob fails its integrity check.");
    }
    return table;
  }
}

function tableOf(key: CustomerKey, blocks: readonly NamedBlock[], md5: string | undefined): BlobTable {
  return { keySha256: key.sha256, blocks, mac: macOf(key.key, blocks), ...(md5 && { md5 }) };
}

/** What a write answers besides what the backend does. */
function written(key: CustomerKey, md5: string | undefined): Record<string, string | undefined> {
  return {
    "x-ms-request-server-encrypted": "true",
    "x-ms-encryption-key-sha256": key.sha256,
    "content-md5": md5,
    "x-ms-content-crc64": undefined,
  };
}

function checkKey(marker: Marker | undefined, key: CustomerKey | undefined): void {
  if (marker && !key) throw usesKey();
  if (marker && key && marker.keySha256 !== key.sha256) throw keyMismatch();
  if (!marker && key) {
    throw new StorageError(
      409,
      "BlobDoesNotUseCustomerSpecifiedEncryption",
      "The blob is not encrypted with customer specified encryption, but it was provided in the request.",
    );
  }
}

function usesKey(): StorageError {
  return new StorageError(
    409,
    "BlobUsesCustomerSpecifiedEncryption",
    "The blob is encrypted with customer specified encryption, but it was not provided in the request.",
  );
}

function keyMismatch(): StorageError {
  return new StorageError(
    409,
    "BlobCustomerSpecifiedEncryptionMismatch",
    "The given customer specified encryption does not match the encryption used to encrypt the blob.",
  );
}

function refuseMarkers(call: BlobCall): void {
  const names = Object.keys(call.headers).map((name) => name.toLowerCase());
  if (Object.keys(markerHeaders({ id: "", keySha256: "" })).some((name) => names.includes(name))) {
    throw new StorageError(
      400,
      "InvalidMetadata",
      "The metadata names 'sandboxcpkid' and 'sandboxcpksha256' are the sandbox's own.",
    );
  }
}

function blobOf({ operation: { account, container, blob } }: BlobCall): string {
  return `/${account}/${container}/${blob}`;
}

function isSuccess(answer: IncomingMessage): boolean {
  const status = answer.statusCode ?? 500;
  return status >= 200 && status < 300;
}

/** The bytes `start` to `end` (exclusive) of a stream. */
async function* cut(source: AsyncGenerator<Buffer>, start: number, end: number): AsyncGenerator<Buffer> {
  let position = 0;
  for await (const data of source) {
    yield data.subarray(Math.max(0, start - position), Math.max(0, end - position));
    position += data.length;
  }
}

async function* startingWith(
  first: IteratorResult<Buffer, void>,
  rest: AsyncGenerator<Buffer>,
): AsyncGenerator<Buffer> {
  if (first.done) return;
  yield first.value;
  yield* rest;
}
