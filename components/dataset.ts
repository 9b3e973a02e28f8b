import { BlobContainer } from "@pulumi/azure-native/storage/blobContainer.js";
import * as pulumi from "@pulumi/pulumi";
import type { AccessIdentity, DatasetFormat, DatasetKind, EncryptionMode, Field } from "../domain/dataset.ts";
import type { SharedDataset } from "../domain/handoff.ts";
import { DatasetDocument } from "../dynamic-providers/datasetDocument.ts";
import { DatasetFiles, type BlobLocation } from "../dynamic-providers/datasetFiles.ts";
import type { ConsortiumAccess } from "../dynamic-providers/framework/session.ts";
import type { CleanRoomIdentity } from "./cleanRoomIdentity.ts";
import type { CollaboratorEnvironment } from "./collaboratorEnvironment.ts";
import { DatasetKeys } from "./datasetKeys.ts";
import { grantRole } from "./roleGrant.ts";

export interface DatasetArgs {
  environment: CollaboratorEnvironment;
  identity: CleanRoomIdentity;
  consortium: pulumi.Input<ConsortiumAccess>;
  contractId: string;
  /** Document id without its revision; also the container's name. */
  documentBase: string;
  kind: DatasetKind;
  /** Sources: folder with the files. */
  path?: string | undefined;
  format: DatasetFormat;
  fields: readonly Field[];
  allowedFields: readonly string[];
  encryption: EncryptionMode;
  strict: boolean;
  /** Name of the dataset in the collaboration. */
  dataset: string;
  /** CSE and CPK: which clean room may have the keys, and whose word it takes. */
  release: { authority: string; measurement: string };
}

/** A dataset in Azure Blob Storage: container, files, the clean room's access to it, and its document in the consortium. */
export class Dataset extends pulumi.ComponentResource {
  declare readonly documentId: pulumi.Output<string>;
  /** User id of the owner, as the consortium recorded it. */
  declare readonly ownerId: pulumi.Output<string>;
  /** What other collaborators may know of it. */
  declare readonly shared: pulumi.Output<SharedDataset>;
  declare readonly location: pulumi.Output<BlobLocation>;

  constructor(name: string, args: DatasetArgs, options?: pulumi.ComponentResourceOptions) {
    super("cleanroom:components:Dataset", name, {}, options);
    const parent = { parent: this };
    const { environment, identity, kind, format, fields, allowedFields, encryption } = args;
    const container = new BlobContainer(
      `${name}-container`,
      {
        resourceGroupName: environment.resourceGroupName,
        accountName: environment.storageAccountName,
        containerName: args.documentBase,
        publicAccess: "None",
      },
      parent,
    );
    const access = grantRole(
      `${name}-access`,
      {
        role: kind === "source" ? "Storage Blob Data Reader" : "Storage Blob Data Contributor",
        scope: container.id,
        principalId: identity.principalId,
        principalType: "ServicePrincipal",
      },
      parent,
    );
    const location = pulumi
      .all([environment.blobEndpoint, container.name])
      .apply(([blobEndpoint, containerName]): BlobLocation => ({
        type: "Azure_BlobStorage",
        blobEndpoint,
        container: containerName,
      }));
    this.location = location;
    const keys =
      encryption === "SSE"
        ? undefined
        : new DatasetKeys(
            `${name}-keys`,
            {
              environment,
              identity,
              consortium: args.consortium,
              contractId: args.contractId,
              store: args.documentBase,
              dataset: args.dataset,
              ...args.release,
            },
            parent,
          );
    const files =
      args.path === undefined
        ? []
        : [
            new DatasetFiles(
              `${name}-files`,
              {
                directory: args.path,
                format,
                fields,
                strict: args.strict,
                location,
                encryption,
                ...(keys && { key: keys.key }),
              },
              { parent: this, dependsOn: [...environment.ownerGrants] },
            ),
          ];
    // Published last: a document never names files that are not there or that the clean room may not read.
    const document = new DatasetDocument(
      `${name}-document`,
      {
        consortium: args.consortium,
        contractId: args.contractId,
        baseId: args.documentBase,
        dataset: pulumi
          .all([location, identity.access, keys?.references])
          .apply(([store, clientIdentity, references]) => ({
            kind,
            format,
            fields,
            allowedFields,
            encryption,
            store: { type: store.type, url: store.blobEndpoint, container: store.container },
            identity: clientIdentity satisfies AccessIdentity,
            ...(references && { keys: references }),
          })),
      },
      { parent: this, dependsOn: [access, ...files, ...(keys?.ready ?? [])] },
    );
    this.documentId = document.documentId;
    this.ownerId = document.ownerId;
    this.shared = document.documentId.apply((documentId) => ({
      documentId,
      kind,
      format,
      fields: [...fields],
      allowedFields: [...allowedFields],
    }));
    this.registerOutputs({ documentId: this.documentId });
  }
}
