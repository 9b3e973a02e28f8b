import type * as pulumi from "@pulumi/pulumi";
import type { DocumentToPublish } from "../clients/cgs/acts/documents.ts";
import { UserError } from "../domain/errors.ts";
import { sameJson } from "../domain/json.ts";
import { parseQueryDocument, queryDocument, type QueryDefinition, type Segment } from "../domain/query.ts";
import { requiredApprovers, reviewDigest, reviewOf, type LedgerDocument, type QueryReview } from "../domain/review.ts";
import { unknownViews } from "../domain/sql.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { datasetsOf, requireDocument } from "./framework/review.ts";
import { nextRevision } from "./framework/revisions.ts";
import { asUser, unlessDismantled, type ConsortiumAccess } from "./framework/session.ts";

export interface QueryDocumentArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  contractId: pulumi.Input<string>;
  /** The document's id without its revision. */
  baseId: string;
  inputs: pulumi.Input<readonly { view: string; documentId: pulumi.Input<string> }[]>;
  /** Dataset document of the sink. */
  output: pulumi.Input<string>;
  segments: readonly Segment[];
}

/**
 * A query, proposed to everybody whose data it uses. Proposing is not voting: its author approves it like the others.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | put, propose to all owners | – | content changed: proposed anew while open, else next revision | withdraw while open, else disable own consent | state, content |
 */
export class QueryDocument extends DynamicResource {
  declare readonly documentId: pulumi.Output<string>;
  declare readonly state: pulumi.Output<string>;
  /** What would run, as its approvers see it. */
  declare readonly review: pulumi.Output<QueryReview>;
  /** Digest of the review: what approvers pin. */
  declare readonly digest: pulumi.Output<string>;

  constructor(name: string, args: QueryDocumentArgs, options?: pulumi.CustomResourceOptions) {
    super("queryDocument", name, { ...args }, ["documentId", "state", "review", "digest"], [], options);
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  contractId: string;
  baseId: string;
  inputs: QueryDefinition["inputs"];
  output: string;
  segments: readonly Segment[];
}

interface Outputs {
  documentId: string;
  state: string;
  review: QueryReview;
  digest: string;
}

export const provider = defineProvider<Inputs, Outputs>({
  name: "QueryDocument",
  inputs: ["consortium", "contractId", "baseId", "inputs", "output", "segments"],
  access: ["consortium"],
  replaceOn: ["contractId", "baseId", "inputs", "output", "segments"],
  // A query that is still open to votes keeps its id: the old proposal has to be withdrawn before there can be another.
  deleteBeforeReplace: true,

  complete: {
    needs: ["segments"],
    async run(inputs, olds) {
      if (olds && sameJson([olds.inputs, olds.segments], [inputs.inputs, inputs.segments])) return { inputs };
      if (!Array.isArray(inputs.inputs)) return { inputs };
      const views = inputs.inputs.map((input) => input.view);
      const unknown = await unknownViews(inputs.segments, views);
      const failures = unknown.map((view) => ({
        property: "segments",
        reason: `the query reads ${view}, which is neither an input (${views.join(", ")}) nor a view made by an earlier segment`,
      }));
      return { inputs, failures };
    },
  },

  async create({ consortium, contractId, baseId, inputs, output, segments }, { config, progress }) {
    const { publishDocument } = await import("../clients/cgs/acts/documents.ts");
    const outputs = await asUser(consortium, config, async (session) => {
      const content = (documentId: string): string =>
        JSON.stringify(queryDocument({ documentId, inputs, output, segments }));
      const probe = { id: baseId, state: "Draft", contractId, data: content(baseId), proposerId: "" } as const;
      const datasets = await datasetsOf(session.cgs, probe);
      const approvers = approversOf(probe, datasets);
      const published = await nextRevision(session, baseId, (id): DocumentToPublish => ({
        id,
        contractId,
        data: content(id),
        labels: { type: "spark-application" },
        approvers,
        vote: false,
      }));
      const { state } = await publishDocument(session, published);
      const review = reviewOf(await requireDocument(session.cgs, published.id), datasets);
      return { documentId: published.id, state, review, digest: reviewDigest(review) };
    });
    progress(`query ${outputs.documentId}: ${outputs.state}, ${outputs.digest}`);
    return { id: outputs.documentId, outputs };
  },

  read: (documentId, { consortium, contractId }, { config }) =>
    asUser(consortium, config, async ({ cgs }) => {
      const known = await cgs.documents.get(documentId);
      if (!known || known.state === "Draft" || known.contractId !== contractId) return undefined;
      if (known.proposerId !== (await cgs.callerId())) return undefined;
      const { inputs, output, segments } = parseQueryDocument(documentId, known.data);
      const review = reviewOf(known, await datasetsOf(cgs, known));
      return {
        inputs: { inputs, output, segments },
        outputs: { documentId, state: known.state, review, digest: reviewDigest(review) },
      };
    }),

  delete: (documentId, { consortium, contractId }, { config }) =>
    unlessDismantled(consortium, () =>
      asUser(consortium, config, async ({ cgs }) => {
        const known = await cgs.documents.get(documentId);
        const self = await cgs.callerId();
        if (known?.state === "Proposed" && known.proposerId === self) await cgs.proposals.withdraw(known.proposalId);
        const isApprover = known?.approvers?.some((approver) => approver.approverId === self);
        if (known?.state === "Accepted" && isApprover)
          await cgs.documents.setOption(contractId, documentId, "execution", false);
      }),
    ),
});

function approversOf(
  query: LedgerDocument,
  datasets: ReadonlyMap<string, LedgerDocument>,
): { approverId: string; approverIdType: "user" }[] {
  const { inputs, output } = parseQueryDocument(query.id, query.data);
  const ids = [...inputs.map((input) => input.documentId), output];
  const missing = ids.filter((id) => datasets.get(id)?.state !== "Accepted");
  if (missing.length > 0) {
    throw new UserError(
      `Query ${query.id} uses ${missing.join(", ")}, not published in the consortium: their owners have to run up first.`,
    );
  }
  const owners = ids.map((id) => ({ ownerId: datasets.get(id)!.proposerId }));
  return requiredApprovers(owners).map((approverId) => ({ approverId, approverIdType: "user" }));
}
