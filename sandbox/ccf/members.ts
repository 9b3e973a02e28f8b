import crypto from "node:crypto";
import type { Transaction } from "./kv.ts";
import { sha256 } from "./artifacts.ts";
import { memberEncryptionKeys, memberInfos, type MemberInfo } from "./tables.ts";

/** Member or user id: lower-case hex SHA-256 of the certificate's DER. @throws when the text is no certificate. */
export const idOfCertificate = (pem: string): string => sha256(new crypto.X509Certificate(pem).raw);

export function isRecoveryMember(tx: Transaction, memberId: string): boolean {
  return tx.has(memberEncryptionKeys, memberId) && tx.get(memberInfos, memberId)?.recovery_role !== "NonParticipant";
}

export function activeRecoveryMembers(tx: Transaction): string[] {
  return members(tx)
    .filter(([id, info]) => info.status === "Active" && isRecoveryMember(tx, id))
    .map(([id]) => id);
}

export const members = (tx: Transaction): [string, MemberInfo][] => tx.entries(memberInfos);
