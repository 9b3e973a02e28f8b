import crypto from "node:crypto";
import type { IncomingMessage } from "node:http";
import { StorageError } from "../errors.ts";

const KEY_BYTES = 32;

/** An encryption key as a request provides it. */
export interface CustomerKey {
  readonly key: Buffer;
  /** Base64. */
  readonly sha256: string;
}

/**
 * The request's own key, if it has one.
 * Headers: https://learn.microsoft.com/azure/storage/blobs/encryption-customer-provided-keys
 * @throws StorageError when the three headers are incomplete or contradict each other.
 */
export function customerKeyOf(request: IncomingMessage): CustomerKey | undefined {
  const [encoded, sha256, algorithm] = [
    "x-ms-encryption-key",
    "x-ms-encryption-key-sha256",
    "x-ms-encryption-algorithm",
  ].map((name) => request.headers[name]);
  if (encoded === undefined && sha256 === undefined && algorithm === undefined) return undefined;
  if (typeof encoded !== "string" || typeof sha256 !== "string" || typeof algorithm !== "string") {
    throw new StorageError(
      400,
      "MissingRequiredHeader",
      "x-ms-encryption-key, x-ms-encryption-key-sha256 and x-ms-encryption-algorithm must be given together.",
    );
  }
  const key = Buffer.from(encoded, "base64");
  if (algorithm !== "AES256") throw invalidHeader("x-ms-encryption-algorithm", "must be AES256");
  if (key.length !== KEY_BYTES) throw invalidHeader("x-ms-encryption-key", `must be ${KEY_BYTES} bytes in base64`);
  if (crypto.createHash("sha256").update(key).digest("base64") !== sha256) {
    throw invalidHeader("x-ms-encryption-key-sha256", "is not the SHA-256 of x-ms-encryption-key");
  }
  return { key, sha256 };
}

function invalidHeader(name: string, reason: string): StorageError {
  return new StorageError(
    400,
    "InvalidHeaderValue",
    `The value for one of the HTTP headers is not in the correct format: ${name} ${reason}.`,
  );
}
