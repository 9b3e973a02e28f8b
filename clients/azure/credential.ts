import type { AccessToken, GetTokenOptions, TokenCredential } from "@azure/identity";
import type { TokenSource } from "../ccf/transport.ts";

export { decodeClaims, type TokenClaims } from "./claims.ts";

export interface AzureIdentity {
  readonly tenantId?: string;
  /** Of the workload or managed identity to sign in as, when there is one. */
  readonly clientId?: string;
}

/** What the governance service and the clean room accept as the token of a person. */
const USER_SCOPE = "https://management.azure.com/.default";

/** Authorities whose metadata Microsoft publishes: the public cloud and the sovereign ones. */
const MICROSOFT_AUTHORITIES = new Set([
  "login.microsoftonline.com",
  "login.microsoft.com",
  "login.windows.net",
  "sts.windows.net",
  "login.microsoftonline.us",
  "login.usgovcloudapi.net",
  "login.partner.microsoftonline.cn",
  "login.chinacloudapi.cn",
]);

/**
 * Whoever this machine is signed in as: environment, workload identity, managed identity, Azure CLI … in the order of
 * `DefaultAzureCredential`. The library is loaded when the first token is asked for.
 */
export function azureCredential(identity: AzureIdentity = {}): TokenCredential {
  let credential: Promise<TokenCredential> | undefined;
  return {
    async getToken(scopes: string | string[], options?: GetTokenOptions): Promise<AccessToken | null> {
      credential ??= loadCredential(identity);
      return (await credential).getToken(scopes, options);
    },
  };
}

/** A valid token for the governance service and the clean room, renewed by the credential when it is about to expire. */
export function userTokenSource(credential: TokenCredential): TokenSource {
  return async () => {
    const token = await credential.getToken(USER_SCOPE);
    if (!token)
      throw new Error(
        "No access token for this user: sign in (for instance `az login`) and run the same command again.",
      );
    return token.token;
  };
}

/**
 * A private cloud's authority is unknown to Microsoft's instance discovery, so it has to be skipped there; for
 * Microsoft's own it stays on, because it is what exposes a forged authority.
 * @see https://learn.microsoft.com/azure/developer/javascript/sdk/authentication/ (disableInstanceDiscovery)
 */
export function isPrivateAuthority(authorityHost: string | undefined): boolean {
  if (!authorityHost) return false;
  const url = authorityHost.includes("://") ? authorityHost : `https://${authorityHost}`;
  if (!URL.canParse(url)) throw new Error(`AZURE_AUTHORITY_HOST must be an https URL, got "${authorityHost}".`);
  return !MICROSOFT_AUTHORITIES.has(new URL(url).hostname);
}

async function loadCredential({ tenantId, clientId }: AzureIdentity): Promise<TokenCredential> {
  const { DefaultAzureCredential } = await import("@azure/identity");
  return new DefaultAzureCredential({
    tenantId,
    workloadIdentityClientId: clientId,
    managedIdentityClientId: clientId,
    disableInstanceDiscovery: isPrivateAuthority(process.env.AZURE_AUTHORITY_HOST),
  });
}
