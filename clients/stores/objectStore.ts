import type { Readable } from "node:stream";
import type { FileRecord } from "../../domain/data/publishedFile.ts";

export interface StoredObject {
  /** Full name in the container or bucket. */
  readonly name: string;
  /** Bytes as stored. */
  readonly size: number;
  /** Present on objects that we wrote. */
  readonly record?: FileRecord;
}

/** An upload in parts; nothing is visible under the name before `complete`. */
export interface PartUpload {
  /** Parts may arrive in any order; the body may be reused once this resolves. */
  put(index: number, body: Buffer): Promise<void>;
  complete(record: FileRecord): Promise<void>;
}

/**
 * What publishing needs of a store; one implementation a cloud. Every call fails with an error that names the store
 * and, when access is refused, the role that is missing.
 */
export interface ObjectStore {
  /** For messages, e.g. `container "x" of https://….blob.core.windows.net`. */
  readonly description: string;
  /** Most parts an object can have, and largest part. */
  readonly limits: { readonly parts: number; readonly partSize: number };
  /** All objects whose name starts with the prefix, with their records. */
  list(prefix: string): AsyncIterable<StoredObject>;
  head(name: string): Promise<StoredObject | undefined>;
  put(name: string, body: Buffer, record: FileRecord): Promise<void>;
  putParts(name: string): PartUpload;
  /** Size and bytes as stored. Fails when there is no such object. */
  get(name: string): Promise<{ readonly size: number; readonly body: Readable }>;
  /** Succeeds when the object is gone already. */
  delete(name: string): Promise<void>;
}

/** Neither retry nor a later run helps: somebody must do what the message says. */
export class StoreAccessError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StoreAccessError";
  }
}

/** There is no such container or bucket. */
export class StoreMissingError extends StoreAccessError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StoreMissingError";
  }
}
