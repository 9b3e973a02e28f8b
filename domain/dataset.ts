import { z } from "zod";
import { UserError } from "./errors.ts";

export const FIELD_TYPES = ["string", "integer", "number", "boolean", "date", "long", "timestamp"] as const;
export const DATASET_FORMATS = ["csv", "json", "parquet"] as const;
export const ENCRYPTION_MODES = ["CSE", "CPK", "SSE"] as const;

export type FieldType = (typeof FIELD_TYPES)[number];
export type DatasetFormat = (typeof DATASET_FORMATS)[number];
/** `CSE`: we encrypt. `CPK`: the service encrypts with the customer's key. `SSE`: the service encrypts with its own. */
export type EncryptionMode = (typeof ENCRYPTION_MODES)[number];
export type DatasetKind = "source" | "sink";

export interface Field {
  readonly name: string;
  readonly type: FieldType;
}

/** The managed identity the clean room signs in as to reach a store or a vault. */
export interface AccessIdentity {
  readonly name: string;
  readonly clientId: string;
  readonly tenantId: string;
  /** Issuer of the consortium's tokens, trusted by the identity's federated credential. */
  readonly issuerUrl: string;
}

/** Where the wrapped data encryption key (DEK) and the key that wraps it (KEK) are. */
export interface KeyReferences {
  readonly dek: { readonly secretName: string; readonly vaultUrl: string };
  readonly kek: { readonly name: string; readonly vaultUrl: string; readonly authority: string };
}

export interface DatasetDefinition {
  readonly documentId: string;
  readonly kind: DatasetKind;
  readonly format: DatasetFormat;
  readonly fields: readonly Field[];
  readonly allowedFields: readonly string[];
  readonly encryption: EncryptionMode;
  readonly store:
    | { readonly type: "Azure_BlobStorage"; readonly url: string; readonly container: string }
    | { readonly type: "Aws_S3"; readonly url: string; readonly container: string; readonly secretId: string };
  /** Absent for S3, which is reached with a secret of the contract. */
  readonly identity?: AccessIdentity;
  /** Present for CSE and CPK. */
  readonly keys?: KeyReferences;
}

interface Issuer {
  readonly protocol: string;
  readonly url: string;
  readonly configuration: string;
}

export interface DocumentIdentity {
  readonly name: string;
  readonly clientId: string;
  readonly tenantId: string;
  readonly tokenIssuer: {
    readonly issuerType: string;
    readonly issuer: Issuer;
    readonly federatedIdentity?: DocumentIdentity;
  };
}

interface SecretReference {
  readonly name: string;
  readonly secret: {
    readonly secretType: "Key";
    readonly backingResource: {
      readonly name: string;
      readonly id: string;
      readonly type: "AzureKeyVault";
      readonly provider: Issuer;
    };
  };
}

/** `data` of a user document labelled `dataset`: the DatasetSpecification of the clean room governance service. */
export interface DatasetDocument {
  readonly name: string;
  readonly datasetSchema: {
    readonly format: DatasetFormat;
    readonly fields: readonly { readonly fieldName: string; readonly fieldType: FieldType }[];
  };
  readonly datasetAccessPolicy: { readonly accessMode: "read" | "write"; readonly allowedFields: readonly string[] };
  readonly datasetAccessPoint: {
    readonly name: string;
    readonly type: "Volume_ReadOnly" | "Volume_ReadWrite";
    readonly path: "";
    readonly subdirectory: string;
    readonly store: { readonly name: string; readonly id: string; readonly type: string; readonly provider: Issuer };
    readonly identity: DocumentIdentity;
    readonly protection: {
      readonly proxyType: string;
      readonly proxyMode: "Secure";
      readonly privacyPolicy: null;
      readonly configuration: string;
      readonly encryptionSecrets: null | { readonly dek: SecretReference; readonly kek: SecretReference };
      readonly encryptionSecretAccessIdentity: DocumentIdentity;
    };
  };
}

/** What this program reads in documents of others; the clean room judges the rest. */
const readableDataset = z.looseObject({
  datasetSchema: z.looseObject({
    format: z.string(),
    fields: z.array(z.looseObject({ fieldName: z.string(), fieldType: z.string() })),
  }),
  datasetAccessPolicy: z.looseObject({ accessMode: z.enum(["read", "write"]), allowedFields: z.array(z.string()) }),
  datasetAccessPoint: z.looseObject({}),
});

/** The identity a workload has by its attestation alone; others are federated to it. */
const ATTESTED_IDENTITY: DocumentIdentity = {
  name: "cleanroom_cgs_oidc",
  clientId: "",
  tenantId: "",
  tokenIssuer: {
    issuerType: "AttestationBasedTokenIssuer",
    issuer: { protocol: "Attested_OIDC", url: "https://cgs/oidc", configuration: "" },
  },
};

