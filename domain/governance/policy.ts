import { sameJson } from "../json.ts";
import type { PolicyClaims } from "./actions.ts";

export interface PolicyChange {
  readonly remove: PolicyClaims;
  readonly add: PolicyClaims;
}

/**
 * What has to be removed from and added to a clean room policy so that it says exactly `wanted`. A claim that differs
 * is removed whole and added again: the service only appends, and readers of the policy take a claim's first value for
 * the one in force, so order counts.
 * @returns `undefined` when nothing has to change.
 */
export function policyChange(current: PolicyClaims, wanted: PolicyClaims): PolicyChange | undefined {
  const claims = [...new Set([...Object.keys(current), ...Object.keys(wanted)])];
  const changed = claims.filter((claim) => !sameJson(current[claim] ?? [], wanted[claim] ?? []));
  if (changed.length === 0) return undefined;
  return { remove: only(current, changed), add: only(wanted, changed) };
}

function only(claims: PolicyClaims, names: readonly string[]): PolicyClaims {
  return Object.fromEntries(names.flatMap((name) => (claims[name]?.length ? [[name, claims[name]]] : [])));
}
