import { checkModel } from "../../../sandbox/azure/models.ts";
import type { ModelReference } from "../../../sandbox/azure/models.ts";
import { checkName, automaticName } from "../../../sandbox/azure/naming.ts";
import { RESOURCE_TYPES } from "../../../sandbox/azure/resources/index.ts";
import { UNKNOWN } from "../../../sandbox/azure/values.ts";
import type { Args } from "../../../sandbox/azure/values.ts";

function typeOf(token: string) {
  return RESOURCE_TYPES.find((type) => type.token === `azure-native:${token}`)!;
}

function reasons(token: string, body: Args): string[] {
  return checkModel(typeOf(token).model!, body).map(({ reason }) => reason);
}

const ACCOUNT = { kind: "StorageV2", sku: { name: "Standard_LRS" }, location: "westeurope" };

describe("inputs against the official models", () => {
  test("a correct body passes", () => {
    expect(reasons("storage:StorageAccount", { ...ACCOUNT, allowSharedKeyAccess: false, tags: { a: "b" } })).toEqual(
      [],
    );
  });

  test.each([
    [
      "a misspelt property",
      { allowSharedKeyAcess: false },
      "'allowSharedKeyAcess' could not be found on 'StorageAccountCreateParameters'",
    ],
    [
      "a misspelt nested property",
      { sku: { name: "Standard_LRS", teir: "x" } },
      "'sku.teir' could not be found on 'Sku'",
    ],
    ["a wrong type", { allowSharedKeyAccess: "no" }, `'allowSharedKeyAccess' must be true or false, not "no"`],
    ["a value of no enumeration", { accessTier: "Lukewarm" }, "'accessTier' must be one of Hot, Cool, Premium, Cold"],
    ["a value the service does not know", { minimumTlsVersion: "TLS2" }, "'minimumTlsVersion' must be one of TLS1_0"],
    ["tags that are no text", { tags: { a: 1 } }, `'tags["a"]' must be a string, not 1`],
  ])("%s is refused by name", (_, change, reason) => {
    expect(reasons("storage:StorageAccount", { ...ACCOUNT, ...change })).toEqual([expect.stringContaining(reason)]);
  });

  test("required properties are named, also nested and inside arrays", () => {
    expect(reasons("storage:StorageAccount", { kind: "StorageV2", sku: {} })).toEqual([
      "missing required property 'sku.name'",
    ]);
    expect(reasons("keyvault:Vault", { properties: { sku: { family: "A", name: "premium" } } })).toEqual([
      "missing required property 'properties.tenantId'",
    ]);
    expect(reasons("containerservice:ManagedCluster", { agentPoolProfiles: [{ count: 1 }] })).toEqual([
      "missing required property 'agentPoolProfiles[0].name'",
    ]);
    // Flattened and listed before every other property of the body: the generated serializer overlooks this one.
    expect(reasons("containerinstance:ContainerGroup", { osType: "Linux" })).toEqual([
      "missing required property 'containers'",
    ]);
  });

  test("GUIDs, ranges and patterns are checked", () => {
    const vault = { tenantId: "not-a-guid", sku: { family: "A", name: "premium" }, enableRbacAuthorization: true };
    expect(reasons("keyvault:Vault", { properties: vault })).toEqual([
      `'properties.tenantId' must be a GUID, not "not-a-guid"`,
    ]);
    expect(reasons("containerservice:ManagedCluster", { networkProfile: { serviceCidr: "not a network" } })).toEqual([
      expect.stringContaining("'networkProfile.serviceCidr' must match"),
    ]);
    const gateway = (idleTimeoutInMinutes: number) => ({
      networkProfile: { natGatewayProfile: { idleTimeoutInMinutes } },
    });
    expect(reasons("containerservice:ManagedCluster", gateway(4))).toEqual([]);
    expect(reasons("containerservice:ManagedCluster", gateway(3))).toEqual([
      "'networkProfile.natGatewayProfile.idleTimeoutInMinutes' must be at least 4",
    ]);
    expect(reasons("containerservice:ManagedCluster", gateway(121))).toEqual([
      "'networkProfile.natGatewayProfile.idleTimeoutInMinutes' must be at most 120",
    ]);
  });

  test("counts are checked", () => {
    const certificates = (count: number) => ({
      securityProfile: { customCATrustCertificates: Array(count).fill("cGVt") },
    });
    expect(reasons("containerservice:ManagedCluster", certificates(10))).toEqual([]);
    expect(reasons("containerservice:ManagedCluster", certificates(11))).toEqual([
      "'securityProfile.customCATrustCertificates' must have at most 10 items",
    ]);
  });

  test("what is unknown in a preview is not judged", () => {
    expect(reasons("storage:StorageAccount", { kind: UNKNOWN, sku: UNKNOWN, tags: { a: UNKNOWN } })).toEqual([]);
    expect(reasons("containerinstance:ContainerGroup", { osType: "Linux", containers: [UNKNOWN] })).toEqual([]);
  });

  test("inputs may be named as in the body or as in the model", () => {
    const reference: ModelReference = { client: "arm-storage", model: "StorageAccountCreateParameters" };
    expect(checkModel(reference, { ...ACCOUNT, enableHttpsTrafficOnly: true })).toEqual([]);
    expect(checkModel(reference, { ...ACCOUNT, supportsHttpsTrafficOnly: true })).toEqual([]);
  });

  test("every type that names a model names one that exists", () => {
    for (const { model } of RESOURCE_TYPES.filter((type) => type.model))
      expect(() => checkModel(model!, {})).not.toThrow();
  });
});

