import * as actions from "../../../domain/governance/actions.ts";
import type { CgsWideOption, PolicyClaims, PolicyType } from "../../../domain/governance/actions.ts";
import { policyChange } from "../../../domain/governance/policy.ts";
import { sameJson } from "../../../domain/json.ts";
import { ProposalRefusedError } from "../../ccf/governance.ts";
import { ContentDiffersError } from "../errors.ts";
import type { MemberSession } from "../session.ts";
import type { Contract, DocumentState } from "../types.ts";
import { agree, type Agreement } from "./agree.ts";
import { OvertakenError, untilSettled } from "./repeat.ts";

export interface ContractState {
  readonly state: DocumentState;
  readonly proposalId: string;
  readonly version: string;
}

interface ContractContent {
  readonly contractId: string;
  /** Any JSON, usually text; agreed to as a whole. */
  readonly data: unknown;
}

/**
 * Brings a contract to `Accepted` (or `Proposed`, while other members have yet to vote): draft, proposal, own vote. A
 * contract that is there with the same data is adopted; once accepted it never changes.
 * @throws ContentDiffersError when other data was accepted, or has been proposed by another member.
 */
export function acceptContract(session: MemberSession, contract: ContractContent): Promise<ContractState> {
  return untilSettled(async () => {
    const { contractId, data } = contract;
    const known = await session.cgs.contracts.get(contractId);
    if (known?.state === "Accepted" && !sameJson(known.data, data))
      throw new ContentDiffersError("Contract", contractId, ["data"]);
    const isUnderWay =
      known?.state === "Accepted" || (known?.state === "Proposed" && (await joinProposal(session, contract, known)));
    if (!isUnderWay) await proposeContract(session, contract);
    return stateOf(session, contractId);
  });
}

/**
 * Votes for an open proposal of the same contract; an own one of another content is taken back.
 * @returns whether there is a proposal to wait for.
 */
async function joinProposal(
  { governance }: MemberSession,
  contract: ContractContent,
  known: Contract,
): Promise<boolean> {
  const proposed = await governance.proposalActions(known.proposalId);
  if (sameJson(known.data, contract.data) && proposed.length === 1) {
    await governance.support(known.proposalId, proposed);
    return true;
  }
  const proposal = await governance.proposal(known.proposalId);
  if (proposal?.proposerId !== governance.memberId)
    throw new ContentDiffersError("Contract", contract.contractId, ["what another member proposed"]);
  await governance.withdraw(known.proposalId);
  return false;
}

async function proposeContract(
  { cgs, governance }: MemberSession,
  { contractId, data }: ContractContent,
): Promise<void> {
  const draft = await cgs.contracts.get(contractId);
  if (!draft || !sameJson(draft.data, data))
    await cgs.contracts.putDraft(contractId, { data, version: draft?.version });
  const written = await cgs.contracts.get(contractId);
  // The service lets any member overwrite a draft: what is proposed must be what was meant.
  if (!written || !sameJson(written.data, data))
    throw new ContentDiffersError("Contract", contractId, ["a draft that another member wrote meanwhile"]);
  try {
    await governance.proposeAndAccept([actions.setContract(contractId, written)]);
  } catch (error) {
    // A second proposal for one contract is rejected at once: another member was faster.
    const now = await cgs.contracts.get(contractId);
    if (!(error instanceof ProposalRefusedError) || now?.state === "Draft") throw error;
    throw new OvertakenError(error.message, { cause: error });
  }
}

async function stateOf({ cgs }: MemberSession, contractId: string): Promise<ContractState> {
  const contract = await cgs.contracts.get(contractId);
  if (!contract) throw new Error(`Contract ${contractId} was written but is not there.`);
  return { state: contract.state, proposalId: contract.proposalId, version: contract.version };
}

/** Makes the deployment template of an accepted contract exactly `data`. */
export function setDeploymentTemplate(session: MemberSession, contractId: string, data: unknown): Promise<Agreement> {
  return agree(session, async () => {
    const current = await session.cgs.contracts.deploymentSpec(contractId);
    return sameJson(current.data, data) ? [] : [actions.setDeploymentSpec(contractId, data)];
  });
}

/** Makes the deployment information (for analytics: `{url}` of the clean room) of an accepted contract exactly `data`. */
export function setDeploymentInformation(
  session: MemberSession,
  contractId: string,
  data: unknown,
): Promise<Agreement> {
  return agree(session, async () => {
    const current = await session.cgs.contracts.deploymentInfo(contractId);
    return sameJson(current.data, data) ? [] : [actions.setDeploymentInfo(contractId, data)];
  });
}

/**
 * Makes the clean room policy of an accepted contract exactly `claims`: what is no longer wanted is removed in the same
 * proposal in which the new values are added, so no stale measurement stays trusted, not even for a moment.
 */
export function setCleanRoomPolicy(
  session: MemberSession,
  policy: { contractId: string; claims: PolicyClaims; policyType?: PolicyType },
): Promise<Agreement> {
  const { contractId, claims, policyType } = policy;
  return agree(session, async () => {
    const { policy: current } = await session.cgs.contracts.cleanRoomPolicy(contractId);
    const change = policyChange(current, claims);
    if (!change) return [];
    return (["remove", "add"] as const)
      .filter((type) => Object.keys(change[type]).length > 0)
      .map((type) => actions.changeCleanRoomPolicy(contractId, type, change[type], policyType));
  });
}

/** Logging or telemetry of a contract. Off is accepted at once, on needs the other members. */
export function setContractOption(
  session: MemberSession,
  contractId: string,
  option: "logging" | "telemetry",
  enabled: boolean,
): Promise<Agreement> {
  return agree(session, async () => {
    const { status } = await session.cgs.contracts.option(contractId, option);
    return (status === "enabled") === enabled ? [] : [actions.setContractOption(contractId, option, enabled)];
  });
}

/** An option of the governance service itself. */
export function setCgsOption(session: MemberSession, option: CgsWideOption, enabled: boolean): Promise<Agreement> {
  return agree(session, async () => {
    const { status } = await session.cgs.contracts.cgsOption(option);
    return (status === "enabled") === enabled ? [] : [actions.setCgsOption(option, enabled)];
  });
}

/** This member's own switch for a contract's execution; no vote is needed. */
export function setContractExecution(session: MemberSession, contractId: string, enabled: boolean): Promise<void> {
  return untilSettled(() => session.cgs.contracts.setExecution(contractId, enabled));
}
