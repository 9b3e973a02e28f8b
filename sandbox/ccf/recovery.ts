import crypto from "node:crypto";
import { CcfError } from "./errors.ts";
import type { Transaction } from "./kv.ts";
import { activeRecoveryMembers } from "./members.ts";
import type { CcfNetwork } from "./network.ts";
import { combine, split } from "./shamir.ts";
import { memberEncryptionKeys, recoveryShares, service, SETTING, type ServiceInfo } from "./tables.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Wraps the ledger secret with a fresh key and gives every active recovery member an encrypted share of that key
 * (RSA-OAEP, SHA-256). A threshold of 0 means a service without recovery members.
 * @throws when there are fewer recovery members than the threshold asks for.
 */
export function issueRecoveryShares(tx: Transaction, network: CcfNetwork): void {
  const threshold = tx.get(service, SETTING)?.recoveryThreshold ?? 0;
  const members = activeRecoveryMembers(tx);
  if (members.length < threshold) {
    throw new Error(
      `Cannot issue new recovery shares: the number of active recovery members (${members.length}) is less than the recovery threshold (${threshold})`,
    );
  }
  if (threshold === 0 || !network.ledgerSecret) return;
  const wrappingKey = crypto.randomBytes(32);
  const parts = split(wrappingKey, threshold, members.length);
  const shares = members.map((id, index): [string, string] => {
    const key = {
      key: tx.get(memberEncryptionKeys, id) ?? "",
      padding: crypto.constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: "sha256",
    };
    return [id, crypto.publicEncrypt(key, parts[index] as Buffer).toString("base64")];
  });
  tx.put(recoveryShares, SETTING, {
    wrappedLedgerSecret: encrypt(network.ledgerSecret, wrappingKey).toString("base64"),
    threshold,
    shares: Object.fromEntries(shares),
  });
}

/** Collects the shares of a recovery in memory (they must never reach the ledger) and ends it at the threshold. */
export class ShareCollector {
  readonly #shares = new Map<string, Buffer>();

  /** @returns the message CCF answers. @throws CcfError when no recovery waits for shares or the share is wrong. */
  submit(
    tx: Transaction,
    network: CcfNetwork,
    memberId: string,
    share: Buffer,
  ): { message: string; submittedCount: number; recoveryThreshold: number } {
    const info = tx.get(service, SETTING) as ServiceInfo;
    const issued = tx.get(recoveryShares, SETTING);
    if (info.status !== "WaitingForRecoveryShares" || !issued) {
      throw new CcfError(403, "ServiceNotWaitingForRecoveryShares", "Service is not waiting for recovery shares.");
    }
    if (!issued.shares[memberId])
      throw new CcfError(404, "ResourceNotFound", `No recovery share was issued to member ${memberId}.`);
    this.#shares.set(memberId, share);
    const submittedCount = this.#shares.size;
    const progress = `${submittedCount}/${issued.threshold} recovery shares successfully submitted.`;
    if (submittedCount < issued.threshold)
      return { message: progress, submittedCount, recoveryThreshold: issued.threshold };
    const secret = this.#unwrap(Buffer.from(issued.wrappedLedgerSecret, "base64"));
    network.afterCommit(() => network.unsealLedger(secret));
    tx.put(service, SETTING, { ...info, status: "Open" });
    return {
      message: `${progress}\nEnd of recovery procedure initiated.`,
      submittedCount,
      recoveryThreshold: issued.threshold,
    };
  }

  #unwrap(wrapped: Buffer): Buffer {
    const shares = [...this.#shares.values()];
    this.#shares.clear();
    try {
      return decrypt(wrapped, combine(shares));
    } catch {
      throw new CcfError(500, "InternalError", "Error combining recovery shares: failed to unwrap the ledger secret.");
    }
  }
}

function encrypt(plaintext: Buffer, key: Buffer): Buffer {
  const nonce = crypto.randomBytes(NONCE_BYTES);
  const cipher = crypto.createCipheriv("aes-256-gcm", key, nonce);
  const sealed = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]);
}

function decrypt(bytes: Buffer, key: Buffer): Buffer {
  const decipher = crypto.createDecipheriv("aes-256-gcm", key, bytes.subarray(0, NONCE_BYTES));
  decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
}
