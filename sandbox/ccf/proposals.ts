import { actionsOf, applyActions, validateActions } from "./actions.ts";
import { cgsConstitution, constitutionDigest, sha256 } from "./artifacts.ts";
import { evaluateBallot } from "./ballots.ts";
import type { CoseSign1 } from "./cose.ts";
import { CcfError } from "./errors.ts";
import type { Transaction } from "./kv.ts";
import { members } from "./members.ts";
import type { CcfNetwork } from "./network.ts";
import { resolveBase, resolveCgs, type Resolution } from "./resolve.ts";
import {
  acceptedContracts,
  acceptedMemberDocuments,
  cgsRuntimeOptions,
  constitution,
  proposalInfos,
  proposals,
  recentProposals,
  SETTING,
  type Action,
  type ProposalInfo,
} from "./tables.ts";

const MAX_CREATED_AT = 9_999_999_999;
/** How many recent proposals are remembered against replay. */
const RECENT_PROPOSALS = 100;

/** @returns id of the new proposal. */
export function createProposal(tx: Transaction, network: CcfNetwork, message: CoseSign1): string {
  const { actions } = parsePayload<{ actions: Action[] }>(message.payload);
  if (!Array.isArray(actions)) throw new CcfError(400, "ProposalFailedToValidate", "Proposal has no list of actions");
  requireFresh(tx, message);
  const reasons = validateActions(actions, actionsOf(isCgs(tx)), tx);
  if (reasons.length > 0) throw new CcfError(400, "ProposalFailedToValidate", reasons.join("\n"));

  const id = sha256(
    Buffer.concat([Buffer.from(network.ledgerRoot, "hex"), Buffer.from(sha256(message.signature), "hex")]),
  );
  tx.put(proposals, id, { actions });
  tx.put(proposalInfos, id, { proposer_id: message.kid, state: "Open", ballots: {} });
  resolveProposal(tx, network, id);
  return id;
}

export function submitBallot(tx: Transaction, network: CcfNetwork, id: string, message: CoseSign1): void {
  const info = requireProposal(tx, id);
  const { ballot } = parsePayload<{ ballot: unknown }>(message.payload);
  if (typeof ballot !== "string")
    throw new CcfError(
      400,
      "InvalidInput",
      'Signed request body is not a JSON object containing required string field "ballot"',
    );
  const existing = info.ballots[message.kid];
  if (existing !== undefined) {
    if (existing === ballot) return;
    throw new CcfError(400, "VoteAlreadyExists", "Different ballot already submitted.");
  }
  if (info.state !== "Open")
    throw new CcfError(
      400,
      "ProposalNotOpen",
      `Proposal ${id} is currently in state ${info.state} - only Open proposals can receive votes.`,
    );
  tx.put(proposalInfos, id, { ...info, ballots: { ...info.ballots, [message.kid]: ballot } });
  resolveProposal(tx, network, id);
}

export function withdrawProposal(tx: Transaction, id: string, memberId: string): void {
  const info = requireProposal(tx, id);
  if (info.proposer_id !== memberId) {
    throw new CcfError(
      403,
      "AuthorizationFailed",
      `Proposal ${id} can only be withdrawn by proposer ${info.proposer_id}, not caller ${memberId}.`,
    );
  }
  if (info.state !== "Open")
    throw new CcfError(
      400,
      "ProposalNotOpen",
      `Proposal ${id} is currently in state ${info.state} and cannot be withdrawn.`,
    );
  removeOtherClosedProposals(tx, id);
  tx.put(proposalInfos, id, { ...info, state: "Withdrawn" });
}

export function requireProposal(tx: Transaction, id: string): ProposalInfo {
  const info = tx.get(proposalInfos, id);
  if (!info) throw new CcfError(404, "ProposalNotFound", `Could not find proposal ${id}.`);
  return info;
}

/** The proposal object of the versioned governance API. */
export function describeProposal(tx: Transaction, id: string): object {
  const info = requireProposal(tx, id);
  return {
    proposalId: id,
    proposerId: info.proposer_id,
    proposalState: info.state,
    ballotCount: Object.keys(info.ballots).length,
    ...(info.final_votes && { finalVotes: info.final_votes }),
    ...(info.vote_failures && { voteFailures: info.vote_failures }),
  };
}

/** Ids of open proposals with an action that the predicate picks. */
export function openProposalsWith(
  tx: Transaction,
  pick: (action: Action) => boolean,
): { id: string; action: Action }[] {
  return tx
    .entries(proposalInfos)
    .filter(([, info]) => info.state === "Open")
    .flatMap(([id]) => (tx.get(proposals, id)?.actions ?? []).filter(pick).map((action) => ({ id, action })));
}

