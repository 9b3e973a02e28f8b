import fc from "fast-check";
import { createDecipheriv, randomBytes } from "node:crypto";
import {
  BLOCK_OVERHEAD,
  blockCount,
  blockCountOf,
  blockOffset,
  CIPHER_SLICE,
  DamagedCiphertextError,
  decryptBlock,
  DEFAULT_BLOCK_SIZE,
  encryptBlock,
  encryptedSize,
  NONCE_LENGTH,
  paddingLength,
  plainSizeOf,
  TRAILER_LENGTH,
  writeTrailer,
} from "../../../domain/data/blockFormat.ts";
import { blowUpFactor, paddingWarning } from "../../../domain/data/padding.ts";

const KEY = randomBytes(32);

function encryptFile(plain: Buffer, blockSize: number, key = KEY): Buffer {
  const file = Buffer.alloc(encryptedSize(plain.length, blockSize));
  const blocks = blockCount(plain.length, blockSize);
  for (let i = 0; i < blocks; i++) {
    encryptBlock(
      key,
      randomBytes(NONCE_LENGTH),
      plain.subarray(i * blockSize, (i + 1) * blockSize),
      file,
      blockOffset(i, blockSize),
      blockSize,
    );
  }
  writeTrailer(paddingLength(plain.length, blockSize), file, file.length - TRAILER_LENGTH);
  return file;
}

/** Reads blocks in the order given (all of them, forwards, by default). */
function decryptFile(file: Buffer, blockSize: number, order?: readonly number[], key = KEY): Buffer {
  const blocks = blockCountOf(file.length, blockSize);
  const plain = Buffer.alloc(blocks * blockSize);
  for (const i of order ?? Array.from({ length: blocks }, (_, index) => index)) {
    const at = blockOffset(i, blockSize);
    decryptBlock(key, file.subarray(at, at + blockSize + BLOCK_OVERHEAD), plain, i * blockSize);
  }
  return plain.subarray(0, file.length === 0 ? 0 : plainSizeOf(blocks, file.subarray(-TRAILER_LENGTH), blockSize));
}

const blockSizes = fc.integer({ min: 1, max: 300 });
/** Mostly sizes at and beside block borders. */
const files = blockSizes.chain((blockSize) =>
  fc
    .oneof(
      fc.integer({ min: 0, max: 4 * blockSize }),
      fc
        .tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: -1, max: 1 }))
        .map(([n, d]) => Math.max(0, n * blockSize + d)),
    )
    .chain((size) =>
      fc.record({
        blockSize: fc.constant(blockSize),
        plain: fc.uint8Array({ minLength: size, maxLength: size }).map((bytes) => Buffer.from(bytes)),
      }),
    ),
);

test("any file comes back, whatever the order its blocks are read in", () => {
  fc.assert(
    fc.property(files, fc.nat(), ({ blockSize, plain }, seed) => {
      const file = encryptFile(plain, blockSize);
      const count = blockCountOf(file.length, blockSize);
      const order = Array.from({ length: count }, (_, i) => (i * 7 + seed) % Math.max(count, 1)).concat(
        Array.from({ length: count }, (_, i) => count - 1 - i),
      );
      return decryptFile(file, blockSize, order).equals(plain);
    }),
  );
});

test("sizes follow from each other", () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 40 }), fc.integer({ min: 1, max: DEFAULT_BLOCK_SIZE }), (size, blockSize) => {
      const total = encryptedSize(size, blockSize);
      const blocks = blockCountOf(total, blockSize);
      const trailer = Buffer.alloc(TRAILER_LENGTH);
      writeTrailer(paddingLength(size, blockSize), trailer, 0);
      return blocks === blockCount(size, blockSize) && plainSizeOf(blocks, trailer, blockSize) === size;
    }),
  );
});

test.each([
  [0, 8],
  [1, 16 * 1024 * 1024 + 36],
  [16 * 1024 * 1024, 16 * 1024 * 1024 + 36],
  [16 * 1024 * 1024 + 5, 2 * (16 * 1024 * 1024 + 28) + 8],
  [2 ** 31, 2_147_487_240],
])("a file of %d bytes becomes %d, as with the existing tools", (plain, encrypted) => {
  expect(encryptedSize(plain)).toBe(encrypted);
});

test("the bytes are nonce, AES-256-GCM ciphertext of the zero-filled block, tag; at the end the padding, big-endian", () => {
  const nonce = Buffer.alloc(NONCE_LENGTH, 7);
  const file = Buffer.alloc(encryptedSize(5, 16));
  encryptBlock(KEY, nonce, Buffer.from("hello"), file, 0, 16);
  writeTrailer(11, file, 44);
  expect(file).toHaveLength(12 + 16 + 16 + 8);
  expect(file.subarray(0, 12)).toEqual(nonce);
  const decipher = createDecipheriv("aes-256-gcm", KEY, file.subarray(0, 12)).setAuthTag(file.subarray(28, 44));
  expect(Buffer.concat([decipher.update(file.subarray(12, 28)), decipher.final()]).toString()).toBe(
    `hello${"\0".repeat(11)}`,
  );
  expect(file.subarray(44).toString("hex")).toBe("000000000000000b");
});

