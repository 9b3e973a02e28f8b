import { BlobContainer } from "@pulumi/azure-native/storage/blobContainer.js";
import * as pulumi from "@pulumi/pulumi";
import type { SharedDataset } from "../domain/handoff.ts";
import type { BlobLocation } from "../dynamic-providers/datasetFiles.ts";
import type { ConsortiumAccess } from "../dynamic-providers/framework/session.ts";
import type { CleanRoomIdentity } from "./cleanRoomIdentity.ts";
import type { CollaboratorEnvironment } from "./collaboratorEnvironment.ts";
import { DatasetKeys } from "./datasetKeys.ts";
import { publishDataset, type DatasetShape } from "./publication.ts";
import { grantRole } from "./roleGrant.ts";

export interface DatasetArgs {
  environment: CollaboratorEnvironment;
  identity: CleanRoomIdentity;
  consortium: pulumi.Input<ConsortiumAccess>;
  contractId: string;
  /** Document id without its revision; also the container's name. */
  documentBase: string;
  /** Name of the dataset in the collaboration. */
  dataset: string;
  shape: DatasetShape;
  /** CSE and CPK: which clean room may have the keys, and whose word it takes. */
  release: { authority: string; measurement: string };
}

/** A dataset in Azure Blob Storage: container, keys, files, the clean room's access to it, and its document in the consortium. */
export class Dataset extends pulumi.ComponentResource {
  declare readonly documentId: pulumi.Output<string>;
  declare readonly ownerId: pulumi.Output<string>;
  declare readonly shared: pulumi.Output<SharedDataset>;
  declare readonly location: pulumi.Output<BlobLocation>;

  constructor(name: string, args: DatasetArgs, options?: pulumi.ComponentResourceOptions) {
    super("cleanroom:components:Dataset", name, {}, options);
    const parent = { parent: this };
    const { environment, identity, consortium, contractId, documentBase, shape } = args;
    const container = new BlobContainer(
      `${name}-container`,
      {
        resourceGroupName: environment.resourceGroupName,
        accountName: environment.storageAccountName,
        containerName: documentBase,
        publicAccess: "None",
      },
      parent,
    );
    const grant = grantRole(
      `${name}-access`,
      {
        role: shape.kind === "source" ? "Storage Blob Data Reader" : "Storage Blob Data Contributor",
        scope: container.id,
        principalId: identity.principalId,
        principalType: "ServicePrincipal",
      },
      parent,
    );
    const keys =
      shape.encryption === "SSE"
        ? undefined
        : new DatasetKeys(
            `${name}-keys`,
            {
              environment,
              identity,
              consortium,
              contractId,
              store: documentBase,
              dataset: args.dataset,
              generation: shape.keyGeneration,
              ...args.release,
            },
            parent,
          );
    this.location = pulumi.all([environment.blobEndpoint, container.name]).apply(([blobEndpoint, containerName]) => ({
      type: "Azure_BlobStorage" as const,
      blobEndpoint,
      container: containerName,
    }));
    const publication = publishDataset(
      name,
      {
        shape,
        consortium,
        contractId,
        documentBase,
        location: this.location,
        key: keys?.key,
        access: pulumi
          .all([this.location, identity.access, keys?.references])
          .apply(([{ type, blobEndpoint, container: storeContainer }, clientIdentity, references]) => ({
            store: { type, url: blobEndpoint, container: storeContainer },
            identity: clientIdentity,
            ...(references && { keys: references }),
          })),
        writable: environment.ownerGrants,
        usable: [grant, ...(keys?.ready ?? [])],
      },
      this,
    );
    this.documentId = publication.documentId;
    this.ownerId = publication.ownerId;
    this.shared = publication.shared;
    this.registerOutputs({ documentId: this.documentId });
  }
}
