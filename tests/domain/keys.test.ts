import {
  DEFAULT_ATTESTATION_AUTHORITY,
  keyEncryptionKeyName,
  releasePolicy,
  wrappedKeyName,
} from "../../domain/keys.ts";

/** Names the existing clean room tools give in the customer-provided-key demo: datastore, dataset, key. */
const VECTORS = [
  ["analytics-cpk-northwind-input", "northwind-input", "bb3b54b3-kek"],
  ["analytics-cpk-woodgrove-input", "woodgrove-input", "4fd2e8ad-kek"],
  ["analytics-cpk-woodgrove-output", "woodgrove-output", "f6a7ef2a-kek"],
] as const;
/** Key Vault: letters, digits and hyphens, at most 127. */
const VAULT_NAME = /^[0-9a-zA-Z-]{1,127}$/;
const LONGEST_CONTAINER = "a".repeat(63);

describe("names of keys", () => {
  test.each(VECTORS)("%s with %s is wrapped by %s, as the existing tools name it", (store, dataset, name) => {
    expect(keyEncryptionKeyName(store, dataset)).toBe(name);
  });

  test("the wrapped key is named after the store and the key that wraps it", () => {
    expect(wrappedKeyName("analytics-cpk-northwind-input", "bb3b54b3-kek")).toBe(
      "wrapped-analytics-cpk-northwind-input-dek-bb3b54b3-kek",
    );
  });

  test("differ from store to store and from dataset to dataset", () => {
    const names = ["a", "b"].flatMap((store) => ["x", "y"].map((dataset) => keyEncryptionKeyName(store, dataset)));
    expect(new Set(names).size).toBe(4);
  });

  test("are names a vault accepts, whatever a container may be called", () => {
    const key = keyEncryptionKeyName(LONGEST_CONTAINER, "northwind-ünïcode");
    expect(key).toMatch(/^[0-9a-f]{8}-kek$/);
    expect(wrappedKeyName(LONGEST_CONTAINER, key)).toMatch(VAULT_NAME);
  });
});

describe("the release policy", () => {
  const measurement = "ab".repeat(32);

  test("releases to one measurement in an attested confidential machine, on one authority's word", () => {
    expect(releasePolicy(DEFAULT_ATTESTATION_AUTHORITY, measurement)).toEqual({
      version: "1.0.0",
      anyOf: [
        {
          authority: "https://sharedneu.neu.attest.azure.net",
          allOf: [
            { claim: "x-ms-sevsnpvm-hostdata", equals: measurement },
            { claim: "x-ms-compliance-status", equals: "azure-compliant-uvm" },
            { claim: "x-ms-attestation-type", equals: "sevsnpvm" },
          ],
        },
      ],
    });
  });

  test("of another measurement or authority is another policy", () => {
    const texts = [
      releasePolicy(DEFAULT_ATTESTATION_AUTHORITY, measurement),
      releasePolicy(DEFAULT_ATTESTATION_AUTHORITY, "cd".repeat(32)),
      releasePolicy("https://other.attest.azure.net", measurement),
    ].map((policy) => JSON.stringify(policy));
    expect(new Set(texts).size).toBe(3);
  });
});
