import type * as pulumi from "@pulumi/pulumi";
import type { MemberSigner } from "../clients/ccf/transport.ts";
import { sameJson, sha256Hex } from "../domain/json.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { asMember, unlessDismantled, type ConsortiumAccess } from "./framework/session.ts";

export interface UserInvitationArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  signer: pulumi.Input<MemberSigner>;
  /** Sign-in name of the person; compared case-sensitively by the service. */
  email: pulumi.Input<string>;
}

/**
 * An invitation to become a user of the consortium.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | propose, vote | – | e-mail address; claims that somebody else changed | remove | status, whom it invites |
 */
export class UserInvitation extends DynamicResource {
  declare readonly invitationId: pulumi.Output<string>;
  declare readonly email: pulumi.Output<string>;
  /** `Open`, `Accepted` or `Finalized` at the last look. */
  declare readonly status: pulumi.Output<string>;

  constructor(name: string, args: UserInvitationArgs, options?: pulumi.CustomResourceOptions) {
    super("userInvitation", name, { ...args }, ["invitationId", "status"], ["signer"], options);
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  signer: MemberSigner;
  email: string;
}

interface Outputs {
  invitationId: string;
  status: string;
}

export const provider = defineProvider<Inputs, Outputs>({
  name: "UserInvitation",
  inputs: ["consortium", "signer", "email"],
  access: ["consortium", "signer"],
  replaceOn: ["email"],
  // Its id follows from the address: one that was changed outside has to go before the right one can come.
  deleteBeforeReplace: true,

  async create({ consortium, signer, email }, { progress }) {
    const { inviteUser } = await import("../clients/cgs/acts/users.ts");
    // Derived from whom it invites: a repeated create finds its own invitation again.
    const invitationId = sha256Hex(`invitation\n${email}`).slice(0, 32);
    const { status } = await asMember(consortium, signer, (session) =>
      inviteUser(session, { invitationId, claims: { preferred_username: [email] } }),
    );
    progress(`invitation of ${email}: ${status}`);
    return { id: invitationId, outputs: { invitationId, status } };
  },

  read: (invitationId, { consortium, signer, email }) =>
    asMember(consortium, signer, async ({ cgs }) => {
      const invitation = await cgs.users.invitation(invitationId);
      if (!invitation) return undefined;
      const isAsInvited = sameJson(invitation.claims, { preferred_username: [email] });
      return {
        inputs: isAsInvited ? {} : { email: JSON.stringify(invitation.claims) },
        outputs: { invitationId, status: invitation.status },
      };
    }),

  delete: (invitationId, { consortium, signer }) =>
    unlessDismantled(consortium, async () => {
      const { removeInvitation } = await import("../clients/cgs/acts/users.ts");
      await asMember(consortium, signer, (session) => removeInvitation(session, invitationId));
    }),
});
