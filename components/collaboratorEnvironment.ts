import { getClientConfigOutput } from "@pulumi/azure-native/authorization/getClientConfig.js";
import { Vault } from "@pulumi/azure-native/keyvault/vault.js";
import * as pulumi from "@pulumi/pulumi";
import { resourceGroupName } from "./resourceGroup.ts";
import { grantRole } from "./roleGrant.ts";
import { storageAccount } from "./storage.ts";

export interface CollaboratorEnvironmentArgs {
  location: string;
  /** Name of an existing resource group. Default: a new one. */
  resourceGroup?: string | undefined;
  tags: Readonly<Record<string, string>>;
}

/** Where a collaborator keeps data and keys: storage without account keys, Key Vault Premium under role-based access. */
export class CollaboratorEnvironment extends pulumi.ComponentResource {
  declare readonly resourceGroupName: pulumi.Output<string>;
  declare readonly tenantId: pulumi.Output<string>;
  declare readonly storageAccountName: pulumi.Output<string>;
  declare readonly storageAccountId: pulumi.Output<string>;
  /** `https://…/`, with a trailing slash. */
  declare readonly blobEndpoint: pulumi.Output<string>;
  declare readonly vaultId: pulumi.Output<string>;
  declare readonly vaultUri: pulumi.Output<string>;
  /** The grants that let whoever runs the program write data and keys; wait for them before doing so. */
  readonly ownerGrants: readonly pulumi.Resource[];

  constructor(name: string, args: CollaboratorEnvironmentArgs, options?: pulumi.ComponentResourceOptions) {
    super("cleanroom:components:CollaboratorEnvironment", name, {}, options);
    const parent = { parent: this };
    const { location, tags } = args;
    const caller = getClientConfigOutput(parent);
    this.tenantId = caller.tenantId;
    this.resourceGroupName = resourceGroupName(`${name}-rg`, { location, existing: args.resourceGroup, tags }, parent);

    const storage = storageAccount(
      `${name}data`,
      { resourceGroupName: this.resourceGroupName, location, tags },
      parent,
    );
    this.storageAccountName = storage.name;
    this.storageAccountId = storage.id;
    this.blobEndpoint = storage.primaryEndpoints.blob;

    const vault = new Vault(
      `${name}-kv`,
      {
        resourceGroupName: this.resourceGroupName,
        location,
        properties: {
          tenantId: caller.tenantId,
          // Exportable keys with a release policy exist only in the premium tier.
          sku: { family: "A", name: "premium" },
          enableRbacAuthorization: true,
          enablePurgeProtection: true,
          enableSoftDelete: true,
          softDeleteRetentionInDays: 90,
        },
        tags: { ...tags },
      },
      parent,
    );
    this.vaultId = vault.id;
    this.vaultUri = vault.properties.vaultUri.apply((uri) => uri!);

    this.ownerGrants = [
      grantRole(
        `${name}-owner-blobs`,
        { role: "Storage Blob Data Contributor", scope: storage.id, principalId: caller.objectId },
        parent,
      ),
      grantRole(
        `${name}-owner-keys`,
        { role: "Key Vault Administrator", scope: vault.id, principalId: caller.objectId },
        parent,
      ),
    ];
    this.registerOutputs({
      resourceGroupName: this.resourceGroupName,
      storageAccountName: this.storageAccountName,
      blobEndpoint: this.blobEndpoint,
      vaultUri: this.vaultUri,
    });
  }
}