test("a block larger than a slice of the cipher is one message", () => {
  const blockSize = 2 * CIPHER_SLICE + 5;
  const plain = randomBytes(blockSize + 5);
  const file = encryptFile(plain, blockSize);
  const decipher = createDecipheriv("aes-256-gcm", KEY, file.subarray(0, NONCE_LENGTH));
  decipher.setAuthTag(file.subarray(NONCE_LENGTH + blockSize, BLOCK_OVERHEAD + blockSize));
  const whole = [decipher.update(file.subarray(NONCE_LENGTH, NONCE_LENGTH + blockSize)), decipher.final()];
  expect(Buffer.concat(whole).equals(plain.subarray(0, blockSize))).toBe(true);
  expect(decryptFile(file, blockSize).equals(plain)).toBe(true);
});

describe("detected by the format", () => {
  test("a flipped bit anywhere in a block", () => {
    fc.assert(
      fc.property(
        files.filter(({ plain }) => plain.length > 0),
        fc.nat(),
        fc.integer({ min: 0, max: 7 }),
        ({ blockSize, plain }, at, bit) => {
          const file = encryptFile(plain, blockSize);
          file[at % (file.length - TRAILER_LENGTH)]! ^= 1 << bit;
          expect(() => decryptFile(file, blockSize)).toThrow(DamagedCiphertextError);
        },
      ),
    );
  });

  test("another key", () => {
    const file = encryptFile(randomBytes(100), 64);
    expect(() => decryptFile(file, 64, undefined, randomBytes(32))).toThrow(DamagedCiphertextError);
  });

  test("an end that is not at a block border", () => {
    fc.assert(
      fc.property(files, fc.nat(), ({ blockSize, plain }, cut) => {
        const file = encryptFile(plain, blockSize);
        const length = 1 + (cut % (file.length - 1));
        fc.pre((length - TRAILER_LENGTH) % (blockSize + BLOCK_OVERHEAD) !== 0);
        expect(() => decryptFile(file.subarray(0, length), blockSize)).toThrow(DamagedCiphertextError);
      }),
    );
  });

  test("a trailer that counts a whole block or more", () => {
    for (const [blocks, padding] of [
      [1, 16],
      [3, 99],
      [0, 1],
    ] as const) {
      const trailer = Buffer.alloc(TRAILER_LENGTH);
      writeTrailer(padding, trailer, 0);
      expect(() => plainSizeOf(blocks, trailer, 16)).toThrow(DamagedCiphertextError);
    }
  });
});

describe("not detected by the format (the published digest does: see the tests of publishing with CSE)", () => {
  const blockSize = 32;
  const sealed = blockSize + BLOCK_OVERHEAD;
  const plain = Buffer.concat(["a", "b", "c"].map((letter) => Buffer.alloc(blockSize, letter)));

  test("two blocks swapped", () => {
    const file = encryptFile(plain, blockSize);
    const swapped = Buffer.concat([
      file.subarray(sealed, 2 * sealed),
      file.subarray(0, sealed),
      file.subarray(2 * sealed),
    ]);
    expect(decryptFile(swapped, blockSize).toString()).toMatch(/^b+a+c+$/);
  });

  test("blocks cut off at a border", () => {
    const file = encryptFile(plain, blockSize);
    const cut = Buffer.concat([file.subarray(0, sealed), file.subarray(-TRAILER_LENGTH)]);
    expect(decryptFile(cut, blockSize).toString()).toMatch(/^a{32}$/);
  });
});

describe("small files", () => {
  const files = Array.from({ length: 2000 }, () => ({ size: 20_000 }));

  test("the factor by which they grow", () => {
    expect(Math.round(blowUpFactor(files))).toBe(839);
    expect(blowUpFactor(files, 20_000)).toBeLessThan(1.01);
    expect(blowUpFactor([])).toBe(1);
  });

  test("a warning with numbers and a way out, only when it matters", () => {
    expect(paddingWarning(files)).toBe(
      "CSE fills every file up to whole blocks of 16 MiB: 2000 files become 32000 MiB in the store, 839 times their size. " +
        "Merge small files, choose CPK, or a smaller block size if the readers are set to the same one (1 MiB would make it 52.4 times).",
    );
    expect(paddingWarning([{ size: 2_000_000 }])).toBeUndefined();
  });
});
