/**
 * The governance actions this program proposes, as CCF and the clean room governance service (CGS) define them.
 * @see https://microsoft.github.io/CCF/release/6.x/governance/proposals.html
 */
export interface GovernanceAction {
  readonly name: string;
  readonly args?: unknown;
}

export interface MemberData {
  readonly identifier?: string;
  readonly tenantId?: string;
  readonly isOperator?: boolean;
  readonly isRecoveryOperator?: boolean;
  /** Strings, not booleans: the constitution compares with `"true"`. */
  readonly cgsRoles?: { readonly cgsOperator?: "true"; readonly contractOperator?: "true" };
  readonly [key: string]: unknown;
}

/** Claim → accepted values, for instance `{"x-ms-sevsnpvm-hostdata": ["<64 hex>"]}`. */
export type PolicyClaims = Readonly<Record<string, readonly (string | number | boolean)[]>>;
export type PolicyType = "snp-caci" | "snp-cvm" | "jwt";

/** An application as `set_js_app` takes it. */
export interface ApplicationBundle {
  readonly metadata: { readonly endpoints: Readonly<Record<string, Readonly<Record<string, unknown>>>> };
  readonly modules: readonly { readonly name: string; readonly module: string }[];
}

export interface ScriptRuntimeOptions {
  readonly max_heap_bytes: number;
  readonly max_stack_bytes: number;
  readonly max_execution_time_ms: number;
  readonly log_exception_details?: boolean;
  readonly return_exception_details?: boolean;
  readonly max_cached_interpreters?: number;
}

export interface JsonWebKeySet {
  readonly keys: readonly { readonly kty: string; readonly kid: string; readonly x5c: readonly string[] }[];
}

/** Claims an invitee's token must carry; each with the values allowed. */
export type InvitationClaims = Readonly<
  Partial<Record<"preferred_username" | "email" | "appid" | "tid" | "sub" | "upn", readonly string[]>>
>;

export interface UserIdentityArgs {
  /** Claim `oid`. */
  readonly id: string;
  readonly invitationId?: string;
  readonly tenantId: string;
  readonly identifier?: string;
}

export type CgsWideOption =
  | "autoapprove-constitution-proposal"
  | "autoapprove-jsapp-proposal"
  | "autoapprove-deploymentspec-proposal"
  | "autoapprove-deploymentinfo-proposal"
  | "autoapprove-cleanroompolicy-proposal";

const action = (name: string, args: unknown = {}): GovernanceAction => ({ name, args });

// --- the network -----------------------------------------------------------------------------------------------------

export const setMember = (member: {
  certificate: string;
  encryptionPublicKey?: string;
  memberData?: MemberData;
}): GovernanceAction =>
  action("set_member", {
    cert: member.certificate,
    ...(member.encryptionPublicKey !== undefined && { encryption_pub_key: member.encryptionPublicKey }),
    ...(member.memberData !== undefined && { member_data: member.memberData }),
  });

/** The action takes the id; the constitution's rule for operators derives it from the certificate and fails without. */
export const removeMember = (member: { memberId: string; certificate: string }): GovernanceAction =>
  action("remove_member", { member_id: member.memberId, cert: member.certificate });

/** Replaces the whole object: what is left out is gone. */
export const setMemberData = (memberId: string, memberData: MemberData): GovernanceAction =>
  action("set_member_data", { member_id: memberId, member_data: memberData });

export const setConstitution = (constitution: string): GovernanceAction => action("set_constitution", { constitution });

export const setApplication = (bundle: ApplicationBundle): GovernanceAction => action("set_js_app", { bundle });

export const setScriptRuntimeOptions = (options: ScriptRuntimeOptions): GovernanceAction =>
  action("set_js_runtime_options", options);

/** @param serviceCertificates PEM of the service identity that opens and, after a recovery, of the one before it. */
export const transitionServiceToOpen = (serviceCertificates: { next: string; previous?: string }): GovernanceAction =>
  action("transition_service_to_open", {
    next_service_identity: serviceCertificates.next,
    ...(serviceCertificates.previous !== undefined && { previous_service_identity: serviceCertificates.previous }),
  });

