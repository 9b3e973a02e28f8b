import * as pulumi from "@pulumi/pulumi";
import { CleanRoomIdentity } from "../components/cleanRoomIdentity.ts";
import { CollaboratorEnvironment } from "../components/collaboratorEnvironment.ts";
import { Dataset } from "../components/dataset.ts";
import { HANDOFF_VERSION, type CollaboratorHandoff, type Consortium, type SharedQuery } from "../domain/handoff.ts";
import {
  pendingDataset,
  pendingHandoff,
  pendingInvitation,
  pendingQuery,
  pendingUser,
  pendingVote,
  type Pending,
} from "../domain/pending.ts";
import { isCurrent, requiredApprovals } from "../domain/progress.ts";
import type { ConsortiumAccess } from "../dynamic-providers/framework/session.ts";
import { InvitationAcceptance } from "../dynamic-providers/invitationAcceptance.ts";
import { QueryApproval } from "../dynamic-providers/queryApproval.ts";
import { QueryDocument } from "../dynamic-providers/queryDocument.ts";
import { QueryRun } from "../dynamic-providers/queryRun.ts";
import type { CollaboratorSettings, QuerySettings, RunSettings } from "../settings.ts";
import { collaboratorHandoff, operatorHandoff, ownHandoff } from "./handoffs.ts";

export interface CollaboratorOutputs {
  handoff: unknown;
  pending: Pending[];
  /** Queries that wait for this organisation's approval: text, datasets and the digest to pin. */
  pendingApprovals: pulumi.Input<unknown[]>;
  /** Run → state and place of its result. */
  results: Record<string, unknown>;
}

/** What a member of the consortium works with. */
interface Membership {
  readonly settings: CollaboratorSettings;
  readonly consortium: Consortium;
  readonly access: ConsortiumAccess;
  readonly contractId: string;
  readonly partners: ReadonlyMap<string, CollaboratorHandoff>;
  readonly pending: Pending[];
}

type Queries = ReadonlyMap<string, pulumi.Output<SharedQuery>>;

/** A collaborator joins, publishes its data, proposes queries, approves what it has reviewed, and runs what everybody approved. */
export async function collaborator(settings: CollaboratorSettings): Promise<CollaboratorOutputs> {
  const { persona, email, location, tags } = settings;
  const operatorName = settings.operator.kind === "stack" ? settings.operator.stack : "operator";
  // Depends on nobody else, so the engine works on it while it reads the other stacks.
  const usesAzure = settings.datasets.some((dataset) => dataset.store === "azureBlob");
  const environment = usesAzure
    ? new CollaboratorEnvironment(persona, { location, tags, resourceGroup: settings.resourceGroup })
    : undefined;
  const [hosted, partners, last] = await Promise.all([
    operatorHandoff(settings.operator),
    partnerHandoffs(settings),
    ownHandoff(),
  ]);
  const consortium = hosted?.consortium;
  const nothingShared = { datasets: {}, queries: {}, approvals: {} };
  const waiting = (reason: Pending, identity: object = { email }): CollaboratorOutputs => ({
    handoff: { version: HANDOFF_VERSION, persona, identity, ...nothingShared },
    pending: [reason],
    pendingApprovals: [],
    results: {},
  });

  if (!consortium) return waiting(pendingHandoff(persona, operatorName));
  const access = {
    endpoint: consortium.endpoint,
    serviceCertificate: consortium.serviceCertificate,
    issuerUrl: consortium.issuerUrl,
  };
  const invitation = consortium.invitations[persona];
  if (!invitation) return waiting(pendingInvitation(persona, operatorName));
  const acceptance = new InvitationAcceptance(`${persona}-invitation`, {
    consortium: access,
    invitationId: invitation.invitationId,
    email,
  });
  const identity = {
    email,
    userId: acceptance.userId,
    tenantId: acceptance.tenantId,
    acceptedInvitation: acceptance.invitationId,
  };

  const user = consortium.users[persona];
  if (!user) return waiting(pendingUser(persona, operatorName), identity);
  const membership: Membership = {
    settings,
    consortium,
    access,
    contractId: consortium.contractId,
    partners,
    pending: [],
  };

  const datasets = publishDatasets(membership, environment, user.userId);
  const queries = proposeQueries(membership, datasets);
  const approvals = approveQueries(membership, queries, datasets, user.userId);
  const results = runQueries(membership, queries, datasets, approvals.given, last);

  return {
    handoff: {
      version: HANDOFF_VERSION,
      persona,
      identity,
      datasets: mapValues(datasets, (dataset) => dataset.shared),
      queries: mapValues(queries, (query) => query),
      approvals: mapValues(approvals.given, (approval) => approval.digest),
    },
    pending: membership.pending,
    pendingApprovals: approvals.waiting,
    results,
  };
}

