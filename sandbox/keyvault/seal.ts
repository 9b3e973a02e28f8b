import crypto from "node:crypto";
import type { SandboxHost } from "../contracts.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Keeps private keys and secret values unreadable in the vaults' documents: AES-256-GCM under a key of this sandbox that
 * lies in a document of its own. Simulates the boundary of an HSM; whoever can read the whole state folder can open it.
 */
export class Sealer {
  private readonly key: Buffer;

  constructor(host: SandboxHost) {
    const document = host.document("vault-seal", () => ({ key: crypto.randomBytes(32).toString("base64") }));
    document.save();
    this.key = Buffer.from(document.value.key, "base64");
  }

  /** @param owner what the value belongs to; opening for another owner fails. */
  seal(value: string, owner: string): string {
    const nonce = crypto.randomBytes(NONCE_BYTES);
    const cipher = crypto.createCipheriv("aes-256-gcm", this.key, nonce).setAAD(Buffer.from(owner));
    const sealed = [nonce, cipher.update(value, "utf8"), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat(sealed).toString("base64");
  }

  open(sealed: string, owner: string): string {
    const bytes = Buffer.from(sealed, "base64");
    const decipher = crypto
      .createDecipheriv("aes-256-gcm", this.key, bytes.subarray(0, NONCE_BYTES))
      .setAAD(Buffer.from(owner))
      .setAuthTag(bytes.subarray(-TAG_BYTES));
    const value = [decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()];
    return Buffer.concat(value).toString("utf8");
  }
}
