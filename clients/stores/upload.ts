import type { Encryption } from "../../domain/data/publishedFile.ts";
import { recordOf } from "../../domain/data/publishedFile.ts";
import { UserError } from "../../domain/errors.ts";
import { concurrently } from "../files/concurrently.ts";
import { openToRead, type ScannedFile } from "../files/scan.ts";
import { BufferPool } from "./bufferPool.ts";
import { encoderFor, type Encoder, type Part } from "./encoding.ts";
import type { ObjectStore } from "./objectStore.ts";
import type { ProgressMeter } from "./progress.ts";

export interface UploadOptions {
  readonly directory: string;
  readonly files: readonly ScannedFile[];
  readonly store: ObjectStore;
  readonly encryption: Encryption;
  readonly nameOf: (path: string) => string;
  readonly meter: ProgressMeter;
  /** Requests at a time for small files. Default 32; large parts are bound by memory. */
  readonly concurrency?: number;
  readonly signal?: AbortSignal;
}

/** Files whose only part is at most this go many at a time. */
const SMALL_PART = 256 * 1024;
const SMALL_CONCURRENCY = 32;
const LARGE_CONCURRENCY = 8;
const LARGE_MEMORY = 64 * 1024 * 1024;

interface Lane {
  readonly files: readonly ScannedFile[];
  readonly pool: BufferPool;
}

/**
 * Encrypts and uploads in one pass. Several files and several parts of one file are under way at a time, all in a
 * fixed set of buffers. An object appears under its name only when it is whole.
 */
export async function uploadFiles(options: UploadOptions): Promise<void> {
  const encoder = encoderFor(options.encryption, options.store.limits.parts);
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const runLane = async ({ files, pool }: Lane) => {
    try {
      await concurrently(files, pool.count, (file) => uploadFile(file, pool, encoder, options), signal);
    } catch (error) {
      stop.abort(error);
    }
  };
  try {
    await Promise.all(planLanes(options, encoder, signal).map(runLane));
    stop.signal.throwIfAborted();
  } finally {
    await encoder.close();
  }
}

function planLanes(
  { files, concurrency = SMALL_CONCURRENCY }: UploadOptions,
  encoder: Encoder,
  signal: AbortSignal,
): Lane[] {
  const small: ScannedFile[] = [];
  const large: ScannedFile[] = [];
  let largest = 0;
  for (const file of files) {
    const parts = encoder.parts(file.size);
    const length = Math.max(...[parts[0]!, parts.at(-1)!].map((part) => part.length));
    (parts.length === 1 && length <= SMALL_PART ? small : large).push(file);
    largest = Math.max(largest, length);
  }
  const largeCount = Math.max(2, Math.min(LARGE_CONCURRENCY, Math.floor(LARGE_MEMORY / Math.max(largest, 1))));
  return [
    { files: small, pool: new BufferPool(concurrency, SMALL_PART, signal) },
    { files: large, pool: new BufferPool(largeCount, largest, signal) },
  ];
}

async function uploadFile(
  file: ScannedFile,
  pool: BufferPool,
  encoder: Encoder,
  options: UploadOptions,
): Promise<void> {
  const { store, encryption, meter, directory } = options;
  const name = options.nameOf(file.path);
  const record = recordOf(encryption, file);
  const parts = encoder.parts(file.size);
  const handle = await openToRead(directory, file.path);
  const send = async (part: Part, put: (body: Buffer) => Promise<void>) => {
    let buffer = await pool.take();
    try {
      buffer = await encoder.fill(handle, file.size, part, buffer);
      await put(buffer.subarray(0, part.length));
    } finally {
      pool.give(buffer);
    }
    meter.addBytes(part.plainLength);
  };
  const assertUnchanged = async () => {
    const stat = await handle.stat();
    if (stat.size !== file.size || stat.mtimeMs !== file.modified) {
      throw new UserError(
        `${file.path}: the file changed after it was checked. Run the command again when nothing writes to ${directory}.`,
      );
    }
  };
  try {
    await assertUnchanged();
    if (parts.length === 1) {
      await send(parts[0]!, async (body) => {
        await assertUnchanged();
        await store.put(name, body, record);
      });
    } else {
      const upload = store.putParts(name);
      await concurrently(parts, pool.count, (part) => send(part, (body) => upload.put(part.index, body)));
      await assertUnchanged();
      await upload.complete(record);
    }
  } finally {
    await handle.close();
  }
  meter.addFile();
}
