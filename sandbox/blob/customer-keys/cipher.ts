import crypto from "node:crypto";
import type { CipherGCM } from "node:crypto";
import { Transform } from "node:stream";
import type { TransformCallback } from "node:stream";

/**
 * At rest a block has the length of its plaintext: AES-256-GCM in chunks of 256 KiB, the tags kept apart. Each block has a
 * key of its own, HKDF(customer key, random salt), so that a chunk's number can be its nonce; a chunk that is changed,
 * moved or missing fails its tag. Ranges are read in whole chunks: nothing unverified is passed on.
 */
const CHUNK_BYTES = 256 * 1024;
const TAG_BYTES = 16;
const SALT_BYTES = 16;

/** What is needed besides the key to read a block. */
export interface SealedBlock {
  /** Base64. */
  readonly salt: string;
  /** Bytes. */
  readonly length: number;
  /** All chunks' tags, base64. */
  readonly tags: string;
}

/** A chunk within the blob. */
export interface Chunk {
  readonly block: SealedBlock;
  /** Within the block. */
  readonly index: number;
  /** Within the blob. */
  readonly offset: number;
  readonly length: number;
}

/** Encrypts a body while it passes through. */
export class BlockEncryptor extends Transform {
  private readonly salt = crypto.randomBytes(SALT_BYTES);
  private readonly md5 = crypto.createHash("md5");
  private readonly tags: Buffer[] = [];
  private readonly blockKey: Buffer;
  private readonly complete: (block: SealedBlock, md5: string) => void;
  private cipher: CipherGCM | undefined;
  private inChunk = 0;
  private length = 0;
  private held: Buffer | undefined;

  /**
   * @param complete called with the plaintext's MD5 (base64) before the last bytes are passed on: what it throws keeps the
   *   receiver from ever seeing a whole body.
   */
  constructor(customerKey: Buffer, complete: (block: SealedBlock, md5: string) => void) {
    super();
    this.blockKey = deriveKey(customerKey, this.salt, "block");
    this.complete = complete;
  }

  override _transform(data: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.md5.update(data);
    this.length += data.length;
    for (let start = 0; start < data.length;) {
      this.cipher ??= chunkCipher(this.blockKey, this.tags.length);
      const part = data.subarray(start, start + CHUNK_BYTES - this.inChunk);
      this.passOn(this.cipher.update(part));
      this.inChunk += part.length;
      start += part.length;
      if (this.inChunk === CHUNK_BYTES) this.finishChunk();
    }
    callback();
  }

  override _flush(callback: TransformCallback): void {
    this.finishChunk();
    try {
      const tags = Buffer.concat(this.tags).toString("base64");
      this.complete({ salt: this.salt.toString("base64"), length: this.length, tags }, this.md5.digest("base64"));
    } catch (error) {
      callback(error as Error);
      return;
    }
    callback(null, this.held);
  }

  private passOn(encrypted: Buffer): void {
    if (this.held) this.push(this.held);
    this.held = encrypted;
  }

  private finishChunk(): void {
    if (!this.cipher) return;
    this.cipher.final();
    this.tags.push(this.cipher.getAuthTag());
    this.cipher = undefined;
    this.inChunk = 0;
  }
}

/** The chunks that hold the bytes `start` to `end` (exclusive). */
export function chunksBetween(blocks: readonly SealedBlock[], start: number, end: number): Chunk[] {
  const chunks: Chunk[] = [];
  let blockStart = 0;
  for (const block of blocks) {
    const first = Math.max(0, Math.floor((start - blockStart) / CHUNK_BYTES));
    const last = Math.ceil(Math.min(end - blockStart, block.length) / CHUNK_BYTES);
    for (let index = first; index < last; index++) {
      const inBlock = index * CHUNK_BYTES;
      chunks.push({
        block,
        index,
        offset: blockStart + inBlock,
        length: Math.min(CHUNK_BYTES, block.length - inBlock),
      });
    }
    blockStart += block.length;
  }
  return chunks;
}

/**
 * @param source exactly the bytes of `chunks`.
 * @returns their plaintext, a chunk at a time. @throws when a chunk is not what was encrypted.
 */
export async function* decryptChunks(
  customerKey: Buffer,
  chunks: readonly Chunk[],
  source: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  const sizes = chunks.map(({ length }) => length);
  let next = 0;
  let opened: OpenedBlock | undefined;
  for await (const encrypted of inSizes(source, sizes)) {
    const { block, index } = chunks[next++] as Chunk;
    if (opened?.block !== block) opened = openBlock(customerKey, block);
    yield decryptChunk(opened, index, encrypted);
  }
  if (next !== chunks.length) throw new Error("The stored blob is shorter than it was.");
}

/** Proof that a list of blocks was put together by somebody with the key. */
export function macOf(customerKey: Buffer, blocks: unknown): string {
  const key = deriveKey(customerKey, Buffer.alloc(0), "table");
  return crypto.createHmac("sha256", key).update(JSON.stringify(blocks)).digest("base64");
}

interface OpenedBlock {
  readonly block: SealedBlock;
  readonly key: Buffer;
  readonly tags: Buffer;
}

function openBlock(customerKey: Buffer, block: SealedBlock): OpenedBlock {
  const key = deriveKey(customerKey, Buffer.from(block.salt, "base64"), "block");
  return { block, key, tags: Buffer.from(block.tags, "base64") };
}

function decryptChunk({ key, tags }: OpenedBlock, index: number, encrypted: Buffer): Buffer {
  const tag = tags.subarray(index * TAG_BYTES, (index + 1) * TAG_BYTES);
  const options = { authTagLength: TAG_BYTES };
  const decipher = crypto.createDecipheriv("aes-256-gcm", key, nonceOf(index), options).setAuthTag(tag);
  return Buffer.concat([decipher.update(encrypted), decipher.final()]);
}

async function* inSizes(source: AsyncIterable<Buffer>, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let length = 0;
  let next = 0;
  for await (const data of source) {
    waiting.push(data);
    length += data.length;
    while (next < sizes.length && length >= (sizes[next] as number)) {
      const all = Buffer.concat(waiting);
      const size = sizes[next++] as number;
      yield all.subarray(0, size);
      waiting = [all.subarray(size)];
      length -= size;
    }
  }
}

function chunkCipher(blockKey: Buffer, index: number): CipherGCM {
  return crypto.createCipheriv("aes-256-gcm", blockKey, nonceOf(index));
}

function nonceOf(index: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(index, 8);
  return nonce;
}

function deriveKey(customerKey: Buffer, salt: Buffer, purpose: string): Buffer {
  return Buffer.from(crypto.hkdfSync("sha256", customerKey, salt, `cleanroom sandbox ${purpose}`, 32));
}
