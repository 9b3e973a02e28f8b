import { decodeClaims } from "../azure/claims.ts";
import { memberIdOf } from "../ccf/member-id.ts";
import type { CcfTransport } from "../ccf/transport.ts";
import { Contracts } from "./contracts.ts";
import { MemberDocuments, UserDocuments, UserProposals } from "./documents.ts";
import { CertificateAuthority, OidcIssuer, Signing } from "./keys.ts";
import { Events, ProposalHistory, Secrets } from "./ledger.ts";
import { Users } from "./users.ts";

/**
 * Everything the clean room governance service offers to members and users, by area. Lookups of one thing answer
 * `undefined` when it does not exist; every other refusal is a `CcfError` with the service's code.
 */
export class CgsClient {
  readonly transport: CcfTransport;
  readonly contracts: Contracts;
  readonly documents: UserDocuments;
  readonly proposals: UserProposals;
  readonly memberDocuments: MemberDocuments;
  readonly users: Users;
  readonly oidc: OidcIssuer;
  readonly signing: Signing;
  readonly ca: CertificateAuthority;
  readonly events: Events;
  readonly secrets: Secrets;
  readonly proposalHistory: ProposalHistory;

  constructor(transport: CcfTransport) {
    this.transport = transport;
    this.contracts = new Contracts(transport);
    this.documents = new UserDocuments(transport);
    this.proposals = new UserProposals(transport);
    this.memberDocuments = new MemberDocuments(transport);
    this.users = new Users(transport);
    this.oidc = new OidcIssuer(transport);
    this.signing = new Signing(transport);
    this.ca = new CertificateAuthority(transport);
    this.events = new Events(transport);
    this.secrets = new Secrets(transport);
    this.proposalHistory = new ProposalHistory(transport);
  }

  /** Whom the service takes this client for: the member's id, or the `oid` of the user's token. */
  async callerId(): Promise<string> {
    const { member, token } = this.transport.credentials;
    if (member) return memberIdOf(member.certificate);
    if (!token) throw new Error("This client has no credentials: give a member certificate and key or a token source.");
    return decodeClaims(await token()).oid;
  }
}
