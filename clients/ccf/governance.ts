import { constants, privateDecrypt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ApplicationBundle, GovernanceAction, MemberData } from "../../domain/governance/actions.ts";
import { actionsDigest } from "../../domain/governance/proposals.ts";
import { signMessage, type GovernanceMessageType } from "./cose.ts";
import { CcfError, hasCode, OutcomeUnknownError, unlessCode } from "./errors.ts";
import { memberIdOf } from "./member-id.ts";
import type { CcfTransport, MemberSigner } from "./transport.ts";

export type ProposalState = "Open" | "Accepted" | "Rejected" | "Withdrawn" | "Failed" | "Dropped";

export interface Proposal {
  readonly proposalId: string;
  readonly proposerId: string;
  readonly proposalState: ProposalState;
  readonly ballotCount?: number;
  readonly finalVotes?: Readonly<Record<string, boolean>>;
  readonly voteFailures?: Readonly<Record<string, unknown>>;
  readonly failure?: { readonly reason: string; readonly trace?: string };
}

export interface ConsortiumMemberInfo {
  readonly memberId: string;
  readonly status: "Accepted" | "Active";
  readonly memberData: MemberData | null;
  readonly certificate: string;
  readonly publicEncryptionKey?: string;
  readonly recoveryRole?: string;
}

export interface ServiceInfo {
  readonly status: "Opening" | "Open" | "WaitingForRecoveryShares" | "Closed" | "Recovering";
  readonly certificate: string;
  readonly recoveryCount?: number;
}

/** What became of a proposal this program needs. `Open`: it waits for other members, which is no error. */
export interface ProposalOutcome {
  readonly proposalId: string;
  readonly state: ProposalState;
}

/** A proposal ended without being accepted. */
export class ProposalRefusedError extends Error {
  readonly proposalId: string;
  readonly state: ProposalState;

  constructor(outcome: ProposalOutcome, actions: readonly GovernanceAction[], reason?: string) {
    const names = [...new Set(actions.map((action) => action.name))].join(", ");
    super(
      `Proposal ${outcome.proposalId} (${names}) is ${outcome.state}${reason ? `: ${reason}` : ""}. ` +
        "Agree with the other members on what to propose, then run the same command again.",
    );
    this.name = "ProposalRefusedError";
    this.proposalId = outcome.proposalId;
    this.state = outcome.state;
  }
}

const API_VERSION = "api-version=2024-07-01";
/** Exactly these texts: tools that list votes tell a yes from a no by comparing them. */
const ballotText = (accept: boolean): string => `export function vote (proposal, proposerId) { return ${accept} }`;
const ACTIVATION_ATTEMPTS = 10;
const SIGNATURE_WAIT_MS = 1000;

/**
 * Member governance of one CCF network. Reading is open to everybody; everything else signs with the member's key and
 * needs `credentials.member` in the transport.
 */
export class Governance {
  readonly transport: CcfTransport;

  constructor(transport: CcfTransport) {
    this.transport = transport;
  }

  get memberId(): string {
    return memberIdOf(this.signer.certificate);
  }

  async propose(actions: readonly GovernanceAction[]): Promise<Proposal> {
    return this.signed<Proposal>("proposal", "/gov/members/proposals:create", { actions });
  }

  async vote(proposalId: string, accept: boolean): Promise<Proposal> {
    const path = `${proposalPath(proposalId)}/ballots/${this.memberId}:submit`;
    return this.signed<Proposal>("ballot", path, { ballot: ballotText(accept) }, proposalId);
  }

  /** Takes back an own open proposal. `undefined` when the network does not know it (any more). */
  async withdraw(proposalId: string): Promise<Proposal | undefined> {
    return this.signed<Proposal | undefined>(
      "withdrawal",
      `${proposalPath(proposalId)}:withdraw`,
      undefined,
      proposalId,
    );
  }

  /** `undefined` once it was resolved and another proposal after it: the network then forgets it. */
  async proposal(proposalId: string): Promise<Proposal | undefined> {
    return unlessCode(this.read<Proposal>(proposalPath(proposalId)), "ProposalNotFound");
  }

