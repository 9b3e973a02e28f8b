import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import tls from "node:tls";
import zlib from "node:zlib";
import tar from "tar-stream";
import { azureCredential, userTokenSource } from "../../clients/azure/credential.ts";
import { createMemberIdentity, type MemberIdentity } from "../../clients/ccf/identity.ts";
import { attestedServiceCertificate, openService } from "../../clients/ccf/network.ts";
import { CcfTransport, type CcfCredentials, type MemberSigner } from "../../clients/ccf/transport.ts";
import { acceptContract, installService, registerJwtIssuer } from "../../clients/cgs/acts.ts";
import { memberSession, userSession, type MemberSession, type UserSession } from "../../clients/cgs/session.ts";
import { startConfiguration, type StartMember } from "../../domain/confidential/ccfNode.ts";
import { setUserIdentity, type ApplicationBundle, type GovernanceAction } from "../../domain/governance/actions.ts";
import { measurementOf } from "../../domain/confidential/policy.ts";
import type { ConsortiumAccess } from "../../dynamic-providers/framework/session.ts";
import type { ProviderConfig } from "../../dynamic-providers/framework/provider.ts";
import { SandboxAttestation } from "../../sandbox/attestation/index.ts";
import { SandboxCcf } from "../../sandbox/ccf/index.ts";
import { PERSONAS, type PersonaName } from "../../sandbox/entra/directory.ts";
import { SandboxEntra } from "../../sandbox/entra/index.ts";
import { openSandboxHost } from "../../sandbox/host.ts";

export const CONTRACT = "analytics";
export const CONTRACT_TEXT = JSON.stringify({ purpose: "weekly analytics" });
export const NODE_POLICY = "package policy\n# a CCF node";
const NODE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerInstance/containerGroups/ccf-0";
const LEDGER = { account: "ledgers", share: "ccf-0" };
const artifact = (name: string): string => path.join(__dirname, "..", "..", "sandbox", "artifacts", name);

type Host = Awaited<ReturnType<typeof openSandboxHost>>;

/**
 * What provider tests work with: token service and CCF network of the sandbox, the credentials of its members and
 * users, and this process signed in to it as a stack's process would be.
 */
export class Lab {
  readonly host: Host;
  readonly entra: SandboxEntra;
  readonly attestation: SandboxAttestation;
  readonly ccf: SandboxCcf;
  readonly ccfOperator: MemberIdentity;
  readonly operator: MemberIdentity;
  access: ConsortiumAccess = { endpoint: "", serviceCertificate: "" };
  reportUrl = "";
  readonly #sessions: CcfTransport[] = [];
  readonly #trusted = tls.getCACertificates("default");

  private constructor(host: Host, ccfOperator: MemberIdentity, operator: MemberIdentity) {
    this.host = host;
    this.entra = new SandboxEntra(host);
    this.attestation = new SandboxAttestation(host);
    this.ccf = new SandboxCcf(host, this.attestation);
    this.ccfOperator = ccfOperator;
    this.operator = operator;
  }

  /** No network yet: only somebody who can sign in people. */
  static async signedIn(): Promise<Lab> {
    const host = await openSandboxHost(path.join(fs.mkdtempSync(path.join(os.tmpdir(), "provider lab ")), "state"));
    const [ccfOperator, operator] = await Promise.all([
      createMemberIdentity({ name: "ccfoperator", validityDays: 1, encryptionKey: true }),
      createMemberIdentity({ name: "operator", validityDays: 1 }),
    ]);
    const lab = new Lab(host, ccfOperator, operator);
    await lab.entra.start();
    await lab.ccf.start();
    lab.#signIn();
    return lab;
  }

  /** A node has started; nobody is active and the service is not open. */
  static async bare(): Promise<Lab> {
    const lab = await Lab.signedIn();
    await lab.startNode();
    return lab;
  }

  /** A consortium with a contract, whose users are northwind and woodgrove. */
  static async start(): Promise<Lab> {
    const lab = await Lab.bare();
    await lab.installConsortium();
    return lab;
  }