/** Builds the document that the clean room reads to find, decrypt and restrict a dataset. */
export function datasetDocument(dataset: DatasetDefinition): DatasetDocument {
  const problems = datasetProblems(dataset);
  if (problems.length > 0) throw new UserError(`Dataset ${dataset.documentId}: ${problems.join("; ")}`);
  const access = dataset.kind === "source" ? "ReadOnly" : "ReadWrite";
  const identity = dataset.identity ? federatedIdentity(dataset.identity) : ATTESTED_IDENTITY;
  const { store } = dataset;
  return {
    name: dataset.documentId,
    datasetSchema: {
      format: dataset.format,
      fields: dataset.fields.map((field) => ({ fieldName: field.name, fieldType: field.type })),
    },
    datasetAccessPolicy: {
      accessMode: dataset.kind === "source" ? "read" : "write",
      allowedFields: [...dataset.allowedFields],
    },
    datasetAccessPoint: {
      name: dataset.documentId,
      type: `Volume_${access}`,
      path: "",
      subdirectory: "",
      store: {
        name: store.container,
        id: store.container,
        type: store.type,
        provider: {
          protocol: store.type,
          url: store.url,
          configuration: store.type === "Aws_S3" ? base64Json({ secretId: store.secretId }) : "",
        },
      },
      identity,
      protection: {
        proxyType: `SecureVolume__${access}__${store.type === "Aws_S3" ? "Aws__S3" : "Azure__BlobStorage"}`,
        proxyMode: "Secure",
        privacyPolicy: null,
        configuration: base64Json({ KeyType: "KEK", EncryptionMode: dataset.encryption }),
        encryptionSecrets: dataset.keys ? encryptionSecrets(dataset.keys) : null,
        encryptionSecretAccessIdentity: identity,
      },
    },
  };
}

/** What is wrong with a dataset whatever store it lives in; empty when nothing is. */
export function datasetProblems(
  dataset: Pick<DatasetDefinition, "fields" | "allowedFields" | "encryption"> & {
    keys?: unknown;
    store?: { type: string };
  },
): string[] {
  const problems: string[] = [];
  const names = dataset.fields.map((field) => field.name);
  const repeated = names.filter((name, index) => names.indexOf(name) !== index);
  if (names.length === 0) problems.push("schema has no field");
  if (repeated.length > 0) problems.push(`schema names ${repeated.join(", ")} more than once`);
  if (dataset.allowedFields.length === 0)
    problems.push("allowedFields is empty: the clean room refuses such a dataset");
  const unknown = dataset.allowedFields.filter((name) => !names.includes(name));
  if (unknown.length > 0)
    problems.push(`allowedFields names ${unknown.join(", ")}, not in the schema (${names.join(", ")})`);
  if (dataset.store?.type === "Aws_S3" && dataset.encryption !== "SSE")
    problems.push("S3 datasets are encrypted by the service: encryption must be SSE");
  return problems;
}

/** Reads `data` of a dataset document somebody published. @throws UserError when it is none. */
export function parseDatasetDocument(documentId: string, data: string): DatasetDocument {
  const document = parseObject(documentId, data);
  const result = readableDataset.safeParse(document);
  if (!result.success) {
    const problems = result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
    throw new UserError(`Document ${documentId} is not a dataset: ${problems.join("; ")}`);
  }
  return document as DatasetDocument;
}

export function parseObject(documentId: string, data: string): object {
  try {
    const value: unknown = JSON.parse(data);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Reported below together with well-formed JSON of the wrong kind.
  }
  throw new UserError(`Document ${documentId} does not hold a JSON object.`);
}

function federatedIdentity(identity: AccessIdentity): DocumentIdentity {
  return {
    name: identity.name,
    clientId: identity.clientId,
    tenantId: identity.tenantId,
    tokenIssuer: {
      issuerType: "FederatedIdentityBasedTokenIssuer",
      issuer: { protocol: "AzureAD_Federated", url: identity.issuerUrl, configuration: "" },
      federatedIdentity: ATTESTED_IDENTITY,
    },
  };
}

function encryptionSecrets(keys: KeyReferences): { dek: SecretReference; kek: SecretReference } {
  const reference = (name: string, vaultUrl: string, protocol: string, configuration: string): SecretReference => ({
    name,
    secret: {
      secretType: "Key",
      backingResource: { name, id: name, type: "AzureKeyVault", provider: { protocol, url: vaultUrl, configuration } },
    },
  });
  return {
    dek: reference(keys.dek.secretName, keys.dek.vaultUrl, "AzureKeyVault_Secret", ""),
    kek: reference(
      keys.kek.name,
      keys.kek.vaultUrl,
      "AzureKeyVault_SecureKey",
      base64Json({ authority: keys.kek.authority }),
    ),
  };
}

function base64Json(value: object): string {
  return Buffer.from(JSON.stringify(value), "utf8").toString("base64");
}
