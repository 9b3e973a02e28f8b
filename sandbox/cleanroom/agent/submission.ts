import crypto from "node:crypto";
import { federatedToken, type TokenEnvironment } from "../data/tokens.ts";
import { unwrapDek } from "../data/keys.ts";
import { parseDateRange, type DateRange } from "../dates.ts";
import { parseDataset, parseQuery, parseSegments, type Dataset, type EncryptionKeys } from "../documents.ts";
import type { QuerySegment } from "../engine/contracts.ts";
import { AgentError } from "../errors.ts";
import type { AcceptedDocument, Governance } from "../governance.ts";
import { sha256Hex, type WorkloadIdentity } from "../workload-identity.ts";
import { podPolicies, type PodPolicies } from "./pod-policies.ts";

export const AUDIT_SOURCE = "spark-analytics-agent";

const STORE_TYPES = ["Azure_BlobStorage", "Azure_BlobStorage_DataLakeGen2", "Aws_S3"];

export interface RunRequest {
  readonly queryId: string;
  /** As given by the caller. */
  readonly runId: string;
  readonly startDate?: unknown;
  readonly endDate?: unknown;
}

/** Everything a run needs; checked, approved and consented to. */
export interface ApprovedJob {
  readonly queryId: string;
  readonly inputs: readonly { readonly dataset: Dataset; readonly view: string }[];
  readonly output: Dataset;
  readonly segments: readonly QuerySegment[];
  readonly dates: DateRange | undefined;
  readonly telemetry: boolean;
  readonly policies: PodPolicies;
}

export interface AgentContext {
  readonly governance: Governance;
  readonly workload: WorkloadIdentity;
  /** Ids of the members that may hold recovery shares. */
  readonly recoveryMembers: readonly string[];
  readonly tokens: TokenEnvironment;
}

/** `cl-spark-` and the run id in the characters Kubernetes allows, at most 63. */
export function jobIdOf(runId: string): string {
  return `cl-spark-${runId.toLowerCase().replaceAll(/[^a-z0-9-]/g, "-")}`.slice(0, 63);
}

/** The consortium must be the one the contract was made with. @throws {AgentError} 409 `ConsortiumRecoveryMembershipMismatch`. */
export async function checkRecoveryMembers({ governance, recoveryMembers }: AgentContext): Promise<void> {
  const actual = new Set(await governance.recoveryMembers());
  const expected = new Set(recoveryMembers);
  if (actual.size !== expected.size || [...expected].some((member) => !actual.has(member))) {
    throw new AgentError(
      409,
      "ConsortiumRecoveryMembershipMismatch",
      "The members that can recover the consortium are not those the clean room was deployed with; deploy it again for the present ones.",
    );
  }
}

export const checkDates = (request: RunRequest): DateRange | undefined =>
  parseDateRange(request.startDate, request.endDate);

/**
 * Approvals, consent and completeness, in the order of the original.
 * @throws {AgentError} 400 with the code of what is missing; denials are written to the audit log first.
 */
export async function checkQuery(
  context: AgentContext,
  request: RunRequest,
  dates: DateRange | undefined,
): Promise<ApprovedJob> {
  const { governance } = context;
  const { queryId } = request;
  const document = await governance.acceptedDocument(queryId);
  const query = parseQuery(queryId, document.data);
  const inputs = await Promise.all(
    query.inputs.map(async ({ datasetId, view }) => ({ view, document: await governance.acceptedDocument(datasetId) })),
  );
  if (inputs.length === 0) throw new AgentError(400, "DatasetMissing", `Query ${queryId} has no input dataset.`);
  await checkApprovals(
    context,
    request,
    document,
    inputs.map((input) => input.document),
  );
  for (const id of [queryId, ...query.inputs.map((input) => input.datasetId)]) await checkConsent(context, request, id);
  const telemetry = (await governance.consent(queryId, "telemetry")).status === "enabled";

  if (!query.outputId) throw new AgentError(400, "DatasinkMissing", `Query ${queryId} has no output dataset.`);
  const sink = await governance.acceptedDocument(query.outputId);
  const output = usableDataset(sink);
  const datasets = inputs.map(({ view, document: accepted }) => ({ view, dataset: usableDataset(accepted) }));
  const segments = parseSegments(query.query);
  const policies = podPolicies({
    contractId: governance.contractId,
    query: query.query,
    datasets: datasets.map(({ dataset }) => dataset),
    output,
  });
  return { queryId, inputs: datasets, output, segments, dates, telemetry, policies };
}

/** Every owner of an input must have voted for the query. The owner of the output is not asked, as in the original. */
async function checkApprovals(
  context: AgentContext,
  request: RunRequest,
  query: AcceptedDocument,
  inputs: readonly AcceptedDocument[],
): Promise<void> {
  const approvers = new Set(
    query.finalVotes.filter((vote) => vote.ballot === "accepted").map((vote) => vote.approverId),
  );
  const missing = [...new Set(inputs.map((input) => input.proposerId))].filter((owner) => !approvers.has(owner));
  if (missing.length === 0) return;
  await denied(context, request, `approvals missing from dataset owners ${missing.join(", ")}`);
  throw new AgentError(
    400,
    "QueryMissingApprovalsFromDatasetOwners",
    `Query ${request.queryId} is not approved by the owners of its input datasets: ${missing.join(", ")}.`,
  );
}

