import { createHash } from "node:crypto";

/**
 * 13 lower-case letters that stand for an id: SHA-512 of its UTF-8 text, bytes 1 to 13, each modulo 26. The clean room
 * tools derive DNS labels with the same function, so a deployment keeps its names when it moves over.
 */
export function uniqueString(id: string): string {
  const digest = createHash("sha512").update(id, "utf8").digest();
  return [...digest.subarray(1, 14)].map((byte) => String.fromCharCode(97 + (byte % 26))).join("");
}

/** A GUID that depends on nothing but its parts (RFC 9562 version 8 over SHA-256): names of role assignments. */
export function deterministicGuid(...parts: readonly string[]): string {
  const bytes = createHash("sha256").update(parts.join("\n").toLowerCase()).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
