import type * as pulumi from "@pulumi/pulumi";
import type { MemberSigner } from "../clients/ccf/transport.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { asMember, type ConsortiumAccess } from "./framework/session.ts";

export interface CertificateAuthorityArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  signer: pulumi.Input<MemberSigner>;
  contractId: pulumi.Input<string>;
}

/**
 * The contract's own certificate authority: it endorses certificates of attested code only, so that whoever talks to
 * the clean room knows it by its root.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | propose, vote, generate the key | – | contract | none: the service cannot take an authority back | root certificate |
 */
export class CertificateAuthority extends DynamicResource {
  /** PEM. */
  declare readonly caCertificate: pulumi.Output<string>;

  constructor(name: string, args: CertificateAuthorityArgs, options?: pulumi.CustomResourceOptions) {
    super("certificateAuthority", name, { ...args }, ["caCertificate"], ["signer"], options);
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  signer: MemberSigner;
  contractId: string;
}

export const provider = defineProvider<Inputs, { caCertificate: string }>({
  name: "CertificateAuthority",
  inputs: ["consortium", "signer", "contractId"],
  access: ["consortium", "signer"],
  replaceOn: ["contractId"],

  async create({ consortium, signer, contractId }, { progress }) {
    const { enableCertificateAuthority } = await import("../clients/cgs/acts/keys.ts");
    const { caCertificate } = await asMember(consortium, signer, (session) =>
      enableCertificateAuthority(session, contractId),
    );
    if (caCertificate === undefined) {
      throw new Error(
        `The certificate authority of contract ${contractId} waits for other members' votes; run up again when they have voted.`,
      );
    }
    progress(`certificate authority of contract ${contractId}: ready`);
    return { id: contractId, outputs: { caCertificate } };
  },

  read: (contractId, { consortium, signer }) =>
    asMember(consortium, signer, async ({ cgs }) => {
      const { caCert } = await cgs.ca.status(contractId);
      return caCert === undefined ? undefined : { outputs: { caCertificate: caCert } };
    }),
});
