import { randomFillSync } from "node:crypto";
import fs from "node:fs";
import {
  BLOCK_OVERHEAD,
  BlockSealer,
  CIPHER_SLICE,
  NONCE_LENGTH,
  paddingLength,
  sinkInto,
  TRAILER_LENGTH,
  writeTrailer,
  type Sink,
} from "../../domain/data/blockFormat.ts";

/** A run of blocks of one file, to be encrypted one after the other. */
export interface SealJob {
  /** Open for reading. */
  readonly fd: number;
  readonly plainSize: number;
  readonly blockSize: number;
  readonly firstBlock: number;
  readonly blocks: number;
  /** The trailer follows the blocks. */
  readonly last: boolean;
}

/** Where in an open file a job's bytes go. */
export interface FileRange {
  readonly fd: number;
  readonly position: number;
}

/** As it travels between threads. */
export type SealTarget = ArrayBuffer | FileRange;

const slice = Buffer.allocUnsafeSlow(CIPHER_SLICE);
const nonce = Buffer.allocUnsafeSlow(NONCE_LENGTH);

/** Bytes a job writes. */
export function sealedLength(job: Pick<SealJob, "blocks" | "blockSize" | "last">): number {
  return job.blocks * (job.blockSize + BLOCK_OVERHEAD) + (job.last ? TRAILER_LENGTH : 0);
}

/** What travels without a copy: memory does, and is detached where it comes from. */
export function movable(target: SealTarget): ArrayBuffer[] {
  return "fd" in target ? [] : [target];
}

/**
 * Reads and encrypts blocks with synchronous, positional reads (four times quicker than streams), under a fresh random
 * nonce each. Runs in a worker for all but small files.
 * @param target memory for `sealedLength` bytes, or a file, which is written in the same way.
 * @throws when the file is shorter than it was said to be.
 */
export function sealBlocks(job: SealJob, key: Uint8Array, target: Buffer | FileRange): void {
  const sink = "fd" in target ? sinkIntoFile(target) : sinkInto(target);
  for (let i = 0; i < job.blocks; i++) sealBlock(job, job.firstBlock + i, key, sink);
  if (!job.last) return;
  const trailer = Buffer.alloc(TRAILER_LENGTH);
  writeTrailer(paddingLength(job.plainSize, job.blockSize), trailer, 0);
  sink(trailer);
}

function sealBlock({ fd, plainSize, blockSize }: SealJob, index: number, key: Uint8Array, sink: Sink): void {
  const sealer = new BlockSealer(key, randomFillSync(nonce), sink, blockSize);
  const end = Math.min((index + 1) * blockSize, plainSize);
  for (let position = index * blockSize; position < end;) {
    const read = fs.readSync(fd, slice, 0, Math.min(slice.length, end - position), position);
    if (read === 0) throw new Error("the file became shorter while it was encrypted");
    sealer.update(slice.subarray(0, read));
    position += read;
  }
  sealer.finish();
}

function sinkIntoFile({ fd, position }: FileRange): Sink {
  let end = position;
  return (piece) => {
    for (let done = 0; done < piece.length;) {
      const written = fs.writeSync(fd, piece, done, piece.length - done, end);
      done += written;
      end += written;
    }
  };
}
