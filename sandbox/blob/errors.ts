import crypto from "node:crypto";
import type { ServerResponse } from "node:http";

/**
 * A refusal in the storage service's own terms.
 * Codes: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes and common-rest-api-error-codes
 */
export class StorageError extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Record<string, string>;

  constructor(status: number, code: string, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.name = "StorageError";
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

export function sendStorageError(response: ServerResponse, error: StorageError, withBody = true): void {
  const requestId = crypto.randomUUID();
  const message = `${error.message}\nRequestId:${requestId}\nTime:${new Date().toISOString()}`;
  const xml = `<?xml version="1.0" encoding="utf-8"?><Error><Code>${error.code}</Code><Message>${escapeXml(message)}</Message></Error>`;
  response.writeHead(error.status, {
    "content-type": "application/xml",
    "content-length": String(Buffer.byteLength(xml)),
    "x-ms-request-id": requestId,
    "x-ms-error-code": error.code,
    ...error.headers,
  });
  response.end(withBody ? xml : undefined);
}

export function escapeXml(text: string): string {
  const entities: Record<string, string> = { "<": "&lt;", ">": "&gt;", "&": "&amp;" };
  return text.replace(/[<>&]/g, (character) => entities[character] ?? character);
}
