import { randomBytes } from "node:crypto";
import { sameJson } from "../../../domain/json.ts";
import { ContentDiffersError, NotVotableError, OwnerDiffersError } from "../errors.ts";
import type { UserSession } from "../session.ts";
import type { Approver, Ballot, DocumentState, UserBallot, UserDocument, UserDocumentDraft } from "../types.ts";
import { untilSettled } from "./repeat.ts";

export interface DocumentToPublish {
  readonly id: string;
  readonly contractId: string;
  /** The document's own text, agreed to byte for byte. */
  readonly data: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Who has to accept it. The service takes any list, so the right one is the caller's duty. */
  readonly approvers: readonly Approver[];
  /** Whether to add the caller's ballot when it is among the approvers. Default true. */
  readonly vote?: boolean;
}

export interface PublishedDocument {
  readonly state: DocumentState;
  readonly proposalId: string;
  /** The owner. */
  readonly proposerId: string;
  readonly version: string;
  readonly ballots: readonly UserBallot[];
}

/**
 * Publishes a user document: draft, check of what was stored, proposal, own ballot when listed. A document that is
 * there with the same content and owner is adopted; an own open proposal with other content is taken back and replaced.
 * @throws ContentDiffersError when other content was accepted under this id, or an own draft is being overwritten.
 * @throws OwnerDiffersError when somebody else proposed or published a document under this id.
 */
export function publishDocument(session: UserSession, document: DocumentToPublish): Promise<PublishedDocument> {
  return untilSettled(async () => {
    const self = await session.cgs.callerId();
    const known = await session.cgs.documents.get(document.id);
    if (known && known.state !== "Draft" && known.proposerId !== self)
      throw new OwnerDiffersError("Document", document.id, known.proposerId, self);

    const differences = known ? differencesTo(known, document) : [];
    if (known?.state === "Accepted" && differences.length > 0)
      throw new ContentDiffersError("Document", document.id, differences);
    if (known?.state === "Proposed" && differences.length > 0) await session.cgs.proposals.withdraw(known.proposalId);
    const isUnderWay = known !== undefined && known.state !== "Draft" && differences.length === 0;
    const proposalId = isUnderWay ? known.proposalId : await proposeDocument(session, document);

    const isAsked = document.vote !== false && document.approvers.some(({ approverId }) => approverId === self);
    if (isAsked && known?.state !== "Accepted") await castBallot(session, proposalId, self, "accepted");
    return published(session, document.id);
  });
}

/** Writes the draft unless it is there, makes sure it is what was meant, and proposes exactly that. */
async function proposeDocument({ cgs }: UserSession, document: DocumentToPublish): Promise<string> {
  const { id, contractId, data, labels, approvers } = document;
  const known = await cgs.documents.get(id);
  if (!known || differencesTo(known, document).length > 0) {
    const draft: UserDocumentDraft = { contractId, data, labels, approvers, version: known?.version };
    await cgs.documents.putDraft(id, draft);
  }
  const draft = await cgs.documents.get(id);
  // The service lets anybody overwrite a draft: what is proposed must be what was meant.
  const differences = draft ? differencesTo(draft, document) : ["everything"];
  if (!draft || differences.length > 0) throw new ContentDiffersError("Draft", id, differences);
  const proposalId = randomBytes(16).toString("hex");
  await cgs.proposals.propose(proposalId, id, draft, approvers);
  return proposalId;
}

async function published({ cgs }: UserSession, documentId: string): Promise<PublishedDocument> {
  const document = await cgs.documents.get(documentId);
  if (!document) throw new Error(`Document ${documentId} was written but is not there.`);
  const { state, proposalId, proposerId, version } = document;
  return { state, proposalId, proposerId, version, ballots: await ballotsOf({ cgs }, document) };
}

/** Votes so far: of the accepted document, or of its open proposal. */
export async function ballotsOf({ cgs }: UserSession, document: UserDocument): Promise<readonly UserBallot[]> {
  if (document.finalVotes) return document.finalVotes;
  if (document.proposalId === "") return [];
  return (await cgs.proposals.status(document.proposalId))?.ballots ?? [];
}

