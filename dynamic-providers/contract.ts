import type * as pulumi from "@pulumi/pulumi";
import type { MemberSigner } from "../clients/ccf/transport.ts";
import { digestOf } from "../domain/json.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { asMember, type ConsortiumAccess } from "./framework/session.ts";

export interface ContractArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  signer: pulumi.Input<MemberSigner>;
  contractId: pulumi.Input<string>;
  /** JSON text; compared as it stands. */
  data: pulumi.Input<string>;
}

/**
 * The contract under which datasets and queries are agreed.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | draft, propose, own vote; adopts an accepted contract with the same text | – | id; text (an accepted contract cannot change, so the id must change with it) | disable execution for this member | state, text |
 */
export class Contract extends DynamicResource {
  declare readonly contractId: pulumi.Output<string>;
  declare readonly state: pulumi.Output<string>;
  /** `sha256:` of the text. */
  declare readonly digest: pulumi.Output<string>;

  constructor(name: string, args: ContractArgs, options?: pulumi.CustomResourceOptions) {
    super("contract", name, { ...args }, ["state", "digest"], ["signer"], options);
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  signer: MemberSigner;
  contractId: string;
  data: string;
}

interface Outputs {
  state: string;
  digest: string;
}

export const provider = defineProvider<Inputs, Outputs>({
  name: "Contract",
  inputs: ["consortium", "signer", "contractId", "data"],
  access: ["consortium", "signer"],
  replaceOn: ["contractId", "data"],

  async create({ consortium, signer, contractId, data }, { progress }) {
    const { acceptContract } = await import("../clients/cgs/acts/contracts.ts");
    const { state } = await asMember(consortium, signer, async (session) => {
      const accepted = await acceptContract(session, { contractId, data });
      await session.cgs.contracts.setExecution(contractId, true);
      return accepted;
    });
    progress(`contract ${contractId}: ${state}`);
    return { id: contractId, outputs: { state, digest: digestOf(data) } };
  },

  read: (contractId, { consortium, signer }) =>
    asMember(consortium, signer, async ({ cgs }) => {
      const contract = await cgs.contracts.get(contractId);
      if (!contract || contract.state !== "Accepted") return undefined;
      const data = String(contract.data);
      return { inputs: { data }, outputs: { state: contract.state, digest: digestOf(data) } };
    }),

  // The operator's own network goes away with its stack; other members keep the contract.
  delete: (contractId, { consortium, signer }) =>
    asMember(consortium, signer, async ({ cgs }) => {
      const contract = await cgs.contracts.get(contractId);
      if (contract?.state === "Accepted") await cgs.contracts.setExecution(contractId, false);
    }),
});
