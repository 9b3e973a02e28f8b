import { randomFillSync } from "node:crypto";
import fs from "node:fs";
import {
  BLOCK_OVERHEAD,
  BlockSealer,
  NONCE_LENGTH,
  paddingLength,
  TRAILER_LENGTH,
  writeTrailer,
} from "../../domain/data/blockFormat.ts";

/** A run of blocks of one file, to be encrypted into one buffer. */
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

const READ_SIZE = 64 * 1024;
const slice = Buffer.allocUnsafeSlow(READ_SIZE);
const nonce = Buffer.allocUnsafeSlow(NONCE_LENGTH);

/** Bytes a job writes. */
export function sealedLength(job: Pick<SealJob, "blocks" | "blockSize" | "last">): number {
  return job.blocks * (job.blockSize + BLOCK_OVERHEAD) + (job.last ? TRAILER_LENGTH : 0);
}

/**
 * Reads and encrypts blocks with synchronous, positional reads (four times quicker than streams), under a fresh random
 * nonce each. Runs in a worker for all but small files.
 * @throws when the file is shorter than it was said to be.
 */
export function sealBlocks(job: SealJob, key: Uint8Array, target: Buffer): void {
  let offset = 0;
  for (let i = 0; i < job.blocks; i++) {
    sealBlock(job, job.firstBlock + i, key, target, offset);
    offset += job.blockSize + BLOCK_OVERHEAD;
  }
  if (job.last) writeTrailer(paddingLength(job.plainSize, job.blockSize), target, offset);
}

function sealBlock(
  { fd, plainSize, blockSize }: SealJob,
  index: number,
  key: Uint8Array,
  target: Buffer,
  offset: number,
): void {
  const sealer = new BlockSealer(key, randomFillSync(nonce), target, offset, blockSize);
  const end = Math.min((index + 1) * blockSize, plainSize);
  for (let position = index * blockSize; position < end;) {
    const read = fs.readSync(fd, slice, 0, Math.min(READ_SIZE, end - position), position);
    if (read === 0) throw new Error("the file became shorter while it was encrypted");
    sealer.update(slice.subarray(0, read));
    position += read;
  }
  sealer.finish();
}
