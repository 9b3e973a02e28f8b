import { generateKeyPairSync, randomUUID } from "node:crypto";
import fs from "node:fs";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import zlib from "node:zlib";
import { exportJWK, SignJWT } from "jose";
import tar from "tar-stream";
import { createMemberIdentity, type MemberIdentity } from "../../../clients/ccf/identity.ts";
import { attestedServiceCertificate, openService } from "../../../clients/ccf/network.ts";
import { CcfTransport, type CcfConnection, type CcfCredentials } from "../../../clients/ccf/transport.ts";
import { installService, registerJwtIssuer } from "../../../clients/cgs/acts.ts";
import { memberSession, userSession, type MemberSession, type UserSession } from "../../../clients/cgs/session.ts";
import type { ApplicationBundle, MemberData } from "../../../domain/governance/actions.ts";
import { sha256Hex } from "../../../domain/json.ts";
import { SandboxAttestation } from "../../../sandbox/attestation/index.ts";
import { SandboxCcf } from "../../../sandbox/ccf/index.ts";
import type { SandboxHost } from "../../../sandbox/contracts.ts";
import { openSandboxHost } from "../../../sandbox/host.ts";
import { createAuthority, startServer, type TestServer } from "./server.ts";

const CCE_POLICY = "package policy";
const RESOURCE_ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerInstance/containerGroups/ccf-0";
const LEDGER = { account: "ledgers", share: "ccf-0" };
export const TENANT = "11111111-1111-1111-1111-111111111111";

const artifacts = path.join(__dirname, "..", "..", "..", "sandbox", "artifacts");
export const constitution = fs.readFileSync(path.join(artifacts, "constitution.js"), "utf8");
export const application = JSON.parse(fs.readFileSync(path.join(artifacts, "app.json"), "utf8")) as ApplicationBundle;

/** A CCF network of the sandbox, an issuer of user tokens, and the members who run it. */
export class Consortium {
  readonly ccf: SandboxCcf;
  readonly host: SandboxHost & { close(): void };
  readonly operator: MemberIdentity;
  readonly members: readonly MemberIdentity[];
  /** Present once deployed. */
  issuer: TokenIssuer | undefined;
  connection: CcfConnection = { endpoint: "", serviceCertificate: "" };
  reportUrl = "";
  private readonly open: CcfTransport[] = [];

  private constructor(
    host: SandboxHost & { close(): void },
    operator: MemberIdentity,
    members: readonly MemberIdentity[],
  ) {
    this.host = host;
    this.ccf = new SandboxCcf(host, new SandboxAttestation(host));
    this.operator = operator;
    this.members = members;
  }

  /** A node that was just started: nobody is active, the service is not open. */
  static async start(memberCount = 1): Promise<Consortium> {
    const host = await openSandboxHost(fs.mkdtempSync(path.join(os.tmpdir(), "consortium ")));
    const names = Array.from({ length: memberCount }, (_, index) => `member${index}`);
    const consortium = new Consortium(
      host,
      await identity("ccfoperator", true),
      await Promise.all(names.map((name) => identity(name))),
    );
    await consortium.ccf.start();
    await consortium.startNode({ type: "Start" });
    return consortium;
  }

  /** Everybody active, service open, governance service installed, user tokens let in. */
  static async deploy(memberCount = 1): Promise<Consortium> {
    const consortium = await Consortium.start(memberCount);
    const operator = consortium.member(consortium.operator);
    const members = consortium.members.map((member) => consortium.member(member));
    for (const { governance } of [operator, ...members]) await governance.activate();
    await openService(operator.governance);
    // Twice: the constitution that the last vote accepts lets its voter propose the application to the others.
    for (const member of [...members, ...members]) await installService(member, { constitution, application });
    consortium.issuer = await TokenIssuer.start();
    const { url: issuer, authority: caCertificates } = consortium.issuer;
    await registerJwtIssuer(operator, { issuer, caCertificates });
    return consortium;
  }

  async startNode(command: { type: "Start" } | { type: "Recover"; previousServiceCertificate: string }): Promise<void> {
    const configuration = await archive(
      command.type === "Start" ? this.startFiles() : recoverFiles(command.previousServiceCertificate),
    );
    const { ports } = await this.ccf.startNode({
      resourceId: RESOURCE_ID,
      name: "ccf-0",
      configuration,
      ccePolicy: CCE_POLICY,
      storage: LEDGER,
    });
    this.reportUrl = `https://localhost:${ports[3]}/network/report`;
    const { serviceCertificate } = await this.attestation();
    this.connection = { endpoint: `https://localhost:${ports[0]}`, serviceCertificate };
  }

  stopNode(): Promise<void> {
    return this.ccf.stopNode(RESOURCE_ID);
  }

