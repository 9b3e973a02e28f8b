import { getClientConfigOutput } from "@pulumi/azure-native/authorization/getClientConfig.js";
import { Registry } from "@pulumi/azure-native/containerregistry/registry.js";
import { FileShare } from "@pulumi/azure-native/storage/fileShare.js";
import { getStorageAccountOutput } from "@pulumi/azure-native/storage/getStorageAccount.js";
import { listStorageAccountKeysOutput } from "@pulumi/azure-native/storage/listStorageAccountKeys.js";
import { StorageAccountStaticWebsite } from "@pulumi/azure-native/storage/storageAccountStaticWebsite.js";
import * as pulumi from "@pulumi/pulumi";
import { resourceGroupName } from "./resourceGroup.ts";
import { grantRole } from "./roleGrant.ts";
import { storageAccount } from "./storage.ts";

export interface OperatorEnvironmentArgs {
  location: string;
  /** Name of an existing resource group. Default: a new one. */
  resourceGroup?: string | undefined;
  /** An existing account in that group with its static website on, where policy forbids making one. Default: a new one. */
  oidcStorageAccount?: string | undefined;
  /** Make storage for the ledger of a CCF network. */
  ledger: boolean;
  tags: Readonly<Record<string, string>>;
}

/** Where the ledger of a CCF node lies. */
export interface LedgerStorage {
  readonly account: pulumi.Output<string>;
  /** Secret. */
  readonly accountKey: pulumi.Output<string>;
  readonly share: pulumi.Output<string>;
}

/** What the operator prepares before there is a consortium: where documents are published and the ledger is kept. */
export class OperatorEnvironment extends pulumi.ComponentResource {
  declare readonly resourceGroupName: pulumi.Output<string>;
  declare readonly subscriptionId: pulumi.Output<string>;
  declare readonly tenantId: pulumi.Output<string>;
  /** Blob endpoint of the issuer's account. */
  declare readonly issuerBlobEndpoint: pulumi.Output<string>;
  /** Web endpoint of the issuer's account, public. */
  declare readonly issuerWebEndpoint: pulumi.Output<string>;
  /** Wait for these before publishing documents. */
  readonly issuerReady: readonly pulumi.Resource[];
  readonly ledger: LedgerStorage | undefined;

  constructor(name: string, args: OperatorEnvironmentArgs, options?: pulumi.ComponentResourceOptions) {
    super("cleanroom:components:OperatorEnvironment", name, {}, options);
    const parent = { parent: this };
    const { location, tags } = args;
    const caller = getClientConfigOutput(parent);
    this.subscriptionId = caller.subscriptionId;
    this.tenantId = caller.tenantId;
    const group = resourceGroupName(`${name}-rg`, { location, existing: args.resourceGroup, tags }, parent);
    this.resourceGroupName = group;

    const issuer =
      args.oidcStorageAccount === undefined
        ? storageAccount(`${name}oidc`, { resourceGroupName: group, location, tags }, parent)
        : getStorageAccountOutput({ resourceGroupName: group, accountName: args.oidcStorageAccount }, parent);
    this.issuerBlobEndpoint = issuer.primaryEndpoints.blob;
    this.issuerWebEndpoint = issuer.primaryEndpoints.web;
    const writer = grantRole(
      `${name}-oidc-writer`,
      { role: "Storage Blob Data Contributor", scope: issuer.id, principalId: caller.objectId },
      parent,
    );
    this.issuerReady =
      args.oidcStorageAccount === undefined ? [writer, this.website(name, group, issuer.name, writer)] : [writer];

    this.ledger = args.ledger ? this.ledgerStorage(name, group, args) : undefined;
    new Registry(
      `${name}acr`,
      { resourceGroupName: group, location, sku: { name: "Premium" }, adminUserEnabled: false, tags: { ...tags } },
      parent,
    );
    this.registerOutputs({ resourceGroupName: group, issuerWebEndpoint: this.issuerWebEndpoint });
  }

  /** Turning the website on is a data-plane call, made with the caller's role. */
  private website(
    name: string,
    group: pulumi.Output<string>,
    accountName: pulumi.Output<string>,
    writer: pulumi.Resource,
  ): pulumi.Resource {
    return new StorageAccountStaticWebsite(
      `${name}-oidc-website`,
      { resourceGroupName: group, accountName, indexDocument: "index.html", error404Document: "error.html" },
      { parent: this, dependsOn: [writer] },
    );
  }

  private ledgerStorage(
    name: string,
    group: pulumi.Output<string>,
    { location, tags }: OperatorEnvironmentArgs,
  ): LedgerStorage {
    const parent = { parent: this };
    // Container groups mount Azure Files with an account key, the one place where shared keys are needed.
    const account = storageAccount(
      `${name}ccf`,
      { resourceGroupName: group, location, tags, sharedKeys: true },
      parent,
    );
    const share = new FileShare(
      `${name}-ccf-0`,
      { resourceGroupName: group, accountName: account.name, shareName: `${name}-ccf-0` },
      parent,
    );
    const { keys } = listStorageAccountKeysOutput({ resourceGroupName: group, accountName: account.name }, parent);
    return { account: account.name, accountKey: pulumi.secret(keys.apply(([key]) => key!.value)), share: share.name };
  }
}
