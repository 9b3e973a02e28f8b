import type * as pulumi from "@pulumi/pulumi";
import type { MemberSigner } from "../clients/ccf/transport.ts";
import type { PolicyClaims } from "../domain/governance/actions.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { asMember, type ConsortiumAccess } from "./framework/session.ts";

export interface CleanRoomPolicyArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  signer: pulumi.Input<MemberSigner>;
  contractId: pulumi.Input<string>;
  /** Claim of the attestation → accepted values. The whole policy: values that are not listed are removed. */
  claims: pulumi.Input<PolicyClaims>;
}

/**
 * Which attested code counts as the contract's clean room.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | propose, vote | claims: added and removed to become exactly these | contract | remove the claims | claims |
 */
export class CleanRoomPolicy extends DynamicResource {
  declare readonly claims: pulumi.Output<PolicyClaims>;
  /** `Accepted`, or `Proposed` while other members have to vote. */
  declare readonly state: pulumi.Output<string>;

  constructor(name: string, args: CleanRoomPolicyArgs, options?: pulumi.CustomResourceOptions) {
    super("cleanRoomPolicy", name, { ...args }, ["state"], ["signer"], options);
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  signer: MemberSigner;
  contractId: string;
  claims: PolicyClaims;
}

async function settle({ consortium, signer, contractId, claims }: Inputs): Promise<{ state: string }> {
  const { setCleanRoomPolicy } = await import("../clients/cgs/acts/contracts.ts");
  const { state } = await asMember(consortium, signer, (session) =>
    setCleanRoomPolicy(session, { contractId, claims }),
  );
  return { state };
}

export const provider = defineProvider<Inputs, { state: string }>({
  name: "CleanRoomPolicy",
  inputs: ["consortium", "signer", "contractId", "claims"],
  access: ["consortium", "signer"],
  replaceOn: ["contractId"],

  async create(inputs, { progress }) {
    const outputs = await settle(inputs);
    progress(`clean room policy of contract ${inputs.contractId}: ${outputs.state}`);
    return { id: inputs.contractId, outputs };
  },

  update: async (_id, _olds, inputs) => ({ outputs: await settle(inputs) }),

  read: (contractId, { consortium, signer }) =>
    asMember(consortium, signer, async ({ cgs }) => {
      const { policy } = await cgs.contracts.cleanRoomPolicy(contractId);
      if (Object.keys(policy).length === 0) return undefined;
      return { inputs: { claims: policy }, outputs: { state: "Accepted" } };
    }),

  async delete(_id, inputs) {
    await settle({ ...inputs, claims: {} });
  },
});
