import https from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import type { CleanRoomSpec, SandboxHost, VirtualAttestation } from "../contracts.ts";
import { Agent } from "./agent/agent.ts";
import { agentApi } from "./agent/api.ts";
import { JobBook, type JobsState } from "./agent/jobs.ts";
import type { QueryEngine } from "./engine/contracts.ts";
import { Governance, type GovernanceEndpoint } from "./governance.ts";
import { sha256Hex, WorkloadIdentity } from "./workload-identity.ts";

const RETRY_MS = 1000;
const CERTIFICATE_DAYS = 90;

export interface ReleaseOptions {
  readonly host: SandboxHost;
  readonly attestation: VirtualAttestation;
  readonly entraAuthority: string;
  readonly engine: QueryEngine;
}

/**
 * One installed release: an agent on HTTPS at the release's port. Its certificate comes from the contract's certificate
 * authority, which CGS gives only to a workload the contract's policy names: until then nothing listens.
 */
export class Release {
  private readonly options: ReleaseOptions;
  private readonly spec: CleanRoomSpec;
  private readonly stopping = new AbortController();
  private readonly agent: Agent;
  private readonly workload: WorkloadIdentity;
  private readonly governance: Governance;
  private serving: Promise<void> = Promise.resolve();
  private server: https.Server | undefined;

  constructor(spec: CleanRoomSpec, options: ReleaseOptions) {
    const { host, attestation, entraAuthority, engine } = options;
    this.spec = spec;
    this.options = options;
    const endpoint = endpointOf(spec);
    this.workload = new WorkloadIdentity(attestation, spec.ccePolicy);
    this.governance = new Governance(endpoint, this.workload);
    this.agent = new Agent({
      endpoint,
      attestation,
      engine,
      workload: this.workload,
      governance: this.governance,
      recoveryMembers: recoveryMembersOf(spec),
      tokens: { authority: entraAuthority.replace(/\/+$/, ""), ca: host.caCertificate },
      book: new JobBook(
        host.document<JobsState>(`cleanroom-jobs-${sha256Hex(spec.id).slice(0, 16)}`, () => ({ jobs: {}, runs: {} })),
      ),
      log: (line) => this.log(line),
    });
  }

  start(): void {
    this.serving = this.serve();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.serving;
    const { server } = this;
    if (server)
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    await this.agent.settle();
  }

  /** Tries until the certificate is granted and the port is free. */
  private async serve(): Promise<void> {
    let lastReason = "";
    while (!this.stopping.signal.aborted) {
      try {
        await this.listen(await this.certificate());
        return;
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        if (reason !== lastReason) this.log(`not ready: ${reason}`);
        lastReason = reason;
      }
      await delay(RETRY_MS, undefined, { signal: this.stopping.signal }).catch(() => undefined);
    }
  }

  private certificate(): Promise<string> {
    return this.governance.endorsedCertificate({
      subjectName: "CN=localhost",
      subjectAlternateNames: ["localhost", "127.0.0.1"],
      validityPeriodDays: CERTIFICATE_DAYS,
    });
  }

  private async listen(cert: string): Promise<void> {
    if (this.stopping.signal.aborted) return;
    const handle = agentApi(this.agent);
    const server = https.createServer({ key: this.workload.privateKeyPem, cert }, (request, response) => {
      response.on("finish", () =>
        this.log(`${request.method} ${(request.url ?? "/").split("?", 1)[0]} ${response.statusCode}`),
      );
      void handle(request, response);
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.spec.port, "127.0.0.1", resolve);
    });
    this.server = server;
    this.log(`listening on port ${this.spec.port}`);
  }

  private log(line: string): void {
    this.options.host.log("cleanroom", line);
  }
}

function endpointOf(spec: CleanRoomSpec): GovernanceEndpoint {
  const { ccrgovEndpoint, ccrgovApiPathPrefix, ccrgovServiceCert } = spec.values;
  const contractId = ccrgovApiPathPrefix.split("/").at(-1) ?? "";
  if (contractId === "")
    throw new TypeError(`ccrgovApiPathPrefix must be /app/contracts/<contractId>, got '${ccrgovApiPathPrefix}'.`);
  return {
    url: ccrgovEndpoint.replace(/\/+$/, ""),
    contractId,
    serviceCertificate: Buffer.from(ccrgovServiceCert, "base64").toString("utf8"),
  };
}

/** Unset means that no member may hold a share. */
function recoveryMembersOf(spec: CleanRoomSpec): string[] {
  const { ccfNetworkRecoveryMembers } = spec.values;
  if (!ccfNetworkRecoveryMembers) return [];
  return JSON.parse(Buffer.from(ccfNetworkRecoveryMembers, "base64").toString("utf8")) as string[];
}
