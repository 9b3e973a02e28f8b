import { z } from "zod";
import { AgentError } from "./errors.ts";
import { fieldType } from "./engine/types.ts";
import type { DataFormat, Field, QuerySegment } from "./engine/contracts.ts";

/** The documents a run is made of, as their owners had them accepted; unknown members are ignored. */

const identitySchema = z.object({
  clientId: z.string(),
  tenantId: z.string(),
  tokenIssuer: z.object({ issuer: z.object({ url: z.string() }) }),
});

const secretSchema = z.object({
  name: z.string(),
  secret: z.object({
    backingResource: z.object({
      name: z.string(),
      type: z.string(),
      provider: z.object({ url: z.string(), configuration: z.string().nullish() }),
    }),
  }),
});

const datasetSchema = z.object({
  name: z.string(),
  datasetSchema: z.object({
    format: z.enum(["csv", "json", "parquet"]),
    fields: z.array(z.object({ fieldName: z.string(), fieldType: z.string() })),
  }),
  datasetAccessPolicy: z.object({ allowedFields: z.array(z.string()).nullish() }),
  datasetAccessPoint: z.object({
    subdirectory: z.string().nullish(),
    store: z.object({
      name: z.string(),
      type: z.string(),
      provider: z.object({ url: z.string(), configuration: z.string().nullish() }),
    }),
    identity: identitySchema.nullish(),
    protection: z.object({
      configuration: z.string(),
      encryptionSecrets: z.object({ dek: secretSchema.nullish(), kek: secretSchema.nullish() }).nullish(),
      encryptionSecretAccessIdentity: identitySchema.nullish(),
    }),
  }),
});

const querySchema = z.object({
  name: z.string(),
  application: z.object({
    inputDataset: z.array(z.object({ specification: z.string(), view: z.string() })).nullish(),
    outputDataset: z.object({ specification: z.string(), view: z.string() }).nullish(),
    query: z.string().nullish(),
  }),
});

const segmentsSchema = z.object({
  segments: z.array(
    z.object({
      executionSequence: z.number().int().default(0),
      data: z.string(),
      preConditions: z.array(z.object({ viewName: z.string(), minRowCount: z.number().int() })).nullish(),
      postFilters: z.array(z.object({ columnName: z.string(), value: z.number().int() })).nullish(),
    }),
  ),
});

export type FederatedIdentity = z.infer<typeof identitySchema>;
export type EncryptionMode = "SSE" | "CPK" | "CSE";

export interface EncryptionKeys {
  readonly wrappedDek: { readonly name: string; readonly vaultUrl: string };
  readonly kek: { readonly name: string; readonly vaultUrl: string; readonly authority: string };
  readonly accessIdentity: FederatedIdentity;
}

export interface Dataset {
  /** Document id. */
  readonly id: string;
  readonly name: string;
  readonly ownerId: string;
  readonly format: DataFormat;
  readonly fields: readonly Field[];
  readonly allowedFields: readonly string[];
  readonly store: {
    readonly type: string;
    readonly url: string;
    readonly container: string;
    readonly prefix: string;
    readonly configuration: string;
  };
  readonly identity: FederatedIdentity | undefined;
  readonly encryption: EncryptionMode;
  /** Present unless `encryption` is `SSE`. */
  readonly keys: EncryptionKeys | undefined;
}

export interface QueryDocument {
  readonly inputs: readonly { readonly datasetId: string; readonly view: string }[];
  readonly outputId: string | undefined;
  /** Base64 of the segments. */
  readonly query: string;
}

export function parseQuery(id: string, data: string): QueryDocument {
  const { application } = parse(querySchema, data, `query document ${id}`);
  return {
    inputs: (application.inputDataset ?? []).map(({ specification, view }) => ({ datasetId: specification, view })),
    outputId: application.outputDataset?.specification,
    query: application.query ?? "",
  };
}

