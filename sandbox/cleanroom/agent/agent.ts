import type { VirtualAttestation } from "../../contracts.ts";
import type { QueryEngine } from "../engine/contracts.ts";
import { AgentError } from "../errors.ts";
import { Governance, type GovernanceEndpoint } from "../governance.ts";
import { sha256Hex, WorkloadIdentity } from "../workload-identity.ts";
import { Driver } from "./driver.ts";
import type { JobBook } from "./jobs.ts";
import {
  AUDIT_SOURCE,
  checkDates,
  checkQuery,
  checkRecoveryMembers,
  grantAccess,
  jobIdOf,
  newRunId,
  type AgentContext,
  type ApprovedJob,
} from "./submission.ts";

/** How long a caller of status and runs counts as active without asking again. */
const ACTIVE_CACHE_MS = 15 * 60_000;

export interface AgentOptions extends AgentContext {
  readonly endpoint: GovernanceEndpoint;
  readonly attestation: VirtualAttestation;
  readonly engine: QueryEngine;
  readonly book: JobBook;
  log(line: string): void;
}

export interface RunOptions {
  readonly queryId: string;
  readonly runId?: string;
  readonly startDate?: unknown;
  readonly endDate?: unknown;
  /** Accepted and ignored: there is no cluster to size. */
  readonly useOptimizer: boolean;
  /** Everything up to, but not including, the run itself. */
  readonly dryRun: boolean;
}

/** What the agent of one installed release does, behind its REST API. */
export class Agent {
  private readonly options: AgentOptions;
  private readonly activeUntil = new Map<string, number>();
  private readonly running = new Set<Promise<void>>();

  constructor(options: AgentOptions) {
    this.options = options;
  }

  show(): Record<string, unknown> {
    const { endpoint, workload, engine } = this.options;
    return {
      contractId: endpoint.contractId,
      ccrgovEndpoint: endpoint.url,
      hostData: workload.hostData,
      platform: "virtual",
      queryEngine: engine.name,
    };
  }

  async run(authorization: string, request: RunOptions): Promise<Record<string, unknown>> {
    const { governance, book } = this.options;
    await governance.requireActiveUser(authorization);
    await checkRecoveryMembers(this.options);
    const { queryId, runId = newRunId() } = request;
    const named = { ...request, runId };
    const dates = checkDates(named);
    const jobId = jobIdOf(runId);
    const known = book.find(jobId);
    if (known) return book.status(known);
    const approved = await checkQuery(this.options, named, dates);
    const secretIds = await grantAccess(this.options, named, approved);
    await governance.audit(AUDIT_SOURCE, `Starting query execution for queryId: ${queryId}. Job id: ${runId}`);
    if (request.dryRun) return dryRunAnswer(jobId);
    // Another request with the same run id may have come first meanwhile.
    const raced = book.find(jobId);
    if (raced) return book.status(raced);
    this.submit(approved, secretIds, jobId, runId);
    return { status: "success", id: jobId };
  }

  async securityPolicy(authorization: string, queryId: string): Promise<Record<string, unknown>> {
    await this.options.governance.requireActiveUser(authorization);
    const { policies } = await checkQuery(this.options, { queryId, runId: "" }, undefined);
    return { ...policies };
  }

  async status(authorization: string, jobId: string): Promise<Record<string, unknown>> {
    await this.requireRecentlyActive(authorization);
    const job = this.options.book.find(jobId);
    if (!job) throw new AgentError(404, "JobNotFound", `There is no job ${jobId}.`);
    return this.options.book.status(job);
  }

  async runs(authorization: string, queryId: string): Promise<Record<string, unknown>> {
    await this.requireRecentlyActive(authorization);
    const history = this.options.book.history(queryId);
    if (!history) throw new AgentError(404, "RunHistoryNotFound", `No run of query ${queryId} is recorded.`);
    return history;
  }

  /** Waits for the runs under way. */
  async settle(): Promise<void> {
    await Promise.all(this.running);
  }

  /** What a caller learns about an unexpected failure; the log has the rest. */
  internalError(error: unknown): AgentError {
    const message = error instanceof Error ? error.message : String(error);
    this.options.log(`internal error: ${message}`);
    return new AgentError(500, "InternalError", message);
  }

  private submit(approved: ApprovedJob, secretIds: ReadonlyMap<string, string>, jobId: string, runId: string): void {
    const { attestation, endpoint, tokens, engine, book } = this.options;
    const job = book.submit(jobId, runId, approved.queryId);
    const driverPod = new WorkloadIdentity(attestation, approved.policies.driver.rego);
    const governance = new Governance(endpoint, driverPod);
    const context = { governance, tokens, engine, book, log: (line: string) => this.options.log(line) };
    const run = new Driver(context, approved, secretIds, job).run();
    this.running.add(run);
    void run.finally(() => this.running.delete(run));
  }

  private async requireRecentlyActive(authorization: string): Promise<void> {
    const key = sha256Hex(authorization);
    if ((this.activeUntil.get(key) ?? 0) > Date.now()) return;
    await this.options.governance.requireActiveUser(authorization);
    this.activeUntil.set(key, Date.now() + ACTIVE_CACHE_MS);
  }
}

function dryRunAnswer(jobId: string): Record<string, unknown> {
  const pod = { cores: 2, memory: "2g", serviceAccount: "spark-operator-spark" };
  return {
    status: "success",
    id: "none",
    dryRun: true,
    jobId,
    optimizationUsed: false,
    reasoning: "The sandbox runs every query in one process; the sizes are the defaults of the cluster.",
    skuSettings: {
      driver: pod,
      executor: { cores: 4, memory: "8g", instances: { min: 1, max: 5 }, deleteOnTermination: false },
    },
  };
}
