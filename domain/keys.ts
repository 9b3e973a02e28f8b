import { createHash } from "node:crypto";

/** RFC 9562 namespace X.500, the one the clean room tools derive key names in. */
const NAMESPACE_X500 = Buffer.from("6ba7b8149dad11d180b400c04fd430c8", "hex");

/** Microsoft's shared attestation service of a region; its tokens carry what a clean room measured. */
export const DEFAULT_ATTESTATION_AUTHORITY = "https://sharedneu.neu.attest.azure.net";

/**
 * Name of the key that wraps a dataset's key: the first group of the version 3 UUID over both names.
 * @param store container of the dataset. @param dataset its name in the collaboration.
 */
export function keyEncryptionKeyName(store: string, dataset: string): string {
  const digest = createHash("md5").update(NAMESPACE_X500).update(`${store}${dataset}`, "utf8").digest("hex");
  return `${digest.slice(0, 8)}-kek`;
}

/** Name of the vault secret with the wrapped data encryption key. */
export function wrappedKeyName(store: string, keyEncryptionKey: string): string {
  return `wrapped-${store}-dek-${keyEncryptionKey}`;
}

/** Secure key release policy of Key Vault, grammar version 1.0.0. */
export interface ReleasePolicy {
  readonly version: "1.0.0";
  readonly anyOf: readonly {
    readonly authority: string;
    readonly allOf: readonly { readonly claim: string; readonly equals: string }[];
  }[];
}

/**
 * Lets a key go only to code with this measurement, in a confidential virtual machine that Azure vouches for.
 * @param measurement hex SHA-256 of the clean room's policy.
 * @see https://learn.microsoft.com/azure/key-vault/keys/policy-grammar
 */
export function releasePolicy(authority: string, measurement: string): ReleasePolicy {
  return {
    version: "1.0.0",
    anyOf: [
      {
        authority,
        allOf: [
          { claim: "x-ms-sevsnpvm-hostdata", equals: measurement },
          { claim: "x-ms-compliance-status", equals: "azure-compliant-uvm" },
          { claim: "x-ms-attestation-type", equals: "sevsnpvm" },
        ],
      },
    ],
  };
}
