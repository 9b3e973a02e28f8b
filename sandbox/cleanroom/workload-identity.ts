import crypto from "node:crypto";
import type { VirtualAttestation } from "../contracts.ts";

const AES_KWP_IV = Buffer.from("A65959A6", "hex");

/**
 * What an attested workload is: a fresh RSA-2048 key and a quote that binds it to the hash of the workload's policy.
 * The quote is simulated (`platform: "virtual"`): it proves what this sandbox measured, nothing about hardware.
 */
export class WorkloadIdentity {
  /** Hex SHA-256 of the workload's policy. */
  readonly hostData: string;
  /** PEM, SPKI. */
  readonly publicKeyPem: string;
  readonly publicJwk: JsonWebKey;
  private readonly privateKey: crypto.KeyObject;
  private readonly attestation: VirtualAttestation;
  private readonly quote: string;

  constructor(attestation: VirtualAttestation, policy: string) {
    const { publicKey, privateKey } = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
    this.attestation = attestation;
    this.privateKey = privateKey;
    this.publicKeyPem = publicKey.export({ type: "spki", format: "pem" }) as string;
    this.publicJwk = publicKey.export({ format: "jwk" }) as JsonWebKey;
    this.hostData = sha256Hex(policy);
    this.quote = attestation.quote({
      hostData: this.hostData,
      reportData: sha256Hex(this.publicKeyPem) + "0".repeat(64),
    });
  }

  /** PKCS#8 PEM, for the workload's own TLS server. */
  get privateKeyPem(): string {
    return this.privateKey.export({ type: "pkcs8", format: "pem" }) as string;
  }

  /** Members of a request that prove who asks and say for whom to wrap the answer. */
  evidence(): Record<string, unknown> {
    return {
      platform: "virtual",
      attestation: { evidence: this.quote },
      encrypt: { publicKey: base64(this.publicKeyPem) },
    };
  }

  /** The same around a signed inner request: RSA-PSS, SHA-256, salt of 32 bytes. */
  signed(data: unknown): Record<string, unknown> {
    const bytes = Buffer.from(JSON.stringify(data));
    const signature = crypto.sign("sha256", bytes, {
      key: this.privateKey,
      padding: crypto.constants.RSA_PKCS1_PSS_PADDING,
      saltLength: 32,
    });
    const sign = { signature: signature.toString("base64"), publicKey: base64(this.publicKeyPem) };
    return { ...this.evidence(), sign, data: bytes.toString("base64") };
  }

  /** RSA-OAEP (SHA-256) of an AES-256 key, followed by AES key wrap with padding (RFC 5649) of the content. */
  unwrap(wrapped: Buffer): Buffer {
    const modulusBytes = 256;
    const key = this.decrypt(wrapped.subarray(0, modulusBytes));
    const decipher = crypto.createDecipheriv("id-aes256-wrap-pad", key, AES_KWP_IV);
    return Buffer.concat([decipher.update(wrapped.subarray(modulusBytes)), decipher.final()]);
  }

  private decrypt(ciphertext: Buffer): Buffer {
    return decryptOaep(this.privateKey, ciphertext);
  }

  /** Token of the attestation authority over this workload and its key. */
  attest(authority: string): Promise<string> {
    return this.attestation.attest(this.quote, this.publicJwk, authority);
  }
}

/** RSA-OAEP with SHA-256 for hash and mask, no label. */
export function decryptOaep(key: crypto.KeyObject, ciphertext: Buffer): Buffer {
  return crypto.privateDecrypt(
    { key, padding: crypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
    ciphertext,
  );
}

export function sha256Hex(text: string): string {
  return crypto.createHash("sha256").update(text).digest("hex");
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
