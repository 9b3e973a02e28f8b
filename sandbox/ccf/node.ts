import crypto from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import https from "node:https";
import type { TLSSocket } from "node:tls";
import { buffer } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { SandboxHost, VirtualAttestation } from "../contracts.ts";
import { bundleDigest, constitutionDigest, sha256 } from "./artifacts.ts";
import { CcfError, type CcfReply } from "./errors.ts";
import type { FaultInjector } from "./faults.ts";
import { Frontend } from "./frontend.ts";
import { IssuerKeys } from "./jwt.ts";
import type { CcfNetwork } from "./network.ts";
import { constitution, jsBundle, SETTING } from "./tables.ts";

export interface NodeListeners {
  readonly rpc: number;
  readonly agent: number;
}

/** The listeners of one running node: CCF's RPC interface and the recovery agent beside it. */
export class CcfNode {
  readonly network: CcfNetwork;
  readonly #host: SandboxHost;
  readonly #attestation: VirtualAttestation;
  readonly #hostData: string;
  readonly #faults: () => FaultInjector;
  readonly #issuers: IssuerKeys;
  readonly #frontend: Frontend;
  #servers: https.Server[] = [];

  /** @param hostData hex SHA-256 of the node's confidential computing enforcement policy. */
  constructor(
    host: SandboxHost,
    attestation: VirtualAttestation,
    network: CcfNetwork,
    hostData: string,
    faults: () => FaultInjector,
  ) {
    this.#host = host;
    this.#attestation = attestation;
    this.#hostData = hostData;
    this.#faults = faults;
    this.network = network;
    this.#issuers = new IssuerKeys(network, (line) => host.log("ccf", line));
    this.#frontend = new Frontend(network, this.#issuers, faults);
  }

  async listen(ports: NodeListeners): Promise<void> {
    const { nodeKeyPem, nodeCertificatePem } = this.network.secrets;
    const rpc = https.createServer(
      // Client certificates are self-signed; each endpoint decides by fingerprint whom it knows.
      {
        key: nodeKeyPem,
        cert: nodeCertificatePem,
        requestCert: true,
        rejectUnauthorized: false,
        minVersion: "TLSv1.2",
        ALPNProtocols: ["http/1.1"],
      },
      (request, response) => void this.#answer(request, response),
    );
    const agent = https.createServer(
      { ...this.#host.tls, minVersion: "TLSv1.2" },
      (request, response) => void this.#answerAsAgent(request, response),
    );
    this.#servers = [rpc, agent];
    await Promise.all([open(rpc, ports.rpc), open(agent, ports.agent)]);
  }

  async close(): Promise<void> {
    await this.#issuers.stop();
    await Promise.all(
      this.#servers.map(
        (server) =>
          new Promise<void>((resolve) => {
            server.close(() => resolve());
            server.closeAllConnections();
          }),
      ),
    );
    await this.network.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const injector = this.#faults();
    const { faults } = injector;
    try {
      const body = await buffer(request);
      if (faults.delayMs > 0) await sleep(faults.delayMs);
      if (injector.chance(faults.dropBefore)) return void request.socket.destroy();
      const reply = injector.chance(faults.unavailable)
        ? new CcfError(503, "TransactionCommitAttemptsExceedLimit", "Transaction was aborted.", {
            headers: { "retry-after": "3" },
          }).toReply()
        : await this.#frontend.handle({
            method: request.method ?? "GET",
            url: request.url ?? "/",
            headers: request.headers,
            body,
            clientCertificate: clientCertificate(request.socket as TLSSocket),
          });
      if (injector.chance(faults.dropAfter)) return void request.socket.destroy();
      this.#host.log("ccf", `${request.method} ${pathOf(request)} ${reply.status}`);
      send(response, reply);
    } catch (error) {
      this.#host.log("ccf", `${request.method} ${pathOf(request)} aborted: ${(error as Error).message}`);
      request.socket.destroy();
    }
  }

  async #answerAsAgent(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const route = `${request.method} ${pathOf(request)}`;
    if (route === "GET /ready") return send(response, { status: 200, body: { status: "up" } });
    if (route === "GET /network/report") return send(response, { status: 200, body: this.#report() });
    send(response, new CcfError(404, "ResourceNotFound", `Unknown path: ${route}.`).toReply());
  }

  /** What lets a client that knows only the expected host data find the service certificate it may trust. */
  #report(): object {
    const tx = this.network.store.begin();
    const bundle = tx.get(jsBundle, SETTING) ?? { metadata: { endpoints: {} }, modules: [] };
    const payload = Buffer.from(
      JSON.stringify({
        serviceCert: this.network.secrets.serviceCertificatePem,
        constitutionDigest: constitutionDigest(tx.get(constitution, SETTING) ?? ""),
        jsappBundleDigest: bundleDigest(bundle),
      }),
    );
    const reportData = sha256(payload) + "00".repeat(32);
    return {
      platform: "virtual",
      report: { attestation: this.#attestation.quote({ hostData: this.#hostData, reportData }) },
      reportDataPayload: payload.toString("base64"),
    };
  }
}

function open(server: https.Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function clientCertificate(socket: TLSSocket): Buffer | undefined {
  const certificate = socket.getPeerX509Certificate();
  return certificate instanceof crypto.X509Certificate ? certificate.raw : undefined;
}

/** Without the query: it may hold what nobody needs to find in a log. */
const pathOf = (request: IncomingMessage): string => (request.url ?? "/").split("?")[0] as string;

function send(response: ServerResponse, { status, headers = {}, body }: CcfReply): void {
  if (body === undefined) {
    response.writeHead(status, { ...headers, ...(status !== 204 && { "content-length": "0" }) }).end();
    return;
  }
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const contentType = typeof body === "string" ? {} : { "content-type": "application/json" };
  response
    .writeHead(status, { ...contentType, ...headers, "content-length": String(Buffer.byteLength(text)) })
    .end(text);
}
