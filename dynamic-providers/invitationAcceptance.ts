import type * as pulumi from "@pulumi/pulumi";
import { UserError } from "../domain/errors.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { asUser, type ConsortiumAccess } from "./framework/session.ts";

export interface InvitationAcceptanceArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  invitationId: pulumi.Input<string>;
  /** Who was invited: must be who is signed in. */
  email: pulumi.Input<string>;
}

/**
 * Accepts an invitation as the user who is signed in.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | accept; adopts an acceptance by the same user | – | invitation | forget: only members can take a user back | status, user |
 */
export class InvitationAcceptance extends DynamicResource {
  declare readonly invitationId: pulumi.Output<string>;
  /** Claim `oid` of the user. */
  declare readonly userId: pulumi.Output<string>;
  declare readonly tenantId: pulumi.Output<string>;

  constructor(name: string, args: InvitationAcceptanceArgs, options?: pulumi.CustomResourceOptions) {
    super("invitationAcceptance", name, { ...args }, ["userId", "tenantId"], [], options);
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  invitationId: string;
  email: string;
}

interface Outputs {
  userId: string;
  tenantId: string;
}

export const provider = defineProvider<Inputs, Outputs>({
  name: "InvitationAcceptance",
  inputs: ["consortium", "invitationId", "email"],
  access: ["consortium"],
  replaceOn: ["invitationId", "email"],

  async create({ consortium, invitationId, email }, { config, progress }) {
    const { acceptInvitation } = await import("../clients/cgs/acts/users.ts");
    const { CcfError } = await import("../clients/ccf/errors.ts");
    const accepted = await asUser(consortium, config, (session) => acceptInvitation(session, invitationId)).catch(
      (error: unknown) => {
        if (error instanceof CcfError && error.code === "TokenClaimMismatch") {
          throw new UserError(
            `The invitation is for ${email}, but somebody else is signed in. Sign in as ${email}, or correct cleanroom:email and have the operator invite that address.`,
            { cause: error },
          );
        }
        throw error;
      },
    );
    progress(`invitation accepted as ${email}`);
    return { id: invitationId, outputs: { userId: accepted.userId, tenantId: accepted.tenantId } };
  },

  read: (invitationId, { consortium, userId }, { config }) =>
    asUser(consortium, config, async ({ cgs }) => {
      const invitation = await cgs.users.invitation(invitationId);
      if (invitation?.userInfo?.userId !== userId) return undefined;
      return { outputs: { userId, tenantId: invitation.userInfo.data.tenantId } };
    }),
});
