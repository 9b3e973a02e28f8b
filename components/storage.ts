import { StorageAccount } from "@pulumi/azure-native/storage/storageAccount.js";
import type * as pulumi from "@pulumi/pulumi";

export interface StorageArgs {
  resourceGroupName: pulumi.Input<string>;
  location: string;
  tags: Readonly<Record<string, string>>;
  /** Azure Files volumes of container groups need an account key. Default false. */
  sharedKeys?: boolean;
}

/** A storage account as every persona wants it: TLS 1.2, no anonymous blobs, no account keys unless a volume needs one. */
export function storageAccount(name: string, args: StorageArgs, options: pulumi.CustomResourceOptions): StorageAccount {
  return new StorageAccount(
    name,
    {
      resourceGroupName: args.resourceGroupName,
      location: args.location,
      kind: "StorageV2",
      sku: { name: "Standard_LRS" },
      minimumTlsVersion: "TLS1_2",
      enableHttpsTrafficOnly: true,
      allowBlobPublicAccess: false,
      allowSharedKeyAccess: args.sharedKeys ?? false,
      allowCrossTenantReplication: false,
      defaultToOAuthAuthentication: !(args.sharedKeys ?? false),
      tags: { ...args.tags },
    },
    options,
  );
}
