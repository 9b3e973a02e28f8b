import type { GovernanceAction } from "../../../domain/governance/actions.ts";
import { actionsDigest, actionTarget } from "../../../domain/governance/proposals.ts";
import { unlessCode } from "../../ccf/errors.ts";
import type { MemberSession } from "../session.ts";
import { untilSettled } from "./repeat.ts";

/** What members have agreed on, or are being asked to. */
export interface Agreement {
  /** `Proposed`: other members have yet to vote. */
  readonly state: "Accepted" | "Proposed";
  /** Empty when it had been agreed before: the network forgets resolved proposals. */
  readonly proposalId: string;
}

/**
 * Has members agree on what is not agreed yet, and takes back own open proposals that would set the same thing to
 * something else.
 * @param outstanding reads the state and names the actions still needed; none when it is as wanted.
 */
export function agree(
  session: MemberSession,
  outstanding: () => Promise<readonly GovernanceAction[]>,
): Promise<Agreement> {
  return untilSettled(async () => {
    const actions = await outstanding();
    if (actions.length === 0) return { state: "Accepted", proposalId: "" };
    await withdrawSuperseded(session, actions);
    const { proposalId, state } = await session.governance.proposeAndAccept(actions);
    return { proposalId, state: state === "Open" ? "Proposed" : "Accepted" };
  });
}

async function withdrawSuperseded({ governance }: MemberSession, wanted: readonly GovernanceAction[]): Promise<void> {
  const targets = new Set(wanted.map(actionTarget));
  const digest = actionsDigest(wanted);
  const own = (await governance.openProposals()).filter((proposal) => proposal.proposerId === governance.memberId);
  for (const { proposalId } of own) {
    const actions = await unlessCode(governance.proposalActions(proposalId), "ProposalNotFound");
    const isSuperseded =
      actions?.every((action) => targets.has(actionTarget(action))) && actionsDigest(actions) !== digest;
    if (isSuperseded) await governance.withdraw(proposalId);
  }
}