/**
 * Votes on a proposed document.
 * @param vote.proposalId the proposal that was reviewed: its content cannot change, while another proposal for the same
 * document may say something else. Without it whatever is proposed now gets the vote.
 * @returns the document's state afterwards.
 * @throws NotVotableError when nothing (or something else than what was reviewed) is open to votes.
 * @throws ContentDiffersError when the caller has voted otherwise before.
 */
export function voteOnDocument(
  session: UserSession,
  vote: { documentId: string; ballot: Ballot; proposalId?: string },
): Promise<{ state: DocumentState; proposalId: string; ballots: readonly UserBallot[] }> {
  return untilSettled(async () => {
    const { documentId, ballot } = vote;
    const voter = await session.cgs.callerId();
    const known = await session.cgs.documents.get(documentId);
    if (!known || known.state === "Draft") {
      if (ballot === "rejected" && vote.proposalId && (await hasRejected(session, vote.proposalId, voter))) {
        return { state: "Draft", proposalId: vote.proposalId, ballots: [{ approverId: voter, ballot }] };
      }
      throw new NotVotableError(`Document ${documentId} is not proposed (any more), so there is nothing to vote on.`);
    }
    if (vote.proposalId !== undefined && vote.proposalId !== known.proposalId) {
      throw new NotVotableError(
        `Document ${documentId} was proposed again as ${known.proposalId} after ${vote.proposalId} had been reviewed: review it again.`,
      );
    }
    if (known.state === "Accepted") {
      const own = known.finalVotes?.find(({ approverId }) => approverId === voter);
      if (own?.ballot !== ballot)
        throw new NotVotableError(
          `Document ${documentId} has been accepted without this vote (${ballot} of ${voter}).`,
        );
      return { state: "Accepted", proposalId: known.proposalId, ballots: known.finalVotes ?? [] };
    }
    const ballots = await castBallot(session, known.proposalId, voter, ballot);
    const state = (await session.cgs.documents.get(documentId))?.state ?? "Draft";
    return { state, proposalId: known.proposalId, ballots };
  });
}

async function hasRejected({ cgs }: UserSession, proposalId: string, voter: string): Promise<boolean> {
  const status = await cgs.proposals.status(proposalId);
  return status?.ballots.some((own) => own.approverId === voter && own.ballot === "rejected") ?? false;
}

async function castBallot(
  { cgs }: UserSession,
  proposalId: string,
  voter: string,
  ballot: Ballot,
): Promise<readonly UserBallot[]> {
  const before = (await cgs.proposals.status(proposalId))?.ballots ?? [];
  const own = before.find(({ approverId }) => approverId === voter);
  if (own && own.ballot !== ballot)
    throw new ContentDiffersError("Ballot on", proposalId, [`${own.ballot} instead of ${ballot}`]);
  return own ? before : (await cgs.proposals.submitBallot(proposalId, ballot)).ballots;
}

/**
 * Gives or takes back the caller's consent to an accepted document's use; the caller must be one of its approvers.
 * @returns whether the document may be used now: every approver's consent counts.
 */
export async function setConsent(
  { cgs }: UserSession,
  consent: { contractId: string; documentId: string; option: "execution" | "telemetry"; enabled: boolean },
): Promise<"enabled" | "disabled"> {
  const { contractId, documentId, option, enabled } = consent;
  // The service tells the sum of all switches only, so the own one is set without looking; setting it twice is harmless.
  await untilSettled(() => cgs.documents.setOption(contractId, documentId, option, enabled));
  return (await cgs.documents.option(contractId, documentId, option)).status;
}

function differencesTo(known: UserDocument, wanted: DocumentToPublish): string[] {
  const fields = ["contractId", "data", "labels"] as const;
  const differences: string[] = fields.filter((field) => !sameJson(known[field], wanted[field]));
  if (!sameJson(sortedApprovers(known.approvers), sortedApprovers(wanted.approvers))) differences.push("approvers");
  return differences;
}

function sortedApprovers(approvers: readonly Approver[] = []): Approver[] {
  return [...approvers]
    .map(({ approverId, approverIdType }) => ({ approverId, approverIdType }))
    .sort((a, b) => (a.approverId < b.approverId ? -1 : a.approverId > b.approverId ? 1 : 0));
}
