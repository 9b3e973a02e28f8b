import type * as pulumi from "@pulumi/pulumi";
import { constants, createPublicKey, publicEncrypt, type JsonWebKey } from "node:crypto";
import { sha256Hex } from "../domain/json.ts";
import { defineProvider, type Call } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { openVault } from "./framework/session.ts";

export interface WrappedKeyArgs {
  vaultUri: pulumi.Input<string>;
  secretName: string;
  /** base64, secret: the data encryption key. */
  key: pulumi.Input<string>;
  keyEncryptionKey: pulumi.Input<{ keyName: string; keyId: string; publicKey: JsonWebKey }>;
}

/**
 * A data encryption key, wrapped for the clean room and kept as a vault secret.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | wrap (RSA-OAEP-256), store, recovering a deleted secret; then switch off older versions of key and secret | other key or wrapping key, or overwritten by hand: wrap and store again | vault, name | soft delete | version, whether the stored text is ours |
 */
export class WrappedKey extends DynamicResource {
  declare readonly secretName: pulumi.Output<string>;
  declare readonly version: pulumi.Output<string>;
  /** SHA-256 of the wrapped key, to notice when somebody overwrites it. */
  declare readonly digest: pulumi.Output<string>;

  constructor(name: string, args: WrappedKeyArgs, options?: pulumi.CustomResourceOptions) {
    super("wrappedKey", name, { stored: true, ...args }, ["version", "digest"], ["key"], options);
  }
}

interface Inputs {
  vaultUri: string;
  secretName: string;
  key: string;
  keyEncryptionKey: { keyName: string; keyId: string; publicKey: JsonWebKey };
  /** Always true; false is what read reports when the vault holds something else. */
  stored: boolean;
}

interface Outputs {
  version: string;
  digest: string;
}

export const provider = defineProvider<Inputs, Outputs>({
  name: "WrappedKey",
  inputs: ["vaultUri", "secretName", "key", "keyEncryptionKey", "stored"],
  replaceOn: ["vaultUri", "secretName"],

  async create(inputs, call) {
    const outputs = await wrapAndStore(inputs, call);
    return { id: `${inputs.vaultUri}secrets/${inputs.secretName}`, outputs };
  },

  update: async (_id, _olds, inputs, call) => ({ outputs: await wrapAndStore(inputs, call) }),

  async read(_id, { vaultUri, secretName, digest }, { config }) {
    const secret = await (await openVault(vaultUri, config)).secret(secretName);
    if (!secret) return undefined;
    // The digest stays that of what we stored: a second look must still see that the secret is another one.
    return { inputs: { stored: sha256Hex(secret.value) === digest }, outputs: { version: secret.version, digest } };
  },

  async delete(_id, { vaultUri, secretName }, { config }) {
    await (await openVault(vaultUri, config)).deleteSecret(secretName);
  },
});

async function wrapAndStore(
  { vaultUri, secretName, key, keyEncryptionKey }: Inputs,
  { config, progress }: Call,
): Promise<Outputs> {
  const vault = await openVault(vaultUri, config);
  const wrapped = publicEncrypt(
    {
      key: createPublicKey({ key: keyEncryptionKey.publicKey, format: "jwk" }),
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: "sha256",
    },
    Buffer.from(key, "base64"),
  ).toString("base64");
  const version = await vault.putSecret(secretName, wrapped);
  // Only now: until here a clean room that was running could still use the version before.
  await vault.disableOtherKeyVersions(keyEncryptionKey.keyName, keyEncryptionKey.keyId);
  progress(`secret ${secretName}: holds the data encryption key, wrapped`);
  return { version, digest: sha256Hex(wrapped) };
}
