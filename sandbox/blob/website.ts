import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { Backend } from "./backend.ts";
import { withoutHopByHop } from "./backend.ts";
import { markerOf } from "./customer-keys/marker.ts";

export const WEB_CONTAINER = "$web";

export interface Website {
  readonly indexDocument?: string;
  readonly error404Document?: string;
}

/** The part of a blob's properties a website shows. */
const SHOWN_HEADERS = /^(content-|last-modified$|etag$|cache-control$|accept-ranges$)/i;

/**
 * Serves `/<account>/<path>` out of `$web`, to everybody.
 * Behaviour: https://learn.microsoft.com/azure/storage/blobs/storage-blob-static-website
 */
export class WebsiteFront {
  private readonly backend: Backend;
  private readonly findWebsite: (account: string) => Website | undefined;

  constructor(backend: Backend, findWebsite: (account: string) => Website | undefined) {
    this.backend = backend;
    this.findWebsite = findWebsite;
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, account = "", ...segments] = (request.url ?? "/").split("?", 1)[0]?.split("/") ?? [];
    const website = this.findWebsite(account);
    if (request.method !== "GET" && request.method !== "HEAD") return sendText(response, 405, "UnsupportedHttpVerb");
    if (!website) return sendText(response, 404, "WebContentNotFound: the account has no static website");
    const path = segments.join("/");
    const isFolder = path === "" || path.endsWith("/");
    const page = await this.fetch(account, request, isFolder ? `${path}${website.indexDocument ?? ""}` : path);
    if (page) return send(page, page.statusCode ?? 500, response);
    const errorPage = website.error404Document && (await this.fetch(account, request, website.error404Document));
    if (errorPage) return send(errorPage, 404, response);
    return sendText(response, 404, "WebContentNotFound: the requested content does not exist");
  }

  /** @param path of the blob, encoded. */
  private async fetch(account: string, request: IncomingMessage, path: string): Promise<IncomingMessage | undefined> {
    if (path === "" || path.endsWith("/")) return undefined;
    const { range } = request.headers;
    const answer = await this.backend.send(account, {
      method: request.method ?? "GET",
      target: `/${account}/${WEB_CONTAINER}/${path}`,
      headers: { "x-ms-version": "2025-11-05", ...(range && { range }) },
    });
    if ((answer.statusCode ?? 500) < 400 && !markerOf(answer)) return answer;
    answer.resume();
    return undefined;
  }
}

async function send(answer: IncomingMessage, status: number, response: ServerResponse): Promise<void> {
  const shown = Object.entries(withoutHopByHop(answer.headers)).filter(([name]) => SHOWN_HEADERS.test(name));
  response.writeHead(status, Object.fromEntries(shown));
  await pipeline(answer, response);
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain", "content-length": String(Buffer.byteLength(text)) });
  response.end(text);
}
