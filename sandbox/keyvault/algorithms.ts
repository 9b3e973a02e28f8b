import crypto from "node:crypto";
import { p256, p384, p521 } from "@noble/curves/nist.js";
import { badParameter } from "./errors.ts";

interface Padding {
  readonly padding: number;
  readonly oaepHash?: string;
}

/** https://learn.microsoft.com/azure/key-vault/keys/about-keys-details#wrapkeyunwrapkey-encryptdecrypt */
const ENCRYPTION: Record<string, Padding> = {
  "RSA-OAEP": { padding: crypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" },
  "RSA-OAEP-256": { padding: crypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
  RSA1_5: { padding: crypto.constants.RSA_PKCS1_PADDING },
};

/** DER of `DigestInfo` up to the digest: https://www.rfc-editor.org/rfc/rfc8017#section-9.2 */
const DIGEST_INFO: Record<string, { prefix: string; bytes: number }> = {
  RS256: { prefix: "3031300d060960864801650304020105000420", bytes: 32 },
  RS384: { prefix: "3041300d060960864801650304020205000430", bytes: 48 },
  RS512: { prefix: "3051300d060960864801650304020305000440", bytes: 64 },
};

const CURVES = {
  ES256: { curve: p256, name: "P-256", bytes: 32 },
  ES384: { curve: p384, name: "P-384", bytes: 48 },
  ES512: { curve: p521, name: "P-521", bytes: 64 },
};

export function encrypt(algorithm: string, key: crypto.KeyObject, plaintext: Buffer): Buffer {
  const options = encryption(algorithm, key);
  return attempt(() => crypto.publicEncrypt({ key: crypto.createPublicKey(key), ...options }, plaintext));
}

export function decrypt(algorithm: string, key: crypto.KeyObject, ciphertext: Buffer): Buffer {
  const options = encryption(algorithm, key);
  return attempt(() => crypto.privateDecrypt({ key, ...options }, ciphertext));
}

/** Signs a digest that the caller computed. */
export function signDigest(algorithm: string, key: crypto.KeyObject, digest: Buffer): Buffer {
  const rsa = DIGEST_INFO[algorithm];
  if (rsa && key.asymmetricKeyType === "rsa") {
    requireLength(algorithm, digest, rsa.bytes);
    return crypto.privateEncrypt(
      { key, padding: crypto.constants.RSA_PKCS1_PADDING },
      Buffer.concat([Buffer.from(rsa.prefix, "hex"), digest]),
    );
  }
  const { curve, bytes, d } = ellipticKey(algorithm, key);
  requireLength(algorithm, digest, bytes);
  return Buffer.from(curve.sign(digest, d, { prehash: false, format: "compact" }));
}

export function verifyDigest(algorithm: string, key: crypto.KeyObject, digest: Buffer, signature: Buffer): boolean {
  const rsa = DIGEST_INFO[algorithm];
  try {
    if (rsa && key.asymmetricKeyType === "rsa") {
      const padding = crypto.constants.RSA_PKCS1_PADDING;
      const recovered = crypto.publicDecrypt({ key: crypto.createPublicKey(key), padding }, signature);
      return recovered.equals(Buffer.concat([Buffer.from(rsa.prefix, "hex"), digest]));
    }
    const { curve, d } = ellipticKey(algorithm, key);
    return curve.verify(signature, digest, curve.getPublicKey(d), { prehash: false, format: "compact", lowS: false });
  } catch (error) {
    if (error instanceof Error && error.name === "VaultError") throw error;
    return false;
  }
}

function ellipticKey(algorithm: string, key: crypto.KeyObject) {
  const entry = Object.hasOwn(CURVES, algorithm) ? CURVES[algorithm as keyof typeof CURVES] : undefined;
  const { crv, d } = key.export({ format: "jwk" });
  if (!entry || entry.name !== crv) {
    throw badParameter(
      `Algorithm '${algorithm}' does not fit this key, or the sandbox does not implement it (RS*, ES* are).`,
    );
  }
  return { ...entry, d: Buffer.from(d ?? "", "base64url") };
}

function encryption(algorithm: string, key: crypto.KeyObject): Padding {
  const found = Object.hasOwn(ENCRYPTION, algorithm) ? ENCRYPTION[algorithm] : undefined;
  if (!found || key.asymmetricKeyType !== "rsa")
    throw badParameter(`Algorithm '${algorithm}' is not supported for this key.`);
  return found;
}

function requireLength(algorithm: string, digest: Buffer, bytes: number): void {
  if (digest.length !== bytes)
    throw badParameter(`${algorithm} signs a digest of ${bytes} bytes, got ${digest.length}.`);
}

/** OpenSSL's reasons help nobody and may help an attacker. */
function attempt(operation: () => Buffer): Buffer {
  try {
    return operation();
  } catch {
    throw badParameter("The parameter 'value' cannot be processed with this key.");
  }
}
