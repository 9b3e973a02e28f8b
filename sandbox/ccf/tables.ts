import { table } from "./kv.ts";

/** Tables of CCF itself (names of microsoft/CCF) and of CGS (names of azure-cleanroom), with what a row holds. */

export interface MemberInfo {
  status: "Accepted" | "Active";
  member_data: Record<string, unknown> | null;
  recovery_role: "NonParticipant" | "Participant" | "Owner";
}
export interface ServiceInfo {
  status: "Opening" | "Open" | "WaitingForRecoveryShares" | "Recovering";
  certificate: string;
  previousCertificate?: string;
  recoveryCount: number;
  creationTransactionId: string;
  serviceData: unknown;
  recoveryThreshold: number;
}
export type ProposalState = "Open" | "Accepted" | "Rejected" | "Withdrawn" | "Failed" | "Dropped";
export interface ProposalInfo {
  proposer_id: string;
  state: ProposalState;
  /** Member id to ballot source. */
  ballots: Record<string, string>;
  final_votes?: Record<string, boolean>;
  vote_failures?: Record<string, { reason: string; trace: string }>;
}
export interface Action {
  name: string;
  args: Record<string, unknown>;
}
export interface JwtKey {
  issuer: string;
  jwk: JsonWebKey;
  constraint?: string;
}
export interface JwtIssuer {
  auto_refresh: boolean;
  ca_cert_bundle_name?: string;
}

export const memberCertificates = table<string>("public:ccf.gov.members.certs");
export const memberInfos = table<MemberInfo>("public:ccf.gov.members.info");
export const memberEncryptionKeys = table<string>("public:ccf.gov.members.encryption_public_keys");
export const memberAcks = table<{ stateDigest: string }>("public:ccf.gov.members.acks");
export const userCertificates = table<string>("public:ccf.gov.users.certs");
export const userInfos = table<{ user_data: Record<string, unknown> | null }>("public:ccf.gov.users.info");
export const service = table<ServiceInfo>("public:ccf.gov.service.info");
export const constitution = table<string>("public:ccf.gov.constitution");
export const proposals = table<{ actions: Action[] }>("public:ccf.gov.proposals");
export const proposalInfos = table<ProposalInfo>("public:ccf.gov.proposals_info");
export const recentProposals = table<string>("public:ccf.gov.cose_recent_proposals");
/** Last signed request of each member, base64. */
export const coseHistory = table<string>("public:ccf.gov.cose_history");
export const caBundles = table<string>("public:ccf.gov.tls.ca_cert_bundles");
export const jwtIssuers = table<JwtIssuer>("public:ccf.gov.jwt.issuers");
export const jwtKeys = table<JwtKey[]>("public:ccf.gov.jwt.public_signing_keys_metadata");
export const jsRuntimeOptions = table<Record<string, unknown>>("public:ccf.gov.js_runtime_options");
export const jsBundle = table<{ metadata: { endpoints: object }; modules: { name: string; module: string }[] }>(
  "public:ccf.gov.js_bundle",
);
export const nodes = table<{
  status: "Trusted" | "Pending" | "Retired";
  certificate: string;
  node_data: unknown;
  rpc: string;
}>("public:ccf.gov.nodes.info");
export const joinPolicy = table<unknown>("public:ccf.gov.nodes.join_policy");
export const recoveryShares = table<{ wrappedLedgerSecret: string; threshold: number; shares: Record<string, string> }>(
  "public:ccf.internal.recovery_shares",
);

export interface CgsFinalVote {
  memberId: string;
  vote: boolean;
}
export const contracts = table<{ data: unknown }>("public:contracts");
export const acceptedContracts = table<{ data: unknown; proposalId: string; finalVotes: CgsFinalVote[] }>(
  "public:ccf.gov.accepted_contracts",
);
export type Status = "enabled" | "disabled";
export const executionStatus = table<{ serializedMemberToStatusMap: string }>("public:contracts_execution_status");
export const loggingStatus = table<{ status: Status }>("public:ccf.gov.contracts_logging_status");
export const telemetryStatus = table<{ status: Status }>("public:ccf.gov.contracts_telemetry_status");
export const cgsRuntimeOptions = table<{ status: Status }>("public:ccf.gov.cgs_runtime_options");

