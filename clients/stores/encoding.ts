import type fs from "node:fs";
import { BLOCK_OVERHEAD, blockCount } from "../../domain/data/blockFormat.ts";
import type { Encryption } from "../../domain/data/publishedFile.ts";
import { recordOf, type DataFile } from "../../domain/data/publishedFile.ts";
import { sealBlocks, sealedLength, type SealJob } from "../files/sealBlocks.ts";
import { SealPool } from "../files/sealPool.ts";

/** A piece of an object as it is uploaded. */
export interface Part {
  readonly index: number;
  /** Where its plaintext is in the file. */
  readonly plainOffset: number;
  readonly plainLength: number;
  /** Bytes to upload. */
  readonly length: number;
}

/** Turns a file into the parts of an object. */
export interface Encoder {
  /** At least one part, for an empty file too. */
  parts(size: number): Part[];
  /** Fills the buffer with a part; what comes back holds it, and may be another buffer over the same memory. */
  fill(handle: fs.promises.FileHandle, size: number, part: Part, buffer: Buffer): Promise<Buffer>;
  close(): Promise<void>;
}

/** Fewer requests than with smaller parts, and few enough bytes to have eight of them in memory. */
const PART_SIZE = 8 * 1024 * 1024;
/** Below this, handing a part to a worker costs more than encrypting it. */
const WORKER_FROM = 128 * 1024;
/** One encrypts more than a gigabyte a second, more than a connection takes; it leaves this thread free to send. */
const WORKERS = 1;

export function encoderFor(encryption: Encryption, mostParts: number): Encoder {
  if (encryption.mode !== "CSE") return plainEncoder(mostParts);
  return blockEncoder(encryption.key, recordOf(encryption, EMPTY_FILE).blockSize, mostParts);
}

const EMPTY_FILE: DataFile = { path: "", size: 0, sha256: "" };

function plainEncoder(mostParts: number): Encoder {
  return {
    parts: (size) => {
      const step = Math.max(PART_SIZE, Math.ceil(size / mostParts));
      return cut(size, step, (plainLength) => plainLength);
    },
    async fill(handle, _size, part, buffer) {
      for (let done = 0; done < part.plainLength;) {
        const { bytesRead } = await handle.read(buffer, done, part.plainLength - done, part.plainOffset + done);
        if (bytesRead === 0) throw new Error("the file became shorter while it was read");
        done += bytesRead;
      }
      return buffer;
    },
    close: async () => {},
  };
}

function blockEncoder(key: Uint8Array, blockSize: number, mostParts: number): Encoder {
  const pool = new SealPool(key, WORKERS);
  const jobFor = (size: number, plainOffset: number, plainLength: number): Omit<SealJob, "fd"> => ({
    plainSize: size,
    blockSize,
    firstBlock: plainOffset / blockSize,
    blocks: blockCount(plainLength, blockSize),
    last: plainOffset + plainLength === size,
  });
  return {
    parts: (size) => {
      const blocks = Math.max(
        Math.floor(PART_SIZE / (blockSize + BLOCK_OVERHEAD)),
        Math.ceil(blockCount(size, blockSize) / mostParts),
        1,
      );
      return cut(size, blocks * blockSize, (plainLength, plainOffset) =>
        sealedLength(jobFor(size, plainOffset, plainLength)),
      );
    },
    async fill(handle, size, part, buffer) {
      const job = { ...jobFor(size, part.plainOffset, part.plainLength), fd: handle.fd };
      if (part.length >= WORKER_FROM) return pool.seal(job, buffer);
      sealBlocks(job, key, buffer);
      return buffer;
    },
    close: () => pool.close(),
  };
}

function cut(size: number, step: number, length: (plainLength: number, plainOffset: number) => number): Part[] {
  const parts: Part[] = [];
  let plainOffset = 0;
  do {
    const plainLength = Math.min(step, size - plainOffset);
    parts.push({ index: parts.length, plainOffset, plainLength, length: length(plainLength, plainOffset) });
    plainOffset += plainLength;
  } while (plainOffset < size);
  return parts;
}
