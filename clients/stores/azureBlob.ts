import type { TokenCredential } from "@azure/identity";
import {
  ContainerClient,
  RestError,
  type BlobHTTPHeaders,
  type CpkInfo,
  type HttpRequestBody,
} from "@azure/storage-blob";
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { formatRecord, parseRecord, type Encryption, type FileRecord } from "../../domain/data/publishedFile.ts";
import {
  StoreAccessError,
  StoreMissingError,
  type ObjectStore,
  type PartUpload,
  type StoredObject,
} from "./objectStore.ts";

/** A container of Azure Blob Storage, by address or as a client (any credential). */
export type BlobTarget =
  | {
      readonly type: "Azure_BlobStorage";
      /** `https://<account>.blob.core.windows.net/` */
      readonly blobEndpoint: string;
      readonly container: string;
      readonly credential: TokenCredential;
      /** How long to wait for a new role assignment to be known everywhere. Default: 5 minutes. */
      readonly roleDeadlineMs?: number;
    }
  | { readonly type: "Azure_BlobStorage"; readonly client: ContainerClient; readonly roleDeadlineMs?: number };

const ROLE_DEADLINE_MS = 5 * 60_000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;
const BODY_SLICE = 256 * 1024;
/** Refused for want of a role; also the answer for minutes after a role was assigned. */
const ROLE_MISSING = "AuthorizationPermissionMismatch";
/**
 * Records are kept in a property, not in metadata: a listing leaves out the metadata of blobs that are encrypted with
 * a customer-provided key (List Blobs, `<Metadata Encrypted="true"/>`), and asking for each blob would cost a request a file.
 */
const DISPOSITION = /^attachment; cleanroom="([^"]*)"$/;

/** @param encryption CPK: the key goes with every call that touches content. */
export function azureBlobStore(target: BlobTarget, encryption: Encryption, signal?: AbortSignal): ObjectStore {
  const client = "client" in target ? target.client : containerClient(target);
  const description = `container "${client.containerName}" of ${new URL(".", client.url).href}`;
  const customerProvidedKey = encryption.mode === "CPK" ? cpkInfo(encryption.key) : undefined;
  const options = { abortSignal: signal, customerProvidedKey };
  const call = <T>(role: string, send: () => Promise<T>) =>
    sendWithRole(send, {
      role,
      description,
      deadline: Date.now() + (target.roleDeadlineMs ?? ROLE_DEADLINE_MS),
      signal,
    });
  const write = <T>(send: () => Promise<T>) => call("Storage Blob Data Contributor", send);
  const read = <T>(send: () => Promise<T>) => call("Storage Blob Data Reader", send);

  return {
    description,
    limits: { parts: 50_000, partSize: 4000 * 1024 * 1024 },

    async *list(prefix) {
      let continuationToken: string | undefined;
      do {
        // A pager that has thrown is finished, so every page (and every attempt at it) starts its own.
        const page = await read(() =>
          client.listBlobsFlat({ prefix, abortSignal: signal }).byPage({ maxPageSize: 5000, continuationToken }).next(),
        );
        if (page.done) return;
        for (const { name, properties } of page.value.segment.blobItems) {
          yield storedObject(name, properties.contentLength ?? 0, properties.contentDisposition);
        }
        continuationToken = page.value.continuationToken || undefined;
      } while (continuationToken);
    },

    async head(name) {
      const found = await unlessMissing(read(() => client.getBlobClient(name).getProperties(options)));
      return found && storedObject(name, found.contentLength ?? 0, found.contentDisposition);
    },

    async put(name, body, record) {
      const blob = client.getBlockBlobClient(name);
      await write(() => blob.upload(bodyOf(body), body.length, { ...options, blobHTTPHeaders: headersOf(record) }));
    },

    putParts(name): PartUpload {
      const blob = client.getBlockBlobClient(name);
      const blocks: string[] = [];
      return {
        async put(index, body) {
          blocks[index] = Buffer.from(String(index).padStart(8, "0")).toString("base64");
          await write(() => blob.stageBlock(blocks[index]!, bodyOf(body), body.length, options));
        },
        async complete(record) {
          await write(() => blob.commitBlockList(blocks, { ...options, blobHTTPHeaders: headersOf(record) }));
        },
      };
    },

    async get(name) {
      const response = await read(() =>
        client.getBlobClient(name).download(0, undefined, { ...options, maxRetryRequests: 5 }),
      );
      return { size: response.contentLength ?? 0, body: response.readableStreamBody as Readable };
    },

    async delete(name) {
      await unlessMissing(
        write(() => client.getBlobClient(name).delete({ abortSignal: signal, deleteSnapshots: "include" })),
      );
    },
  };
}

function containerClient(target: {
  blobEndpoint: string;
  container: string;
  credential: TokenCredential;
}): ContainerClient {
  return new ContainerClient(
    new URL(encodeURIComponent(target.container), target.blobEndpoint).href,
    target.credential,
  );
}

function cpkInfo(key: Uint8Array): CpkInfo {
  return {
    encryptionAlgorithm: "AES256",
    encryptionKey: Buffer.from(key).toString("base64"),
    encryptionKeySha256: createHash("sha256").update(key).digest("base64"),
  };
}

function headersOf(record: FileRecord): BlobHTTPHeaders {
  return {
    blobContentType: "application/octet-stream",
    blobContentDisposition: `attachment; cleanroom="${formatRecord(record)}"`,
  };
}

function storedObject(name: string, size: number, disposition: string | undefined): StoredObject {
  return { name, size, record: parseRecord(DISPOSITION.exec(disposition ?? "")?.[1] ?? "") };
}

async function unlessMissing<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof RestError && error.statusCode === 404) return undefined;
    throw error;
  }
}

/**
 * Large bodies go out piece by piece: TLS would otherwise encrypt a whole one into memory of its own, whatever the
 * connection takes. A function, because a retry starts again from the first byte.
 */
function bodyOf(bytes: Buffer): HttpRequestBody {
  if (bytes.length <= BODY_SLICE) return bytes;
  return () => Readable.from(slices(bytes), { objectMode: false });
}

function* slices(bytes: Buffer): Generator<Buffer> {
  for (let from = 0; from < bytes.length; from += BODY_SLICE) yield bytes.subarray(from, from + BODY_SLICE);
}

interface Access {
  readonly role: string;
  readonly description: string;
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
}

/** Waits out the minutes a new role assignment takes; explains every other refusal at once. */
async function sendWithRole<T>(send: () => Promise<T>, access: Access): Promise<T> {
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof RestError)) throw error;
      const mayPass = codeOf(error) === ROLE_MISSING && Date.now() + pause < access.deadline;
      if (!mayPass) throw explained(error, access);
      await setTimeout(pause, undefined, { signal: access.signal });
    }
  }
}

function explained(error: RestError, { role, description }: Access): Error {
  const code = codeOf(error);
  if (code === "ContainerNotFound") return new StoreMissingError(`There is no ${description}.`, { cause: error });
  if (error.statusCode !== 401 && error.statusCode !== 403) return error;
  const advice =
    code === ROLE_MISSING
      ? `The signed-in identity lacks the role "${role}" on it.`
      : `Sign in with an identity of the account's tenant that has the role "${role}" on it, and check that the account's network rules let this machine in.`;
  return new StoreAccessError(`The ${description} refused the request (${error.statusCode} ${code}). ${advice}`, {
    cause: error,
  });
}

function codeOf(error: RestError): string {
  const details = error.details as { errorCode?: string } | undefined;
  return error.code ?? details?.errorCode ?? "unknown";
}
