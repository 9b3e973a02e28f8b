import type * as pulumi from "@pulumi/pulumi";
import { defineProvider, type ProviderConfig } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { asUser, unlessDismantled, type ConsortiumAccess } from "./framework/session.ts";

export interface ConsortiumSecretArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  contractId: pulumi.Input<string>;
  /** Without the owner's id, which the service puts in front. */
  secretName: string;
  /** Secret; at most 25,600 characters. */
  value: pulumi.Input<string>;
}

/**
 * A secret of the contract: only attested code of the contract can read it back, not even its owner.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | put | value | contract, name | overwrite: the service cannot remove a secret, so its name stays | presence |
 */
export class ConsortiumSecret extends DynamicResource {
  /** Under which the clean room asks for it. */
  declare readonly secretId: pulumi.Output<string>;

  constructor(name: string, args: ConsortiumSecretArgs, options?: pulumi.CustomResourceOptions) {
    super("consortiumSecret", name, { ...args }, ["secretId"], ["value"], options);
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  contractId: string;
  secretName: string;
  value: string;
}

interface Outputs {
  secretId: string;
}

const LARGEST_VALUE = 25_600;
/** An empty value is refused by the service. */
const WITHDRAWN = "withdrawn";

export const provider = defineProvider<Inputs, Outputs>({
  name: "ConsortiumSecret",
  inputs: ["consortium", "contractId", "secretName", "value"],
  access: ["consortium"],
  replaceOn: ["contractId", "secretName"],

  validate: ({ value }) =>
    value.length > 0 && value.length <= LARGEST_VALUE
      ? []
      : [
          {
            property: "value",
            reason: `a secret of the contract has 1 to ${LARGEST_VALUE} characters, this one has ${value.length}`,
          },
        ],

  async create(inputs, { config, progress }) {
    const outputs = await put(inputs, config);
    progress(`secret ${inputs.secretName} of contract ${inputs.contractId}: stored`);
    return { id: outputs.secretId, outputs };
  },

  update: async (_id, _olds, inputs, { config }) => ({ outputs: await put(inputs, config) }),

  read: (secretId, { consortium, contractId }, { config }) =>
    asUser(consortium, config, async ({ cgs }) => {
      const isThere = (await cgs.secrets.list(contractId)).includes(secretId);
      return isThere ? { outputs: { secretId } } : undefined;
    }),

  delete: (_id, inputs, { config, progress }) =>
    unlessDismantled(inputs.consortium, async () => {
      await put({ ...inputs, value: WITHDRAWN }, config);
      progress(
        `secret ${inputs.secretName} of contract ${inputs.contractId}: overwritten; its name remains in the ledger`,
      );
    }),
});

function put({ consortium, contractId, secretName, value }: Inputs, config: ProviderConfig): Promise<Outputs> {
  return asUser(consortium, config, async ({ cgs }) => {
    const { secretId } = await cgs.secrets.put(contractId, secretName, value);
    return { secretId };
  });
}
