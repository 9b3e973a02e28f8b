import crypto from "node:crypto";
import type { VirtualAttestation } from "../contracts.ts";
import { CcfError } from "./errors.ts";
import type { Transaction } from "./kv.ts";
import { requireMatch, type Claims } from "./policies.ts";
import { contractPolicy, delegatePolicy } from "./tables.ts";

export type Body = Readonly<Record<string, unknown>>;
export type AttestedClaims = Readonly<Record<string, unknown>>;

interface Quote {
  readonly hostData: string;
  readonly reportData: string;
}

/** Key of a delegate policy the application consults besides the contract's own. */
export interface DelegateKey {
  readonly delegateType: string;
  readonly delegateId: string;
}

interface AttestedContext {
  readonly tx: Transaction;
  readonly attestation: VirtualAttestation;
}

const AES_KWP = "id-aes256-wrap-pad";
const AES_KWP_INITIAL_VALUE = Buffer.from("A65959A6", "hex");

/**
 * Verifies the evidence of an attested request. The sandbox has no SEV-SNP: it knows the platform `virtual` with
 * `"attestation":{"evidence":"<quote>"}` and refuses the real platforms, which it cannot verify.
 */
export function verifyEvidence(
  body: Body,
  verifier: VirtualAttestation,
  options: { platformRequired: boolean },
): Quote {
  const attestation = body["attestation"] as Body | undefined;
  if (!attestation) throw new CcfError(400, "AttestationMissing", "Attestation payload must be supplied.");
  const platform = body["platform"] || (options.platformRequired ? "snp-caci" : "virtual");
  if (platform === "snp-caci" || platform === "snp-cvm") {
    throw verificationFailed(`The sandbox cannot verify an attestation of platform '${platform}'.`);
  }
  if (platform !== "virtual")
    throw new CcfError(400, "UnsupportedPlatform", `Platform '${String(platform)}' is not supported.`);
  try {
    return verifier.verifyQuote(String(attestation["evidence"]));
  } catch (error) {
    throw verificationFailed(error instanceof Error ? error.message : String(error));
  }
}

export function claimsOf(quote: Quote): AttestedClaims {
  return {
    "x-ms-sevsnpvm-hostdata": quote.hostData,
    "x-ms-sevsnpvm-is-debuggable": false,
    "x-ms-sevsnpvm-reportdata": quote.reportData,
  };
}

/**
 * The checks an attested endpoint makes before it answers: evidence, clean room policy, report data over the key.
 * @returns the RSA public key (PEM) the answer must be wrapped for.
 */
export function requireAttestedCaller(
  context: AttestedContext,
  contractId: string,
  body: Body,
  delegates: readonly DelegateKey[] = [],
): string {
  requireParts(body, ["encrypt"]);
  const quote = verifyEvidence(body, context.attestation, { platformRequired: true });
  requirePolicy(context.tx, contractId, claimsOf(quote), delegates);
  return requireReportData(quote, (body["encrypt"] as Body)["publicKey"]);
}

/** The same for endpoints whose request is signed by the workload: also the signature over `data`. */
export function requireAttestedData(
  context: AttestedContext,
  contractId: string,
  body: Body,
  delegates: readonly DelegateKey[] = [],
): { publicKey: string; data: Body } {
  requireParts(body, ["encrypt", "sign"]);
  const publicKey = requireAttestedCaller(context, contractId, body, delegates);
  return { publicKey, data: requireSignedData(body) as Body };
}

/** 400 `AttestationMissing`, `EncryptionMissing` or `SignatureMissing`, in this order. */
export function requireParts(body: Body, parts: readonly ("encrypt" | "sign")[]): void {
  if (!body["attestation"]) throw new CcfError(400, "AttestationMissing", "Attestation payload must be supplied.");
  if (parts.includes("encrypt") && !(body["encrypt"] as Body | undefined)?.["publicKey"]) {
    throw new CcfError(400, "EncryptionMissing", "Encryption payload must be supplied.");
  }
  if (parts.includes("sign")) requireSignaturePart(body);
}

export function requireSignaturePart(body: Body): void {
  const sign = body["sign"] as Body | undefined;
  if (!sign?.["signature"] || !sign["publicKey"])
    throw new CcfError(400, "SignatureMissing", "Signature payload must be supplied.");
}

export function requirePolicy(
  tx: Transaction,
  contractId: string,
  claims: AttestedClaims,
  delegates: readonly DelegateKey[],
): void {
  const read = (entries: [string, unknown[]][]): Claims => Object.fromEntries(entries);
  try {
    requireMatch(
      read(tx.entries(contractPolicy(contractId))),
      delegates.map(({ delegateType, delegateId }) =>
        read(tx.entries(delegatePolicy(contractId, delegateType, delegateId))),
      ),
      claims,
    );
  } catch (error) {
    throw verificationFailed((error as Error).message);
  }
}

/** The report data must be `SHA-256(PEM text) || 32 zero bytes`. @returns the PEM. */
export function requireReportData(quote: Quote, encodedKey: unknown): string {
  const pem = Buffer.from(String(encodedKey), "base64").toString("utf8");
  const expected = crypto.createHash("sha256").update(pem).digest("hex") + "00".repeat(32);
  if (quote.reportData.toLowerCase() !== expected) {
    throw new CcfError(400, "ReportDataMismatch", "Attestation report_data value did not match calculated value.");
  }
  return pem;
}

/** RSA-PSS, SHA-256, salt of 32 bytes, over the decoded `data`. @returns the signed JSON. */
export function requireSignedData(body: Body): unknown {
  const sign = body["sign"] as Body;
  const data = Buffer.from(String(body["data"] ?? ""), "base64");
  if (
    !isSigned(
      data,
      Buffer.from(String(sign["signature"]), "base64"),
      Buffer.from(String(sign["publicKey"]), "base64").toString(),
    )
  ) {
    throw new CcfError(400, "SignatureMismatch", "Signature verification was not successful.");
  }
  return JSON.parse(data.toString("utf8"));
}

function isSigned(data: Buffer, signature: Buffer, publicKeyPem: string): boolean {
  const padding = { padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
  return crypto.verify("sha256", data, { key: crypto.createPublicKey(publicKeyPem), ...padding }, signature);
}

/** CCF's `RSA-OAEP-AES-KWP` with a 256 bit AES key: RSA-OAEP(SHA-256) of the key, then RFC 5649 of the plain text. Base64. */
export function wrap(publicKeyPem: string, plaintext: string | Buffer): string {
  const key = crypto.randomBytes(32);
  const wrappedKey = crypto.publicEncrypt(
    { key: publicKeyPem, padding: crypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
    key,
  );
  const cipher = crypto.createCipheriv(AES_KWP, key, AES_KWP_INITIAL_VALUE);
  return Buffer.concat([wrappedKey, cipher.update(Buffer.from(plaintext)), cipher.final()]).toString("base64");
}

const verificationFailed = (message: string): CcfError => new CcfError(400, "VerifySnpAttestationFailed", message);
