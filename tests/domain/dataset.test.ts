import {
  datasetDocument,
  datasetProblems,
  parseDatasetDocument,
  type DatasetDefinition,
} from "../../domain/dataset.ts";
import { UserError } from "../../domain/errors.ts";
import { source } from "./support.ts";

const attested = {
  name: "cleanroom_cgs_oidc",
  clientId: "",
  tenantId: "",
  tokenIssuer: {
    issuerType: "AttestationBasedTokenIssuer",
    issuer: { protocol: "Attested_OIDC", url: "https://cgs/oidc", configuration: "" },
  },
};
const identity = {
  name: "owner-mi",
  clientId: "client",
  tenantId: "tenant",
  tokenIssuer: {
    issuerType: "FederatedIdentityBasedTokenIssuer",
    issuer: { protocol: "AzureAD_Federated", url: "https://issuer.example/oidc", configuration: "" },
    federatedIdentity: attested,
  },
};
const decoded = (text: string): unknown => JSON.parse(Buffer.from(text, "base64").toString("utf8"));

describe("a dataset document", () => {
  test("of a source is the specification the governance service's tools write", () => {
    const document = datasetDocument(source);
    const { configuration } = document.datasetAccessPoint.protection;
    expect(decoded(configuration)).toEqual({ KeyType: "KEK", EncryptionMode: "SSE" });
    expect(document).toEqual({
      name: "retail-orders",
      datasetSchema: {
        format: "csv",
        fields: [
          { fieldName: "day", fieldType: "date" },
          { fieldName: "sku", fieldType: "string" },
        ],
      },
      datasetAccessPolicy: { accessMode: "read", allowedFields: ["day", "sku"] },
      datasetAccessPoint: {
        name: "retail-orders",
        type: "Volume_ReadOnly",
        path: "",
        subdirectory: "",
        store: {
          name: "orders-container",
          id: "orders-container",
          type: "Azure_BlobStorage",
          provider: { protocol: "Azure_BlobStorage", url: "https://acct.blob.core.windows.net", configuration: "" },
        },
        identity,
        protection: {
          proxyType: "SecureVolume__ReadOnly__Azure__BlobStorage",
          proxyMode: "Secure",
          privacyPolicy: null,
          configuration,
          encryptionSecrets: null,
          encryptionSecretAccessIdentity: identity,
        },
      },
    });
  });

  test("of a sink may be written to", () => {
    const document = datasetDocument({ ...source, kind: "sink" });
    expect(document.datasetAccessPolicy.accessMode).toBe("write");
    expect(document.datasetAccessPoint.type).toBe("Volume_ReadWrite");
    expect(document.datasetAccessPoint.protection.proxyType).toBe("SecureVolume__ReadWrite__Azure__BlobStorage");
  });

  test.each(["CSE", "CPK"] as const)(
    "with encryption %s says where the keys are and which authority releases them",
    (encryption) => {
      const document = datasetDocument({
        ...source,
        encryption,
        keys: {
          dek: { secretName: "wrapped-dek-1", vaultUrl: "https://v.vault.azure.net" },
          kek: { name: "kek-1", vaultUrl: "https://h.managedhsm.azure.net", authority: "https://maa.example" },
        },
      });
      const { protection } = document.datasetAccessPoint;
      expect(decoded(protection.configuration)).toEqual({ KeyType: "KEK", EncryptionMode: encryption });
      const { dek, kek } = protection.encryptionSecrets!;
      expect(dek).toEqual({
        name: "wrapped-dek-1",
        secret: {
          secretType: "Key",
          backingResource: {
            name: "wrapped-dek-1",
            id: "wrapped-dek-1",
            type: "AzureKeyVault",
            provider: { protocol: "AzureKeyVault_Secret", url: "https://v.vault.azure.net", configuration: "" },
          },
        },
      });
      expect(kek.secret.backingResource.provider).toMatchObject({
        protocol: "AzureKeyVault_SecureKey",
        url: "https://h.managedhsm.azure.net",
      });
      expect(decoded(kek.secret.backingResource.provider.configuration)).toEqual({ authority: "https://maa.example" });
    },
  );

  test("in S3 is reached with a secret of the contract, without an identity of its own", () => {
    const store = {
      type: "Aws_S3",
      url: "https://s3.amazonaws.com",
      container: "bucket",
      secretId: "cleanroom_key",
    } as const;
    const { identity: _none, ...rest } = source;
    const { datasetAccessPoint: point } = datasetDocument({ ...rest, store });
    expect(point.store).toMatchObject({
      name: "bucket",
      type: "Aws_S3",
      provider: { protocol: "Aws_S3", url: "https://s3.amazonaws.com" },
    });
    expect(decoded(point.store.provider.configuration)).toEqual({ secretId: "cleanroom_key" });
    expect(point.protection.proxyType).toBe("SecureVolume__ReadOnly__Aws__S3");
    expect(point.identity).toEqual(attested);
  });

  test("can be read back", () => {
    const document = datasetDocument(source);
    expect(parseDatasetDocument(source.documentId, JSON.stringify(document))).toEqual(document);
  });
});

