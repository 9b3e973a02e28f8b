import type { JWTPayload } from "jose";
import { CcfError, ok, type CcfReply } from "../errors.ts";
import type { Transaction } from "../kv.ts";
import { finalizedInvitations, invitationClaims, invitationInfos, userIdentities, userInvitations } from "../tables.ts";
import { idOf, param, read, write, type AppContext, type AppRoute } from "./route.ts";

export const userRoutes: readonly AppRoute[] = [
  read("GET", "/users/identities", "MUJ", ({ tx }) =>
    ok({ value: tx.entries(userIdentities).map(([id, identity]) => ({ id, ...identity })) }),
  ),
  read("POST", "/users/identities/self/status", "J", () => ok({ active: true }), { registered: "always" }),
  read("POST", "/users/identities/{identityId}", "MUJ", getIdentity),
  read(
    "GET",
    "/users/invitations",
    "MUJ",
    ({ tx }) => ok({ value: tx.keys(userInvitations).map((id) => describeInvitation(tx, id)) }),
    { registered: "never" },
  ),
  read(
    "POST",
    "/users/invitations/{invitationId}",
    "MUJ",
    (context) => ok(describeInvitation(context.tx, param(context, "invitationId"))),
    {
      registered: "never",
    },
  ),
  write("POST", "/users/invitations/{invitationId}/accept", "J", accept),
];

function getIdentity(context: AppContext): CcfReply {
  const id = param(context, "identityId");
  const identity = context.tx.get(userIdentities, id);
  if (!identity)
    throw new CcfError(404, "UserIdentityNotFound", "A user identity with the specified id was not found.");
  return ok({ id, ...identity });
}

function describeInvitation(tx: Transaction, invitationId: string) {
  const invitation = tx.get(userInvitations, invitationId);
  if (!invitation) throw new CcfError(404, "InvitationNotFound", "An invitation with the specified id was not found.");
  const info = tx.get(invitationInfos, invitationId);
  const status = tx.has(finalizedInvitations, invitationId) ? "Finalized" : info ? "Accepted" : "Open";
  return {
    invitationId,
    accountType: invitation.accountType,
    claims: Object.fromEntries(tx.entries(invitationClaims(invitationId))),
    ...info,
    status,
  };
}

/** The invitee is not registered yet: the invitation's claims decide, and the first who matches takes it. */
function accept(context: AppContext): CcfReply {
  const { tx, caller } = context;
  const invitationId = param(context, "invitationId");
  const { status, claims } = describeInvitation(tx, invitationId);
  if (status !== "Open") throw new CcfError(409, "InvitationNotOpen", `The invitation is in state ${status}.`);
  const token = (caller as { payload: JWTPayload }).payload;
  if (!token["oid"]) throw new CcfError(404, "OidClaimMissing", "The token has no oid claim.");
  for (const [name, allowed] of Object.entries(claims)) {
    const value = claimValue(token, name);
    if (value === undefined) throw new CcfError(403, "TokenClaimMissing", `The token has no claim ${name}.`);
    if (!allowed.includes(value as string))
      throw new CcfError(403, "TokenClaimMismatch", `The token's claim ${name} does not match the invitation.`);
  }
  tx.put(invitationInfos, invitationId, {
    userInfo: { userId: idOf(context), data: { tenantId: String(token["tid"]) } },
  });
  return ok();
}

/** Version 1.0 tokens of Entra carry the sign-in name as `upn`. */
function claimValue(token: JWTPayload, name: string): unknown {
  const isEntraV1 = token["ver"] === "1.0" && issuerType(token.iss ?? "") === "EntraID";
  return token[name === "preferred_username" && isEntraV1 ? "upn" : name];
}

const CONSUMER_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad";

/** How CGS tells issuers apart, by their URL. */
export function issuerType(issuer: string): "MsPersonal" | "EntraID" | "GenericOpenID" {
  const login = /^https:\/\/login\.microsoftonline\.com\/([^/]+)\/v2\.0\/?$/.exec(issuer);
  if (login) return login[1] === "consumers" || login[1] === CONSUMER_TENANT ? "MsPersonal" : "EntraID";
  return /^https:\/\/sts\.windows\.net\/[^/]+\/?$/.test(issuer) ? "EntraID" : "GenericOpenID";
}