async function partnerHandoffs({ collaborators }: CollaboratorSettings): Promise<Map<string, CollaboratorHandoff>> {
  const entries = await Promise.all(
    Object.entries(collaborators).map(async ([name, source]) => [name, await collaboratorHandoff(source)] as const),
  );
  return new Map(entries.flatMap(([name, handoff]) => (handoff ? [[name, handoff]] : [])));
}

function publishDatasets(
  membership: Membership,
  environment: CollaboratorEnvironment | undefined,
  userId: string,
): Map<string, Dataset> {
  const { settings, consortium, access, contractId } = membership;
  const { persona, location, tags, collaboration } = settings;
  if (!environment) return new Map();
  warnOfRefusedEncryption(settings, consortium);
  const identity = new CleanRoomIdentity(`${persona}-cleanroom`, {
    resourceGroupName: environment.resourceGroupName,
    location,
    tags,
    issuerUrl: consortium.issuerUrl,
    contractId,
    userId,
  });
  return new Map(
    settings.datasets.map((dataset) => [
      dataset.name,
      new Dataset(`${persona}-${dataset.name}`, {
        environment,
        identity,
        consortium: access,
        contractId,
        documentBase: `${collaboration}-${persona}-${dataset.name}`,
        shape: { ...dataset, fields: dataset.schema },
        dataset: `${persona}-${dataset.name}`,
        release: { authority: settings.attestationAuthority, measurement: consortium.analytics.measurement },
      }),
    ]),
  );
}

/** The Spark workload of the deployed release reads no client-side encrypted data; only the sandbox's does. */
function warnOfRefusedEncryption({ datasets }: CollaboratorSettings, { analytics }: Consortium): void {
  const refused = datasets.filter(({ encryption }) => encryption === "CSE").map(({ name }) => name);
  if (analytics.platform === "virtual" || refused.length === 0) return;
  void pulumi.log.warn(
    `The analytics workload refuses datasets with encryption CSE (${refused.join(", ")}): choose CPK, where Azure encrypts with a key that you provide and only the clean room is given.`,
  );
}

function proposeQueries(
  membership: Membership,
  datasets: ReadonlyMap<string, Dataset>,
): Map<string, pulumi.Output<SharedQuery>> {
  const { settings, access, contractId } = membership;
  const { persona, collaboration } = settings;
  const queries = new Map<string, pulumi.Output<SharedQuery>>();
  for (const query of settings.queries) {
    const inputs = queryInputs(membership, query, datasets);
    if (!inputs) continue;
    const document = new QueryDocument(`${persona}-${query.name}`, {
      consortium: access,
      contractId,
      baseId: `${collaboration}-${persona}-${query.name}`,
      inputs,
      output: datasets.get(query.output)!.documentId,
      segments: query.segments,
    });
    queries.set(
      query.name,
      pulumi.all([document.documentId, document.digest, document.review]).apply(([documentId, digest, review]) => ({
        documentId,
        digest,
        // The engine hands lists and records back as the types they are, read-only or not.
        review: review as SharedQuery["review"],
      })),
    );
  }
  return queries;
}

/** Every input's document, or nothing while one of them is not published. */
function queryInputs(
  { partners, pending, settings }: Membership,
  query: QuerySettings,
  datasets: ReadonlyMap<string, Dataset>,
): { view: string; documentId: pulumi.Input<string> }[] | undefined {
  const inputs: { view: string; documentId: pulumi.Input<string> }[] = [];
  for (const [view, { owner, dataset }] of Object.entries(query.inputs)) {
    const own = owner === settings.persona ? datasets.get(dataset) : undefined;
    const documentId = own?.documentId ?? partners.get(owner)?.datasets[dataset]?.documentId;
    if (documentId === undefined) pending.push(pendingDataset(query.name, owner, dataset));
    else inputs.push({ view, documentId });
  }
  return inputs.length === Object.keys(query.inputs).length ? inputs : undefined;
}

