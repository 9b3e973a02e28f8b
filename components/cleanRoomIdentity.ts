import { FederatedIdentityCredential } from "@pulumi/azure-native/managedidentity/federatedIdentityCredential.js";
import { UserAssignedIdentity } from "@pulumi/azure-native/managedidentity/userAssignedIdentity.js";
import * as pulumi from "@pulumi/pulumi";
import type { AccessIdentity } from "../domain/dataset.ts";

/** Audience Entra expects in a token that is exchanged. */
const EXCHANGE_AUDIENCE = "api://AzureADTokenExchange";

export interface CleanRoomIdentityArgs {
  resourceGroupName: pulumi.Input<string>;
  location: string;
  tags: Readonly<Record<string, string>>;
  /** Issuer of the consortium's tokens. */
  issuerUrl: pulumi.Input<string>;
  contractId: string;
  /** User id (`oid`) under which this organisation publishes its datasets. */
  userId: pulumi.Input<string>;
}

/**
 * The identity a clean room of the contract takes on to reach this organisation's data. Only a token the consortium
 * issues to attested code, for this contract and this owner, can be exchanged for it.
 */
export class CleanRoomIdentity extends pulumi.ComponentResource {
  /** Object id, for role assignments. */
  declare readonly principalId: pulumi.Output<string>;
  /** As dataset documents name it. */
  declare readonly access: pulumi.Output<AccessIdentity>;

  constructor(name: string, args: CleanRoomIdentityArgs, options?: pulumi.ComponentResourceOptions) {
    super("cleanroom:components:CleanRoomIdentity", name, {}, options);
    const parent = { parent: this };
    const identity = new UserAssignedIdentity(
      `${name}-mi`,
      { resourceGroupName: args.resourceGroupName, location: args.location, tags: { ...args.tags } },
      parent,
    );
    const credential = new FederatedIdentityCredential(
      `${name}-federation`,
      {
        resourceGroupName: args.resourceGroupName,
        resourceName: identity.name,
        issuer: args.issuerUrl,
        subject: pulumi.interpolate`${args.contractId}-${args.userId}`,
        audiences: [EXCHANGE_AUDIENCE],
      },
      parent,
    );
    this.principalId = identity.principalId;
    this.access = pulumi
      .all([identity.name, identity.clientId, identity.tenantId, args.issuerUrl, credential.id])
      .apply(([identityName, clientId, tenantId, issuerUrl]) => ({
        name: identityName,
        clientId,
        tenantId,
        issuerUrl,
      }));
    this.registerOutputs({ principalId: this.principalId, access: this.access });
  }
}
