import crypto from "node:crypto";
import { badParameter, forbidden } from "./errors.ts";

/** A claim that must equal a value, or all/any of such. Grammar: https://learn.microsoft.com/azure/key-vault/keys/policy-grammar */
type Condition = { claim: string; equals: unknown } | { allOf: Condition[] } | { anyOf: Condition[] };

interface Authority {
  readonly authority: string;
  readonly allOf?: Condition[];
  readonly anyOf?: Condition[];
}

interface ReleasePolicy {
  readonly version: string;
  readonly anyOf: Authority[];
}

/** Hash of the RSA-OAEP half of each envelope; the other half is AES-256 key wrap with padding (RFC 5649). */
const ENVELOPES: Record<string, string> = {
  CKM_RSA_AES_KEY_WRAP: "sha1",
  RSA_AES_KEY_WRAP_256: "sha256",
  RSA_AES_KEY_WRAP_384: "sha384",
};
const KEY_WRAP_IV = Buffer.from("A65959A6", "hex");

/** @param data base64url of the policy's JSON. @throws VaultError naming what is wrong. */
export function parseReleasePolicy(data: unknown): ReleasePolicy {
  if (typeof data !== "string" || data === "")
    throw badParameter("Property release_policy.data must be the base64url encoded policy.");
  let policy: unknown;
  try {
    policy = JSON.parse(Buffer.from(data, "base64url").toString("utf8"));
  } catch {
    throw badParameter("Property release_policy.data is not base64url encoded JSON.");
  }
  const { version, anyOf } = (policy ?? {}) as Partial<ReleasePolicy>;
  if (version !== "1.0.0")
    throw badParameter(`Release policy version must be "1.0.0", got ${JSON.stringify(version)}.`);
  if (!Array.isArray(anyOf) || anyOf.length === 0) throw badParameter("Release policy must have a non-empty anyOf.");
  for (const entry of anyOf) checkAuthority(entry);
  return policy as ReleasePolicy;
}

function checkAuthority(entry: Authority): void {
  if (typeof entry?.authority !== "string" || !entry.authority.startsWith("https://")) {
    throw badParameter("Each entry of a release policy must name its authority, an https URL.");
  }
  const conditions = entry.allOf ?? entry.anyOf;
  if (!Array.isArray(conditions) || conditions.length === 0)
    throw badParameter("Each authority of a release policy must have allOf or anyOf.");
  conditions.forEach(checkCondition);
}

function checkCondition(condition: Condition): void {
  if ("claim" in condition && typeof condition.claim === "string" && "equals" in condition) return;
  const nested = "allOf" in condition ? condition.allOf : "anyOf" in condition ? condition.anyOf : undefined;
  if (!Array.isArray(nested) || nested.length === 0)
    throw badParameter("A release policy condition must be {claim, equals}, {allOf} or {anyOf}.");
  nested.forEach(checkCondition);
}

export function meetsPolicy(policy: ReleasePolicy, claims: Record<string, unknown>): boolean {
  return policy.anyOf.some(
    (entry) =>
      withoutSlash(entry.authority) === withoutSlash(String(claims.iss)) &&
      (entry.allOf ?? []).every((condition) => holds(condition, claims)) &&
      (entry.anyOf === undefined || entry.anyOf.some((condition) => holds(condition, claims))),
  );
}

function holds(condition: Condition, claims: Record<string, unknown>): boolean {
  if ("allOf" in condition) return condition.allOf.every((nested) => holds(nested, claims));
  if ("anyOf" in condition) return condition.anyOf.some((nested) => holds(nested, claims));
  const value = claimAt(claims, condition.claim);
  // Policies in use write "false" for a claim that is a boolean.
  return value !== undefined && typeof value !== "object" && String(value) === String(condition.equals);
}

/** `a.b` reads member `b` of claim `a`. */
function claimAt(claims: Record<string, unknown>, path: string): unknown {
  return path.split(".").reduce<unknown>((value, name) => {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    return (value as Record<string, unknown>)[name];
  }, claims);
}

function withoutSlash(url: string): string {
  return url.replace(/\/$/, "");
}

/** The first RSA key the attested environment vouches for. @throws VaultError when there is none. */
export function targetKey(claims: Record<string, unknown>): crypto.KeyObject {
  const runtime = claims["x-ms-runtime"] as { keys?: crypto.JsonWebKey[] } | undefined;
  const jwk = runtime?.keys?.find(({ kty }) => kty === "RSA");
  if (!jwk) throw forbidden("The attestation token holds no RSA key to release to (x-ms-runtime.keys).");
  return crypto.createPublicKey({ key: { kty: "RSA", n: jwk.n, e: jwk.e } as crypto.JsonWebKey, format: "jwk" });
}

/** `key_hsm` of a released key: PKCS#8 wrapped for `target`, base64url JSON. */
export function wrapForRelease(
  privateKey: crypto.KeyObject,
  target: crypto.KeyObject,
  kid: string,
  enc: string,
): string {
  const oaepHash = Object.hasOwn(ENVELOPES, enc) ? ENVELOPES[enc] : undefined;
  if (!oaepHash) throw badParameter(`Property enc must be one of ${Object.keys(ENVELOPES).join(", ")}, got '${enc}'.`);
  const aesKey = crypto.randomBytes(32);
  const padding = crypto.constants.RSA_PKCS1_OAEP_PADDING;
  const wrap = crypto.createCipheriv("id-aes256-wrap-pad", aesKey, KEY_WRAP_IV);
  const ciphertext = Buffer.concat([
    crypto.publicEncrypt({ key: target, padding, oaepHash }, aesKey),
    wrap.update(privateKey.export({ type: "pkcs8", format: "der" })),
    wrap.final(),
  ]);
  const envelope = {
    schema_version: "1.0",
    header: { kid, alg: "dir", enc },
    ciphertext: ciphertext.toString("base64url"),
  };
  return Buffer.from(JSON.stringify(envelope)).toString("base64url");
}
