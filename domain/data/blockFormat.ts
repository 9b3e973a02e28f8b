import { createCipheriv, createDecipheriv } from "node:crypto";

/**
 * The file format of client-side encryption (CSE), as written and read by the Azure clean room tools
 * (github.com/Azure/azure-cleanroom: `cryptocopy`, `aes_encryptor`, blobfuse plugin `encryptor`):
 *
 *     file  = block 0 ‖ … ‖ block n-1 ‖ trailer
 *     block = nonce (12 bytes) ‖ AES-256-GCM ciphertext (B bytes) ‖ tag (16 bytes)
 *
 * The plaintext is cut into n pieces of B bytes (16 MiB unless both sides agree otherwise); the last one is filled up
 * with zero bytes, and the trailer counts those: 8 bytes, unsigned, big-endian. No additional authenticated data.
 *
 * What it does not protect: the position of a block is not authenticated, nor is the trailer. Blocks swapped, repeated
 * or cut off at a block border decrypt without complaint. Only a digest of the whole plaintext finds that, which is why
 * every published file carries one (`publishedFile.ts`).
 */
export const DEFAULT_BLOCK_SIZE = 16 * 1024 * 1024;
export const KEY_LENGTH = 32;
export const NONCE_LENGTH = 12;
export const TAG_LENGTH = 16;
export const BLOCK_OVERHEAD = NONCE_LENGTH + TAG_LENGTH;
export const TRAILER_LENGTH = 8;

const CIPHER = "aes-256-gcm";
/**
 * Bytes of one cipher call. With less, the calls cost more than the cipher; from 256 KiB on, glibc maps fresh memory for
 * the output of every call.
 */
export const CIPHER_SLICE = 64 * 1024;
const ZEROS = Buffer.alloc(CIPHER_SLICE);

/** A file that cannot have been written in this format with this key. */
export class DamagedCiphertextError extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.name = "DamagedCiphertextError";
  }
}

/** Number of blocks for a plaintext of so many bytes; an empty file has none, only the trailer. */
export function blockCount(plainSize: number, blockSize = DEFAULT_BLOCK_SIZE): number {
  return Math.ceil(plainSize / blockSize);
}

/** Zero bytes added to the last block. */
export function paddingLength(plainSize: number, blockSize = DEFAULT_BLOCK_SIZE): number {
  return blockCount(plainSize, blockSize) * blockSize - plainSize;
}

/** Bytes of the encrypted file. */
export function encryptedSize(plainSize: number, blockSize = DEFAULT_BLOCK_SIZE): number {
  return blockCount(plainSize, blockSize) * (blockSize + BLOCK_OVERHEAD) + TRAILER_LENGTH;
}

/** Where block `index` starts in the encrypted file. */
export function blockOffset(index: number, blockSize = DEFAULT_BLOCK_SIZE): number {
  return index * (blockSize + BLOCK_OVERHEAD);
}

/**
 * Number of blocks in an encrypted file of `total` bytes. A file without a single byte is one the file system plugin
 * created and nothing was written to: no block.
 * @throws DamagedCiphertextError for a length no file of this format has.
 */
export function blockCountOf(total: number, blockSize = DEFAULT_BLOCK_SIZE): number {
  if (total === 0) return 0;
  const blocks = Math.floor(total / (blockSize + BLOCK_OVERHEAD));
  if (total !== blocks * (blockSize + BLOCK_OVERHEAD) + TRAILER_LENGTH) {
    throw new DamagedCiphertextError(
      `${total} bytes is not a length of a file encrypted in blocks of ${blockSize} bytes`,
    );
  }
  return blocks;
}

