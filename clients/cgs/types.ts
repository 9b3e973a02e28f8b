/**
 * What the clean room governance service (CGS) sends and takes.
 * @see https://github.com/Azure/azure-cleanroom (the application's `app.json` and its handlers)
 */
import type { InvitationClaims, PolicyClaims } from "../../domain/governance/actions.ts";

export type DocumentState = "Draft" | "Proposed" | "Accepted";

export interface Contract {
  readonly id: string;
  readonly state: DocumentState;
  readonly version: string;
  /** Opaque to the service, usually JSON text. */
  readonly data: unknown;
  /** Empty while a draft. */
  readonly proposalId: string;
  readonly finalVotes?: readonly { readonly memberId: string; readonly vote: boolean }[];
}

export interface OptionStatus {
  readonly status: "enabled" | "disabled";
  readonly reason?: { readonly code: string; readonly message: string };
  readonly proposalIds?: readonly string[];
}

/** `proposalIds`: open proposals that would change it. */
export interface ProposedData<T = unknown> {
  readonly proposalIds: readonly string[];
  readonly data: T;
}

export interface CleanRoomPolicy {
  readonly proposalIds: readonly string[];
  readonly policy: PolicyClaims;
}

export interface PolicyDelegate {
  readonly delegateType: string;
  readonly delegateId: string;
}

export interface AuditEvent {
  readonly scope?: string;
  readonly id: string;
  readonly seqno: number;
  /** ISO 8601. */
  readonly timestamp: string;
  readonly data: unknown;
}

export interface Approver {
  readonly approverId: string;
  readonly approverIdType: "user" | "member";
}

export type Ballot = "accepted" | "rejected";

export interface UserBallot {
  readonly approverId: string;
  readonly ballot: Ballot;
}

export interface UserDocument {
  readonly id: string;
  readonly state: DocumentState;
  readonly version: string;
  readonly contractId: string;
  readonly data: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly approvers?: readonly Approver[];
  /** Empty while a draft. */
  readonly proposalId: string;
  /** Who proposed it, which is its owner once accepted. Empty while a draft. */
  readonly proposerId: string;
  readonly finalVotes?: readonly UserBallot[];
}

export interface UserDocumentDraft {
  readonly contractId: string;
  readonly data: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly approvers?: readonly Approver[];
  /** Of the draft that is replaced; left out for the first one. */
  readonly version?: string;
}

export type UserProposalState = "Open" | "Accepted" | "Rejected" | "Withdrawn";

export interface UserProposal {
  readonly proposalId: string;
  readonly name: string;
  readonly approvers: readonly Approver[];
  readonly args: { readonly documentId: string; readonly document: UserDocument };
}

export interface UserProposalStatus {
  readonly proposerId: string;
  readonly state: UserProposalState;
  readonly ballots: readonly UserBallot[];
}

export interface MemberDocument {
  readonly id: string;
  readonly state: DocumentState;
  readonly version: string;
  readonly contractId: string;
  readonly data: unknown;
  readonly proposalId: string;
  readonly finalVotes?: readonly { readonly memberId: string; readonly vote: boolean }[];
}

export interface MemberDocumentDraft {
  readonly contractId: string;
  readonly data: unknown;
  readonly version?: string;
}

export interface UserIdentity {
  /** Claim `oid`. */
  readonly id: string;
  readonly accountType: string;
  readonly invitationId?: string;
  readonly data: { readonly tenantId: string; readonly identifier?: string };
}

export type InvitationStatus = "Open" | "Accepted" | "Finalized";

export interface Invitation {
  readonly invitationId: string;
  readonly accountType: string;
  readonly claims: InvitationClaims;
  /** Who accepted it. */
  readonly userInfo?: { readonly userId: string; readonly data: { readonly tenantId: string } };
  readonly status: InvitationStatus;
}

export interface PublicSigningKey {
  readonly kty: string;
  readonly kid: string;
  readonly alg: string;
  readonly use: string;
  readonly n: string;
  readonly e: string;
}

export interface OpenIdConfiguration {
  readonly issuer: string;
  readonly jwks_uri: string;
  readonly response_types_supported: readonly string[];
  readonly id_token_signing_alg_values_supported: readonly string[];
}

export interface OidcIssuerInfo {
  readonly enabled: boolean;
  readonly issuerUrl?: string;
  readonly tenantData?: { readonly tenantId: string; readonly issuerUrl: string };
}

export interface CertificateAuthorityStatus {
  readonly enabled: boolean;
  readonly proposalIds: readonly string[];
  /** PEM. */
  readonly caCert?: string;
  readonly publicKey?: string;
}

export interface ProposalHistoryEntry {
  readonly seqno: number;
  readonly proposalId: string;
  readonly proposalState: string;
}
