import type * as pulumi from "@pulumi/pulumi";
import type { MemberSigner } from "../clients/ccf/transport.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { asMember, type ConsortiumAccess } from "./framework/session.ts";

export interface DeploymentInformationArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  signer: pulumi.Input<MemberSigner>;
  contractId: pulumi.Input<string>;
  /** Public address of the clean room: `https://…`. */
  url: pulumi.Input<string>;
}

/**
 * Where the contract's clean room can be reached, agreed by the members and readable by everybody.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | propose, vote | address | contract | none: the service keeps the last one | address |
 */
export class DeploymentInformation extends DynamicResource {
  declare readonly url: pulumi.Output<string>;
  /** `Accepted`, or `Proposed` while other members have to vote. */
  declare readonly state: pulumi.Output<string>;

  constructor(name: string, args: DeploymentInformationArgs, options?: pulumi.CustomResourceOptions) {
    super("deploymentInformation", name, { ...args }, ["state"], ["signer"], options);
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  signer: MemberSigner;
  contractId: string;
  url: string;
}

async function settle({ consortium, signer, contractId, url }: Inputs): Promise<{ state: string }> {
  const { setDeploymentInformation } = await import("../clients/cgs/acts/contracts.ts");
  const { state } = await asMember(consortium, signer, (session) =>
    setDeploymentInformation(session, contractId, { url }),
  );
  return { state };
}

export const provider = defineProvider<Inputs, { state: string }>({
  name: "DeploymentInformation",
  inputs: ["consortium", "signer", "contractId", "url"],
  access: ["consortium", "signer"],
  replaceOn: ["contractId"],

  async create(inputs, { progress }) {
    const outputs = await settle(inputs);
    progress(`clean room of contract ${inputs.contractId} at ${inputs.url}: ${outputs.state}`);
    return { id: inputs.contractId, outputs };
  },

  update: async (_id, _olds, inputs) => ({ outputs: await settle(inputs) }),

  read: (contractId, { consortium, signer }) =>
    asMember(consortium, signer, async ({ cgs }) => {
      const { data } = await cgs.contracts.deploymentInfo<{ url?: string }>(contractId);
      return data.url === undefined ? undefined : { inputs: { url: data.url }, outputs: { state: "Accepted" } };
    }),
});
