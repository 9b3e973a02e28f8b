import type * as pulumi from "@pulumi/pulumi";
import type { DatasetFormat, DatasetKind, EncryptionMode, Field } from "../domain/dataset.ts";
import type { SharedDataset } from "../domain/handoff.ts";
import { DatasetDocument, type DatasetContent } from "../dynamic-providers/datasetDocument.ts";
import { DatasetFiles, type StoreLocation } from "../dynamic-providers/datasetFiles.ts";
import type { ConsortiumAccess } from "../dynamic-providers/framework/session.ts";

/** What a dataset is, wherever it is kept. */
export interface DatasetShape {
  kind: DatasetKind;
  /** Sources: folder with the files. */
  path?: string | undefined;
  format: DatasetFormat;
  fields: readonly Field[];
  allowedFields: readonly string[];
  encryption: EncryptionMode;
  /** A value that does not parse as its type is an error. */
  strict: boolean;
  /** CSE and CPK: another number makes another data encryption key. */
  keyGeneration: number;
}

export interface PublicationArgs {
  shape: DatasetShape;
  consortium: pulumi.Input<ConsortiumAccess>;
  contractId: string;
  /** Document id without its revision. */
  documentBase: string;
  location: pulumi.Output<StoreLocation>;
  /** CSE and CPK: the data encryption key, base64, secret. */
  key?: pulumi.Input<string> | undefined;
  /** Where and how the clean room reaches the dataset. */
  access: pulumi.Output<Pick<DatasetContent, "store" | "identity" | "keys">>;
  /** What has to be there before files can be written. */
  writable: readonly pulumi.Resource[];
  /** What has to be there before the clean room can use the dataset. */
  usable: readonly pulumi.Resource[];
}

/** A dataset that is in its store and known to the consortium. */
export interface Publication {
  readonly documentId: pulumi.Output<string>;
  /** User id of the owner, as the consortium recorded it. */
  readonly ownerId: pulumi.Output<string>;
  /** What other collaborators may know of it. */
  readonly shared: pulumi.Output<SharedDataset>;
}

/** Brings the files into the store, then the document: one never names files that are not there or cannot be read. */
export function publishDataset(name: string, args: PublicationArgs, parent: pulumi.Resource): Publication {
  const { kind, path, format, fields, allowedFields, encryption, strict } = args.shape;
  const files =
    path === undefined
      ? []
      : [
          new DatasetFiles(
            `${name}-files`,
            {
              directory: path,
              format,
              fields,
              strict,
              location: args.location,
              encryption,
              ...(args.key !== undefined && { key: args.key }),
            },
            { parent, dependsOn: [...args.writable] },
          ),
        ];
  const document = new DatasetDocument(
    `${name}-document`,
    {
      consortium: args.consortium,
      contractId: args.contractId,
      baseId: args.documentBase,
      dataset: args.access.apply((access) => ({ kind, format, fields, allowedFields, encryption, ...access })),
    },
    { parent, dependsOn: [...args.usable, ...files] },
  );
  return {
    documentId: document.documentId,
    ownerId: document.ownerId,
    shared: document.documentId.apply((documentId) => ({
      documentId,
      kind,
      format,
      fields: [...fields],
      allowedFields: [...allowedFields],
    })),
  };
}