describe("names", () => {
  test.each([
    ["storage:StorageAccount", "northwind01", ["ab", "Northwind", "north-wind", "a".repeat(25)]],
    ["storage:BlobContainer", "northwind-input", ["ab", "-input", "input-", "in--put", "Input", "a".repeat(64)]],
    ["keyvault:Vault", "northwind-kv", ["kv", "1vault", "vault-", "va--ult", "a".repeat(25)]],
    ["resources:ResourceGroup", "northwind (test)_1.a", ["", "ends.", "a/b", "a".repeat(91)]],
    ["containerinstance:ContainerGroup", "operator-ccf-0", ["-a", "a-", "A", "a".repeat(64)]],
    ["managedidentity:UserAssignedIdentity", "reader_1", ["ab", "-reader", "a".repeat(129)]],
    ["managedidentity:FederatedIdentityCredential", "federation", ["ab", "_federation", "a".repeat(121)]],
    ["containerregistry:Registry", "Images", ["imgs", "my-images", "a".repeat(51)]],
    ["containerservice:ManagedCluster", "operator-aks", ["-aks", "aks-", "a".repeat(64)]],
    ["privatedns:PrivateZone", "analytics.svc", ["svc", "a b.svc", "-a.svc", ".svc"]],
    ["authorization:RoleAssignment", "dddddddd-0000-4000-8000-000000000001", ["reader", "dddddddd-0000"]],
  ])("%s: accepts %s and refuses what Azure would", (token, good, bad) => {
    // Spaces and the like are no part of any pattern here except the resource group's own.
    const rule = typeOf(token).name;
    expect(checkName(rule, good.replace(" ", ""))).toEqual([]);
    for (const name of bad) expect(checkName(rule, name)).toHaveLength(1);
  });

  test("names made up keep to the rules, agree for one seed and differ for another", () => {
    const seed = Buffer.from("seed");
    for (const { name: rule } of RESOURCE_TYPES.filter(({ name }) => name.style !== "given")) {
      const name = automaticName(rule, "clean-room-resource-with-a-long-name", seed);
      if (rule.input !== "agentPoolName") expect(checkName(rule, name)).toEqual([]);
      expect(automaticName(rule, "clean-room-resource-with-a-long-name", seed)).toBe(name);
      expect(automaticName(rule, "clean-room-resource-with-a-long-name", Buffer.from("other"))).not.toBe(name);
    }
    expect(automaticName(typeOf("storage:StorageAccount").name, "My-Data", seed)).toMatch(/^mydata[0-9a-f]{8}$/);
    expect(automaticName(typeOf("resources:ResourceGroup").name, "northwind", new Uint8Array())).toMatch(
      /^northwind[0-9a-f]{8}$/,
    );
  });
});
