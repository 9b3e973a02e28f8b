import { unlessCode } from "../ccf/errors.ts";
import type { CcfTransport } from "../ccf/transport.ts";
import { contractPath } from "./contracts.ts";
import type {
  Approver,
  Ballot,
  MemberDocument,
  MemberDocumentDraft,
  OptionStatus,
  UserDocument,
  UserDocumentDraft,
  UserProposal,
  UserProposalStatus,
} from "./types.ts";

/**
 * User documents: datasets and queries. Ids are global. The service checks neither who overwrites a draft nor that a
 * proposal carries the draft's content; see `acts/documents.ts` for publishing safely.
 */
export class UserDocuments {
  private readonly transport: CcfTransport;

  constructor(transport: CcfTransport) {
    this.transport = transport;
  }

  async get(documentId: string): Promise<UserDocument | undefined> {
    const response = unlessCode(this.transport.get<UserDocument>(documentPath(documentId)), "UserDocumentNotFound");
    return (await response)?.body;
  }

  /** @param labels all must match; values must not hold `:`, `,`, `=` or `&`. */
  async list(
    labels: Readonly<Record<string, string>> = {},
  ): Promise<{ id: string; labels?: Record<string, string> }[]> {
    const selector = Object.entries(labels).map(([name, value]) => `${name}:${value}`);
    if (selector.some((pair) => /[,=&]|:.*:/.test(pair)))
      throw new Error(`Labels to select by must not hold ":", ",", "=" or "&": ${selector.join(" ")}`);
    const query = selector.length > 0 ? `?labelSelector=${encodeURIComponent(selector.join(","))}` : "";
    const { body } = await this.transport.get<{ value: { id: string; labels?: Record<string, string> }[] }>(
      `/app/userdocuments${query}`,
    );
    return body.value;
  }

  async putDraft(documentId: string, draft: UserDocumentDraft): Promise<void> {
    await this.transport.put(documentPath(documentId), draft);
  }

  /** On while no approver has switched it off. */
  async option(contractId: string, documentId: string, option: "execution" | "telemetry"): Promise<OptionStatus> {
    return (await this.transport.read<OptionStatus>(`${optionPath(contractId, documentId, option)}/status`)).body;
  }

  /** Sets the caller's own switch; the document must be accepted and the caller one of its approvers. */
  async setOption(
    contractId: string,
    documentId: string,
    option: "execution" | "telemetry",
    enabled: boolean,
  ): Promise<void> {
    await this.transport.post(`${optionPath(contractId, documentId, option)}/${enabled ? "enable" : "disable"}`);
  }
}

/** How user documents get approved. */
export class UserProposals {
  private readonly transport: CcfTransport;

  constructor(transport: CcfTransport) {
    this.transport = transport;
  }

  /** @param proposalId chosen by the caller: 32 hex digits. @param document the whole document as it was read. */
  async propose(
    proposalId: string,
    documentId: string,
    document: UserDocument,
    approvers: readonly Approver[],
  ): Promise<void> {
    await this.transport.put(proposalPath(proposalId), {
      name: "set_user_document",
      approvers,
      args: { documentId, document },
    });
  }

  async get(proposalId: string): Promise<UserProposal | undefined> {
    return (await unlessCode(this.transport.read<UserProposal>(proposalPath(proposalId)), "ProposalNotFound"))?.body;
  }

  async status(proposalId: string): Promise<UserProposalStatus | undefined> {
    const response = unlessCode(
      this.transport.read<UserProposalStatus>(`${proposalPath(proposalId)}/status`),
      "ProposalNotFound",
    );
    return (await response)?.body;
  }

  async submitBallot(proposalId: string, ballot: Ballot): Promise<UserProposalStatus> {
    return (await this.transport.post<UserProposalStatus>(`${proposalPath(proposalId)}/ballots/submit`, { ballot }))
      .body;
  }

  /** Proposer only, while open. */
  async withdraw(proposalId: string): Promise<UserProposalStatus> {
    return (await this.transport.post<UserProposalStatus>(`${proposalPath(proposalId)}/withdraw`)).body;
  }
}

/** Documents that members approve through governance proposals. */
export class MemberDocuments {
  private readonly transport: CcfTransport;

  constructor(transport: CcfTransport) {
    this.transport = transport;
  }

  async get(documentId: string): Promise<MemberDocument | undefined> {
    const path = memberDocumentPath(documentId);
    return (await unlessCode(this.transport.get<MemberDocument>(path), "DocumentNotFound"))?.body;
  }

  async list(): Promise<string[]> {
    return (await this.transport.get<{ id: string }[]>("/app/memberdocuments")).body.map(({ id }) => id);
  }

  async putDraft(documentId: string, draft: MemberDocumentDraft): Promise<void> {
    await this.transport.put(memberDocumentPath(documentId), draft, "member");
  }
}

const documentPath = (documentId: string): string => `/app/userdocuments/${encodeURIComponent(documentId)}`;
const memberDocumentPath = (documentId: string): string => `/app/memberdocuments/${encodeURIComponent(documentId)}`;
const proposalPath = (proposalId: string): string => `/app/users/proposals/${encodeURIComponent(proposalId)}`;
const optionPath = (contractId: string, documentId: string, option: string): string =>
  `${contractPath(contractId)}/userdocuments/${encodeURIComponent(documentId)}/runtimeoptions/${option}`;