  attestation(): ReturnType<typeof attestedServiceCertificate> {
    // What NODE_EXTRA_CA_CERTS does at start-up.
    https.globalAgent.options.ca = this.host.caCertificate;
    return attestedServiceCertificate({
      reportUrl: this.reportUrl,
      expectedHostData: [sha256Hex(CCE_POLICY)],
      platform: "virtual",
    });
  }

  member(member: MemberIdentity = this.members[0]!, wrap = plain): MemberSession {
    return memberSession(this.track(wrap(this.connection, { member })));
  }

  user(user: TestUser, wrap = plain): UserSession {
    const token = (): Promise<string> =>
      this.issuer!.token({ oid: user.oid, tid: TENANT, preferred_username: user.email });
    return userSession(this.track(wrap(this.connection, { token })));
  }

  async close(): Promise<void> {
    for (const transport of this.open) transport.close();
    https.globalAgent.options.ca = undefined;
    await this.issuer?.stop();
    await this.ccf.stop();
    this.host.close();
    fs.rmSync(this.host.stateDir, { recursive: true, force: true });
  }

  private track(transport: CcfTransport): CcfTransport {
    this.open.push(transport);
    return transport;
  }

  private startFiles(): Record<string, string> {
    const files: Record<string, string> = {
      "actions.js": "// base",
      "resolve.js": "// base",
      "operator_enc.pem": this.operator.encryptionPublicKey!,
    };
    const list = (identity: MemberIdentity, name: string, data: MemberData): object => {
      files[`${name}.pem`] = identity.certificate;
      files[`${name}.json`] = JSON.stringify(data);
      return { certificate_file: `${name}.pem`, data_json_file: `${name}.json` };
    };
    const operator = {
      ...list(this.operator, "ccfoperator", { identifier: "ccfoperator", isOperator: true }),
      encryption_public_key_file: "operator_enc.pem",
    };
    const members = this.members.map((member, index) =>
      list(member, `member${index}`, { identifier: `member${index}`, tenantId: TENANT }),
    );
    const start = { constitution_files: ["actions.js", "resolve.js"], members: [operator, ...members] };
    return { ...files, "cchost_config.json": JSON.stringify({ command: { type: "Start", start } }) };
  }
}

const identities = new Map<string, Promise<MemberIdentity>>();

/** Made once for all networks of a test file: RSA keys take their time. */
function identity(name: string, encryptionKey = false): Promise<MemberIdentity> {
  let made = identities.get(name);
  if (!made) {
    made = createMemberIdentity({ name, validityDays: 1, encryptionKey });
    identities.set(name, made);
  }
  return made;
}

export interface TestUser {
  readonly oid: string;
  readonly email: string;
}

export function newUser(name = "user"): TestUser {
  return { oid: randomUUID(), email: `${name}@example.org` };
}

/** How a session's transport is made. */
export type TransportFactory = (connection: CcfConnection, credentials: CcfCredentials) => CcfTransport;
const plain: TransportFactory = (connection, credentials) =>
  new CcfTransport(connection, credentials, { timeoutSeconds: 20 });

/** An OpenID provider on HTTPS, as CCF meets it. */
export class TokenIssuer {
  readonly url: string;
  readonly authority: string;
  private readonly server: TestServer;
  private readonly keys: ReturnType<typeof generateKeyPairSync>;

  private constructor(server: TestServer, keys: ReturnType<typeof generateKeyPairSync>) {
    this.server = server;
    this.keys = keys;
    this.url = server.endpoint;
    this.authority = server.authority;
  }

  static async start(): Promise<TokenIssuer> {
    const keys = generateKeyPairSync("rsa", { modulusLength: 2048 }) as unknown as ReturnType<
      typeof generateKeyPairSync
    >;
    const jwk = { ...(await exportJWK(keys.publicKey as never)), kid: "key-1", use: "sig", alg: "RS256" };
    const server: TestServer = await startServer(await createAuthority("Issuer Root"), ({ path: requested }) => {
      if (requested === "/keys") return { body: { keys: [jwk] } };
      return { body: { issuer: server.endpoint, jwks_uri: `${server.endpoint}/keys` } };
    });
    return new TokenIssuer(server, keys);
  }

  token(claims: Record<string, unknown>): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({ iss: this.url, nbf: now - 10, exp: now + 600, ...claims })
      .setProtectedHeader({ alg: "RS256", kid: "key-1" })
      .sign(this.keys.privateKey as never);
  }

  stop(): Promise<void> {
    return this.server.stop();
  }
}

function recoverFiles(previousServiceCertificate: string): Record<string, string> {
  const recover = { previous_service_identity_file: "previous.pem" };
  return {
    "previous.pem": previousServiceCertificate,
    "cchost_config.json": JSON.stringify({ command: { type: "Recover", recover } }),
  };
}

async function archive(files: Record<string, string>): Promise<Buffer> {
  const pack = tar.pack();
  for (const [name, content] of Object.entries(files)) pack.entry({ name }, content);
  pack.finalize();
  return zlib.gzipSync(await buffer(pack));
}
