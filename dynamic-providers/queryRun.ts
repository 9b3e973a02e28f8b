import type * as pulumi from "@pulumi/pulumi";
import { setTimeout as sleep } from "node:timers/promises";
import type { AnalyticsClient, JobStatus, SubmittedRun } from "../clients/analytics.ts";
import { UserError } from "../domain/errors.ts";
import { reviewDigest, reviewOf } from "../domain/review.ts";
import { defineProvider, type Call } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { datasetsOf, requireDocument } from "./framework/review.ts";
import { asUser, signedIn, type ConsortiumAccess } from "./framework/session.ts";

export interface QueryRunArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  contractId: pulumi.Input<string>;
  /** The clean room: address and root certificate of the contract's authority. */
  analytics: pulumi.Input<{ endpoint: string; caCertificate: string }>;
  documentId: pulumi.Input<string>;
  digest: pulumi.Input<string>;
  /** Names the run for good: the clean room runs an id once. */
  runId: string;
  /** yyyy-MM-dd, both or none: which dated folders to read. */
  from?: string;
  to?: string;
  /** Default 30. */
  timeoutMinutes?: number;
}

/**
 * One run of an approved query.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | check approvals and digest, submit under the run id, wait with progress; continues to wait for a run that was submitted before | – | query digest, run id, dates | forget: results stay where they are | status |
 */
export class QueryRun extends DynamicResource {
  /** `COMPLETED` */
  declare readonly state: pulumi.Output<string>;
  declare readonly rowsRead: pulumi.Output<number>;
  declare readonly rowsWritten: pulumi.Output<number>;
  /** Folder below the sink's container or bucket. */
  declare readonly resultPath: pulumi.Output<string>;
  /** ISO 8601. */
  declare readonly finishedAt: pulumi.Output<string>;

