import type { Principal, TokenService } from "../contracts.ts";
import { guidOf } from "./guids.ts";

/** The one subscription a seeded user owns: a GUID that depends on nothing but the user's object id. */
export function subscriptionOf(user: Pick<Principal, "objectId">): string {
  return guidOf(`subscription of ${user.objectId.toLowerCase()}`);
}

/** Who owns a subscription; undefined when there is no such subscription. */
export function ownerOf(subscriptionId: string, tokens: Pick<TokenService, "users">): Principal | undefined {
  return tokens.users.find((user) => subscriptionOf(user) === subscriptionId.toLowerCase());
}
