import * as actions from "../../../domain/governance/actions.ts";
import type { InvitationClaims } from "../../../domain/governance/actions.ts";
import { sameJson } from "../../../domain/json.ts";
import { ContentDiffersError, InvitationMismatchError, OwnerDiffersError } from "../errors.ts";
import type { MemberSession, UserSession } from "../session.ts";
import type { Invitation, InvitationStatus, UserIdentity } from "../types.ts";
import { agree, type Agreement } from "./agree.ts";
import { untilSettled } from "./repeat.ts";

export interface InvitationState {
  /** `Proposed`: other members have yet to vote. `Open`: it waits for the invitee. */
  readonly status: "Proposed" | InvitationStatus;
  readonly proposalId: string;
}

/**
 * Invites whoever can show a token with these claims: `preferred_username` (the e-mail address) of a person, or
 * `appid` and `tid` of an application. An invitation that is there with the same claims is adopted.
 * @throws ContentDiffersError when it is there with other claims.
 */
export async function inviteUser(
  session: MemberSession,
  invitation: { invitationId: string; claims: InvitationClaims },
): Promise<InvitationState> {
  const { invitationId, claims } = invitation;
  const { proposalId } = await agree(session, async () => {
    const known = await session.cgs.users.invitation(invitationId);
    if (!known) return [actions.changeInvitation(invitationId, "add", claims)];
    if (!sameClaims(known.claims, claims)) throw new ContentDiffersError("Invitation", invitationId, ["claims"]);
    return [];
  });
  const known = await session.cgs.users.invitation(invitationId);
  return { status: known?.status ?? "Proposed", proposalId };
}

/** Takes an invitation back. It is no error when it is not there. */
export function removeInvitation(session: MemberSession, invitationId: string): Promise<Agreement> {
  return agree(session, async () => {
    const known = await session.cgs.users.invitation(invitationId);
    return known ? [actions.removeInvitation(invitationId)] : [];
  });
}

export interface AcceptedInvitation {
  /** `Finalized` once a member has finalised it. */
  readonly status: InvitationStatus;
  readonly userId: string;
  readonly tenantId: string;
}

/**
 * Accepts an invitation as the user the token is for; one this user has accepted before is adopted.
 * @throws OwnerDiffersError when somebody else has accepted it.
 * @throws CcfError `InvitationNotFound`, or `TokenClaimMismatch` when it is meant for somebody else.
 */
export function acceptInvitation({ cgs }: UserSession, invitationId: string): Promise<AcceptedInvitation> {
  return untilSettled(async () => {
    const self = await cgs.callerId();
    const known = await cgs.users.invitation(invitationId);
    if (!known || known.status === "Open") await cgs.users.acceptInvitation(invitationId);
    const accepted = await cgs.users.invitation(invitationId);
    if (!accepted?.userInfo)
      throw new Error(`Invitation ${invitationId} was accepted, but the consortium does not show by whom.`);
    if (accepted.userInfo.userId !== self)
      throw new OwnerDiffersError("Invitation", invitationId, accepted.userInfo.userId, self);
    return { status: accepted.status, userId: self, tenantId: accepted.userInfo.data.tenantId };
  });
}

export interface UserToFinalise {
  readonly invitationId: string;
  /** What was invited: the invitation must say exactly this. */
  readonly claims: InvitationClaims;
  /** What the invitee says about itself through another channel (its handoff), when known. */
  readonly userId?: string;
  readonly tenantId?: string;
}

export interface FinalisedUser {
  /** `Open`: the invitee has not accepted yet. `Proposed`: other members have yet to vote. */
  readonly status: "Open" | "Proposed" | "Finalized";
  readonly userId?: string;
  readonly tenantId?: string;
  readonly proposalId?: string;
}

/**
 * Makes a user of whoever accepted an invitation, after checking that what is finalised is what was invited: the
 * service itself compares neither. A user that is there with the same tenant and invitation is adopted.
 * @throws InvitationMismatchError when the invitation's claims, the user or the tenant are not the expected ones.
 */
export async function finaliseUser(session: MemberSession, user: UserToFinalise): Promise<FinalisedUser> {
  const { invitationId } = user;
  const invitation = await session.cgs.users.invitation(invitationId);
  if (!invitation) throw new InvitationMismatchError(invitationId, ["it does not exist"]);
  const reasons = mismatches(invitation, user);
  if (reasons.length > 0) throw new InvitationMismatchError(invitationId, reasons);
  if (!invitation.userInfo) return { status: "Open" };

  const { userId, data } = invitation.userInfo;
  const identity = { id: userId, invitationId, tenantId: data.tenantId, identifier: identifierOf(user.claims) };
  const { state, proposalId } = await agree(session, async () => {
    const known = await session.cgs.users.identity(userId);
    if (known && !isIdentity(known, identity))
      throw new ContentDiffersError("User", userId, ["tenant, invitation or identifier"]);
    return known ? [] : [actions.setUserIdentity(identity)];
  });
  return { status: state === "Accepted" ? "Finalized" : "Proposed", userId, tenantId: data.tenantId, proposalId };
}

/** Takes a user's access away. It is no error when it is not there. Votes already cast stay in the ledger. */
export function removeUser(session: MemberSession, userId: string): Promise<Agreement> {
  return agree(session, async () => {
    const known = await session.cgs.users.identity(userId);
    return known ? [actions.removeUserIdentity(userId)] : [];
  });
}

function mismatches(invitation: Invitation, expected: UserToFinalise): string[] {
  const reasons: string[] = [];
  if (!sameClaims(invitation.claims, expected.claims)) {
    reasons.push(`it invites ${JSON.stringify(invitation.claims)} instead of ${JSON.stringify(expected.claims)}`);
  }
  if (!invitation.userInfo) return reasons;
  const { userId, data } = invitation.userInfo;
  if (expected.userId !== undefined && expected.userId !== userId)
    reasons.push(`it was accepted by user ${userId}, not by ${expected.userId}`);
  const tenants = expected.tenantId !== undefined ? [expected.tenantId] : expected.claims.tid;
  if (tenants && !tenants.includes(data.tenantId))
    reasons.push(`it was accepted from tenant ${data.tenantId}, not from ${tenants.join(" or ")}`);
  return reasons;
}

function isIdentity(known: UserIdentity, wanted: actions.UserIdentityArgs): boolean {
  return (
    known.invitationId === wanted.invitationId &&
    known.data.tenantId === wanted.tenantId &&
    (known.data.identifier === undefined || known.data.identifier === wanted.identifier)
  );
}

/** The name the user goes by, when the invitation leaves no choice. */
function identifierOf(claims: InvitationClaims): string | undefined {
  const names = claims.preferred_username ?? claims.upn ?? claims.appid ?? [];
  return names.length === 1 ? names[0] : undefined;
}

/** Order of values does not matter. */
function sameClaims(a: InvitationClaims, b: InvitationClaims): boolean {
  return sameJson(sorted(a), sorted(b));
}

function sorted(claims: InvitationClaims): Record<string, string[]> {
  return Object.fromEntries(Object.entries(claims).map(([name, values]) => [name, [...values].sort()]));
}