  async proposalActions(proposalId: string): Promise<GovernanceAction[]> {
    const body = await this.read<string | { actions: GovernanceAction[] }>(`${proposalPath(proposalId)}/actions`);
    return (typeof body === "string" ? (JSON.parse(body) as { actions: GovernanceAction[] }) : body).actions;
  }

  async openProposals(): Promise<Proposal[]> {
    const { value } = await this.read<{ value: Proposal[] }>("/gov/members/proposals");
    return value.filter((proposal) => proposal.proposalState === "Open");
  }

  /** An own or foreign open proposal that does exactly this. */
  async openProposalFor(actions: readonly GovernanceAction[]): Promise<Proposal | undefined> {
    const digest = actionsDigest(actions);
    for (const proposal of await this.openProposals()) {
      const found = await unlessCode(this.proposalActions(proposal.proposalId), "ProposalNotFound");
      if (found && actionsDigest(found) === digest) return proposal;
    }
    return undefined;
  }

  /** This member's own ballot: `undefined` when there is none. */
  async ownVote(proposalId: string): Promise<boolean | undefined> {
    const path = `${proposalPath(proposalId)}/ballots/${this.memberId}`;
    const ballot = await unlessCode(this.read<string>(path), "VoteNotFound", "ProposalNotFound");
    return ballot === undefined ? undefined : ballot === ballotText(true);
  }

  /**
   * Brings a change about: adopts an open proposal with the same actions or makes one, and adds the own vote.
   * Repeatable; the caller first looks whether the change is there already, because resolved proposals are forgotten.
   * @returns state `Accepted`, or `Open` when other members have yet to vote.
   * @throws ProposalRefusedError when it ended in any other state.
   */
  async proposeAndAccept(
    actions: readonly GovernanceAction[],
    options: { voteWhenNeeded: boolean } = { voteWhenNeeded: true },
  ): Promise<ProposalOutcome> {
    const proposal = (await this.openProposalFor(actions)) ?? (await this.propose(actions));
    if (proposal.proposalState === "Open" && options.voteWhenNeeded) return this.support(proposal.proposalId, actions);
    return outcomeOf(proposal, actions);
  }

  /**
   * Votes yes on an open proposal. Repeatable; others may resolve it in the meantime.
   * @param actions what the caller knows to be in it (for the error text).
   * @throws ProposalRefusedError when it ended in another state than `Accepted`.
   */
  async support(proposalId: string, actions: readonly GovernanceAction[]): Promise<ProposalOutcome> {
    try {
      return outcomeOf(await this.vote(proposalId, true), actions);
    } catch (error) {
      if (!hasCode(error, "ProposalNotOpen", "ProposalNotFound")) throw error;
      const resolved = (await this.proposal(proposalId)) ?? {
        proposalId,
        proposalState: await this.resolvedState(proposalId),
      };
      return outcomeOf(resolved, actions);
    }
  }

  /** How a proposal that the network has forgotten ended, from the ledger. */
  private async resolvedState(proposalId: string): Promise<ProposalState> {
    let state: ProposalState = "Dropped";
    const path = `/app/proposals/${proposalId}/historical?from_seqno=1`;
    for await (const entry of this.transport.pages<{ proposalState: ProposalState }>(path)) state = entry.proposalState;
    return state;
  }

  async members(): Promise<ConsortiumMemberInfo[]> {
    return (await this.read<{ value: ConsortiumMemberInfo[] }>("/gov/service/members")).value;
  }

  /**
   * Makes this member active by acknowledging the state of the ledger. Does nothing when it is active.
   * @throws when the network does not know the member: another member has to propose it first.
   */
  async activate(): Promise<void> {
    const memberId = this.memberId;
    const self = (await this.members()).find((member) => member.memberId === memberId);
    if (!self)
      throw new Error(
        `Member ${memberId} is not part of the consortium; an active member has to propose its certificate first.`,
      );
    if (self.status === "Active") return;

    for (let attempt = 1; ; attempt++) {
      try {
        const digest = await this.signed<{ stateDigest: string }>("state_digest", `${digestPath(memberId)}:update`);
        await this.signed("ack", `${digestPath(memberId)}:ack`, { stateDigest: digest.stateDigest });
        return;
      } catch (error) {
        if (attempt === ACTIVATION_ATTEMPTS || !mayAcknowledgeLater(error)) throw error;
        if (!hasCode(error, "StateDigestMismatch")) await sleep(SIGNATURE_WAIT_MS);
      }
    }
  }

