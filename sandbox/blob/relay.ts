import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { headersOf, withoutHopByHop } from "./backend.ts";
import type { Operation } from "./operations.ts";

/** An authorised request on its way to the backend. */
export interface BlobCall {
  readonly operation: Operation;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly method: string;
  readonly target: string;
  /** For the backend; the names keep their case. */
  readonly headers: OutgoingHttpHeaders;
  /** Path and query of the copy source at the backend. */
  readonly copySource?: string;
}

/** Sends the backend's answer on. @param changes lower-case names; `undefined` takes a header out. */
export async function relay(
  response: ServerResponse,
  answer: IncomingMessage,
  changes: Record<string, string | undefined> = {},
): Promise<void> {
  response.writeHead(answer.statusCode ?? 500, changedHeaders(withoutHopByHop(headersOf(answer)), changes));
  await pipeline(answer, response);
}

export function changedHeaders(
  headers: OutgoingHttpHeaders,
  changes: Record<string, string | undefined>,
): OutgoingHttpHeaders {
  const kept = Object.entries(headers).filter(([name]) => !Object.hasOwn(changes, name.toLowerCase()));
  const added = Object.entries(changes).filter(([, value]) => value !== undefined);
  return Object.fromEntries([...kept, ...added]);
}
