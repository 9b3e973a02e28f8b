import type { MemberSigner } from "../../clients/ccf/transport.ts";
import type { MemberSession, UserSession } from "../../clients/cgs/session.ts";
import type { Vault } from "../../clients/keyvault/vault.ts";
import type { ProviderConfig } from "./provider.ts";

/** How to reach a consortium and know it is the right one. */
export interface ConsortiumAccess {
  /** `https://host[:port]` */
  readonly endpoint: string;
  /** PEM of the service identity. */
  readonly serviceCertificate: string;
  /** Issuer of the consortium's tokens; with it a delete can tell "gone for good" from "down". */
  readonly issuerUrl?: string;
}

const queues = new Map<string, Promise<unknown>>();

/**
 * Acts as a member. Members' acts on one network run one after another: CCF forgets closed proposals whenever another
 * one closes, so that two at a time could not read their own outcome.
 */
export function asMember<T>(
  consortium: ConsortiumAccess,
  signer: MemberSigner,
  act: (session: MemberSession) => Promise<T>,
): Promise<T> {
  const before = queues.get(consortium.endpoint) ?? Promise.resolve();
  const turn = before
    .catch(() => undefined)
    .then(async () => {
      const { CcfTransport } = await import("../../clients/ccf/transport.ts");
      const { memberSession } = await import("../../clients/cgs/session.ts");
      const transport = new CcfTransport(consortium, { member: signer });
      try {
        return await act(memberSession(transport));
      } finally {
        transport.close();
      }
    });
  queues.set(consortium.endpoint, turn);
  return turn;
}

/** Acts as the user who is signed in to Azure on this machine. */
export async function asUser<T>(
  consortium: ConsortiumAccess,
  config: ProviderConfig,
  act: (session: UserSession) => Promise<T>,
): Promise<T> {
  const { CcfTransport } = await import("../../clients/ccf/transport.ts");
  const { userSession } = await import("../../clients/cgs/session.ts");
  const { userTokenSource } = await import("../../clients/azure/credential.ts");
  const transport = new CcfTransport(consortium, { token: userTokenSource(await signedIn(config)) });
  try {
    return await act(userSession(transport));
  } finally {
    transport.close();
  }
}

/** The credential of this stack's Azure sign-in: the default chain, for the tenant and client the provider is configured with. */
export async function signedIn(config: ProviderConfig): Promise<import("@azure/identity").TokenCredential> {
  const { azureCredential } = await import("../../clients/azure/credential.ts");
  const tenantId = config.get("azure-native:tenantId");
  const clientId = config.get("azure-native:clientId");
  return azureCredential({ ...(tenantId && { tenantId }), ...(clientId && { clientId }) });
}

/** A vault of this organisation. */
export async function openVault(vaultUri: string, config: ProviderConfig): Promise<Vault> {
  const { Vault } = await import("../../clients/keyvault/vault.ts");
  return new Vault(vaultUri, await signedIn(config));
}

/**
 * Takes something back from a consortium that may not exist any more. When neither the network answers nor the issuer
 * documents are published, no token of that consortium can be exchanged for access, so whatever it recorded has no
 * effect: there is nothing left to take back. A network that is merely down stays an error.
 */
export async function unlessDismantled(consortium: ConsortiumAccess, takeBack: () => Promise<void>): Promise<void> {
  const { CcfUnreachableError } = await import("../../clients/ccf/errors.ts");
  try {
    await takeBack();
  } catch (error) {
    if (!(error instanceof CcfUnreachableError) || (await issuerIsPublished(consortium.issuerUrl))) throw error;
    console.log(
      `The consortium at ${consortium.endpoint} is gone and so is its issuer: nothing is left to take back there.`,
    );
  }
}

async function issuerIsPublished(issuerUrl: string | undefined): Promise<boolean> {
  if (issuerUrl === undefined) return true;
  try {
    const response = await fetch(`${issuerUrl}/.well-known/openid-configuration`, {
      signal: AbortSignal.timeout(20_000),
    });
    return response.status !== 404;
  } catch (error) {
    return !["ENOTFOUND", "ECONNREFUSED"].includes((error as { cause?: { code?: string } }).cause?.code ?? "");
  }
}
