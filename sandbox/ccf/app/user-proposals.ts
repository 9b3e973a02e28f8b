import { CcfError, ok, type CcfReply } from "../errors.ts";
import {
  acceptedUserDocuments,
  proposalInfos,
  userProposalInfos,
  userProposals,
  type Approver,
  type UserProposal,
  type UserProposalInfo,
} from "../tables.ts";
import { pageOf } from "../paging.ts";
import { idOf, param, read, write, type AppContext, type AppRoute } from "./route.ts";
import { alreadyAccepted, openUserProposals } from "./user-documents.ts";

const ITEM = "/users/proposals/{proposalId}";

export const userProposalRoutes: readonly AppRoute[] = [
  read("POST", ITEM, "MUJ", get),
  write("PUT", ITEM, "MUJ", create),
  read("POST", `${ITEM}/status`, "MUJ", (context) => ok(requireInfo(context))),
  write("POST", `${ITEM}/withdraw`, "MUJ", withdraw),
  write("POST", `${ITEM}/ballots/submit`, "MUJ", submitBallot),
  read("GET", "/proposals/{proposalId}/historical", "MUJ", governanceHistory, { forwarding: "always" }),
];

/** CGS compares neither content nor approvers with the draft, and needs no draft at all: that is the clients' task. */
function create(context: AppContext): CcfReply {
  const { tx } = context;
  const proposalId = param(context, "proposalId");
  if (tx.has(userProposalInfos, proposalId))
    throw new CcfError(409, "ProposalAlreadyExists", "A proposal with the specified id already exists.");
  const proposal = context.body() as unknown as Partial<UserProposal>;
  requireApprovers(proposal.approvers);
  if (proposal.name !== "set_user_document")
    throw new CcfError(400, "InvalidProposalType", `Proposal type '${String(proposal.name)}' is not supported.`);
  const documentId = proposal.args?.documentId;
  if (!documentId) throw new CcfError(400, "InvalidUserDocumentId", "User document id must be specified.");
  if (tx.has(acceptedUserDocuments, documentId)) throw alreadyAccepted();
  if (openUserProposals(tx).some((open) => open.proposal.args.documentId === documentId)) {
    throw new CcfError(409, "UserDocumentAlreadyProposed", "An open proposal for the user document already exists.");
  }
  tx.put(userProposals, proposalId, { actions: [proposal as UserProposal] });
  tx.put(userProposalInfos, proposalId, { proposerId: idOf(context), state: "Open", ballots: [] });
  return ok({ proposalId });
}

function requireApprovers(approvers: Approver[] | undefined): void {
  if (!approvers) throw new CcfError(400, "ApproversMissing", "Approvers must be specified.");
  if (approvers.length === 0) throw new CcfError(400, "EmptyApprovers", "At least one approver must be specified.");
}

function get(context: AppContext): CcfReply {
  requireInfo(context);
  const proposalId = param(context, "proposalId");
  const { name, approvers, args } = requireAction(context);
  return ok({ proposalId, name, approvers, args });
}

/** The first rejection rejects; acceptance needs every approver and writes the accepted document with it. */
function submitBallot(context: AppContext): CcfReply {
  const { tx } = context;
  const proposalId = param(context, "proposalId");
  const info = requireInfo(context);
  const { approvers, args } = requireAction(context);
  const approverId = idOf(context);
  if (!approvers.some((approver) => approver.approverId === approverId)) {
    throw new CcfError(403, "NotProposalApprover", "Caller is not an approver of the proposal.");
  }
  requireOpen(info);
  if (info.ballots.some((ballot) => ballot.approverId === approverId)) {
    throw new CcfError(409, "BallotAlreadySubmitted", "The ballot has already been submitted.");
  }
  const { ballot } = context.body();
  if (ballot !== "accepted" && ballot !== "rejected")
    throw new CcfError(400, "InvalidBallotValue", "Ballot must be accepted or rejected.");
  const ballots = [...info.ballots, { approverId, ballot } as const];
  const everyone = approvers.every((approver) =>
    ballots.some((cast) => cast.approverId === approver.approverId && cast.ballot === "accepted"),
  );
  const state = ballot === "rejected" ? "Rejected" : everyone ? "Accepted" : "Open";
  const decided: UserProposalInfo = { ...info, state, ballots };
  tx.put(userProposalInfos, proposalId, decided);
  if (state === "Accepted") {
    const { contractId, data, labels } = args.document;
    tx.put(acceptedUserDocuments, args.documentId, {
      contractId,
      approvers,
      data,
      ...(labels && { labels }),
      proposalId,
      proposerId: info.proposerId,
      finalVotes: ballots,
    });
  }
  return ok(decided);
}

function withdraw(context: AppContext): CcfReply {
  const info = requireInfo(context);
  if (info.proposerId !== idOf(context))
    throw new CcfError(403, "NotProposalOwner", "Caller is not the owner of the proposal.");
  requireOpen(info);
  const withdrawn: UserProposalInfo = { ...info, state: "Withdrawn" };
  context.tx.put(userProposalInfos, param(context, "proposalId"), withdrawn);
  return ok(withdrawn);
}

function requireInfo(context: AppContext): UserProposalInfo {
  const info = context.tx.get(userProposalInfos, param(context, "proposalId"));
  if (!info) throw new CcfError(404, "ProposalNotFound", "A proposal with the specified id was not found.");
  return info;
}

const requireAction = (context: AppContext): UserProposal =>
  context.tx.get(userProposals, param(context, "proposalId"))?.actions[0] as UserProposal;

function requireOpen(info: UserProposalInfo): void {
  if (info.state !== "Open") throw new CcfError(409, "ProposalNotOpen", `Proposal is in state ${info.state}.`);
}

/** Former states of a governance proposal, which CCF itself forgets once the next one is closed. */
function governanceHistory(context: AppContext): CcfReply {
  const { tx, query } = context;
  const proposalId = param(context, "proposalId");
  const page = pageOf(query, tx.store.seqno);
  if (context.historicalPending()) return { status: 202, headers: { "retry-after": "1" } };
  const value = tx.store
    .revisions(proposalInfos, proposalId, page.from, page.to)
    .flatMap(({ value: info, seqno }) => (info ? [{ seqno, proposalId, proposalState: info.state }] : []));
  return ok({ value, ...(page.next && { nextLink: `/app/proposals/${proposalId}/historical?${page.next}` }) });
}
