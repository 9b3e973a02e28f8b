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
/** Input and output of one cipher call stay in the processor's first cache until they are copied. */
const SLICE = 16 * 1024;
const ZEROS = Buffer.alloc(SLICE);

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

/**
 * Encrypts one block into a buffer that the caller owns, piece by piece, so that neither the block's plaintext nor
 * its ciphertext is ever allocated here.
 */
export class BlockSealer {
  private readonly cipher;
  private readonly target: Buffer;
  private readonly end: number;
  private position: number;

  /** @param nonce 12 bytes, never used before with this key. */
  constructor(key: Uint8Array, nonce: Uint8Array, target: Buffer, offset: number, blockSize = DEFAULT_BLOCK_SIZE) {
    this.cipher = createCipheriv(CIPHER, key, nonce);
    this.target = target;
    target.set(nonce, offset);
    this.position = offset + NONCE_LENGTH;
    this.end = this.position + blockSize;
  }

  update(plain: Uint8Array): void {
    for (let from = 0; from < plain.length; from += SLICE) {
      this.position += this.cipher.update(plain.subarray(from, from + SLICE)).copy(this.target, this.position);
    }
  }

  /** Fills the block up with zero bytes and appends the tag. */
  finish(): void {
    while (this.position < this.end) this.update(ZEROS.subarray(0, Math.min(SLICE, this.end - this.position)));
    this.cipher.final();
    this.cipher.getAuthTag().copy(this.target, this.position);
  }
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
  const sealer = new BlockSealer(key, nonce, target, offset, blockSize);
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
  for (let from = NONCE_LENGTH; from < tagAt; from += SLICE) {
    position += decipher.update(block.subarray(from, Math.min(from + SLICE, tagAt))).copy(target, position);
  }
  try {
    decipher.final();
  } catch (error) {
    throw new DamagedCiphertextError("a block does not authenticate: it was damaged, or encrypted with another key", {
      cause: error,
    });
  }
}
