import type * as pulumi from "@pulumi/pulumi";
import type { MemberSigner } from "../clients/ccf/transport.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { asMember, type ConsortiumAccess } from "./framework/session.ts";

export interface JwtIssuerArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  /** The CCF operator, who may do this alone. */
  signer: pulumi.Input<MemberSigner>;
  /** `https://…`, without `/.well-known/openid-configuration`. */
  issuer: pulumi.Input<string>;
  /** PEM roots the network trusts when it fetches the issuer's keys. */
  caCertificates: pulumi.Input<string>;
}

/**
 * An identity provider whose tokens the consortium accepts; the network refreshes its keys by itself.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | propose roots and issuer | roots | issuer | remove | as recorded: the service does not list issuers |
 */
export class JwtIssuer extends DynamicResource {
  declare readonly issuer: pulumi.Output<string>;

  constructor(name: string, args: JwtIssuerArgs, options?: pulumi.CustomResourceOptions) {
    super("jwtIssuer", name, { ...args }, [], ["signer"], options);
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  signer: MemberSigner;
  issuer: string;
  caCertificates: string;
}

async function register({ consortium, signer, issuer, caCertificates }: Inputs): Promise<void> {
  const { registerJwtIssuer } = await import("../clients/cgs/acts/service.ts");
  await asMember(consortium, signer, (session) => registerJwtIssuer(session, { issuer, caCertificates }));
}

export const provider = defineProvider<Inputs, object>({
  name: "JwtIssuer",
  inputs: ["consortium", "signer", "issuer", "caCertificates"],
  access: ["consortium", "signer"],
  replaceOn: ["issuer"],

  async create(inputs, { progress }) {
    await register(inputs);
    progress(`token issuer ${inputs.issuer}: registered`);
    return { id: inputs.issuer, outputs: {} };
  },

  async update(_id, _olds, inputs) {
    await register(inputs);
    return { outputs: {} };
  },

  async delete(issuer, { consortium, signer }) {
    const { removeJwtIssuer } = await import("../clients/cgs/acts/service.ts");
    const { CcfError } = await import("../clients/ccf/errors.ts");
    await asMember(consortium, signer, (session) => removeJwtIssuer(session, issuer)).catch((error: unknown) => {
      // The network cannot be asked beforehand which issuers it knows.
      if (!(error instanceof CcfError && error.reason.includes(`${issuer} does not exist`))) throw error;
    });
  },
});
