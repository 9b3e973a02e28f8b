import { conditionsHold, matchesWildcard, type RequestContext } from "./conditions.ts";
import type { Policy, Statement } from "./document.ts";

/** Who asks: an IAM user, or nobody in particular. */
export type Identity =
  | { readonly kind: "anonymous" }
  | {
      readonly kind: "user";
      readonly accountId: string;
      readonly arn: string;
      readonly name: string;
      readonly policies: readonly Policy[];
    };

export interface AccessRequest {
  readonly identity: Identity;
  /** E.g. `s3:GetObject`. */
  readonly action: string;
  readonly resource: string;
  readonly context: RequestContext;
  /** Of a resource that has a policy of its own. */
  readonly resourcePolicy?: Policy;
  /** Account that owns the resource. */
  readonly ownerAccountId: string;
}

export type Decision = "allowed" | "explicitDeny" | "implicitDeny";

/**
 * IAM's evaluation: an explicit deny anywhere wins; inside the owner's account an allow of the identity or of the resource
 * suffices, from another account both are needed.
 * Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 */
export function evaluate(request: AccessRequest): Decision {
  const { identity } = request;
  const context: RequestContext = { ...request.context, ...contextOf(identity) };
  const applies = (statement: Statement): boolean =>
    matches(statement.actions, request.action, true) &&
    matches(statement.resources, request.resource, false) &&
    conditionsHold(statement.conditions, context);
  const ofIdentity = identity.kind === "user" ? identity.policies.flat().filter(applies) : [];
  const ofResource = (request.resourcePolicy ?? []).filter(applies);
  const denied =
    ofIdentity.some(({ effect }) => effect === "Deny") ||
    ofResource.some((statement) => statement.effect === "Deny" && named(statement, identity) !== "no");
  if (denied) return "explicitDeny";

  const identityAllows = ofIdentity.some(({ effect }) => effect === "Allow");
  const grants = ofResource.filter(({ effect }) => effect === "Allow").map((statement) => named(statement, identity));
  const isOwner = identity.kind === "user" && identity.accountId === request.ownerAccountId;
  const allowed = isOwner
    ? identityAllows || grants.includes("directly")
    : grants.some((grant) => grant !== "no") && (identity.kind === "anonymous" || identityAllows);
  return allowed ? "allowed" : "implicitDeny";
}

function contextOf(identity: Identity): RequestContext {
  if (identity.kind === "anonymous") return {};
  return {
    "aws:principalarn": identity.arn,
    "aws:principalaccount": identity.accountId,
    "aws:username": identity.name,
    "aws:principaltype": "User",
  };
}

function matches(
  { negated, patterns }: { negated: boolean; patterns: readonly string[] },
  text: string,
  ignoreCase: boolean,
): boolean {
  const form = (value: string): string => (ignoreCase ? value.toLowerCase() : value);
  return patterns.some((pattern) => matchesWildcard(form(text), form(pattern))) !== negated;
}

/** Naming an account lets it decide for its users; it does not give any of them a right by itself. */
function named({ principals }: Statement, identity: Identity): "directly" | "by account" | "no" {
  if (!principals) return "directly";
  const { negated, arns } = principals;
  const isAccount = (arn: string): boolean =>
    identity.kind === "user" && (arn === identity.accountId || arn === `arn:aws:iam::${identity.accountId}:root`);
  const direct = arns.some((arn) => arn === "*" || (identity.kind === "user" && arn === identity.arn));
  const byAccount = arns.some(isAccount);
  if (negated) return direct || byAccount ? "no" : "directly";
  return direct ? "directly" : byAccount ? "by account" : "no";
}

/** Keys that tie a grant to known callers; S3 calls a policy public when it allows everybody without one of these. */
const FIXED_CALLER_KEYS = ["aws:principalaccount", "aws:principalarn", "aws:username", "aws:principalorgid"];

/** Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status */
export function isPublic(policy: Policy): boolean {
  return policy.some(({ effect, principals, conditions }) => {
    if (effect !== "Allow" || !principals) return false;
    const everybody = principals.negated || principals.arns.includes("*");
    const keys = Object.values(conditions).flatMap((byKey) => Object.keys(byKey).map((key) => key.toLowerCase()));
    return everybody && !keys.some((key) => FIXED_CALLER_KEYS.includes(key));
  });
}
