import {
  BLOCK_OVERHEAD,
  blockCountOf,
  DamagedCiphertextError,
  decryptBlock,
  DEFAULT_BLOCK_SIZE,
  plainSizeOf,
  TRAILER_LENGTH,
} from "../../domain/data/blockFormat.ts";

/**
 * Decrypts a file of the block format while it arrives. Holds one block of ciphertext and yields blocks of plaintext;
 * nothing of a block is yielded before it has authenticated.
 * @param total bytes of the encrypted file.
 * @throws DamagedCiphertextError for a length the format does not have, a flipped bit, another key, filled-up bytes that
 *   are not zero, or an early end.
 */
export async function* openBlocks(
  source: AsyncIterable<Buffer>,
  total: number,
  key: Uint8Array,
  blockSize = DEFAULT_BLOCK_SIZE,
): AsyncGenerator<Buffer> {
  const blocks = blockCountOf(total, blockSize);
  if (total === 0) return;
  const input = new ExactReader(source);
  const sealed = Buffer.allocUnsafeSlow(blockSize + BLOCK_OVERHEAD);
  const trailer = Buffer.alloc(TRAILER_LENGTH);
  if (blocks === 0) plainSizeOf(0, await input.fill(trailer), blockSize);
  for (let index = 0; index < blocks; index++) {
    await input.fill(sealed);
    const plain = Buffer.allocUnsafeSlow(blockSize);
    decryptBlock(key, sealed, plain);
    yield index < blocks - 1
      ? plain
      : withoutPadding(plain, plainSizeOf(blocks, await input.fill(trailer), blockSize) - index * blockSize);
  }
}

function withoutPadding(plain: Buffer, length: number): Buffer {
  for (let i = length; i < plain.length; i++) {
    if (plain[i] !== 0) throw new DamagedCiphertextError("the trailer counts bytes of the file as padding");
  }
  return plain.subarray(0, length);
}

/** Cuts a stream into pieces of wanted lengths. */
class ExactReader {
  private readonly chunks: AsyncIterator<Buffer>;
  private rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.chunks = source[Symbol.asyncIterator]();
  }

  async fill(target: Buffer): Promise<Buffer> {
    for (let done = 0; done < target.length;) {
      if (this.rest.length === 0) this.rest = await this.next();
      const taken = this.rest.copy(target, done);
      this.rest = this.rest.subarray(taken);
      done += taken;
    }
    return target;
  }

  private async next(): Promise<Buffer> {
    const { value, done } = await this.chunks.next();
    if (done) throw new DamagedCiphertextError("the file ends early");
    return value as Buffer;
  }
}
