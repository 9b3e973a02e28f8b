import https from "node:https";
import type tls from "node:tls";

export interface HttpRequest {
  /** Default GET. */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** The only certificates trusted, PEM. */
  readonly ca: string;
  /** Accepts any host name on a certificate of `ca`, for services that are pinned by their own root. Default false. */
  readonly anyHostName?: boolean;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

const TIMEOUT_MS = 30_000;

/** One HTTPS request on a connection of its own. @throws when no complete answer arrives within 30 seconds. */
export function send(url: string, request: HttpRequest): Promise<HttpResponse> {
  const headers: Record<string, string> = { ...request.headers };
  if (request.body !== undefined || (request.method ?? "GET") !== "GET") {
    headers["content-length"] = String(Buffer.byteLength(request.body ?? ""));
  }
  const options: https.RequestOptions = {
    method: request.method ?? "GET",
    headers,
    agent: false,
    ca: request.ca,
    timeout: TIMEOUT_MS,
    ...(request.anyHostName && { checkServerIdentity: acceptAnyName }),
  };
  return new Promise((resolve, reject) => {
    const outgoing = https.request(url, options, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () =>
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(chunks) }),
      );
    });
    outgoing.on("timeout", () =>
      outgoing.destroy(new Error(`No answer from ${new URL(url).host} within ${TIMEOUT_MS / 1000} s.`)),
    );
    outgoing.on("error", reject);
    outgoing.end(request.body);
  });
}

/** The chain is verified against the pinned root either way. */
const acceptAnyName: typeof tls.checkServerIdentity = () => undefined;

/** @throws when the body is not JSON. */
export function json(response: HttpResponse): unknown {
  return JSON.parse(response.body.toString("utf8"));
}
