import * as actions from "../../../domain/governance/actions.ts";
import type { MemberSession } from "../session.ts";
import type { PublicSigningKey } from "../types.ts";
import { agree } from "./agree.ts";
import { untilSettled } from "./repeat.ts";

export interface CertificateAuthorityState {
  /** `Proposed`: other members have yet to vote. */
  readonly state: "Enabled" | "Proposed";
  readonly proposalId: string;
  /** PEM of the root; present once enabled. */
  readonly caCertificate?: string;
}

/** Gives an accepted contract its certificate authority, with a key. One that is there is adopted. */
export async function enableCertificateAuthority(
  session: MemberSession,
  contractId: string,
): Promise<CertificateAuthorityState> {
  const { ca } = session.cgs;
  const { state, proposalId } = await agree(session, async () => {
    const { enabled } = await ca.status(contractId);
    return enabled ? [] : [actions.enableCa(contractId)];
  });
  if (state === "Proposed") return { state, proposalId };
  return untilSettled(async () => {
    if (!(await ca.status(contractId)).caCert) await ca.generateSigningKey(contractId);
    return { state: "Enabled", proposalId, caCertificate: (await ca.status(contractId)).caCert };
  });
}

export interface OidcIssuerState {
  /** `Proposed`: other members have yet to vote. */
  readonly state: "Enabled" | "Proposed";
  readonly proposalId: string;
  /** Public keys tokens are signed with; empty while proposed. */
  readonly keys: readonly PublicSigningKey[];
  /** Network-wide issuer URL, when one was agreed on. */
  readonly issuerUrl?: string;
}

/**
 * Turns on the consortium's token issuer, with a key. One that is there is adopted, whatever its key id.
 * @param issuer.kid key id to propose; the same one at every attempt, so that an open proposal is found again.
 * @param issuer.issuerUrl network-wide URL to agree on; left out, it stays as it is.
 */
export async function enableOidcIssuer(
  session: MemberSession,
  issuer: { kid: string; issuerUrl?: string },
): Promise<OidcIssuerState> {
  const { oidc } = session.cgs;
  const enabled = await agree(session, async () =>
    (await oidc.info()).enabled ? [] : [actions.enableOidcIssuerAction(issuer.kid)],
  );
  if (enabled.state === "Proposed") return { state: "Proposed", proposalId: enabled.proposalId, keys: [] };

  const keys = await untilSettled(async () => {
    if ((await oidc.keys()).length === 0) await oidc.generateSigningKey();
    return oidc.keys();
  });
  const { proposalId } = issuer.issuerUrl === undefined ? enabled : await agreeOnIssuerUrl(session, issuer.issuerUrl);
  const { issuerUrl } = await oidc.info();
  return { state: "Enabled", proposalId, keys, ...(issuerUrl !== undefined && { issuerUrl }) };
}

/**
 * Replaces the token issuer's signing key: agreement first, then a new key.
 * @param current key ids in force when the rotation was decided on, so that a repetition does not rotate again.
 */
export async function rotateOidcKey(session: MemberSession, current: readonly string[]): Promise<OidcIssuerState> {
  const { oidc } = session.cgs;
  const isRotated = async (): Promise<boolean> => (await oidc.keys()).some(({ kid }) => !current.includes(kid));
  const { state, proposalId } = await agree(session, async () =>
    (await isRotated()) ? [] : [actions.rotateOidcSigningKey()],
  );
  if (state === "Proposed") return { state, proposalId, keys: await oidc.keys() };
  await untilSettled(async () => {
    if (!(await isRotated())) await oidc.generateSigningKey();
  });
  return { state: "Enabled", proposalId, keys: await oidc.keys() };
}

function agreeOnIssuerUrl(session: MemberSession, url: string): ReturnType<typeof agree> {
  return agree(session, async () =>
    (await session.cgs.oidc.info()).issuerUrl === url ? [] : [actions.setOidcIssuerUrl(url)],
  );
}
