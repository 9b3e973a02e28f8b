import fs from "node:fs";
import path from "node:path";
import { deterministicGuid } from "../../domain/azure/names.ts";
import { ROLES } from "../../domain/azure/roles.ts";
import { providerText } from "../../dynamic-providers/framework/resource.ts";
import { ACCOUNT_KEY, CALLER, KUBECONFIG, SUBSCRIPTION, TENANT } from "./support/cloud.ts";
import { dataKey, privateKey } from "./support/consortium.ts";
import { deploy, isComponent, root, type Declared, type Deployment } from "./support/program.ts";
import { handoffs, tell, type Story } from "./support/story.ts";
import { isSecret, plain, withoutSecrets, type Values } from "./support/values.ts";

let story: Story;
beforeAll(async () => (story = await tell()));

/** Every resource the three stacks ever declare, with the deployment it belongs to. */
function everywhere(): { deployment: Deployment; resource: Declared }[] {
  return story.all.flatMap((deployment) => deployment.resources.map((resource) => ({ deployment, resource })));
}
const labelsOf = (found: readonly { resource: Declared }[]): string[] => found.map(({ resource }) => resource.label);

describe("components", () => {
  test("give every resource of theirs their own name and what it is for", () => {
    const wrong = everywhere().filter(({ deployment, resource: { parent, name } }) => {
      if (parent === undefined) return false;
      return !name.startsWith(deployment.resource(parent).name) || name === deployment.resource(parent).name;
    });
    // The node's container group is what the component is about.
    expect(new Set(labelsOf(wrong))).toEqual(new Set(["ContainerGroup operator-ccf-0"]));
  });

  test("hold everything that is deployed: only agreements stand on their own", () => {
    const alone = everywhere().filter(({ resource }) => resource.parent === undefined && !isComponent(resource));
    expect(new Set(alone.map(({ resource }) => resource.type))).toEqual(
      new Set(
        [
          ...["DeploymentInformation", "UserInvitation", "UserIdentity"],
          ...["InvitationAcceptance", "QueryDocument", "QueryApproval", "QueryRun"],
        ].map((kind) => `pulumi-nodejs:dynamic/cleanroom:${kind}`),
      ),
    );
  });

  test("have a type of their own and register their outputs", () => {
    const components = everywhere().filter(({ resource }) => isComponent(resource));
    expect(new Set(components.map(({ resource }) => resource.type.split(":").at(-1)))).toEqual(
      new Set([
        ...["OperatorEnvironment", "Consortium", "CcfNode", "AnalyticsContract", "CleanRoomCluster"],
        ...["CollaboratorEnvironment", "CleanRoomIdentity", "Dataset", "DatasetKeys"],
      ]),
    );
    const silent = components.filter(({ resource }) => Object.keys(resource.registered ?? {}).length === 0);
    expect(labelsOf(silent)).toEqual([]);
    const incomplete = components.filter(({ resource }) =>
      Object.values(resource.registered!).some((value) => value === null || value === undefined),
    );
    expect(labelsOf(incomplete)).toEqual([]);
  });
});

test("what runs is the provider of the resource's kind, named by a text that never changes", () => {
  const dynamic = everywhere().filter(({ resource }) => resource.type.startsWith("pulumi-nodejs:dynamic/"));
  const kinds = new Set(dynamic.map(({ resource }) => resource.type.split(":").at(-1)!));
  expect(kinds.size).toBeGreaterThan(15);
  for (const { resource } of dynamic) {
    const kind = resource.type.split(":").at(-1)!;
    const file = `${kind[0]!.toLowerCase()}${kind.slice(1)}`;
    expect(resource.inputs.__provider).toBe(providerText(file));
    expect(fs.existsSync(path.join(root, "dynamic-providers", `${file}.ts`))).toBe(true);
  }
});

