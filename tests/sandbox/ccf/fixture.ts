import crypto from "node:crypto";
import fs from "node:fs";
import https from "node:https";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { exportJWK, SignJWT } from "jose";
import type { SandboxHost, VirtualAttestation } from "../../../sandbox/contracts.ts";
import { openSandboxHost } from "../../../sandbox/host.ts";
import { SandboxCcf } from "../../../sandbox/ccf/index.ts";
import { archive, CcfClient, createIdentity, type Identity } from "./client.ts";

export const artifacts = path.join(__dirname, "..", "..", "..", "sandbox", "artifacts");
export const constitution = (): string => fs.readFileSync(path.join(artifacts, "constitution.js"), "utf8");
export const bundle = (): any => JSON.parse(fs.readFileSync(path.join(artifacts, "app.json"), "utf8"));

/** HMAC instead of the sandbox's JWS: the network must not look inside a quote. */
export function testAttestation(): VirtualAttestation {
  const secret = crypto.randomBytes(32);
  const mac = (text: string) => crypto.createHmac("sha256", secret).update(text).digest("hex");
  return {
    quote: (evidence) => {
      const text = Buffer.from(JSON.stringify(evidence)).toString("base64url");
      return `${text}.${mac(text)}`;
    },
    verifyQuote: (quote) => {
      const [text = "", tag] = quote.split(".");
      if (tag !== mac(text)) throw new Error("The quote was not made by this sandbox.");
      return JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    },
    attest: () => Promise.reject(new Error("not used here")),
    verifyToken: () => Promise.reject(new Error("not used here")),
  };
}

export const RESOURCE_ID =
  "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerInstance/containerGroups/ccf-0";

export interface Network {
  stateDir: string;
  host: SandboxHost & { close(): void };
  attestation: VirtualAttestation;
  ccf: SandboxCcf;
  client: CcfClient;
  ports: readonly number[];
  operator: Identity;
  members: Identity[];
  recoveryKey: crypto.KeyObject;
  startFiles: Record<string, string>;
  spec(files: Record<string, string>): Promise<Parameters<SandboxCcf["startNode"]>[0]>;
  close(): Promise<void>;
}

/** A node that was just started: nobody is active, the service is not open. */
export async function startNetwork(memberCount = 2): Promise<Network> {
  const stateDir = fs.mkdtempSync(path.join(os.tmpdir(), "ccf "));
  const host = await openSandboxHost(stateDir);
  const attestation = testAttestation();
  const operator = await createIdentity("ccfoperator");
  const members = await Promise.all(
    Array.from({ length: memberCount }, (_, index) => createIdentity(`member${index}`)),
  );
  const recovery = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
  const startFiles = configuration(
    operator,
    members,
    recovery.publicKey.export({ type: "spki", format: "pem" }).toString(),
  );
  const ccf = new SandboxCcf(host, attestation);
  await ccf.start();
  const spec = async (files: Record<string, string>) => ({
    resourceId: RESOURCE_ID,
    name: "ccf-0",
    configuration: await archive(files),
    ccePolicy: "package policy",
    storage: { account: "ledgers", share: "ccf-0" },
  });
  const { ports } = await ccf.startNode(await spec(startFiles));
  const client = new CcfClient(ports[0], await serviceCertificate(ports[3], host.caCertificate));
  const network: Network = {
    stateDir,
    host,
    attestation,
    ccf,
    client,
    ports,
    operator,
    members,
    startFiles,
    spec,
    recoveryKey: recovery.privateKey,
    close: async () => {
      client.close();
      // Tests of restarts replace the service.
      await network.ccf.stop();
      host.close();
      fs.rmSync(stateDir, { recursive: true, force: true });
    },
  };
  return network;
}