export const setServiceCertificateValidity = (validFrom: string, validityPeriodDays: number): GovernanceAction =>
  action("set_service_certificate_validity", { valid_from: validFrom, validity_period_days: validityPeriodDays });

// --- token issuers ---------------------------------------------------------------------------------------------------

export const setCaCertificateBundle = (name: string, certificates: string): GovernanceAction =>
  action("set_ca_cert_bundle", { name, cert_bundle: certificates });

/** With a bundle the network fetches the issuer's keys itself; without, they are set by {@link setJwtSigningKeys}. */
export const setJwtIssuer = (issuer: string, caBundleName?: string): GovernanceAction =>
  action("set_jwt_issuer", {
    issuer,
    ...(caBundleName === undefined
      ? { auto_refresh: false }
      : { ca_cert_bundle_name: caBundleName, auto_refresh: true }),
  });

export const setJwtSigningKeys = (issuer: string, jwks: JsonWebKeySet): GovernanceAction =>
  action("set_jwt_public_signing_keys", { issuer, jwks });

export const removeJwtIssuer = (issuer: string): GovernanceAction => action("remove_jwt_issuer", { issuer });

// --- contracts -------------------------------------------------------------------------------------------------------

/** @param contract the whole contract as the service returned it. */
export const setContract = (contractId: string, contract: unknown): GovernanceAction =>
  action("set_contract", { contractId, contract });

export const setDeploymentSpec = (contractId: string, data: unknown): GovernanceAction =>
  action("set_deployment_spec", { contractId, spec: { data } });

export const setDeploymentInfo = (contractId: string, data: unknown): GovernanceAction =>
  action("set_deployment_info", { contractId, info: { data } });

export const changeCleanRoomPolicy = (
  contractId: string,
  type: "add" | "remove",
  claims: PolicyClaims,
  policyType: PolicyType = "snp-caci",
): GovernanceAction => action("set_clean_room_policy", { contractId, type, policyType, claims });

export const setContractOption = (
  contractId: string,
  option: "logging" | "telemetry",
  enabled: boolean,
): GovernanceAction =>
  action(`set_contract_runtime_options_${enabled ? "enable" : "disable"}_${option}`, { contractId });

export const setCgsOption = (option: CgsWideOption, enabled: boolean): GovernanceAction =>
  action("set_cgs_runtime_options", { option, status: enabled ? "enabled" : "disabled" });

export const setMemberDocument = (documentId: string, document: unknown): GovernanceAction =>
  action("set_member_document", { documentId, document });

// --- keys of the service ---------------------------------------------------------------------------------------------

export const enableOidcIssuerAction = (kid: string): GovernanceAction => action("enable_oidc_issuer", { kid });
export const setOidcIssuerUrl = (url: string): GovernanceAction => action("set_oidc_issuer_url", { issuer_url: url });
export const rotateOidcSigningKey = (): GovernanceAction => action("oidc_issuer_enable_rotate_signing_key");
export const enableSigning = (kid: string): GovernanceAction => action("enable_signing", { kid });
export const rotateSigningKey = (): GovernanceAction => action("signing_enable_rotate_signing_key");
export const enableCa = (contractId: string): GovernanceAction => action("enable_ca", { contractId });
export const rotateCaSigningKey = (contractId: string): GovernanceAction =>
  action("ca_enable_rotate_signing_key", { contractId });

// --- people ----------------------------------------------------------------------------------------------------------

export const changeInvitation = (
  invitationId: string,
  type: "add" | "remove",
  claims: InvitationClaims,
): GovernanceAction =>
  action("set_user_invitation_by_jwt_claims", { invitationId, type, accountType: "microsoft", claims });

export const removeInvitation = (invitationId: string): GovernanceAction =>
  action("remove_user_invitation_by_jwt_claims", { invitationId });

export const setUserIdentity = (user: UserIdentityArgs): GovernanceAction =>
  action("set_user_identity", {
    id: user.id,
    accountType: "microsoft",
    ...(user.invitationId !== undefined && { invitationId: user.invitationId }),
    data: { tenantId: user.tenantId, ...(user.identifier !== undefined && { identifier: user.identifier }) },
  });

export const removeUserIdentity = (id: string): GovernanceAction => action("remove_user_identity", { id });
