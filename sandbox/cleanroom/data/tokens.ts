import { setTimeout as delay } from "node:timers/promises";
import { json, send } from "../http.ts";
import type { FederatedIdentity } from "../documents.ts";
import type { Governance } from "../governance.ts";

const EXCHANGE_AUDIENCE = "api://AzureADTokenExchange";
const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/** A federated credential takes a moment to be known everywhere. The original waits 5 to 10 seconds, 7 times. */
const NOT_YET_KNOWN = /AADSTS(700213|70025)\b/;
const ATTEMPTS = 4;
const RETRY_DELAY_MS = 250;

export interface TokenEnvironment {
  /** Entra, `https://host[:port]`. */
  readonly authority: string;
  /** PEM of the roots trusted for it. */
  readonly ca: string;
}

/**
 * Access token of a dataset's identity: a token of the contract's issuer about `<contract>-<owner>` is exchanged for it
 * (workload identity federation).
 * @param scope e.g. `https://storage.azure.com/.default`.
 * @throws with Entra's own explanation.
 */
export async function federatedToken(
  environment: TokenEnvironment,
  governance: Governance,
  ownerId: string,
  identity: FederatedIdentity,
  scope: string,
): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const assertion = await governance.token({
      sub: `${governance.contractId}-${ownerId}`,
      tid: identity.tenantId,
      aud: EXCHANGE_AUDIENCE,
      iss: identity.tokenIssuer.issuer.url,
    });
    const response = await send(`${environment.authority}/${encodeURIComponent(identity.tenantId)}/oauth2/v2.0/token`, {
      method: "POST",
      ca: environment.ca,
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({
        grant_type: "client_credentials",
        client_id: identity.clientId,
        scope,
        client_assertion_type: ASSERTION_TYPE,
        client_assertion: assertion,
      }).toString(),
    });
    const answer = json(response) as { access_token?: string; error_description?: string };
    if (answer.access_token) return answer.access_token;
    const reason = answer.error_description ?? `Entra answered ${response.status}.`;
    if (attempt === ATTEMPTS || !NOT_YET_KNOWN.test(reason))
      throw new Error(`No token for identity ${identity.clientId}: ${reason}`);
    await delay(RETRY_DELAY_MS * attempt);
  }
}