function configuration(operator: Identity, members: Identity[], encryptionKey: string): Record<string, string> {
  const files: Record<string, string> = {
    "operator_cert.pem": operator.cert,
    "operator_enc_pubk.pem": encryptionKey,
    "operator_data.json": JSON.stringify({ identifier: "ccfoperator", isOperator: true }),
    "actions.js": "// base actions",
    "resolve.js": "// base resolve",
    "node_data.json": JSON.stringify({ id: "instance" }),
  };
  const entries: object[] = [
    {
      certificate_file: "operator_cert.pem",
      encryption_public_key_file: "operator_enc_pubk.pem",
      data_json_file: "/app/operator_data.json",
    },
  ];
  members.forEach((member, index) => {
    files[`member${index}_cert.pem`] = member.cert;
    files[`member${index}_data.json`] = JSON.stringify({ identifier: `member${index}`, tenantId: "tenant-m" });
    entries.push({ certificate_file: `member${index}_cert.pem`, data_json_file: `member${index}_data.json` });
  });
  files["cchost_config.json"] = JSON.stringify({
    node_certificate: { subject_alt_names: ["dNSName:ccf-0.example"] },
    node_data_json_file: "/app/node_data.json",
    command: { type: "Start", start: { constitution_files: ["actions.js", "resolve.js"], members: entries } },
  });
  return files;
}

/** The trust anchor comes from the recovery agent, whose TLS certificate is the sandbox's. */
export async function serviceCertificate(agentPort: number, ca: string): Promise<string> {
  const agent = new CcfClient(agentPort, ca);
  const report = await agent.call("GET", "/network/report");
  agent.close();
  return JSON.parse(Buffer.from(report.json.reportDataPayload, "base64").toString("utf8")).serviceCert;
}

/** Everybody active, service open, CGS installed. */
export async function deployCgs(network: Network): Promise<void> {
  const { client, operator, members } = network;
  for (const member of [operator, ...members]) await client.activate(member);
  await client.pass([operator], { name: "transition_service_to_open", args: { next_service_identity: client.ca } });
  await client.pass(members, { name: "set_constitution", args: { constitution: constitution() } });
  await client.pass(members, { name: "set_js_app", args: { bundle: bundle() } });
}

export async function acceptContract(network: Network, contractId: string): Promise<void> {
  const { client, members } = network;
  await client.call("PUT", `/app/contracts/${contractId}`, { member: members[0], body: { data: "the contract" } });
  const draft = await client.call("POST", `/app/contracts/${contractId}`, { member: members[0] });
  await client.pass(members, { name: "set_contract", args: { contractId, contract: draft.json } });
}

/** An OpenID provider on HTTPS, as CCF meets it: metadata, keys, tokens. */
export class TestIssuer {
  url = "";
  kid = "key-1";
  /** Added to every entry of the key set. */
  extra: object = {};
  #keys = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
  #server: https.Server;

  constructor(tls: { key: string; cert: string }) {
    this.#server = https.createServer(tls, (request, response) => void this.#answer(request.url ?? "", response));
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.url = `https://localhost:${(this.#server.address() as AddressInfo).port}/v2`;
  }

  rotate(kid: string): void {
    this.kid = kid;
    this.#keys = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
  }

  token(claims: Record<string, unknown>, { expiresIn = 600, issuer = this.url } = {}): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({ iss: issuer, nbf: now - 10, exp: now + expiresIn, ...claims })
      .setProtectedHeader({ alg: "RS256", kid: this.kid })
      .sign(this.#keys.privateKey);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(url: string, response: { end(text: string): void; writeHead(status: number): unknown }): Promise<void> {
    if (url === "/v2/.well-known/openid-configuration")
      return response.end(JSON.stringify({ issuer: this.url, jwks_uri: `${this.url}/keys` }));
    if (url === "/v2/keys") {
      const jwk = await exportJWK(this.#keys.publicKey);
      return response.end(
        JSON.stringify({ keys: [{ ...jwk, kid: this.kid, use: "sig", alg: "RS256", ...this.extra }] }),
      );
    }
    response.writeHead(404);
    response.end("");
  }
}
