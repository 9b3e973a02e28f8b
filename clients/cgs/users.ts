import { CcfError, unlessCode } from "../ccf/errors.ts";
import type { CcfTransport } from "../ccf/transport.ts";
import type { Invitation, UserIdentity } from "./types.ts";

/** People: invitations and accepted identities. */
export class Users {
  private readonly transport: CcfTransport;

  constructor(transport: CcfTransport) {
    this.transport = transport;
  }

  async identities(): Promise<UserIdentity[]> {
    return (await this.transport.get<{ value: UserIdentity[] }>("/app/users/identities")).body.value;
  }

  async identity(userId: string): Promise<UserIdentity | undefined> {
    const path = `/app/users/identities/${encodeURIComponent(userId)}`;
    return (await unlessCode(this.transport.read<UserIdentity>(path), "UserIdentityNotFound"))?.body;
  }

  /** Whether the token's user has been accepted, in the tenant the token is from. */
  async isActive(): Promise<boolean> {
    try {
      return (await this.transport.read<{ active: boolean }>("/app/users/identities/self/status", "token")).body.active;
    } catch (error) {
      if (error instanceof CcfError && error.status === 403) return false;
      throw error;
    }
  }

  async invitations(): Promise<Invitation[]> {
    return (await this.transport.get<{ value: Invitation[] }>("/app/users/invitations")).body.value;
  }

  async invitation(invitationId: string): Promise<Invitation | undefined> {
    const response = unlessCode(this.transport.read<Invitation>(invitationPath(invitationId)), "InvitationNotFound");
    return (await response)?.body;
  }

  /** As the invited user: the token's claims must be those of the invitation. */
  async acceptInvitation(invitationId: string): Promise<void> {
    await this.transport.post(`${invitationPath(invitationId)}/accept`, undefined, "token");
  }
}

const invitationPath = (invitationId: string): string => `/app/users/invitations/${encodeURIComponent(invitationId)}`;
