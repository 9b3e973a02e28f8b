import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { webcrypto } from "node:crypto";
import https from "node:https";
import type http from "node:http";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { memberIdOf } from "../../../clients/ccf/member-id.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" };

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  /** Of the client certificate shown. */
  readonly memberId: string | undefined;
}

/** An answer; a JSON body unless it is text. `drop` closes the connection instead. */
export type Answer = { status?: number; body?: unknown; headers?: Record<string, string> } | "drop" | "silence";

export interface TestServer {
  readonly endpoint: string;
  /** PEM of the authority that issued the server's certificate. */
  readonly authority: string;
  readonly received: Received[];
  stop(): Promise<void>;
}

export interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly keys: CryptoKeyPair;
}

export async function createAuthority(name: string): Promise<Issuer> {
  x509.cryptoProvider.set(webcrypto as Crypto);
  const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  return { certificate, keys };
}

/**
 * HTTPS on loopback whose certificate is issued by `issuer` for `hostName`.
 * @param answer called for each request, in order.
 */
export async function startServer(
  issuer: Issuer,
  answer: (request: Received) => Answer | Promise<Answer>,
  hostName = "localhost",
): Promise<TestServer> {
  const identity = await issueServerCertificate(issuer, hostName);
  const received: Received[] = [];
  const server = https.createServer(
    { ...identity, requestCert: true, rejectUnauthorized: false },
    (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const shown = (request.socket as TLSSocket).getPeerX509Certificate();
        const entry: Received = {
          method: request.method!,
          path: request.url!,
          headers: request.headers,
          body: Buffer.concat(chunks).toString("latin1"),
          memberId: shown && memberIdOf(shown.toString()),
        };
        received.push(entry);
        void Promise.resolve(answer(entry)).then((result) => reply(request, response, result));
      });
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `https://localhost:${(server.address() as AddressInfo).port}`,
    authority: issuer.certificate.toString("pem"),
    received,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function reply(request: http.IncomingMessage, response: http.ServerResponse, answer: Answer): void {
  if (answer === "silence") return;
  if (answer === "drop") {
    request.socket.destroy();
    return;
  }
  const isText = typeof answer.body === "string";
  response.writeHead(answer.status ?? 200, {
    ...(!isText && { "content-type": "application/json" }),
    ...answer.headers,
  });
  response.end(answer.body === undefined ? undefined : isText ? (answer.body as string) : JSON.stringify(answer.body));
}

async function issueServerCertificate(issuer: Issuer, hostName: string): Promise<{ key: string; cert: string }> {
  const keys = (await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${hostName}`,
    issuer: issuer.certificate.subject,
    publicKey: keys.publicKey,
    signingKey: issuer.keys.privateKey,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "dns", value: hostName }])],
  });
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { key: x509.PemConverter.encode(pkcs8, "PRIVATE KEY"), cert: certificate.toString("pem") };
}
