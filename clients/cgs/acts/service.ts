import * as actions from "../../../domain/governance/actions.ts";
import type {
  ApplicationBundle,
  JsonWebKeySet,
  MemberData,
  ScriptRuntimeOptions,
} from "../../../domain/governance/actions.ts";
import { applicationDigest, constitutionDigest, isInstalled } from "../../../domain/governance/digests.ts";
import { sameJson } from "../../../domain/json.ts";
import { memberIdOf } from "../../ccf/member-id.ts";
import type { MemberSession } from "../session.ts";
import { agree, type Agreement } from "./agree.ts";

/** Limits the governance service is known to run well with. */
export const DEFAULT_RUNTIME_OPTIONS: ScriptRuntimeOptions = {
  max_heap_bytes: 100 * 1024 * 1024,
  max_stack_bytes: 1024 * 1024,
  max_execution_time_ms: 1000,
  log_exception_details: true,
  return_exception_details: true,
};

export interface ServiceToInstall {
  readonly constitution: string;
  readonly application: ApplicationBundle;
  readonly runtimeOptions?: ScriptRuntimeOptions;
  /** The network does not tell its runtime options: say when they have to be set although the application stays. */
  readonly runtimeOptionsChanged?: boolean;
}

export interface ServiceState {
  readonly state: "Accepted" | "Proposed";
  /** The step that waits for other members. */
  readonly waitingFor?: "constitution" | "application";
  readonly proposalId: string;
  /** Of what is installed now: `sha256:<hex>`. */
  readonly constitutionDigest: string;
  readonly applicationDigest: string;
}

/** Installs the governance service on a CCF network: constitution, then runtime options and application in one go. */
export async function installService(session: MemberSession, service: ServiceToInstall): Promise<ServiceState> {
  const { governance } = session;
  const constitution = await agree(session, async () => {
    const installed = await governance.constitution();
    return installed === service.constitution ? [] : [actions.setConstitution(service.constitution)];
  });
  if (constitution.state === "Proposed") return serviceState(session, constitution, "constitution");

  const application = await agree(session, async () => {
    const isThere = isInstalled(service.application, await governance.javascriptApp());
    if (isThere && !service.runtimeOptionsChanged) return [];
    const options = actions.setScriptRuntimeOptions(service.runtimeOptions ?? DEFAULT_RUNTIME_OPTIONS);
    return isThere ? [options] : [options, actions.setApplication(service.application)];
  });
  return serviceState(session, application, application.state === "Proposed" ? "application" : undefined);
}

async function serviceState(
  { governance }: MemberSession,
  agreement: Agreement,
  waitingFor?: ServiceState["waitingFor"],
): Promise<ServiceState> {
  const [constitution, application] = [await governance.constitution(), await governance.javascriptApp()];
  return {
    ...agreement,
    ...(waitingFor && { waitingFor }),
    constitutionDigest: constitutionDigest(constitution),
    applicationDigest: applicationDigest(application),
  };
}

export interface IssuerToRegister {
  readonly issuer: string;
  /** PEM roots that the issuer's web server chains to: the network fetches (and refreshes) its keys itself. */
  readonly caCertificates?: string;
  /** Name of the bundle these roots are kept under; several issuers may share one. Default `trusted_root_cas`. */
  readonly caBundleName?: string;
  /** Instead of `caCertificates`: fixed keys. Each needs `x5c`. */
  readonly keys?: JsonWebKeySet;
}

/**
 * Lets tokens of an issuer in. The network does not list issuers, so this proposes every time it is called; proposing
 * the same again changes nothing.
 */
export function registerJwtIssuer(session: MemberSession, registration: IssuerToRegister): Promise<Agreement> {
  const { issuer, caCertificates, caBundleName = "trusted_root_cas", keys } = registration;
  if ((caCertificates === undefined) === (keys === undefined)) {
    throw new Error(
      `Issuer ${issuer}: give either caCertificates (the network fetches its keys) or keys (fixed ones).`,
    );
  }
  return agree(session, async () =>
    keys
      ? [actions.setJwtIssuer(issuer), actions.setJwtSigningKeys(issuer, keys)]
      : [actions.setCaCertificateBundle(caBundleName, caCertificates!), actions.setJwtIssuer(issuer, caBundleName)],
  );
}

/** Stops letting an issuer's tokens in. */
export function removeJwtIssuer(session: MemberSession, issuer: string): Promise<Agreement> {
  return agree(session, async () => [actions.removeJwtIssuer(issuer)]);
}

/** Makes somebody a member, or changes a member's data. The new member still has to activate itself. */
export function putMember(
  session: MemberSession,
  member: { certificate: string; encryptionPublicKey?: string; memberData?: MemberData },
): Promise<Agreement> {
  const memberId = memberIdOf(member.certificate);
  return agree(session, async () => {
    const known = (await session.governance.members()).find((other) => other.memberId === memberId);
    if (!known) return [actions.setMember(member)];
    const isSame = sameJson(known.memberData ?? {}, member.memberData ?? {});
    return isSame ? [] : [actions.setMemberData(memberId, member.memberData ?? {})];
  });
}

/** It is no error when the member is not there. */
export function removeMember(session: MemberSession, memberId: string): Promise<Agreement> {
  return agree(session, async () => {
    const known = (await session.governance.members()).find((member) => member.memberId === memberId);
    return known ? [actions.removeMember(known)] : [];
  });
}