export const isCgs = (tx: Transaction): boolean =>
  constitutionDigest(tx.get(constitution, SETTING) ?? "") === constitutionDigest(cgsConstitution());

/** Evaluates the ballots, decides, and carries the decision out; when that fails the whole transaction is dropped. */
function resolveProposal(tx: Transaction, network: CcfNetwork, id: string): void {
  const info = requireProposal(tx, id);
  const actions = tx.get(proposals, id)?.actions ?? [];
  const { votes, failures } = evaluateBallots(info, JSON.stringify({ actions }));
  const cgs = isCgs(tx);
  const state = decide(tx, id, info, actions, votes, cgs);
  if (state === "Open") return;
  removeOtherClosedProposals(tx, id);
  tx.put(proposalInfos, id, {
    ...info,
    state,
    final_votes: votes,
    ...(Object.keys(failures).length > 0 && { vote_failures: failures }),
  });
  if (state !== "Accepted") return;
  try {
    applyActions(actions, actionsOf(cgs), { tx, network, proposalId: id, finalVotes: votes });
  } catch (error) {
    throw new CcfError(500, "InternalError", `Failed to apply(): ${(error as Error).message}`);
  }
}

function decide(
  tx: Transaction,
  id: string,
  info: ProposalInfo,
  actions: readonly Action[],
  votes: Readonly<Record<string, boolean>>,
  cgs: boolean,
): Resolution {
  try {
    return (cgs ? resolveCgs : resolveBase)({
      actions,
      proposerId: info.proposer_id,
      votes: Object.entries(votes).map(([memberId, vote]) => ({ memberId, vote })),
      members: new Map(members(tx)),
      otherOpenActions: openProposalsWith(tx, () => true)
        .filter((other) => other.id !== id)
        .map(({ action }) => action),
      isContractAccepted: (contractId) => tx.has(acceptedContracts, contractId),
      isMemberDocumentAccepted: (documentId) => tx.has(acceptedMemberDocuments, documentId),
      isOptionEnabled: (option) => tx.get(cgsRuntimeOptions, option)?.status === "enabled",
    });
  } catch (error) {
    throw new CcfError(500, "InternalError", `Failed to resolve(): ${(error as Error).message}`);
  }
}

function evaluateBallots(info: ProposalInfo, proposal: string) {
  const votes: Record<string, boolean> = {};
  const failures: Record<string, { reason: string; trace: string }> = {};
  for (const [memberId, ballot] of Object.entries(info.ballots)) {
    try {
      votes[memberId] = evaluateBallot(ballot, proposal, info.proposer_id);
    } catch (error) {
      failures[memberId] = { reason: String((error as Error).message), trace: "" };
    }
  }
  return { votes, failures };
}

/** CCF keeps, besides the open proposals, only the one that was closed last. */
function removeOtherClosedProposals(tx: Transaction, id: string): void {
  for (const [other, info] of tx.entries(proposalInfos)) {
    if (other === id || info.state === "Open") continue;
    tx.remove(proposalInfos, other);
    tx.remove(proposals, other);
  }
}

/** CCF's replay protection: no request twice, and none older than the median of the recent ones. */
function requireFresh(tx: Transaction, message: CoseSign1): void {
  if (message.createdAt > MAX_CREATED_AT)
    throw new CcfError(400, "InvalidCreatedAt", "Header parameter created_at value is too large");
  const created = String(message.createdAt).padStart(10, "0");
  const key = `${created}:${sha256(Buffer.concat([message.protectedHeader, message.payload, message.signature]))}`;
  const recent = tx.keys(recentProposals).sort();
  if (recent.includes(key))
    throw new CcfError(400, "ProposalReplay", "Proposal submission replay, already exists in recent submissions.");
  const median = recent[Math.floor(recent.length / 2)]?.split(":")[0];
  if (median !== undefined && created < median) {
    throw new CcfError(
      400,
      "ProposalCreatedTooLongAgo",
      `Proposal created too long ago, created_at must be greater than ${median}`,
    );
  }
  tx.put(recentProposals, key, "");
  for (const old of [...recent, key].sort().slice(0, -RECENT_PROPOSALS)) tx.remove(recentProposals, old);
}

function parsePayload<T extends object>(payload: Buffer): T {
  try {
    const value: unknown = JSON.parse(payload.toString("utf8"));
    if (typeof value === "object" && value !== null) return value as T;
  } catch {
    // Reported below, together with payloads that are JSON but no object.
  }
  throw new CcfError(400, "InvalidInput", "Signed request body is not a JSON object");
}
