import type * as pulumi from "@pulumi/pulumi";
import type { MemberSigner } from "../clients/ccf/transport.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { asMember, unlessDismantled, type ConsortiumAccess } from "./framework/session.ts";

export interface UserIdentityArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  signer: pulumi.Input<MemberSigner>;
  invitationId: pulumi.Input<string>;
  /** Who was invited. */
  email: pulumi.Input<string>;
  /** Who the invitee says it is (its handoff): another person must not become the user. */
  userId?: pulumi.Input<string>;
}

/**
 * A user of the consortium: the person who accepted an invitation, finalised by the members.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | compare invitation and acceptance with what was invited; propose, vote | – | invitation, e-mail address, user; tenant or invitation that somebody else changed | remove | presence, tenant, invitation |
 */
export class UserIdentity extends DynamicResource {
  declare readonly userId: pulumi.Output<string>;
  declare readonly tenantId: pulumi.Output<string>;

  constructor(name: string, args: UserIdentityArgs, options?: pulumi.CustomResourceOptions) {
    const { userId: expectedUserId, ...rest } = args;
    super("userIdentity", name, { ...rest, expectedUserId }, ["userId", "tenantId"], ["signer"], options);
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  signer: MemberSigner;
  invitationId: string;
  email: string;
  expectedUserId?: string;
}

interface Outputs {
  userId: string;
  tenantId: string;
}

/** Never the id of an invitation: the next `up` removes the user and lets in who was invited. */
const CHANGED_OUTSIDE = "changed outside this program";

export const provider = defineProvider<Inputs, Outputs>({
  name: "UserIdentity",
  inputs: ["consortium", "signer", "invitationId", "email", "expectedUserId"],
  access: ["consortium", "signer"],
  replaceOn: ["invitationId", "email"],
  replaces: ({ userId }, { expectedUserId }) =>
    expectedUserId === undefined || expectedUserId === userId ? [] : ["expectedUserId"],
  deleteBeforeReplace: true,

  async create({ consortium, signer, invitationId, email, expectedUserId }, { progress }) {
    const { finaliseUser } = await import("../clients/cgs/acts/users.ts");
    const user = await asMember(consortium, signer, (session) =>
      finaliseUser(session, {
        invitationId,
        claims: { preferred_username: [email] },
        ...(expectedUserId !== undefined && { userId: expectedUserId }),
      }),
    );
    if (user.status === "Open" || user.userId === undefined || user.tenantId === undefined) {
      throw new Error(
        `${email} has not accepted invitation ${invitationId} yet; run up again when that stack reports it.`,
      );
    }
    progress(`user ${email}: ${user.status}`);
    return { id: user.userId, outputs: { userId: user.userId, tenantId: user.tenantId } };
  },

  read: (userId, { consortium, signer, invitationId, tenantId }) =>
    asMember(consortium, signer, async ({ cgs }) => {
      const known = await cgs.users.identity(userId);
      if (!known) return undefined;
      const isAsFinalised = known.invitationId === invitationId && known.data.tenantId === tenantId;
      return {
        inputs: isAsFinalised ? {} : { invitationId: CHANGED_OUTSIDE },
        outputs: { userId, tenantId: known.data.tenantId },
      };
    }),

  delete: (userId, { consortium, signer }) =>
    unlessDismantled(consortium, async () => {
      const { removeUser } = await import("../clients/cgs/acts/users.ts");
      await asMember(consortium, signer, (session) => removeUser(session, userId));
    }),
});