test("everything that can be tagged is", async () => {
  const tags = { project: "clean room", owner: "ana" };
  const operator = await deploy("operator", { config: { tags }, stacks: handoffs({ northwind: story.northwind[1] }) });
  const stacks = handoffs({
    operator: story.operator[1],
    northwind: story.northwind[2],
    woodgrove: story.woodgrove[2],
  });
  const woodgrove = await deploy("woodgrove", { config: { tags }, stacks });
  const taggable =
    /:(ResourceGroup|StorageAccount|Vault|Registry|UserAssignedIdentity|ContainerGroup|ManagedCluster|PublicIPAddress)$/;
  const notTaggable =
    /:(RoleAssignment|FederatedIdentityCredential|StorageAccountStaticWebsite|BlobContainer|FileShare)$/;
  const azure = [...operator.resources, ...woodgrove.resources].filter(({ type }) => type.startsWith("azure-native:"));
  expect(azure.filter(({ type }) => !taggable.test(type) && !notTaggable.test(type))).toEqual([]);
  for (const { label, type, inputs } of azure) {
    if (taggable.test(type)) expect([label, inputs.tags]).toEqual([label, expect.objectContaining(tags)]);
  }
  expect(operator.inputs("ContainerGroup operator-ccf-0").tags).toEqual({
    ...tags,
    "ccf-network:network-name": "operator-ccf",
    "ccf-network:type": "node",
    "ccf-network:resource-name": "operator-ccf-0",
  });
});

describe("secrets", () => {
  const members = ["ccfoperator", "ccfoperator's encryption", "operator"].map(privateKey);
  const datasets = ["northwind-input", "woodgrove-input", "woodgrove-output"].map(dataKey);
  const texts = [ACCOUNT_KEY, KUBECONFIG, ...members, ...datasets];

  test("are used, and marked wherever they are", () => {
    const sent = everywhere().map(({ resource }) => ({ label: resource.label, inputs: resource.inputs }));
    const used = texts.filter((text) => JSON.stringify(sent.map(({ inputs }) => plain(inputs))).includes(text));
    expect(used).toEqual(texts.filter((text) => text !== privateKey("ccfoperator's encryption")));
    const shown = sent.filter(({ inputs }) => {
      const visible = JSON.stringify(withoutSecrets(inputs));
      return texts.some((text) => visible.includes(text));
    });
    expect(shown.map(({ label }) => label)).toEqual([]);
  });

  test("that a provider gives back are kept as secrets", () => {
    const keys = everywhere().filter(({ resource }) => /^(MemberKey|DataEncryptionKey) /.test(resource.label));
    expect(keys.length).toBeGreaterThan(4);
    for (const { resource } of keys) {
      const expected = resource.label.startsWith("MemberKey") ? ["privateKey", "encryptionPrivateKey"] : ["key"];
      expect(resource.secretOutputs).toEqual(expected);
    }
    const signed = everywhere().filter(({ resource }) => resource.inputs.signer !== undefined);
    expect(signed.length).toBeGreaterThan(10);
    for (const { resource } of signed) {
      expect([resource.label, isSecret(resource.inputs.signer)]).toEqual([resource.label, true]);
      expect(resource.secretOutputs).toContain("signer");
    }
  });

  test("never cross to another organisation, nor taint what does", () => {
    for (const deployment of story.all) {
      expect(deployment.isSecret).toBe(false);
      expect(texts.filter((text) => JSON.stringify(deployment.outputs).includes(text))).toEqual([]);
    }
    const components = everywhere().filter(({ resource }) => isComponent(resource));
    const registered = JSON.stringify(withoutSecrets(components.map(({ resource }) => resource.registered)));
    expect(texts.filter((text) => registered.includes(text))).toEqual([]);
  });
});

