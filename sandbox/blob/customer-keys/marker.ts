import type { IncomingMessage } from "node:http";
import type { CustomerKey } from "./key.ts";

/** Metadata name that holds the id of a blob's table. */
export const MARKER_ID = "sandboxcpkid";
const SHA256 = "sandboxcpksha256";

/** What an encrypted blob's metadata says at the backend; no client ever sees it. */
export interface Marker {
  /** Of the blob's table. */
  readonly id: string;
  /** Base64, of the key. */
  readonly keySha256: string;
}

export const markerHeaders = ({ id, keySha256 }: Marker): Record<string, string> => ({
  [`x-ms-meta-${MARKER_ID}`]: id,
  [`x-ms-meta-${SHA256}`]: keySha256,
});

export function markerOf(answer: IncomingMessage): Marker | undefined {
  const [id, keySha256] = [answer.headers[`x-ms-meta-${MARKER_ID}`], answer.headers[`x-ms-meta-${SHA256}`]];
  return typeof id === "string" && typeof keySha256 === "string" ? { id, keySha256 } : undefined;
}

/** Header changes that turn the backend's answer about a blob into what its owner expects. */
export function decrypted(
  answer: IncomingMessage,
  key: CustomerKey,
  md5: string | undefined,
  isPartial: boolean,
): Record<string, string | undefined> {
  const ofBlob = answer.headers["x-ms-blob-content-md5"] !== undefined || isPartial;
  return {
    [`x-ms-meta-${MARKER_ID}`]: undefined,
    [`x-ms-meta-${SHA256}`]: undefined,
    "x-ms-server-encrypted": "true",
    "x-ms-encryption-key-sha256": key.sha256,
    "content-md5": isPartial ? undefined : md5,
    "x-ms-blob-content-md5": ofBlob ? md5 : undefined,
    "x-ms-content-crc64": undefined,
  };
}

/**
 * A listing (asked for with metadata) as the client may see it.
 * @param withMetadata whether the client asked for metadata itself.
 */
export function cleanListing(xml: string, withMetadata: boolean): string {
  return xml.replace(/<Blob>.*?<\/Blob>/gs, (entry) => {
    const keySha256 = new RegExp(`<${SHA256}>(.*?)</${SHA256}>`).exec(entry)?.[1];
    const shown = withMetadata
      ? entry.replace(new RegExp(`<(${MARKER_ID}|${SHA256})>.*?</\\1>`, "g"), "")
      : entry.replace(/<Metadata>.*?<\/Metadata>|<Metadata\/>/s, "");
    if (keySha256 === undefined) return shown;
    return shown
      .replace(/<Content-MD5>.*?<\/Content-MD5>/s, "")
      .replace("</Properties>", `<CustomerProvidedKeySha256>${keySha256}</CustomerProvidedKeySha256></Properties>`);
  });
}