/** Bytes of plaintext, from the number of blocks and the trailer. */
export function plainSizeOf(blocks: number, trailer: Uint8Array, blockSize = DEFAULT_BLOCK_SIZE): number {
  const padding = Buffer.from(trailer.buffer, trailer.byteOffset, trailer.byteLength).readBigUInt64BE();
  const largest = blocks === 0 ? 0 : blockSize - 1;
  if (padding > BigInt(largest))
    throw new DamagedCiphertextError(`the trailer counts ${padding} padding bytes, at most ${largest} are possible`);
  return blocks * blockSize - Number(padding);
}

export function writeTrailer(padding: number, target: Buffer, offset: number): void {
  target.writeBigUInt64BE(BigInt(padding), offset);
}

/** Takes the next bytes of a block. Must have used them when it returns: their memory is needed for the next ones. */
export type Sink = (piece: Uint8Array) => void;

/** Encrypts one block piece by piece: what the cipher returns goes to the sink without being copied. */
export class BlockSealer {
  private readonly cipher;
  private readonly sink: Sink;
  private missing: number;

  /** @param nonce 12 bytes, never used before with this key. */
  constructor(key: Uint8Array, nonce: Uint8Array, sink: Sink, blockSize = DEFAULT_BLOCK_SIZE) {
    this.cipher = createCipheriv(CIPHER, key, nonce);
    this.sink = sink;
    this.missing = blockSize;
    sink(nonce);
  }

  update(plain: Uint8Array): void {
    for (let from = 0; from < plain.length; from += CIPHER_SLICE) {
      const piece = this.cipher.update(plain.subarray(from, from + CIPHER_SLICE));
      this.sink(piece);
      release(piece);
    }
    this.missing -= plain.length;
  }

  /** Fills the block up with zero bytes and appends the tag. */
  finish(): void {
    while (this.missing > 0) this.update(ZEROS.subarray(0, this.missing));
    this.cipher.final();
    this.sink(this.cipher.getAuthTag());
  }
}

/** A sink that fills `target` from `offset` on. */
export function sinkInto(target: Uint8Array, offset = 0): Sink {
  let position = offset;
  return (piece) => {
    target.set(piece, position);
    position += piece.length;
  };
}

/** Encrypts up to one block of plaintext to `target[offset … offset + blockSize + 28)`. */
export function encryptBlock(
  key: Uint8Array,
  nonce: Uint8Array,
  plain: Uint8Array,
  target: Buffer,
  offset = 0,
  blockSize = DEFAULT_BLOCK_SIZE,
): void {
  const sealer = new BlockSealer(key, nonce, sinkInto(target, offset), blockSize);
  sealer.update(plain);
  sealer.finish();
}

/**
 * Decrypts one block to `target[offset … offset + blockSize)`. The target holds nothing trustworthy when this throws.
 * @param block blockSize + 28 bytes.
 * @throws DamagedCiphertextError for a flipped bit or another key.
 */
export function decryptBlock(key: Uint8Array, block: Uint8Array, target: Buffer, offset = 0): void {
  const tagAt = block.length - TAG_LENGTH;
  const decipher = createDecipheriv(CIPHER, key, block.subarray(0, NONCE_LENGTH), { authTagLength: TAG_LENGTH });
  decipher.setAuthTag(block.subarray(tagAt));
  let position = offset;
  for (let from = NONCE_LENGTH; from < tagAt; from += CIPHER_SLICE) {
    const piece = decipher.update(block.subarray(from, Math.min(from + CIPHER_SLICE, tagAt)));
    position += piece.copy(target, position);
    release(piece);
  }
  try {
    decipher.final();
  } catch (error) {
    throw new DamagedCiphertextError("a block does not authenticate: it was damaged, or encrypted with another key", {
      cause: error,
    });
  }
}

/**
 * Frees the memory of a cipher's output. Left to the garbage collector it comes back tens of megabytes later, when every
 * piece has been written to memory that is not in the processor's cache: a cipher of a quarter of the speed.
 */
function release(piece: Buffer): void {
  const memory = piece.buffer as ArrayBuffer;
  // Never a pool that other buffers share.
  if (memory.byteLength === piece.byteLength) memory.transfer(0);
}
