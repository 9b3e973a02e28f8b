import type * as pulumi from "@pulumi/pulumi";
import { UserError } from "../domain/errors.ts";
import { reviewDifferences, reviewDigest, reviewOf, reviewProblems, type QueryReview } from "../domain/review.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { datasetsOf, ownConsent, requireDocument } from "./framework/review.ts";
import { asUser, unlessDismantled, type ConsortiumAccess } from "./framework/session.ts";

export interface QueryApprovalArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  contractId: pulumi.Input<string>;
  /** What the author says would run: shown in previews, compared with the ledger before the vote. */
  review: pulumi.Input<QueryReview>;
  /** The digest that was reviewed and pinned. */
  digest: pulumi.Input<string>;
  /** Dataset document id → user id of its owner, as this organisation knows it from the owners themselves. */
  owners: pulumi.Input<Record<string, string>>;
}

/**
 * This organisation's vote for a query, given only to what its reviewer has seen.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | read the proposal again, recompute the digest, check approvers and owners, vote, consent | consent switched off by hand: on again | document, digest | disable consent (a vote stays in the ledger) | own ballot, consent |
 */
export class QueryApproval extends DynamicResource {
  declare readonly digest: pulumi.Output<string>;
  /** Of the query document: `Accepted` when everybody has voted. */
  declare readonly state: pulumi.Output<string>;

  constructor(name: string, args: QueryApprovalArgs, options?: pulumi.CustomResourceOptions) {
    super("queryApproval", name, { ...args, consent: true }, ["state"], [], options);
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  contractId: string;
  review: QueryReview;
  digest: string;
  owners: Record<string, string>;
  consent: boolean;
}

interface Outputs {
  state: string;
}

export const provider = defineProvider<Inputs, Outputs>({
  name: "QueryApproval",
  inputs: ["consortium", "contractId", "review", "digest", "owners", "consent"],
  access: ["consortium", "owners"],
  replaceOn: ["contractId", "review", "digest"],
  // The document may be the same, proposed again with other content: taking back the old consent must come first.
  deleteBeforeReplace: true,

  validate({ review, digest }, olds) {
    const offered = reviewDigest(review);
    if (offered === digest) return [];
    const isReviewed = olds !== undefined && reviewDigest(olds.review) === digest;
    const differences = isReviewed ? reviewDifferences(olds.review, review) : [];
    const reason = [
      `the approval of ${review.documentId} pins ${digest}, but the query's author now offers ${offered}. ` +
        "Read the query again (without the approval it stands in the stack output pendingApprovals), then pin the new digest.",
      ...differences.map((line) => `  - ${line}`),
    ].join("\n");
    return [{ property: "digest", reason }];
  },

  async create({ consortium, contractId, review, digest, owners }, { config, progress }) {
    const { voteOnDocument } = await import("../clients/cgs/acts/documents.ts");
    const { documentId } = review;
    const state = await asUser(consortium, config, async (session) => {
      const query = await requireDocument(session.cgs, documentId);
      const datasets = await datasetsOf(session.cgs, query);
      const problems = reviewProblems(query, datasets, { contractId, owners: new Map(Object.entries(owners)) });
      if (problems.length > 0) throw new UserError(`No vote for ${documentId}: ${problems.join("; ")}.`);
      const current = reviewOf(query, datasets);
      if (reviewDigest(current) !== digest) {
        throw new UserError(
          `No vote for ${documentId}: what was reviewed (${digest}) is not what is proposed (${reviewDigest(current)}).\n` +
            reviewDifferences(review, current)
              .map((line) => `  - ${line}`)
              .join("\n"),
        );
      }
      const voted = await voteOnDocument(session, { documentId, ballot: "accepted", proposalId: query.proposalId });
      if (voted.state === "Accepted") await session.cgs.documents.setOption(contractId, documentId, "execution", true);
      return voted.state;
    });
    progress(`query ${documentId}: approved here, now ${state}`);
    return { id: `${documentId}/${digest}`, outputs: { state } };
  },

  async update(_id, _olds, { consortium, contractId, review }, { config }) {
    const state = await asUser(consortium, config, async ({ cgs }) => {
      const query = await requireDocument(cgs, review.documentId);
      if (query.state === "Accepted") await cgs.documents.setOption(contractId, review.documentId, "execution", true);
      return query.state;
    });
    return { outputs: { state } };
  },

  read: (_id, { consortium, review }, { config }) =>
    asUser(consortium, config, async (session) => {
      const { ballotsOf } = await import("../clients/cgs/acts/documents.ts");
      const query = await session.cgs.documents.get(review.documentId);
      if (!query || query.state === "Draft") return undefined;
      const self = await session.cgs.callerId();
      const own = (await ballotsOf(session, query)).find((ballot) => ballot.approverId === self);
      if (own?.ballot !== "accepted") return undefined;
      const consent = query.state !== "Accepted" || (await ownConsent(session.cgs, query));
      return { inputs: { consent }, outputs: { state: query.state } };
    }),

  delete: (_id, { consortium, contractId, review }, { config }) =>
    unlessDismantled(consortium, () =>
      asUser(consortium, config, async ({ cgs }) => {
        const query = await cgs.documents.get(review.documentId);
        if (query?.state === "Accepted")
          await cgs.documents.setOption(contractId, review.documentId, "execution", false);
        if (query?.state === "Proposed") {
          console.log(
            `${review.documentId} is still waiting for other votes; the consortium cannot take back this one. Withhold consent again once it is accepted, or have its author withdraw it.`,
          );
        }
      }),
    ),
});