export interface MemberDocument {
  contractId: string;
  data: unknown;
}
export const memberDocuments = table<MemberDocument>("public:documents");
export const acceptedMemberDocuments = table<MemberDocument & { proposalId: string; finalVotes: CgsFinalVote[] }>(
  "public:ccf.gov.accepted_member_documents",
);
export interface Approver {
  approverId: string;
  approverIdType: string;
}
export interface UserDocument {
  contractId: string;
  data: unknown;
  labels?: Record<string, string>;
  approvers?: Approver[];
}
export interface UserBallot {
  approverId: string;
  ballot: "accepted" | "rejected";
}
export const userDocuments = table<UserDocument>("public:user_documents");
export const acceptedUserDocuments = table<
  UserDocument & { proposalId: string; proposerId: string; finalVotes: UserBallot[] }
>("public:accepted_user_documents");
export interface UserProposal {
  name: string;
  approvers: Approver[];
  args: { documentId: string; document: UserDocument & { version?: string } };
}
export interface UserProposalInfo {
  proposerId: string;
  state: "Open" | "Accepted" | "Rejected" | "Withdrawn";
  ballots: UserBallot[];
}
export const userProposals = table<{ actions: UserProposal[] }>("public:user_proposals");
export const userProposalInfos = table<UserProposalInfo>("public:user_proposals_info");
export const userDocumentOptions = table<{ serializedApproverToStatusMap: string }>(
  "public:user_documents_runtime_option_status",
);

export interface UserIdentity {
  accountType: string;
  invitationId?: string;
  data: { tenantId: string; identifier?: string };
}
export const userIdentities = table<UserIdentity>("public:ccf.gov.user_identities");
export const userInvitations = table<{ accountType: string }>("public:ccf.gov.user_invitations");
export const invitationClaims = (invitationId: string) =>
  table<string[]>(`public:ccf.gov.user_invitations-${invitationId}`);
export const invitationInfos = table<{ userInfo: { userId: string; data: { tenantId: string } } }>(
  "public:user_invitations_info",
);
export const finalizedInvitations = table<{ userId: string }>("public:ccf.gov.accepted_user_invitations");

export const deploymentSpecs = table<{ data: object }>("public:ccf.gov.deployment_specs");
export const deploymentInfos = table<{ data: object }>("public:ccf.gov.deployment_info");
export const contractPolicy = (contractId: string) =>
  table<unknown[]>(`public:ccf.gov.policies.cleanroom-${contractId}`);
/** Keys are `<delegateType>_<delegateId>`. */
export const delegateList = (contractId: string) =>
  table<{ delegateType: string; delegateId: string }>(`public:policies.cleanroom-delegates-list-${contractId}`);
export const delegatePolicy = (contractId: string, delegateType: string, delegateId: string) =>
  table<unknown[]>(`public:policies.cleanroom-delegates-${contractId}_${delegateType}_${delegateId}`);
export const events = (contractId: string, scope: string | undefined) =>
  table<{ timestamp: string; data: unknown }>(`public:events-${contractId}${scope ? `-${scope}` : ""}`);
export const secrets = (contractId: string) => table<{ value: string }>(`secrets-${contractId}`);

export interface SigningKey {
  reqId: string;
  kid: string;
  privateKeyPem: string;
  publicKeyPem: string;
}
export interface KeySwitch {
  kid: string;
  reqId: string;
  issuerUrl?: string;
}
/** The single row of a table that holds one setting. */
export const SETTING = "settings";
export const oidcIssuer = table<KeySwitch>("public:ccf.gov.oidc_issuer");
export const oidcKeys = table<SigningKey>("oidc_issuer.signing_keys");
export const memberTenantIssuers = table<{ issuerUrl: string }>("public:oidc_issuer.tenantid_issuer_url");
export const userTenantIssuers = table<{ issuerUrl: string }>("public:oidc_issuer.user_tenantid_issuer_url");
export const signing = table<KeySwitch>("public:ccf.gov.signing");
export const signingKeys = table<SigningKey>("signing.signing_keys");
export const ca = table<{ requestId: string }>("public:ccf.gov.ca");
export const caKeys = table<{ requestId: string; privateKeyPem: string; publicKeyPem: string; caCert: string }>(
  "ca.signing_keys",
);