  constructor(name: string, args: QueryRunArgs, options?: pulumi.CustomResourceOptions) {
    super(
      "queryRun",
      name,
      { timeoutMinutes: 30, ...args },
      ["state", "rowsRead", "rowsWritten", "resultPath", "finishedAt"],
      [],
      options,
    );
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  contractId: string;
  analytics: { endpoint: string; caCertificate: string };
  documentId: string;
  digest: string;
  runId: string;
  from?: string;
  to?: string;
  timeoutMinutes: number;
}

interface Outputs {
  state: string;
  rowsRead: number;
  rowsWritten: number;
  resultPath: string;
  finishedAt: string;
}

const POLL_MS = [250, 500, 1000, 2000, 5000];
const SUCCEEDED = "COMPLETED";
const FAILED = new Set(["FAILED", "SUBMISSION_FAILED"]);

export const provider = defineProvider<Inputs, Outputs>({
  name: "QueryRun",
  inputs: ["consortium", "contractId", "analytics", "documentId", "digest", "runId", "from", "to", "timeoutMinutes"],
  access: ["consortium", "analytics", "timeoutMinutes"],
  replaceOn: ["contractId", "documentId", "digest", "runId", "from", "to"],

  async create(inputs, call) {
    await requireApproval(inputs, call);
    const { documentId, runId, from, to } = inputs;
    return withCleanRoom(inputs, call, async (client) => {
      const submitted = await client.run(documentId, { runId, ...(from && to && { startDate: from, endDate: to }) });
      call.progress(
        `run ${runId} of ${documentId}: ${submitted.isKnown ? "submitted before" : "submitted"} as ${submitted.jobId}`,
      );
      const status = await finished(client, submitted.jobId, inputs, call);
      return { id: runId, outputs: await outcome(client, submitted, status, inputs) };
    });
  },

  async read(runId, olds, call) {
    const history = await withCleanRoom(olds, call, (client) => client.runs(olds.documentId));
    const isKnown = history?.runs.some((run) => run.runId === runId || run.runId.endsWith(runId.toLowerCase()));
    if (!isKnown) call.progress(`run ${runId}: no longer in the clean room's history, kept as recorded`);
    const { state, rowsRead, rowsWritten, resultPath, finishedAt } = olds;
    return { outputs: { state, rowsRead, rowsWritten, resultPath, finishedAt } };
  },
});

/** The clean room checks the same for inputs; saying who is missing beforehand spares a failed run. */
function requireApproval({ consortium, documentId, digest }: Inputs, { config }: Call): Promise<void> {
  return asUser(consortium, config, async ({ cgs }) => {
    const query = await requireDocument(cgs, documentId);
    const approvers = (query.approvers ?? []).map((approver) => approver.approverId);
    if (query.state !== "Accepted") {
      const ballots = (await cgs.proposals.status(query.proposalId))?.ballots ?? [];
      const missing = approvers.filter(
        (id) => !ballots.some((ballot) => ballot.approverId === id && ballot.ballot === "accepted"),
      );
      throw new UserError(
        `Query ${documentId} cannot run: user ${missing.join(", user ")} has not approved it yet. They pin its digest under cleanroom:approvals and run up.`,
      );
    }
    const current = reviewDigest(reviewOf(query, await datasetsOf(cgs, query)));
    if (current !== digest)
      throw new UserError(
        `Query ${documentId} has digest ${current} in the consortium, not ${digest}: it is not the one this stack published.`,
      );
  });
}

async function withCleanRoom<T>(
  { analytics: { endpoint, caCertificate } }: Inputs,
  { config }: Call,
  use: (client: AnalyticsClient) => Promise<T>,
): Promise<T> {
  const { AnalyticsClient } = await import("../clients/analytics.ts");
  const { userTokenSource } = await import("../clients/azure/credential.ts");
  const client = new AnalyticsClient({ endpoint, caCertificate, token: userTokenSource(await signedIn(config)) });
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

async function finished(
  client: AnalyticsClient,
  jobId: string,
  { runId, timeoutMinutes }: Inputs,
  { progress }: Call,
): Promise<JobStatus> {
  const deadline = Date.now() + timeoutMinutes * 60_000;
  let shown = "";
  for (let poll = 0; Date.now() < deadline; poll++) {
    const status = await client.status(jobId);
    const { state, errorMessage } = status.status.applicationState;
    if (state !== shown) progress(`run ${runId}: ${state}`);
    shown = state;
    if (state === SUCCEEDED) return status;
    if (FAILED.has(state)) {
      throw new UserError(
        `Run ${runId} failed: ${errorMessage ?? state}. The clean room runs an id once: after mending the cause, choose a new id under cleanroom:runs.`,
      );
    }
    await sleep(POLL_MS[Math.min(poll, POLL_MS.length - 1)]!);
  }
  throw new Error(
    `Run ${runId} has not finished within ${timeoutMinutes} minutes; it goes on in the clean room, run up again to wait for it.`,
  );
}

async function outcome(
  client: AnalyticsClient,
  submitted: SubmittedRun,
  { status }: JobStatus,
  { documentId, contractId, runId }: Inputs,
): Promise<Outputs> {
  const history = await client.runs(documentId);
  const run = history?.runs.find((entry) => entry.runId === submitted.jobId);
  // Ids are shared by all queries of a clean room: it answers a known one with whatever it was used for.
  if (submitted.isKnown && !run) {
    throw new UserError(
      `The clean room knows run ${runId}, but not as one of the last runs of ${documentId}: the id was used before. Choose another one under cleanroom:runs.`,
    );
  }
  const finishedAt = run?.endTime ?? status.terminationTime ?? new Date().toISOString();
  return {
    state: status.applicationState.state,
    rowsRead: run?.stats?.rowsRead ?? 0,
    rowsWritten: run?.stats?.rowsWritten ?? 0,
    // The clean room files results under contract, day and run.
    resultPath: `${contractId}/${finishedAt.slice(0, 10)}/${runId}`,
    finishedAt,
  };
}