describe("role assignments", () => {
  const role = (name: keyof typeof ROLES): string =>
    `/subscriptions/${SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/${ROLES[name]}`;
  const group = (persona: string): string =>
    String(
      story.all
        .flatMap((deployment) => deployment.ofKind("ResourceGroup"))
        .find(({ name }) => name === `${persona}-rg`)!.inputs.resourceGroupName,
    );
  const id = (persona: string, rest: string): string =>
    `/subscriptions/${SUBSCRIPTION}/resourceGroups/${group(persona)}/providers/${rest}`;
  const nameOf = (deployment: Deployment, label: string, input: string): string =>
    String(deployment.inputs(label)[input]);
  // azure-native itself takes everybody for a user of whom nothing else is said.
  const caller = { principalId: CALLER, principalType: "User" };
  const grants = (deployment: Deployment): Record<string, Values> =>
    Object.fromEntries(
      deployment.ofKind("RoleAssignment").map(({ name, inputs }) => {
        const { roleAssignmentName: _name, ...rest } = plain(inputs);
        return [name, rest];
      }),
    );

  test("of the operator: issuer documents for the caller, one address for the cluster", () => {
    const [deployment] = story.operator;
    const account = nameOf(deployment, "StorageAccount operatoroidc", "accountName");
    expect(grants(deployment)).toEqual({
      "operator-oidc-writer": {
        scope: id("operator", `Microsoft.Storage/storageAccounts/${account}`),
        ...caller,
        roleDefinitionId: role("Storage Blob Data Contributor"),
      },
      "operator-cluster-agent-ip-user": {
        scope: id("operator", "Microsoft.Network/publicIPAddresses/analytics-agent-ip"),
        principalId: "principal of the cluster",
        principalType: "ServicePrincipal",
        roleDefinitionId: role("Network Contributor"),
      },
    });
  });

  test("of a collaborator: its own store and vault for the caller; for the clean room one container, key and secret each", () => {
    const deployment = story.woodgrove[2];
    const storage = id(
      "woodgrove",
      `Microsoft.Storage/storageAccounts/${nameOf(deployment, "StorageAccount woodgrovedata", "accountName")}`,
    );
    const vault = id("woodgrove", `Microsoft.KeyVault/vaults/${nameOf(deployment, "Vault woodgrove-kv", "vaultName")}`);
    const identity = nameOf(deployment, "UserAssignedIdentity woodgrove-cleanroom-mi", "resourceName");
    const cleanRoom = { principalId: `principal of ${identity}`, principalType: "ServicePrincipal" };
    const keys = (dataset: string): Record<string, Values> => ({
      [`woodgrove-${dataset}-keys-release`]: {
        ...cleanRoom,
        scope: `${vault}/keys/${nameOf(deployment, `KeyEncryptionKey woodgrove-${dataset}-keys-kek`, "keyName")}`,
        roleDefinitionId: role("Key Vault Crypto Service Release User"),
      },
      [`woodgrove-${dataset}-keys-read`]: {
        ...cleanRoom,
        scope: `${vault}/secrets/${nameOf(deployment, `WrappedKey woodgrove-${dataset}-keys-wrapped`, "secretName")}`,
        roleDefinitionId: role("Key Vault Secrets User"),
      },
    });
    expect(grants(deployment)).toEqual({
      "woodgrove-owner-blobs": {
        scope: storage,
        ...caller,
        roleDefinitionId: role("Storage Blob Data Contributor"),
      },
      "woodgrove-owner-keys": {
        scope: vault,
        ...caller,
        roleDefinitionId: role("Key Vault Administrator"),
      },
      "woodgrove-input-access": {
        ...cleanRoom,
        scope: `${storage}/blobServices/default/containers/analytics-woodgrove-input`,
        roleDefinitionId: role("Storage Blob Data Reader"),
      },
      "woodgrove-output-access": {
        ...cleanRoom,
        scope: `${storage}/blobServices/default/containers/analytics-woodgrove-output`,
        roleDefinitionId: role("Storage Blob Data Contributor"),
      },
      ...keys("input"),
      ...keys("output"),
    });
  });

  test("are named by who, what and where alone", () => {
    for (const { resource } of everywhere().filter(({ resource }) => resource.label.startsWith("RoleAssignment "))) {
      const { scope, principalId, roleDefinitionId, roleAssignmentName } = plain(resource.inputs) as Record<
        string,
        string
      >;
      const [name] = Object.entries(ROLES).find(([, guid]) => roleDefinitionId!.endsWith(guid))!;
      expect(roleAssignmentName).toBe(deterministicGuid(scope!, principalId!, name));
    }
  });
});

