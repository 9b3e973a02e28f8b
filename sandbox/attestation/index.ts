import crypto from "node:crypto";
import { importJWK, jwtVerify, SignJWT } from "jose";
import type { SandboxHost, StateDocument, VirtualAttestation } from "../contracts.ts";

const QUOTE_TYPE = "virtual-quote";
const TOKEN_LIFETIME = "8h";
const REPORT_DATA_BYTES = 64;

interface Keys {
  quote: crypto.JsonWebKey;
  token: crypto.JsonWebKey;
}

/**
 * Simulated attestation: a quote is a signature of this sandbox's own software key. It proves nothing about hardware;
 * it only lets the services of one sandbox hold each other to what they measured.
 */
export class SandboxAttestation implements VirtualAttestation {
  private readonly keys: StateDocument<Keys>;

  constructor(host: SandboxHost) {
    this.keys = host.document("attestation", generateKeys);
    this.keys.save();
  }

  quote(evidence: { hostData: string; reportData: string }): string {
    requireHex("hostData", evidence.hostData, 32);
    requireHex("reportData", evidence.reportData, REPORT_DATA_BYTES);
    const header = encode({ alg: "ES256", typ: QUOTE_TYPE });
    const payload = encode({ hostData: evidence.hostData, reportData: evidence.reportData });
    const key = crypto.createPrivateKey({ key: this.keys.value.quote, format: "jwk" });
    const signature = crypto.sign("sha256", Buffer.from(`${header}.${payload}`), { key, dsaEncoding: "ieee-p1363" });
    return `${header}.${payload}.${signature.toString("base64url")}`;
  }

  verifyQuote(quote: string): { hostData: string; reportData: string } {
    const parts = quote.split(".");
    const [header, payload, signature] = parts;
    if (parts.length !== 3 || !header || !payload || !signature) throw new Error("Not a virtual quote.");
    const key = crypto.createPublicKey({ key: this.keys.value.quote, format: "jwk" });
    const signed = Buffer.from(`${header}.${payload}`);
    const signatureBytes = Buffer.from(signature, "base64url");
    if (!crypto.verify("sha256", signed, { key, dsaEncoding: "ieee-p1363" }, signatureBytes)) {
      throw new Error("The virtual quote was not made by this sandbox.");
    }
    const { alg, typ } = decode(header);
    if (alg !== "ES256" || typ !== QUOTE_TYPE) throw new Error("Not a virtual quote.");
    const evidence = decode(payload);
    return { hostData: String(evidence.hostData), reportData: String(evidence.reportData) };
  }

  /** @throws when the quote's report data does not bind `runtimeKey` (see `bindsKey`). */
  async attest(quote: string, runtimeKey: JsonWebKey, authority: string): Promise<string> {
    const { hostData, reportData } = this.verifyQuote(quote);
    if (!bindsKey(reportData, runtimeKey)) {
      throw new Error(
        "The quote does not bind the runtime key: reportData must start with the SHA-256 of the key's SPKI PEM text or of its runtime data JSON.",
      );
    }
    return new SignJWT({
      "x-ms-ver": "1.0",
      "x-ms-attestation-type": "sevsnpvm",
      "x-ms-compliance-status": "azure-compliant-uvm",
      "x-ms-sevsnpvm-hostdata": hostData,
      "x-ms-sevsnpvm-reportdata": reportData,
      "x-ms-sevsnpvm-is-debuggable": false,
      "x-ms-runtime": { keys: [publicPart(runtimeKey)] },
    })
      .setProtectedHeader({ alg: "RS256", typ: "JWT", kid: "virtual-attestation" })
      .setIssuer(authority)
      .setIssuedAt()
      .setNotBefore("0s")
      .setExpirationTime(TOKEN_LIFETIME)
      .sign(await importJWK(this.keys.value.token as JsonWebKey, "RS256"));
  }

  async verifyToken(token: string): Promise<Record<string, unknown>> {
    const { kty, n, e } = this.keys.value.token;
    const key = await importJWK({ kty, n, e } as JsonWebKey, "RS256");
    const { payload } = await jwtVerify(token, key, {
      algorithms: ["RS256"],
      requiredClaims: ["iss", "exp", "x-ms-sevsnpvm-hostdata"],
    });
    return payload;
  }
}

/**
 * Report data (hex, 64 bytes) that binds a public key in the way of Microsoft Azure Attestation: SHA-256 of the runtime
 * data `{"keys":[key]}`, zero padded.
 */
export function runtimeReportData(runtimeKey: JsonWebKey): string {
  return sha256(JSON.stringify({ keys: [publicPart(runtimeKey)] })).padEnd(2 * REPORT_DATA_BYTES, "0");
}

/** Both conventions in use bind a key: that of the attestation service above, and that of CGS (SHA-256 of the PEM text). */
function bindsKey(reportData: string, runtimeKey: JsonWebKey): boolean {
  const pem = crypto
    .createPublicKey({ key: publicPart(runtimeKey), format: "jwk" })
    .export({ type: "spki", format: "pem" }) as string;
  const pemReportData = [pem, pem.trimEnd()].map((text) => sha256(text).padEnd(2 * REPORT_DATA_BYTES, "0"));
  return [runtimeReportData(runtimeKey), ...pemReportData].includes(reportData.toLowerCase());
}

/** Without the private members, with members in a fixed order. */
function publicPart(key: JsonWebKey): crypto.JsonWebKey {
  const { kid, kty, n, e, crv, x, y, key_ops, use } = key as JsonWebKey & { kid?: string };
  return JSON.parse(JSON.stringify({ kid, kty, n, e, crv, x, y, key_ops, use })) as crypto.JsonWebKey;
}

function generateKeys(): Keys {
  return {
    quote: crypto.generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" }),
    token: crypto.generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }),
  };
}

function requireHex(name: string, value: string, bytes: number): void {
  if (!new RegExp(`^[0-9a-f]{${2 * bytes}}$`).test(value)) {
    throw new TypeError(`${name} must be ${bytes} bytes in lower-case hex, got ${value.length} characters.`);
  }
}

function sha256(text: string): string {
  return crypto.createHash("sha256").update(text).digest("hex");
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function decode(part: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(part, "base64url").toString("utf8")) as Record<string, unknown>;
}
