import { Readable } from "node:stream";
import { DamagedCiphertextError } from "../../domain/data/blockFormat.ts";
import type { Encryption } from "../../domain/data/publishedFile.ts";
import { openBlocks } from "../files/openBlocks.ts";
import { normalPrefix } from "./inventory.ts";
import type { ObjectStore } from "./objectStore.ts";
import { openStore, type StoreTarget } from "./target.ts";

export interface ResultFile {
  /** Full name in the store. */
  readonly name: string;
  /** Bytes as stored; with CSE more than the file has. */
  readonly storedSize: number;
}

/**
 * Everything below a path, recursively, e.g. `<contract id>/<date>/<run id>`. Checksum files that Hadoop leaves beside its
 * output (`.part-….crc`) and other hidden names are left out.
 */
export async function* listResults(
  target: StoreTarget,
  options: { path?: string; signal?: AbortSignal } = {},
): AsyncGenerator<ResultFile> {
  const store = openStore(target, { mode: "SSE" }, options.signal);
  for await (const { name, size } of store.list(normalPrefix(options.path))) {
    if (!/(?:^|\/)[._]/.test(name)) yield { name, storedSize: size };
  }
}

/**
 * The plaintext of one object, as its owner: CSE is decrypted here, CPK by the service with the key we send.
 * The stream fails with a DamagedCiphertextError when the object was not encrypted with this key.
 */
export async function downloadResult(
  target: StoreTarget,
  name: string,
  encryption: Encryption,
  options: { signal?: AbortSignal } = {},
): Promise<Readable> {
  return openObject(openStore(target, encryption, options.signal), name, encryption);
}

/** {@link downloadResult} on an open store. */
export async function openObject(store: ObjectStore, name: string, encryption: Encryption): Promise<Readable> {
  const { size, body } = await store.get(name);
  if (encryption.mode !== "CSE") return body;
  const { key, blockSize } = encryption;
  // One block ahead of the reader, not sixteen.
  return Readable.from(named(name, openBlocks(body, size, key, blockSize)), { highWaterMark: 1 });
}

async function* named(name: string, blocks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* blocks;
  } catch (error) {
    if (error instanceof DamagedCiphertextError)
      throw new DamagedCiphertextError(`${name}: ${error.message}`, { cause: error });
    throw error;
  }
}