  async installConsortium(): Promise<void> {
    const ccfOperator = this.member(this.ccfOperator);
    const operator = this.member();
    await ccfOperator.governance.activate();
    await openService(ccfOperator.governance);
    await operator.governance.activate();
    const application = JSON.parse(fs.readFileSync(artifact("app.json"), "utf8")) as ApplicationBundle;
    await installService(operator, { constitution: fs.readFileSync(artifact("constitution.js"), "utf8"), application });
    await registerJwtIssuer(ccfOperator, {
      issuer: `${this.entra.authority}/common/v2.0`,
      caCertificates: this.host.caCertificate,
    });
    await acceptContract(operator, { contractId: CONTRACT, data: CONTRACT_TEXT });
    for (const name of ["northwind", "woodgrove"] as const) {
      await this.agree(setUserIdentity({ id: PERSONAS[name].objectId, tenantId: PERSONAS[name].tenantId }));
    }
  }

  async startNode(): Promise<void> {
    const members: StartMember[] = [
      {
        name: "ccfoperator",
        certificate: this.ccfOperator.certificate,
        encryptionPublicKey: this.ccfOperator.encryptionPublicKey!,
        data: { identifier: "ccfoperator", isOperator: true },
      },
      {
        name: "operator",
        certificate: this.operator.certificate,
        data: { identifier: "operator", tenantId: PERSONAS.operator.tenantId },
      },
    ];
    const { ports } = await this.ccf.startNode({
      resourceId: NODE,
      name: "ccf-0",
      configuration: await archive(startConfiguration("localhost", members)),
      ccePolicy: NODE_POLICY,
      storage: LEDGER,
    });
    this.reportUrl = `https://localhost:${ports[3]}/network/report`;
    const { serviceCertificate } = await attestedServiceCertificate({
      reportUrl: this.reportUrl,
      expectedHostData: [measurementOf(NODE_POLICY)],
      platform: "virtual",
    });
    this.access = { endpoint: `https://localhost:${ports[0]}`, serviceCertificate };
  }

  /** The network goes away for good, with everything in it. */
  async dismantle(): Promise<void> {
    await this.ccf.deleteNode(NODE);
    await this.ccf.deleteLedger(LEDGER.account, LEDGER.share);
  }

  /** Configuration of a persona's stack: who is signed in. */
  config(persona: PersonaName): ProviderConfig {
    const { tenantId, clientId } = PERSONAS[persona];
    const values: Record<string, string> = { "azure-native:tenantId": tenantId, "azure-native:clientId": clientId };
    return { get: (key) => values[key] };
  }

  /** As a member of the consortium; by default the one that acts for the operator's organisation. */
  member(member: MemberSigner = this.operator): MemberSession {
    return memberSession(this.#connect({ member }));
  }

  /** As a user of the consortium. */
  user(persona: PersonaName): UserSession {
    const { tenantId, clientId } = PERSONAS[persona];
    return userSession(this.#connect({ token: userTokenSource(azureCredential({ tenantId, clientId })) }));
  }

  /** Members agree on something this program did not ask for. */
  async agree(...actions: GovernanceAction[]): Promise<void> {
    const { state } = await this.member().governance.proposeAndAccept(actions);
    if (state !== "Accepted") throw new Error(`the proposal is ${state}`);
  }

  async stop(): Promise<void> {
    for (const transport of this.#sessions) transport.close();
    await this.ccf.stop();
    await this.entra.stop();
    this.host.close();
    fs.rmSync(path.dirname(this.host.stateDir), { recursive: true, force: true });
    tls.setDefaultCACertificates(this.#trusted);
  }

  #connect(credentials: CcfCredentials): CcfTransport {
    const transport = new CcfTransport(this.access, credentials);
    this.#sessions.push(transport);
    return transport;
  }

  /** What the sandbox's environment does for a process that is started in it. */
  #signIn(): void {
    tls.setDefaultCACertificates([...this.#trusted, this.host.caCertificate]);
    process.env["AZURE_AUTHORITY_HOST"] = this.entra.authority;
    process.env["AZURE_FEDERATED_TOKEN_FILE"] = this.entra.federatedTokenFile;
  }
}

async function archive(files: Record<string, string>): Promise<Buffer> {
  const pack = tar.pack();
  for (const [name, content] of Object.entries(files)) pack.entry({ name }, content);
  pack.finalize();
  return zlib.gzipSync(await buffer(pack));
}