async function checkConsent(context: AgentContext, request: RunRequest, documentId: string): Promise<void> {
  const { status, reason } = await context.governance.consent(documentId, "execution");
  if (status === "enabled") return;
  const code = reason?.code ?? "UserDocumentRuntimeOptionDisabled";
  const message = reason?.message ?? `Execution of ${documentId} is disabled.`;
  await denied(context, request, `${code} for ${documentId}`);
  throw new AgentError(400, code, message);
}

function denied({ governance }: AgentContext, { queryId, runId }: RunRequest, reason: string): Promise<void> {
  return governance.audit(AUDIT_SOURCE, `Query execution denied for queryId ${queryId}: ${reason}. Job id: ${runId}`);
}

function usableDataset(document: AcceptedDocument): Dataset {
  const dataset = parseDataset(document.id, document.proposerId, document.data);
  if (dataset.allowedFields.length === 0) {
    throw new AgentError(
      400,
      "AllowedFieldsNotSpecified",
      `Dataset ${dataset.id} does not say which fields may be used.`,
    );
  }
  if (!STORE_TYPES.includes(dataset.store.type)) {
    throw new AgentError(
      400,
      "UnsupportedAccessPointStoreType",
      `Dataset ${dataset.id}: a store of type ${dataset.store.type} is not supported.`,
    );
  }
  return dataset;
}

/**
 * Gives the pods of this job what they need: the datasets' keys as CGS secrets, and the policies under which CGS will
 * hand out those secrets and the owners' tokens, and accept audit events.
 * @returns CGS secret ids of the data encryption keys, by dataset id.
 * @throws {AgentError} 403 `DatasetKeyUnavailable` when an owner's vault or directory refuses; written to the audit log first.
 */
export async function grantAccess(
  context: AgentContext,
  request: RunRequest,
  job: ApprovedJob,
): Promise<Map<string, string>> {
  const { governance, workload } = context;
  const datasets = [...job.inputs.map((input) => input.dataset), job.output];
  const secretIds = new Map<string, string>();
  for (const dataset of datasets) {
    if (dataset.keys && !secretIds.has(dataset.id))
      secretIds.set(dataset.id, await transferKey(context, request, dataset));
  }
  const pods = [job.policies.driver.hostData, job.policies.executor.hostData];
  const subjects = new Set(
    datasets
      .filter((dataset) => dataset.identity?.clientId)
      .map((dataset) => `${governance.contractId}-${dataset.ownerId}`),
  );
  const secrets = [...secretIds.values(), ...datasets.flatMap(storeSecretId)];
  await Promise.all([
    ...secrets.map((id) => governance.addDelegate("secrets", id, pods)),
    ...[...subjects].map((subject) =>
      governance.addDelegate("oauth-federation-subjects", subject, [...pods, workload.hostData]),
    ),
    governance.addDelegate("events", "writer", pods),
  ]);
  return secretIds;
}

async function transferKey(context: AgentContext, request: RunRequest, dataset: Dataset): Promise<string> {
  const { keys } = dataset;
  if (!keys) throw new Error(`Dataset ${dataset.id} has no key.`);
  const dek = await releasedKey(context, request, dataset, keys);
  const name = `${request.queryId}_${keys.wrappedDek.name}_${sha256Hex(keys.wrappedDek.vaultUrl)}`;
  return context.governance.putSecret(name, dek.toString("base64"));
}

async function releasedKey(
  context: AgentContext,
  request: RunRequest,
  dataset: Dataset,
  keys: EncryptionKeys,
): Promise<Buffer> {
  const { governance, workload, tokens } = context;
  const scope = /\.managedhsm\./.test(keys.kek.vaultUrl)
    ? "https://managedhsm.azure.net/.default"
    : "https://vault.azure.net/.default";
  try {
    const token = await federatedToken(tokens, governance, dataset.ownerId, keys.accessIdentity, scope);
    return await unwrapDek(keys, workload, token, tokens.ca);
  } catch (error) {
    const reason = `the key of dataset ${dataset.id} is not available: ${(error as Error).message}`;
    await denied(context, request, reason);
    throw new AgentError(403, "DatasetKeyUnavailable", `Query ${request.queryId} cannot run: ${reason}`);
  }
}

/** Id of the secret with the credentials of an S3 bucket. */
export function storeSecretId(dataset: Dataset): string[] {
  if (dataset.store.type !== "Aws_S3") return [];
  const { secretId } = JSON.parse(Buffer.from(dataset.store.configuration, "base64").toString("utf8")) as {
    secretId?: string;
  };
  return secretId ? [secretId] : [];
}

export const newRunId = (): string => crypto.randomUUID();