describe("hygiene", () => {
  test("storage has no anonymous blobs, no old TLS and no account keys, but where a volume needs one", () => {
    for (const { resource } of everywhere().filter(({ resource }) => resource.label.startsWith("StorageAccount "))) {
      const isLedger = resource.name === "operatorccf";
      expect([resource.name, resource.inputs]).toEqual([
        resource.name,
        expect.objectContaining({
          kind: "StorageV2",
          minimumTlsVersion: "TLS1_2",
          enableHttpsTrafficOnly: true,
          allowBlobPublicAccess: false,
          allowSharedKeyAccess: isLedger,
          allowCrossTenantReplication: false,
          defaultToOAuthAuthentication: !isLedger,
        }),
      ]);
    }
  });

  test("containers are private", () => {
    const containers = everywhere().filter(({ resource }) => resource.label.startsWith("BlobContainer "));
    expect(containers.length).toBeGreaterThan(0);
    for (const { resource } of containers) expect(resource.inputs.publicAccess).toBe("None");
  });

  test("vaults are premium, under roles, and cannot be purged", () => {
    const [vault] = story.northwind[0].ofKind("Vault");
    expect(plain(vault!.inputs).properties).toMatchObject({
      tenantId: TENANT,
      sku: { family: "A", name: "premium" },
      enableRbacAuthorization: true,
      enablePurgeProtection: true,
      enableSoftDelete: true,
      softDeleteRetentionInDays: 90,
    });
  });

  test("the registry has no administrator account", () => {
    expect(story.operator[0].inputs("Registry operatoracr").adminUserEnabled).toBe(false);
  });

  test("the cluster has an issuer of its own and the pinned version", () => {
    expect(story.operator[0].inputs("ManagedCluster operator-cluster-aks")).toMatchObject({
      kubernetesVersion: "1.34",
      enableRBAC: true,
      oidcIssuerProfile: { enabled: true },
      securityProfile: { workloadIdentity: { enabled: true } },
      identity: { type: "SystemAssigned" },
    });
  });
});

test("the clean room's identity trusts the consortium's tokens for this contract and owner only", () => {
  const deployment = story.northwind[2];
  const { consortium } = story.operator[1].outputs.handoff as { consortium: { issuerUrl: string } };
  expect(deployment.inputs("FederatedIdentityCredential northwind-cleanroom-federation")).toMatchObject({
    resourceName: deployment.inputs("UserAssignedIdentity northwind-cleanroom-mi").resourceName,
    issuer: consortium.issuerUrl,
    subject: "analytics-nora",
    audiences: ["api://AzureADTokenExchange"],
  });
});

describe("keys of a dataset", () => {
  const CSE_OR_CPK = /^(DataEncryptionKey|KeyEncryptionKey|WrappedKey) /;

  test("are bound to what the contract measured, and come before the document that names them", () => {
    const deployment = story.northwind[2];
    const { consortium } = story.operator[1].outputs.handoff as { consortium: { analytics: { measurement: string } } };
    expect(deployment.inputs("KeyEncryptionKey northwind-input-keys-kek").measurement).toBe(
      consortium.analytics.measurement,
    );
    expect(deployment.resource("DatasetDocument northwind-input-document").dependsOn).toEqual(
      expect.arrayContaining([
        "WrappedKey northwind-input-keys-wrapped",
        "RoleAssignment northwind-input-keys-release",
        "RoleAssignment northwind-input-keys-read",
      ]),
    );
    expect(deployment.inputs("DatasetFiles northwind-input-files").key).toBe(dataKey("northwind-input"));
  });

  test("are one for each dataset", () => {
    const names = story.woodgrove[2].ofKind("KeyEncryptionKey").map(({ inputs }) => inputs.keyName);
    expect(new Set(names).size).toBe(2);
  });

  test.each([
    ["CPK", true],
    ["SSE", false],
  ])("with encryption %s: %s", async (encryption, hasKeys) => {
    const stacks = handoffs({ operator: story.operator[1], woodgrove: story.woodgrove[2] });
    const source = {
      name: "input",
      kind: "source",
      path: "data",
      encryption,
      schema: [{ name: "author", type: "string" }],
      allowedFields: ["author"],
    };
    const deployment = await deploy("northwind", { config: { datasets: [source] }, stacks });
    expect(deployment.resources.some(({ label }) => CSE_OR_CPK.test(label))).toBe(hasKeys);
    expect(deployment.inputs("DatasetFiles northwind-input-files").encryption).toBe(encryption);
    expect(deployment.inputs("DatasetFiles northwind-input-files").key !== undefined).toBe(hasKeys);
  });
});
