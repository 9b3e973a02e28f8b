import type * as pulumi from "@pulumi/pulumi";
import type { JsonWebKey } from "node:crypto";
import type { ReleaseKey } from "../clients/keyvault/vault.ts";
import { UserError } from "../domain/errors.ts";
import { sameJson } from "../domain/json.ts";
import { releasePolicy } from "../domain/keys.ts";
import { defineProvider, type Call } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { asUser, openVault, type ConsortiumAccess } from "./framework/session.ts";

export interface KeyEncryptionKeyArgs {
  /** `https://…/` of a premium vault. */
  vaultUri: pulumi.Input<string>;
  keyName: string;
  /** Attestation service whose tokens release the key. */
  authority: string;
  /** Hex SHA-256 of the clean room's policy that the key is bound to. */
  measurement: pulumi.Input<string>;
  consortium: pulumi.Input<ConsortiumAccess>;
  /** The contract that must have agreed to exactly this measurement. */
  contractId: pulumi.Input<string>;
}

/**
 * The key that wraps a dataset's key, made inside the vault and released only to the contract's clean room.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | compare with the contract's policy; create in the vault with the release policy, recovering a deleted key | other measurement or authority, or changed or disabled by hand: new version under the wanted policy | vault, name | soft delete | release policy, key operations, enabled, expiry |
 *
 * Older versions stay usable until the key has been wrapped again (see WrappedKey).
 */
export class KeyEncryptionKey extends DynamicResource {
  declare readonly keyName: pulumi.Output<string>;
  /** Of the version in force. */
  declare readonly keyId: pulumi.Output<string>;
  /** JSON Web Key, public half. */
  declare readonly publicKey: pulumi.Output<JsonWebKey>;

  constructor(name: string, args: KeyEncryptionKeyArgs, options?: pulumi.CustomResourceOptions) {
    super("keyEncryptionKey", name, { ...args }, ["keyId", "publicKey"], [], options);
  }
}

interface Inputs {
  vaultUri: string;
  keyName: string;
  authority: string;
  measurement: string;
  consortium: ConsortiumAccess;
  contractId: string;
}

interface Outputs {
  keyId: string;
  publicKey: JsonWebKey;
}

/** Stands for a policy that is not one of ours, so that the next `up` sets it right. */
const FOREIGN_POLICY = "a policy set by hand";

export const provider = defineProvider<Inputs, Outputs>({
  name: "KeyEncryptionKey",
  inputs: ["vaultUri", "keyName", "authority", "measurement", "consortium", "contractId"],
  access: ["consortium"],
  replaceOn: ["vaultUri", "keyName"],

  async create(inputs, call) {
    const outputs = await ensure(inputs, call);
    return { id: `${inputs.vaultUri}keys/${inputs.keyName}`, outputs };
  },

  update: async (_id, _olds, inputs, call) => ({ outputs: await ensure(inputs, call) }),

  async read(_id, { vaultUri, keyName, authority, measurement }, { config }) {
    const key = await (await openVault(vaultUri, config)).releaseKey(keyName);
    if (!key) return undefined;
    const isAsWanted = key.isIntact && sameJson(key.policy, releasePolicy(authority, measurement));
    return { inputs: isAsWanted ? {} : { measurement: FOREIGN_POLICY }, outputs: outputsOf(key) };
  },

  async delete(_id, { vaultUri, keyName }, { config }) {
    await (await openVault(vaultUri, config)).deleteKey(keyName);
  },
});

async function ensure(inputs: Inputs, { config, progress }: Call): Promise<Outputs> {
  await requireAgreedMeasurement(inputs, config);
  const { vaultUri, keyName, authority, measurement } = inputs;
  const key = await (
    await openVault(vaultUri, config)
  ).ensureReleaseKey(keyName, releasePolicy(authority, measurement));
  progress(`key ${keyName}: released only to code with measurement ${measurement.slice(0, 12)}…`);
  return outputsOf(key);
}

/** The operator's word alone must not bind a key: the contract has to have agreed to the measurement, and to no other. */
function requireAgreedMeasurement(
  { consortium, contractId, measurement, keyName }: Inputs,
  config: Call["config"],
): Promise<void> {
  return asUser(consortium, config, async ({ cgs }) => {
    const { policy } = await cgs.contracts.cleanRoomPolicy(contractId);
    const agreed = policy["x-ms-sevsnpvm-hostdata"] ?? [];
    if (sameJson(agreed, [measurement])) return;
    throw new UserError(
      `Key ${keyName} is not bound to measurement ${measurement}: contract ${contractId} agreed to ${agreed.join(", ") || "none"}. ` +
        "Run pulumi up once the operator's stack and the contract agree.",
    );
  });
}

function outputsOf({ id, publicKey }: ReleaseKey): Outputs {
  return { keyId: id, publicKey };
}
