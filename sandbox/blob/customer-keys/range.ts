import type { IncomingHttpHeaders } from "node:http";
import { StorageError } from "../errors.ts";

export interface ByteRange {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  readonly isPartial: boolean;
}

/** `x-ms-range` goes before `range`; forms: https://learn.microsoft.com/rest/api/storageservices/specifying-the-range-header-for-blob-service-operations */
export function requestedRange(headers: IncomingHttpHeaders, total: number): ByteRange {
  const header = headers["x-ms-range"] ?? headers.range;
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(String(header ?? "")) ?? [];
  if (from === undefined) return { start: 0, end: total, isPartial: false };
  const start = Number(from);
  const end = to ? Math.min(Number(to) + 1, total) : total;
  if (start >= total || end <= start) {
    throw new StorageError(
      416,
      "InvalidRange",
      "The range specified is invalid for the current size of the resource.",
      {
        "content-range": `bytes */${total}`,
      },
    );
  }
  return { start, end, isPartial: true };
}
