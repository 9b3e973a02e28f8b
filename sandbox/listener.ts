import https from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { SandboxHost } from "./contracts.ts";

/** Loopback HTTPS server with the sandbox's certificate. */
export interface Listener {
  /** `https://127.0.0.1:PORT`, no trailing slash. */
  readonly url: string;
  close(): Promise<void>;
}

export type RequestHandler = (request: IncomingMessage, response: ServerResponse, url: URL) => Promise<void> | void;

/** @param name key of the port: the listener is found at the same address after a restart. */
export async function listen(host: SandboxHost, name: string, handler: RequestHandler): Promise<Listener> {
  const port = await host.port(name);
  const url = `https://127.0.0.1:${port}`;
  const server = https.createServer({ key: host.tls.key, cert: host.tls.cert }, (request, response) => {
    response.on("finish", () => host.log(name, `${request.method} ${pathOf(request)} ${response.statusCode}`));
    Promise.resolve()
      .then(() => handler(request, response, new URL(request.url ?? "/", url)))
      .catch((error: unknown) => {
        host.log(
          name,
          `${request.method} ${pathOf(request)} failed: ${error instanceof Error ? error.message : String(error)}`,
        );
        if (response.headersSent) response.destroy();
        else
          sendJson(response, 500, {
            error: { code: "InternalError", message: "The sandbox failed; its log says why." },
          });
      });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Query strings may carry signatures; only the path is logged. */
function pathOf(request: IncomingMessage): string {
  return (request.url ?? "/").split("?", 1)[0] ?? "/";
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    "content-type": "application/json; charset=utf-8",
    "content-length": String(Buffer.byteLength(text)),
    "cache-control": "no-store",
    ...headers,
  });
  response.end(text);
}

/** The whole body of a small request. @throws RangeError beyond `limit` bytes. */
export async function readBody(request: AsyncIterable<Uint8Array>, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > limit) throw new RangeError(`The body is larger than ${limit} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
