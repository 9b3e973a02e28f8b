import crypto from "node:crypto";
import { decode, encode, Tagged } from "cborg";

/**
 * COSE Sign1 (RFC 9052, RFC 9053) as CCF's member governance uses it: tag 18, protected header only,
 * signature over `Sig_structure ["Signature1", protected, h'', payload]`, raw `r || s`.
 */
export interface CoseSign1 {
  readonly alg: number;
  /** Member id: lower-case hex SHA-256 of the signer's certificate. */
  readonly kid: string;
  readonly type: string;
  /** Unix seconds. */
  readonly createdAt: number;
  readonly proposalId: string | undefined;
  readonly payload: Buffer;
  readonly signature: Buffer;
  readonly protectedHeader: Buffer;
}

const COSE_SIGN1_TAG = 18;
const HEADER_ALG = 1;
const HEADER_KID = 4;
const ALGORITHMS: Readonly<Record<number, { hash: string; curve: string }>> = {
  [-7]: { hash: "sha256", curve: "prime256v1" },
  [-35]: { hash: "sha384", curve: "secp384r1" },
  [-36]: { hash: "sha512", curve: "secp521r1" },
};

/** @throws on anything that is not a complete envelope; CCF answers that with 500. */
export function parseCoseSign1(bytes: Buffer): CoseSign1 {
  const envelope: unknown = decode(bytes, { tags: Tagged.preserve(COSE_SIGN1_TAG), useMaps: true });
  if (!(envelope instanceof Tagged) || envelope.tag !== COSE_SIGN1_TAG)
    throw new Error("Failed to parse COSE_Sign1: not tagged");
  const parts: unknown = envelope.value;
  if (!Array.isArray(parts) || parts.length !== 4) throw new Error("Failed to parse COSE_Sign1: not an array of four");
  const protectedHeader = byteString(parts[0], "protected header");
  const headers: unknown = decode(protectedHeader, { useMaps: true });
  if (!(headers instanceof Map)) throw new Error("Failed to parse COSE_Sign1: the protected header is not a map");
  const alg: unknown = headers.get(HEADER_ALG);
  const createdAt: unknown = headers.get("ccf.gov.msg.created_at");
  const type: unknown = headers.get("ccf.gov.msg.type");
  const proposalId: unknown = headers.get("ccf.gov.msg.proposal_id");
  if (typeof alg !== "number") throw new Error("Missing alg in protected header");
  if (!Number.isInteger(createdAt) || (createdAt as number) < 0)
    throw new Error("Missing created_at in protected header");
  if (typeof type !== "string") throw new Error("Missing ccf.gov.msg.type in protected header");
  if (proposalId !== undefined && typeof proposalId !== "string")
    throw new Error("ccf.gov.msg.proposal_id is not a text string");
  return {
    alg,
    kid: byteString(headers.get(HEADER_KID), "kid").toString("ascii"),
    type,
    createdAt: createdAt as number,
    proposalId,
    payload: byteString(parts[2], "payload"),
    signature: byteString(parts[3], "signature"),
    protectedHeader,
  };
}

/** Whether the envelope was signed with the key of the certificate, under the algorithm that belongs to its curve. */
export function verifyCoseSign1(message: CoseSign1, certificatePem: string): boolean {
  const algorithm = ALGORITHMS[message.alg];
  const key = new crypto.X509Certificate(certificatePem).publicKey;
  if (!algorithm || key.asymmetricKeyDetails?.namedCurve !== algorithm.curve) return false;
  const signed = encode(["Signature1", message.protectedHeader, new Uint8Array(), message.payload]);
  return crypto.verify(algorithm.hash, signed, { key, dsaEncoding: "ieee-p1363" }, message.signature);
}

function byteString(value: unknown, what: string): Buffer {
  if (!(value instanceof Uint8Array)) throw new Error(`Failed to parse COSE_Sign1: ${what} is not a byte string`);
  return Buffer.from(value);
}