/** @throws {AgentError} `ContentEmpty` or `InvalidQueryFormat`. */
export function parseSegments(query: string): QuerySegment[] {
  if (query === "") throw new AgentError(400, "ContentEmpty", "The query document holds no query.");
  const decoded = segmentsSchema.safeParse(tryParse(Buffer.from(query, "base64").toString("utf8")));
  if (!decoded.success) {
    throw new AgentError(
      400,
      "InvalidQueryFormat",
      `The query is not base64 of segments: ${z.prettifyError(decoded.error)}`,
    );
  }
  return decoded.data.segments.map((segment) => ({
    ...segment,
    preConditions: segment.preConditions ?? [],
    postFilters: segment.postFilters ?? [],
  }));
}

export function parseDataset(id: string, ownerId: string, data: string): Dataset {
  const document = parse(datasetSchema, data, `dataset document ${id}`);
  const { store, identity, protection, subdirectory } = document.datasetAccessPoint;
  const encryption = encryptionMode(id, protection.configuration);
  return {
    id,
    name: document.name,
    ownerId,
    format: document.datasetSchema.format,
    fields: document.datasetSchema.fields.map((field) => ({ name: field.fieldName, type: fieldType(field.fieldType) })),
    allowedFields: document.datasetAccessPolicy.allowedFields ?? [],
    store: {
      type: store.type,
      url: store.provider.url,
      container: store.name,
      prefix: (subdirectory ?? "").replaceAll(/^\/+|\/+$/g, ""),
      configuration: store.provider.configuration ?? "",
    },
    identity: identity ?? undefined,
    encryption,
    keys: encryption === "SSE" ? undefined : encryptionKeys(id, protection),
  };
}

function encryptionMode(id: string, configuration: string): EncryptionMode {
  const decoded = z
    .object({ EncryptionMode: z.enum(["SSE", "CPK", "CSE"]) })
    .safeParse(tryParse(Buffer.from(configuration, "base64").toString("utf8")));
  if (!decoded.success) {
    throw new AgentError(
      400,
      "InvalidEncryptionMode",
      `Dataset ${id}: protection.configuration must be base64 JSON with EncryptionMode SSE, CPK or CSE.`,
    );
  }
  return decoded.data.EncryptionMode;
}

function encryptionKeys(
  id: string,
  protection: z.infer<typeof datasetSchema>["datasetAccessPoint"]["protection"],
): EncryptionKeys {
  const { dek, kek } = protection.encryptionSecrets ?? {};
  const accessIdentity = protection.encryptionSecretAccessIdentity;
  if (!accessIdentity)
    throw new AgentError(
      400,
      "AccessIdentityMissing",
      `Dataset ${id}: no identity to read its encryption secrets with.`,
    );
  if (!dek || !kek)
    throw new AgentError(400, "KekNotSet", `Dataset ${id}: encryptionSecrets must name a DEK and a KEK.`);
  for (const { secret } of [dek, kek]) {
    if (secret.backingResource.type !== "AzureKeyVault") {
      throw new AgentError(
        400,
        "UnexpectedSecretBackingResourceType",
        `Dataset ${id}: secrets must be in an AzureKeyVault, not in ${secret.backingResource.type}.`,
      );
    }
  }
  const { provider } = kek.secret.backingResource;
  if (!provider.configuration) {
    throw new AgentError(
      400,
      "KekProviderConfigurationMissing",
      `Dataset ${id}: the KEK does not name its attestation authority.`,
    );
  }
  const configuration = z
    .object({ authority: z.string().min(1) })
    .safeParse(tryParse(Buffer.from(provider.configuration, "base64").toString("utf8")));
  if (!configuration.success) {
    throw new AgentError(
      400,
      "KekProviderConfigurationAuthorityMissing",
      `Dataset ${id}: the KEK does not name its attestation authority.`,
    );
  }
  return {
    wrappedDek: { name: dek.secret.backingResource.name, vaultUrl: dek.secret.backingResource.provider.url },
    kek: { name: kek.secret.backingResource.name, vaultUrl: provider.url, authority: configuration.data.authority },
    accessIdentity,
  };
}

function parse<T>(schema: z.ZodType<T>, data: string, what: string): T {
  const parsed = schema.safeParse(tryParse(data));
  if (parsed.success) return parsed.data;
  throw new AgentError(400, "InvalidDocument", `The ${what} is not usable: ${z.prettifyError(parsed.error)}`);
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
