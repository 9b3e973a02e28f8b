import type * as pulumi from "@pulumi/pulumi";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";

export interface MemberKeyArgs {
  /** Common name of the certificate. */
  memberName: string;
  /** Default 365. */
  validityDays?: number;
  /** Also make the key pair that recovery shares are encrypted to. Default false. */
  encryptionKey?: boolean;
}

/**
 * The key pair and self-signed certificate by which a consortium knows a member.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | generate (P-384; RSA-2048 for shares) | – | any argument | forget | as stored: nothing remote |
 *
 * The private halves exist only as encrypted secrets of this stack's state.
 */
export class MemberKey extends DynamicResource {
  declare readonly certificate: pulumi.Output<string>;
  /** Lower-case hex SHA-256 of the certificate. */
  declare readonly memberId: pulumi.Output<string>;
  /** PEM, secret. */
  declare readonly privateKey: pulumi.Output<string>;
  declare readonly encryptionPublicKey: pulumi.Output<string | undefined>;
  /** PEM, secret. */
  declare readonly encryptionPrivateKey: pulumi.Output<string | undefined>;

  constructor(name: string, args: MemberKeyArgs, options?: pulumi.CustomResourceOptions) {
    super(
      "memberKey",
      name,
      { validityDays: 365, encryptionKey: false, ...args },
      ["certificate", "memberId", "privateKey", "encryptionPublicKey", "encryptionPrivateKey"],
      ["privateKey", "encryptionPrivateKey"],
      options,
    );
  }
}

interface Inputs {
  memberName: string;
  validityDays: number;
  encryptionKey: boolean;
}

export const provider = defineProvider<Inputs, object>({
  name: "MemberKey",
  inputs: ["memberName", "validityDays", "encryptionKey"],
  replaceOn: ["memberName", "validityDays", "encryptionKey"],
  async create({ memberName, validityDays, encryptionKey }) {
    const { createMemberIdentity } = await import("../clients/ccf/identity.ts");
    const identity = await createMemberIdentity({ name: memberName, validityDays, encryptionKey });
    return { id: identity.memberId, outputs: identity };
  },
});