  serviceInfo(): Promise<ServiceInfo> {
    return this.read<ServiceInfo>("/gov/service/info");
  }

  constitution(): Promise<string> {
    return this.read<string>("/gov/service/constitution");
  }

  /** The installed application; one without endpoints and modules when there is none. */
  async javascriptApp(): Promise<ApplicationBundle> {
    const { endpoints } = await this.read<ApplicationBundle["metadata"]>("/gov/service/javascript-app?case=original");
    const { value } = await this.read<{ value: { moduleName: string }[] }>("/gov/service/javascript-modules");
    const modules = await Promise.all(
      value.map(async ({ moduleName }) => ({
        name: moduleName,
        module: await this.read<string>(`/gov/service/javascript-modules/${encodeURIComponent(moduleName)}`),
      })),
    );
    return { metadata: { endpoints: lowerCaseMethods(endpoints ?? {}) }, modules };
  }

  /**
   * Gives this member's share of the ledger key back to a network that is being recovered.
   * @param encryptionPrivateKey PEM of the RSA key the share was encrypted to. @returns the network's own sentence.
   */
  async submitRecoveryShare(encryptionPrivateKey: string): Promise<string> {
    const { encryptedShare } = await this.read<{ encryptedShare: string }>(
      `/gov/recovery/encrypted-shares/${this.memberId}`,
    );
    const share = privateDecrypt(
      { key: encryptionPrivateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
      Buffer.from(encryptedShare, "base64"),
    );
    const path = `/gov/recovery/members/${this.memberId}:recover`;
    const { message } = await this.signed<{ message: string }>("recovery_share", path, {
      share: share.toString("base64"),
    });
    return message;
  }

  private get signer(): MemberSigner {
    const { member } = this.transport.credentials;
    if (!member)
      throw new Error("Only a consortium member can take part in governance: give a member certificate and key.");
    return member;
  }

  private async read<T>(path: string): Promise<T> {
    return (await this.transport.get<T>(versioned(path), "nobody")).body;
  }

  private async signed<T>(
    type: GovernanceMessageType,
    path: string,
    payload?: unknown,
    proposalId?: string,
  ): Promise<T> {
    const envelope = signMessage(
      {
        type,
        createdAt: Math.floor(Date.now() / 1000),
        proposalId,
        payload: payload === undefined ? new Uint8Array() : Buffer.from(JSON.stringify(payload), "utf8"),
      },
      this.signer,
    );
    return (await this.transport.postSigned<T>(versioned(path), envelope)).body;
  }
}

/** The network answers `GET` where a bundle says `get`. */
function lowerCaseMethods(
  endpoints: ApplicationBundle["metadata"]["endpoints"],
): ApplicationBundle["metadata"]["endpoints"] {
  const lowerCase = (methods: Readonly<Record<string, unknown>>): Record<string, unknown> =>
    Object.fromEntries(Object.entries(methods).map(([method, value]) => [method.toLowerCase(), value]));
  return Object.fromEntries(Object.entries(endpoints).map(([path, methods]) => [path, lowerCase(methods)]));
}

function outcomeOf(
  proposal: Pick<Proposal, "proposalId" | "proposalState" | "failure">,
  actions: readonly GovernanceAction[],
): ProposalOutcome {
  const outcome = { proposalId: proposal.proposalId, state: proposal.proposalState };
  if (outcome.state === "Accepted" || outcome.state === "Open") return outcome;
  throw new ProposalRefusedError(outcome, actions, proposal.failure?.reason);
}

function mayAcknowledgeLater(error: unknown): boolean {
  if (error instanceof OutcomeUnknownError) return true;
  return hasCode(error, "StateDigestMismatch") || (error instanceof CcfError && error.status === 500);
}

const versioned = (path: string): string => `${path}${path.includes("?") ? "&" : "?"}${API_VERSION}`;
const proposalPath = (proposalId: string): string => `/gov/members/proposals/${encodeURIComponent(proposalId)}`;
const digestPath = (memberId: string): string => `/gov/members/state-digests/${memberId}`;
