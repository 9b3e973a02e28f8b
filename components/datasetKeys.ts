import * as pulumi from "@pulumi/pulumi";
import type { KeyReferences } from "../domain/dataset.ts";
import { keyEncryptionKeyName, wrappedKeyName } from "../domain/keys.ts";
import { DataEncryptionKey } from "../dynamic-providers/dataEncryptionKey.ts";
import type { ConsortiumAccess } from "../dynamic-providers/framework/session.ts";
import { KeyEncryptionKey } from "../dynamic-providers/keyEncryptionKey.ts";
import { WrappedKey } from "../dynamic-providers/wrappedKey.ts";
import type { CleanRoomIdentity } from "./cleanRoomIdentity.ts";
import type { CollaboratorEnvironment } from "./collaboratorEnvironment.ts";
import { grantRole } from "./roleGrant.ts";

export interface DatasetKeysArgs {
  environment: CollaboratorEnvironment;
  identity: CleanRoomIdentity;
  consortium: pulumi.Input<ConsortiumAccess>;
  contractId: string;
  /** Container of the dataset. */
  store: string;
  /** Name of the dataset in the collaboration. */
  dataset: string;
  /** Of the data encryption key: another number makes another key. */
  generation: number;
  /** Attestation service whose tokens release the key. */
  authority: string;
  /** Hex SHA-256 of the clean room's policy. */
  measurement: string;
}

/** The keys of one encrypted dataset, and the clean room's access to exactly these. */
export class DatasetKeys extends pulumi.ComponentResource {
  /** The data encryption key, base64. Secret. */
  declare readonly key: pulumi.Output<string>;
  /** As the dataset's document names them. */
  declare readonly references: pulumi.Output<KeyReferences>;
  /** Wait for these before anything relies on the clean room being able to decrypt. */
  readonly ready: readonly pulumi.Resource[];

  constructor(name: string, args: DatasetKeysArgs, options?: pulumi.ComponentResourceOptions) {
    super("cleanroom:components:DatasetKeys", name, {}, options);
    const { environment, identity, authority, measurement, consortium, contractId } = args;
    const { vaultUri, vaultId } = environment;
    const keyName = keyEncryptionKeyName(args.store, args.dataset);
    const secretName = wrappedKeyName(args.store, keyName);
    const owned = { parent: this, dependsOn: [...environment.ownerGrants] };

    const dataKey = new DataEncryptionKey(
      `${name}-dek`,
      { dataset: args.dataset, generation: args.generation },
      { parent: this },
    );
    const wrappingKey = new KeyEncryptionKey(
      `${name}-kek`,
      { vaultUri, keyName, authority, measurement, consortium, contractId },
      owned,
    );
    const wrapped = new WrappedKey(
      `${name}-wrapped`,
      {
        vaultUri,
        secretName,
        key: dataKey.key,
        keyEncryptionKey: pulumi
          .all([wrappingKey.keyName, wrappingKey.keyId, wrappingKey.publicKey])
          .apply(([kek, keyId, publicKey]) => ({ keyName: kek, keyId, publicKey })),
      },
      owned,
    );
    const toCleanRoom = { principalId: identity.principalId, principalType: "ServicePrincipal" } as const;
    const release = grantRole(
      `${name}-release`,
      {
        role: "Key Vault Crypto Service Release User",
        scope: pulumi.interpolate`${vaultId}/keys/${keyName}`,
        ...toCleanRoom,
      },
      { parent: this, dependsOn: [wrappingKey] },
    );
    const read = grantRole(
      `${name}-read`,
      { role: "Key Vault Secrets User", scope: pulumi.interpolate`${vaultId}/secrets/${secretName}`, ...toCleanRoom },
      { parent: this, dependsOn: [wrapped] },
    );
    this.key = dataKey.key;
    this.references = vaultUri.apply((vaultUrl) => ({
      dek: { secretName, vaultUrl },
      kek: { name: keyName, vaultUrl, authority },
    }));
    this.ready = [wrapped, release, read];
    this.registerOutputs({ references: this.references });
  }
}
