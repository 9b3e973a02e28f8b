import { provider as approvals } from "../../dynamic-providers/queryApproval.ts";
import { provider as datasets, type DatasetContent } from "../../dynamic-providers/datasetDocument.ts";
import { provider as queries } from "../../dynamic-providers/queryDocument.ts";
import type { QueryReview } from "../../domain/review.ts";
import type { Segment } from "../../domain/query.ts";
import { PERSONAS, type PersonaName } from "../../sandbox/entra/directory.ts";
import { Resource } from "./engine.ts";
import { CONTRACT, type Lab } from "./lab.ts";

export const SEGMENTS: readonly Segment[] = [
  {
    executionSequence: 1,
    data: "CREATE OR REPLACE TEMP VIEW everything AS SELECT * FROM theirs UNION ALL SELECT * FROM ours",
    preConditions: [],
    postFilters: [],
  },
  {
    executionSequence: 2,
    data: "SELECT author, COUNT(*) AS mentions FROM everything GROUP BY author",
    preConditions: [{ viewName: "everything", minRowCount: 2 }],
    postFilters: [{ columnName: "mentions", value: 1 }],
  },
];

/** A dataset in a container that nobody looks at unless the query runs. */
export function content(change: Partial<DatasetContent> = {}): DatasetContent {
  return {
    kind: "source",
    format: "csv",
    fields: [
      { name: "date", type: "date" },
      { name: "author", type: "string" },
    ],
    allowedFields: ["author"],
    encryption: "SSE",
    store: { type: "Azure_BlobStorage", url: "https://acct.blob.example/", container: "input" },
    identity: { name: "mi", clientId: "c", tenantId: "t", issuerUrl: "https://issuer.example/oidc" },
    ...change,
  };
}

export const sinkContent = (change: Partial<DatasetContent> = {}): DatasetContent =>
  content({
    kind: "sink",
    fields: [
      { name: "author", type: "string" },
      { name: "mentions", type: "long" },
    ],
    allowedFields: ["author", "mentions"],
    ...change,
  });

export async function publishDataset(
  lab: Lab,
  owner: PersonaName,
  baseId: string,
  dataset: DatasetContent,
): Promise<Resource> {
  const resource = new Resource(datasets, lab.config(owner));
  await resource.up({ consortium: lab.access, contractId: CONTRACT, baseId, dataset, consent: true });
  return resource;
}

/** What a query is made of: two sources of two owners, and woodgrove's sink. */
export interface Ground {
  readonly theirs: Resource;
  readonly ours: Resource;
  readonly sink: Resource;
  /** Dataset document → owner. */
  readonly owners: Record<string, string>;
}

export async function publishGround(
  lab: Lab,
  prefix: string,
  contents: { theirs?: DatasetContent; ours?: DatasetContent; sink?: DatasetContent } = {},
): Promise<Ground> {
  const theirs = await publishDataset(lab, "northwind", `${prefix}-northwind-input`, contents.theirs ?? content());
  const ours = await publishDataset(lab, "woodgrove", `${prefix}-woodgrove-input`, contents.ours ?? content());
  const sink = await publishDataset(lab, "woodgrove", `${prefix}-woodgrove-output`, contents.sink ?? sinkContent());
  const owners = {
    [theirs.id]: PERSONAS.northwind.objectId,
    [ours.id]: PERSONAS.woodgrove.objectId,
    [sink.id]: PERSONAS.woodgrove.objectId,
  };
  return { theirs, ours, sink, owners };
}

export function queryInputs(lab: Lab, ground: Ground, baseId: string, segments: readonly Segment[] = SEGMENTS): object {
  const inputs = [
    { view: "theirs", documentId: ground.theirs.id },
    { view: "ours", documentId: ground.ours.id },
  ];
  return { consortium: lab.access, contractId: CONTRACT, baseId, inputs, output: ground.sink.id, segments };
}

export const queryOf = (lab: Lab, author: PersonaName = "woodgrove"): Resource =>
  new Resource(queries, lab.config(author));

/** What a reviewer pins: what the author offers, and the digest of it. */
export function approvalInputs(lab: Lab, ground: Ground, query: Resource, change: object = {}): object {
  const { review, digest } = query.outputs as { review: QueryReview; digest: string };
  return {
    consortium: lab.access,
    contractId: CONTRACT,
    review,
    digest,
    owners: ground.owners,
    consent: true,
    ...change,
  };
}

export const approvalOf = (lab: Lab, persona: PersonaName): Resource => new Resource(approvals, lab.config(persona));

/** Everybody who is asked says yes. */
export async function approve(lab: Lab, ground: Ground, query: Resource): Promise<void> {
  for (const persona of ["northwind", "woodgrove"] as const)
    await approvalOf(lab, persona).up(approvalInputs(lab, ground, query));
}
