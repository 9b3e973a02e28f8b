import crypto from "node:crypto";

/**
 * Shamir's secret sharing, byte-wise over GF(2^8) with the AES polynomial. A share is the x coordinate (1..255)
 * followed by one y byte for every byte of the secret.
 */
export function split(secret: Buffer, threshold: number, count: number): Buffer[] {
  const coefficients = Array.from(secret, (byte) => [byte, ...crypto.randomBytes(threshold - 1)]);
  return Array.from({ length: count }, (_, index) => {
    const x = index + 1;
    return Buffer.from([x, ...coefficients.map((polynomial) => evaluate(polynomial, x))]);
  });
}

/** @param shares at least as many different shares as the threshold; with fewer the result is unrelated to the secret. */
export function combine(shares: readonly Buffer[]): Buffer {
  const length = shares[0]?.length ?? 1;
  const xs = shares.map((share) => share.readUInt8(0));
  return Buffer.from(
    Array.from({ length: length - 1 }, (_, byte) =>
      shares.reduce((sum, share, i) => {
        const weight = xs.reduce(
          (product, x, j) => (i === j ? product : multiply(product, divide(x, x ^ (xs[i] ?? 0)))),
          1,
        );
        return sum ^ multiply(share.readUInt8(byte + 1), weight);
      }, 0),
    ),
  );
}

const evaluate = (polynomial: readonly number[], x: number): number =>
  polynomial.reduceRight((sum, coefficient) => multiply(sum, x) ^ coefficient, 0);

function multiply(a: number, b: number): number {
  let product = 0;
  for (let x = a, y = b; y > 0; y >>= 1) {
    if (y & 1) product ^= x;
    x = x & 0x80 ? ((x << 1) ^ 0x11b) & 0xff : x << 1;
  }
  return product;
}

function divide(a: number, b: number): number {
  let inverse = 1;
  for (let power = 0; power < 254; power++) inverse = multiply(inverse, b);
  return multiply(a, inverse);
}