function approveQueries(
  { settings, access, contractId, partners, pending }: Membership,
  own: Queries,
  datasets: ReadonlyMap<string, Dataset>,
  userId: string,
): { given: Map<string, QueryApproval>; waiting: pulumi.Output<unknown[]> } {
  const { persona, approvals } = settings;
  const offered = new Map<string, pulumi.Output<SharedQuery>>();
  for (const [name, query] of own) offered.set(`${persona}/${name}`, query);
  for (const [author, handoff] of partners) {
    for (const [name, query] of Object.entries(handoff.queries))
      offered.set(`${author}/${name}`, pulumi.output(query) as pulumi.Output<SharedQuery>);
  }
  const owners = knownOwners(partners, datasets);
  const given = new Map<string, QueryApproval>();
  for (const [reference, digest] of Object.entries(approvals)) {
    const query = offered.get(reference);
    if (!query) {
      pending.push(pendingQuery(reference, reference.split("/")[0]!));
      continue;
    }
    const name = `${persona}-approves-${reference.replace("/", "-")}`;
    given.set(
      reference,
      new QueryApproval(name, { consortium: access, contractId, review: query.review, digest, owners }),
    );
  }
  const waiting = [...offered]
    .filter(([reference]) => approvals[reference] === undefined)
    .map(([reference, query]) =>
      query.apply(({ digest, review }) =>
        review.approvers.includes(userId) ? { query: reference, digest, review } : undefined,
      ),
    );
  return { given, waiting: pulumi.all(waiting).apply((entries) => entries.filter((entry) => entry !== undefined)) };
}

/** Dataset document → its owner's user id, as the owners themselves say. */
function knownOwners(
  partners: ReadonlyMap<string, CollaboratorHandoff>,
  datasets: ReadonlyMap<string, Dataset>,
): pulumi.Output<Record<string, string>> {
  const others = [...partners.values()].flatMap(({ identity, datasets: shared }) =>
    identity.userId === undefined
      ? []
      : Object.values(shared).map(({ documentId }) => [documentId, identity.userId!] as const),
  );
  const own = [...datasets.values()].map((dataset) => pulumi.all([dataset.documentId, dataset.ownerId]));
  return pulumi.all(own).apply((entries) => Object.fromEntries([...others, ...entries]));
}

function runQueries(
  membership: Membership,
  queries: Queries,
  datasets: ReadonlyMap<string, Dataset>,
  given: ReadonlyMap<string, QueryApproval>,
  last: CollaboratorHandoff | undefined,
): Record<string, unknown> {
  const { settings, consortium, access, contractId } = membership;
  const results: Record<string, unknown> = {};
  for (const run of settings.runs) {
    const query = queries.get(run.query);
    if (!query || !mayRun(membership, run, last)) continue;
    const started = new QueryRun(
      `${settings.persona}-${run.query}-${run.id}`,
      {
        consortium: access,
        contractId,
        analytics: { endpoint: consortium.analytics.endpoint, caCertificate: consortium.analytics.caCertificate },
        documentId: query.documentId,
        digest: query.digest,
        runId: run.id,
        ...(run.from !== undefined && { from: run.from }),
        ...(run.to !== undefined && { to: run.to }),
      },
      { dependsOn: [...given.values()] },
    );
    results[run.id] = {
      query: run.query,
      state: started.state,
      rowsRead: started.rowsRead,
      rowsWritten: started.rowsWritten,
      finishedAt: started.finishedAt,
      ...resultPlace(settings, run, datasets),
      path: started.resultPath,
    };
  }
  return results;
}

/** Where the sink of a run's query is and how to read it. */
function resultPlace(
  settings: CollaboratorSettings,
  run: RunSettings,
  datasets: ReadonlyMap<string, Dataset>,
): Record<string, unknown> {
  const { output } = settings.queries.find(({ name }) => name === run.query)!;
  const { format, encryption } = settings.datasets.find(({ name }) => name === output)!;
  return { store: datasets.get(output)!.location, format, encryption, sink: `${settings.persona}-${output}` };
}

/** Whether everybody's approval of the query, as it is configured now, has been reported. */
function mayRun(
  { settings, partners, pending }: Membership,
  run: RunSettings,
  last: CollaboratorHandoff | undefined,
): boolean {
  const query = settings.queries.find(({ name }) => name === run.query)!;
  const reference = `${settings.persona}/${run.query}`;
  const published = last?.queries[run.query];
  const known =
    last !== undefined && published !== undefined && isCurrent(published, query, settings.persona, partners, last);
  const approvals = new Map<string, string | undefined>([[settings.persona, settings.approvals[reference]]]);
  for (const [name, handoff] of partners) approvals.set(name, handoff.approvals[reference]);
  const missing = requiredApprovals(query, settings.persona).filter(
    (name) => !known || approvals.get(name) !== published.digest,
  );
  pending.push(...missing.map((name) => pendingVote(run.id, reference, name)));
  return missing.length === 0;
}

function mapValues<A, B>(entries: ReadonlyMap<string, A>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries([...entries].map(([key, value]) => [key, change(value)]));
}