describe("a dataset that cannot be used", () => {
  const cases: [string, Partial<DatasetDefinition>, string][] = [
    ["has no field", { fields: [], allowedFields: [] }, "schema has no field"],
    ["names a field twice", { fields: [...source.fields, source.fields[0]!] }, "schema names day more than once"],
    ["allows nothing", { allowedFields: [] }, "allowedFields is empty"],
    [
      "allows what is not there",
      { allowedFields: ["day", "price"] },
      "allowedFields names price, not in the schema (day, sku)",
    ],
    [
      "encrypts what S3 encrypts itself",
      { encryption: "CSE", store: { type: "Aws_S3", url: "https://s3.amazonaws.com", container: "b", secretId: "s" } },
      "encryption must be SSE",
    ],
  ];
  test.each(cases)("%s", (_what, change, problem) => {
    const dataset = { ...source, ...change };
    expect(datasetProblems(dataset).join("\n")).toContain(problem);
    expect(() => datasetDocument(dataset)).toThrow(UserError);
    expect(() => datasetDocument(dataset)).toThrow(/^Dataset retail-orders: /);
  });

  test("is told all its problems at once", () => {
    expect(datasetProblems({ fields: [], allowedFields: ["x"], encryption: "SSE" })).toHaveLength(2);
  });
});

describe("somebody's document that is no dataset", () => {
  const good = datasetDocument(source);
  const cases: [string, string, string][] = [
    ["is not JSON", "{", "does not hold a JSON object"],
    ["is a list", "[]", "does not hold a JSON object"],
    ["has no schema", JSON.stringify({ ...good, datasetSchema: undefined }), "datasetSchema"],
    [
      "has fields without a name",
      JSON.stringify({ ...good, datasetSchema: { format: "csv", fields: [{}] } }),
      "datasetSchema.fields.0.fieldName",
    ],
    ["has no list of fields", JSON.stringify({ ...good, datasetSchema: { format: "csv" } }), "datasetSchema.fields"],
    [
      "has another access mode",
      JSON.stringify({ ...good, datasetAccessPolicy: { accessMode: "both", allowedFields: [] } }),
      "accessMode",
    ],
    ["has no access point", JSON.stringify({ ...good, datasetAccessPoint: undefined }), "datasetAccessPoint"],
  ];
  test.each(cases)("%s", (_what, data, problem) => {
    expect(() => parseDatasetDocument("x", data)).toThrow(UserError);
    expect(() => parseDatasetDocument("x", data)).toThrow(problem);
    expect(() => parseDatasetDocument("x", data)).toThrow("Document x");
  });

  test("may hold what other tools add", () => {
    expect(() => parseDatasetDocument("x", JSON.stringify({ ...good, extension: 1 }))).not.toThrow();
  });
});
