import fs from "node:fs";
import path from "node:path";
import { SandboxAzure } from "../../../sandbox/azure/index.ts";
import { subscriptionOf } from "../../../sandbox/azure/subscriptions.ts";
import { UNKNOWN, isSecret, plain, secret } from "../../../sandbox/azure/values.ts";
import type { Args } from "../../../sandbox/azure/values.ts";
import { EngineClient } from "./engine-client.ts";
import { NORTHWIND, WOODGROVE, startTestSandbox } from "./fakes.ts";
import type { TestSandbox } from "./fakes.ts";

const GROUP = { resourceGroupName: "rg" };
const RG = "azure-native:resources:ResourceGroup";
const ACCOUNT = "azure-native:storage:StorageAccount";
const CONTAINER = "azure-native:storage:BlobContainer";
const SHARE = "azure-native:storage:FileShare";
const VAULT = "azure-native:keyvault:Vault";
const IDENTITY = "azure-native:managedidentity:UserAssignedIdentity";
const FEDERATION = "azure-native:managedidentity:FederatedIdentityCredential";
const ROLE = "azure-native:authorization:RoleAssignment";
const NODE = "azure-native:containerinstance:ContainerGroup";
const CLUSTER = "azure-native:containerservice:ManagedCluster";
const PUBLIC_IP = "azure-native:network:PublicIPAddress";
const WEBSITE = "azure-native:storage:StorageAccountStaticWebsite";

const account = (accountName: string, change: Args = {}): Args => ({
  ...GROUP,
  accountName,
  kind: "StorageV2",
  sku: { name: "Standard_LRS" },
  ...change,
});
const vault = (vaultName: string, change: Args = {}): Args => ({
  ...GROUP,
  vaultName,
  properties: {
    tenantId: NORTHWIND.tenantId,
    sku: { family: "A", name: "premium" },
    enableRbacAuthorization: true,
    ...change,
  },
});

let sandbox: TestSandbox;
let northwind: EngineClient;
let woodgrove: EngineClient;
const clients: EngineClient[] = [];

function connect(): EngineClient {
  const client = new EngineClient(sandbox.azure.providers["azure-native"]!);
  clients.push(client);
  return client;
}

beforeEach(async () => {
  sandbox = await startTestSandbox();
  northwind = await connect().signIn(NORTHWIND);
  woodgrove = await connect().signIn(WOODGROVE);
  await northwind.deploy(RG, "rg", GROUP);
  await woodgrove.deploy(RG, "rg", GROUP);
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await sandbox.close();
});

describe("who may do what", () => {
  test("an unknown client is refused as Entra does, missing configuration by name", async () => {
    await expect(connect().signIn({ ...NORTHWIND, clientId: WOODGROVE.clientId })).rejects.toThrow("AADSTS700016");
    await expect(connect().configure({ tenantId: "t", clientId: "c" })).rejects.toThrow("azure-native:subscriptionId");
  });

  test("nothing works on a connection that was not configured", async () => {
    await expect(connect().check(RG, "x", {})).rejects.toThrow("was not configured on this connection");
  });

  test("somebody else's subscription is closed, an invented one does not exist", async () => {
    const intruder = await connect().signIn(WOODGROVE, { subscriptionId: subscriptionOf(NORTHWIND) });
    await expect(intruder.deploy(ACCOUNT, "a", account("intruder"))).rejects.toThrow(
      `Status=403 Code="AuthorizationFailed" Message="The client '${WOODGROVE.email}' with object id '${WOODGROVE.objectId}' does not ` +
        "have authorization to perform action 'Microsoft.Storage/storageAccounts/write'",
    );
    const lost = await connect().signIn(NORTHWIND, { subscriptionId: "12345678-0000-4000-8000-000000000000" });
    await expect(lost.deploy(RG, "x", {})).rejects.toThrow('Code="SubscriptionNotFound"');
  });

  test("a role assignment opens exactly what it names", async () => {
    const { id } = await northwind.deploy(ACCOUNT, "a", account("shared"));
    const intruder = await connect().signIn(WOODGROVE, { subscriptionId: subscriptionOf(NORTHWIND) });
    await expect(intruder.read(ACCOUNT, "a", id)).rejects.toThrow('Code="AuthorizationFailed"');
    sandbox.roles.assign({
      id: `${id}/providers/Microsoft.Authorization/roleAssignments/1`,
      scope: id,
      principalId: WOODGROVE.objectId,
      roleId: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    });
    expect((await intruder.read(ACCOUNT, "a", id)).id).toBe(id);
    await expect(intruder.delete(ACCOUNT, "a", id)).rejects.toThrow("Microsoft.Storage/storageAccounts/delete");
    const keys = { ...GROUP, accountName: "shared" };
    await expect(intruder.invoke("azure-native:storage:listStorageAccountKeys", keys)).rejects.toThrow(
      "listKeys/action",
    );
  });
});

describe("groups, parents and names", () => {
  test("nothing is created in a group or below a parent that does not exist", async () => {
    const missing = account("lonely", { resourceGroupName: "nowhere" });
    await expect(northwind.deploy(ACCOUNT, "a", missing)).rejects.toThrow(
      `Status=404 Code="ResourceGroupNotFound" Message="Resource group 'nowhere' could not be found."`,
    );
    const orphan = { ...GROUP, accountName: "nothere", containerName: "input" };
    await expect(northwind.deploy(CONTAINER, "c", orphan)).rejects.toThrow('Code="ParentResourceNotFound"');
  });

  test("deleting a group deletes what is in it, services included", async () => {
    await northwind.deploy(ACCOUNT, "a", account("data"));
    await northwind.deploy(CONTAINER, "c", { ...GROUP, accountName: "data", containerName: "input" });
    await northwind.deploy(SHARE, "s", { ...GROUP, accountName: "data", shareName: "ledger" });
    await northwind.deploy(VAULT, "v", vault("northwind-keys"));
    await woodgrove.deploy(ACCOUNT, "a", account("other"));
    await northwind.delete(RG, "rg", `/subscriptions/${subscriptionOf(NORTHWIND)}/resourceGroups/rg`);
    expect([...sandbox.blobs.accounts.keys()]).toEqual(["other"]);
    expect(sandbox.blobs.containers.size).toBe(0);
    expect(sandbox.vaults.vaults.size).toBe(0);
    expect(sandbox.ccf.deletedLedgers).toEqual(["data/ledger"]);
    expect(sandbox.azure.resources().map(({ type }) => type)).toEqual([RG, ACCOUNT]);
  });

  test("global names are taken once, whoever asks, and are free again after deletion", async () => {
    const { id } = await northwind.deploy(ACCOUNT, "a", account("wanted"));
    await expect(woodgrove.deploy(ACCOUNT, "a", account("wanted"))).rejects.toThrow(
      'Status=409 Code="StorageAccountAlreadyTaken" Message="The storage account named wanted is already taken."',
    );
    await northwind.delete(ACCOUNT, "a", id);
    await woodgrove.deploy(ACCOUNT, "a", account("wanted"));
  });

  test("DNS labels too, and a changed label frees the old one", async () => {
    const address = (domainNameLabel: string): Args => ({
      ...GROUP,
      publicIpAddressName: "ip",
      dnsSettings: { domainNameLabel },
    });
    const { id, inputs } = await northwind.deploy(PUBLIC_IP, "ip", address("label-one"));
    await expect(woodgrove.deploy(PUBLIC_IP, "ip", address("label-one"))).rejects.toThrow('Code="DnsRecordInUse"');
    const outputs = await northwind.update(PUBLIC_IP, "ip", id, inputs, {
      ...inputs,
      dnsSettings: { domainNameLabel: "label-two" },
    });
    expect((outputs.dnsSettings as Args).fqdn).toMatch(/^localhost:\d+$/);
    await woodgrove.deploy(PUBLIC_IP, "ip", address("label-one"));
  });

  test("a name made up in the first plan stays", async () => {
    const first = await northwind.check(ACCOUNT, "my-data", account("x", { accountName: undefined }));
    expect(first.inputs.accountName).toMatch(/^mydata[0-9a-f]{8}$/);
    const again = await northwind.check(ACCOUNT, "my-data", account("x", { accountName: undefined }), first.inputs);
    expect(again.inputs.accountName).toBe(first.inputs.accountName);
  });

  test("location: the program's, else the configuration's, else the group's; a misspelt one is refused", async () => {
    expect((await northwind.check(ACCOUNT, "a", account("abc"))).inputs.location).toBe("westeurope");
    const nowhere = await connect().signIn(NORTHWIND, { location: undefined });
    expect((await nowhere.check(ACCOUNT, "a", account("abc"))).inputs.location).toBe("westeurope");
    await expect(nowhere.deploy(RG, "x", { resourceGroupName: "x" })).rejects.toThrow("azure-native:location");
    const { failures } = await northwind.check(ACCOUNT, "a", account("abc", { location: "westeurop" }));
    expect(failures).toEqual([expect.stringContaining("'westeurop' is not available for resource type")]);
  });

  test("everything survives a restart, at the same ports", async () => {
    const { id, inputs } = await northwind.deploy(ACCOUNT, "a", account("data"));
    const { outputs } = await northwind.deploy(IDENTITY, "i", { ...GROUP, resourceName: "reader" });
    const port = sandbox.azure.providers["azure-native"];
    await sandbox.azure.stop();
    const restarted = new SandboxAzure(sandbox.host, sandbox);
    await restarted.start();
    expect(restarted.providers["azure-native"]).toBe(port);
    const engine = await connect().signIn(NORTHWIND);
    expect((await engine.read(ACCOUNT, "a", id, inputs)).inputs).toEqual(inputs);
    await expect(woodgrove.deploy(ACCOUNT, "a", account("data"))).rejects.toThrow(
      "was not configured on this connection",
    );
    const stranger = await connect().signIn(WOODGROVE);
    await expect(stranger.deploy(ACCOUNT, "a", account("data"))).rejects.toThrow('Code="StorageAccountAlreadyTaken"');
    const again = await engine.invoke("azure-native:managedidentity:getUserAssignedIdentity", {
      ...GROUP,
      resourceName: "reader",
    });
    expect(again).toMatchObject(outputs);
    await restarted.stop();
  });
});

describe("previews and secrets", () => {
  test("a previewed creation answers what is known and nothing else, without side effects", async () => {
    const inputs = account("data", { resourceGroupName: UNKNOWN, location: UNKNOWN });
    expect((await northwind.check(ACCOUNT, "a", inputs)).failures).toEqual([]);
    const { id, outputs } = await northwind.create(ACCOUNT, "a", inputs, true);
    expect(id).toBe("");
    expect(outputs).toEqual({
      kind: "StorageV2",
      sku: { name: "Standard_LRS", tier: UNKNOWN },
      location: UNKNOWN,
    });
    expect(sandbox.blobs.accounts.size).toBe(0);
  });

  test("a previewed update keeps only the name and place of the old outputs", async () => {
    const { id, inputs, outputs } = await northwind.deploy(ACCOUNT, "a", account("data"));
    const preview = await northwind.update(ACCOUNT, "a", id, outputs, { ...inputs, minimumTlsVersion: "TLS1_2" }, true);
    expect(preview).toMatchObject({ name: "data", location: "westeurope", minimumTlsVersion: "TLS1_2" });
    expect(preview.primaryEndpoints).toBeUndefined();
    expect((await northwind.read(ACCOUNT, "a", id, inputs)).inputs).toEqual(inputs);
  });

  test("what came in secret goes out secret, and what is write-only does not go out", async () => {
    const group = {
      ...GROUP,
      containerGroupName: "group",
      osType: "Linux",
      tags: { note: secret("quiet") },
      containers: [
        {
          name: "app",
          image: "app:1",
          resources: { requests: { cpu: 1, memoryInGB: 1 } },
          environmentVariables: [{ name: "A", secureValue: secret("hidden") }],
        },
      ],
    };
    const { id, inputs, outputs } = await northwind.deploy(NODE, "g", group);
    expect(isSecret((outputs.tags as Args).note)).toBe(true);
    expect(JSON.stringify(outputs)).not.toContain("hidden");
    expect((await northwind.read(NODE, "g", id, inputs)).inputs).toEqual(inputs);
    expect(JSON.stringify((await northwind.read(NODE, "g", id)).inputs)).not.toContain("hidden");
  });

  test("account keys are secret", async () => {
    await northwind.deploy(ACCOUNT, "a", account("data"));
    const { keys } = await northwind.invoke("azure-native:storage:listStorageAccountKeys", {
      ...GROUP,
      accountName: "data",
    });
    const [first] = keys as Args[];
    expect(isSecret(first!.value)).toBe(true);
    expect(plain(first!.value)).toBe("key1-of-data");
  });
});

describe("vaults", () => {
  test("a deleted vault keeps its name until it is recovered", async () => {
    const { id } = await northwind.deploy(VAULT, "v", vault("northwind-keys"));
    await northwind.delete(VAULT, "v", id);
    await expect(northwind.deploy(VAULT, "v", vault("northwind-keys"))).rejects.toThrow('Code="ConflictError"');
    await northwind.deploy(VAULT, "v", vault("northwind-keys", { createMode: "recover" }));
    await expect(
      woodgrove.deploy(VAULT, "v", vault("northwind-keys", { tenantId: WOODGROVE.tenantId })),
    ).rejects.toThrow('Code="VaultAlreadyExists"');
  });

  test.each([
    [{ softDeleteRetentionInDays: 6 }, "'properties.softDeleteRetentionInDays' must be a whole number from 7 to 90"],
    [{ enablePurgeProtection: false }, "'properties.enablePurgeProtection' cannot be set to false"],
    [{ enableRbacAuthorization: undefined }, "'properties.accessPolicies' is required"],
    [{ tenantId: WOODGROVE.tenantId }, "is not the tenant of the subscription"],
  ])("%j is refused", async (change, reason) => {
    await expect(northwind.deploy(VAULT, "v", vault("northwind-keys", change))).rejects.toThrow(reason);
  });

  test("what cannot be undone cannot be changed", async () => {
    const { id, inputs } = await northwind.deploy(VAULT, "v", vault("northwind-keys", { enablePurgeProtection: true }));
    const weaker = { ...inputs, ...vault("northwind-keys") };
    await expect(northwind.update(VAULT, "v", id, inputs, weaker)).rejects.toThrow(
      '"enablePurgeProtection" cannot be set to false',
    );
    const shorter = {
      ...inputs,
      ...vault("northwind-keys", { enablePurgeProtection: true, softDeleteRetentionInDays: 7 }),
    };
    await expect(northwind.update(VAULT, "v", id, inputs, shorter)).rejects.toThrow(
      '"softDeleteRetentionInDays" has been set already',
    );
  });
});

describe("identities", () => {
  const credential = (name: string, change: Args = {}): Args => ({
    ...GROUP,
    resourceName: "reader",
    federatedIdentityCredentialResourceName: name,
    issuer: "https://issuer.example/oidc",
    subject: `subject-${name}`,
    audiences: ["api://AzureADTokenExchange"],
    ...change,
  });

  test("enter and leave the directory; one created anew is another one", async () => {
    const { id, outputs } = await northwind.deploy(IDENTITY, "i", { ...GROUP, resourceName: "reader" });
    expect(sandbox.tokens.findByObjectId(String(outputs.principalId))).toMatchObject({
      clientId: outputs.clientId,
      tenantId: NORTHWIND.tenantId,
      kind: "managedIdentity",
    });
    await northwind.delete(IDENTITY, "i", id);
    expect(sandbox.tokens.identities.size).toBe(0);
    const again = await northwind.deploy(IDENTITY, "i", { ...GROUP, resourceName: "reader" });
    expect(again.outputs.principalId).not.toBe(outputs.principalId);
  });

  test("federated credentials reach the token service, and leave it", async () => {
    const { outputs } = await northwind.deploy(IDENTITY, "i", { ...GROUP, resourceName: "reader" });
    const objectId = String(outputs.principalId);
    const { id } = await northwind.deploy(FEDERATION, "f", credential("first"));
    await northwind.deploy(FEDERATION, "g", credential("second"));
    const names = () => sandbox.tokens.credentials.get(objectId)!.map(({ name, subject }) => [name, subject]);
    expect(names()).toEqual([
      ["first", "subject-first"],
      ["second", "subject-second"],
    ]);
    await northwind.delete(FEDERATION, "f", id);
    expect(names()).toEqual([["second", "subject-second"]]);
  });

  test.each([
    [{ issuer: "http://issuer.example" }, "'issuer' must be an https URL"],
    [{ issuer: "issuer.example" }, "'issuer' must be an https URL"],
    [{ subject: "" }, "'subject' must have 1 to 600 characters"],
    [{ audiences: [] }, "'audiences' must hold exactly one audience"],
    [{ audiences: ["a", "b"] }, "'audiences' must hold exactly one audience"],
    [{ subject: undefined }, "missing required property 'subject'"],
    [{ subject: "subject-first" }, "Issuer and subject combination already exists"],
  ])("a credential with %j is refused", async (change, reason) => {
    await northwind.deploy(IDENTITY, "i", { ...GROUP, resourceName: "reader" });
    await northwind.deploy(FEDERATION, "f", credential("first"));
    await expect(northwind.deploy(FEDERATION, "g", credential("second", change))).rejects.toThrow(reason);
  });

  test("an identity takes twenty credentials", async () => {
    await northwind.deploy(IDENTITY, "i", { ...GROUP, resourceName: "reader" });
    for (let index = 1; index <= 20; index++) await northwind.deploy(FEDERATION, "f", credential(`number-${index}`));
    await expect(northwind.deploy(FEDERATION, "f", credential("number-21"))).rejects.toThrow("at most 20");
  });
});

describe("role assignments", () => {
  const READER = "/providers/Microsoft.Authorization/roleDefinitions/2a2b9908-6ea1-4ae2-8e65-a410df84e7d1";
  const READ = { dataAction: "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read" };
  let scope: string;
  let principalId: string;

  beforeEach(async () => {
    ({ id: scope } = await northwind.deploy(ACCOUNT, "a", account("data")));
    const identity = await northwind.deploy(IDENTITY, "i", { ...GROUP, resourceName: "reader" });
    principalId = String(identity.outputs.principalId);
  });

  const assignment = (change: Args = {}): Args => ({
    scope,
    principalId,
    principalType: "ServicePrincipal",
    roleDefinitionId: READER,
    ...change,
  });

  test("are enforced at once and end when deleted", async () => {
    const { id } = await northwind.deploy(ROLE, "r", assignment());
    expect(id).toMatch(/\/roleAssignments\/[0-9a-f-]{36}$/);
    expect(sandbox.azure.isAllowed(principalId, READ, scope)).toBe(true);
    await northwind.delete(ROLE, "r", id);
    expect(sandbox.azure.isAllowed(principalId, READ, scope)).toBe(false);
  });

  test.each([
    ["an unknown principal", { principalId: "eeeeeeee-0000-4000-8000-000000000001" }, 'Code="PrincipalNotFound"'],
    [
      "a principal of another tenant",
      { principalId: WOODGROVE.objectId, principalType: "User" },
      'Code="PrincipalNotFound"',
    ],
    ["the SDK's default principal type", { principalType: "User" }, 'Code="UnmatchedPrincipalType"'],
    [
      "an unknown role",
      { roleDefinitionId: READER.replace("2a2b9908", "00000000") },
      'Code="RoleDefinitionDoesNotExist"',
    ],
    ["a role by name", { roleDefinitionId: "Storage Blob Data Reader" }, "'roleDefinitionId' must be an ARM id"],
    ["a condition", { condition: "@Resource[x] StringEquals 'a'" }, "'condition' is not simulated"],
    ["a name that is no GUID", { roleAssignmentName: "reader" }, "'roleAssignmentName' must be a GUID"],
  ])("%s is refused", async (_, change, reason) => {
    await expect(northwind.deploy(ROLE, "r", assignment(change))).rejects.toThrow(reason);
  });

  test("are refused on what does not exist, and twice", async () => {
    await expect(northwind.deploy(ROLE, "r", assignment({ scope: `${scope}x` }))).rejects.toThrow(
      'Code="ResourceNotFound"',
    );
    await northwind.deploy(ROLE, "r", assignment());
    const name = "dddddddd-0000-4000-8000-000000000009";
    await expect(northwind.deploy(ROLE, "s", assignment({ roleAssignmentName: name }))).rejects.toThrow(
      'Code="RoleAssignmentExists"',
    );
  });

  test("vanish with the resource they were made on", async () => {
    const { id, inputs } = await northwind.deploy(ROLE, "r", assignment());
    await northwind.delete(ACCOUNT, "a", scope);
    expect((await northwind.read(ROLE, "r", id, inputs)).id).toBe("");
  });
});

describe("CCF nodes", () => {
  const ccePolicy = Buffer.from("package policy").toString("base64");
  const ccfGroup = (change: Args = {}, key = "key1-of-ledgers"): Args => ({
    ...GROUP,
    containerGroupName: "operator-ccf-0",
    sku: "Confidential",
    osType: "Linux",
    restartPolicy: "Never",
    confidentialComputeProperties: { ccePolicy },
    ipAddress: {
      type: "Public",
      dnsNameLabel: "operator-ccf-0-abc",
      ports: [8080, 443].map((port) => ({ port, protocol: "TCP" })),
    },
    containers: [
      {
        name: "ccf-cchost",
        image: "ccf:1",
        resources: { requests: { cpu: 1, memoryInGB: 1.5 } },
        ports: [{ port: 8080 }],
        environmentVariables: [{ name: "CONFIG_DATA_TGZ", value: Buffer.from("configuration").toString("base64") }],
        volumeMounts: [{ name: "storagevolume", mountPath: "/mnt/storage" }],
      },
      {
        name: "ccr-proxy",
        image: "proxy:1",
        resources: { requests: { cpu: 0.2, memoryInGB: 0.5 } },
        ports: [{ port: 443 }],
      },
    ],
    volumes: [
      {
        name: "storagevolume",
        azureFile: { shareName: "ledger", storageAccountName: "ledgers", storageAccountKey: secret(key) },
      },
    ],
    ...change,
  });

  beforeEach(async () => {
    await northwind.deploy(ACCOUNT, "a", account("ledgers"));
    await northwind.deploy(SHARE, "s", { ...GROUP, accountName: "ledgers", shareName: "ledger" });
  });

  test("start with the group, listen where the outputs say, and end with it", async () => {
    const { id, inputs, outputs } = await northwind.deploy(NODE, "n", ccfGroup());
    expect(sandbox.ccf.nodes.get(id)).toEqual({
      resourceId: id,
      name: "operator-ccf-0",
      configuration: Buffer.from("configuration"),
      ccePolicy: "package policy",
      storage: { account: "ledgers", share: "ledger" },
    });
    expect(outputs.ipAddress).toMatchObject({
      fqdn: "localhost",
      ip: "127.0.0.1",
      ports: [
        { port: 3000, protocol: "TCP" },
        { port: 3003, protocol: "TCP" },
      ],
    });
    expect((await northwind.read(NODE, "n", id, inputs)).inputs).toEqual(inputs);
    await sandbox.ccf.stopNode(id);
    expect((await northwind.read(NODE, "n", id, inputs)).outputs.instanceView).toMatchObject({ state: "Stopped" });
    await northwind.delete(NODE, "n", id);
    expect(sandbox.ccf.nodes.size).toBe(0);
  });

  test("restart when the group is changed in place", async () => {
    const { id, inputs } = await northwind.deploy(NODE, "n", ccfGroup());
    await northwind.update(NODE, "n", id, inputs, { ...inputs, tags: { a: "b" } });
    expect([...sandbox.ccf.stopped]).toEqual([id]);
  });

  test.each([
    [
      { confidentialComputeProperties: undefined },
      "'confidentialComputeProperties.ccePolicy' is required for the sku Confidential",
    ],
    [{ confidentialComputeProperties: { ccePolicy: "package policy" } }, "base64 of a Rego policy"],
    [{ volumes: [] }, "The volume 'storagevolume' of 'containers[0]' could not be found."],
    [
      { ipAddress: { type: "Public", ports: [{ port: 9000, protocol: "TCP" }] } },
      "The port '9000' in 'ipAddress.ports' is not exposed",
    ],
    [
      { ipAddress: { type: "Public", ports: [{ port: 443 }], dnsNameLabel: "a_b" } },
      "'ipAddress.dnsNameLabel' must be",
    ],
    [{ containers: [] }, "'containers' must hold at least one container"],
    [{ osType: undefined }, "missing required property 'osType'"],
  ])("a group with %j is refused", async (change, reason) => {
    await expect(northwind.deploy(NODE, "n", ccfGroup(change))).rejects.toThrow(reason);
  });

  test("need a share, an account that takes keys, and the right key", async () => {
    await expect(northwind.deploy(NODE, "n", ccfGroup({}, "wrong"))).rejects.toThrow(
      "is not a key of storage account 'ledgers'",
    );
    const elsewhere = (shareName: string, storageAccountName: string): Args =>
      ccfGroup({
        volumes: [{ name: "storagevolume", azureFile: { shareName, storageAccountName, storageAccountKey: "k" } }],
      });
    await expect(northwind.deploy(NODE, "n", elsewhere("nowhere", "ledgers"))).rejects.toThrow(
      "has no file share 'nowhere'",
    );
    await northwind.deploy(ACCOUNT, "b", account("closed", { allowSharedKeyAccess: false }));
    await northwind.deploy(SHARE, "t", { ...GROUP, accountName: "closed", shareName: "ledger" });
    await expect(northwind.deploy(NODE, "n", elsewhere("ledger", "closed"))).rejects.toThrow(
      "does not allow access with keys",
    );
    expect(sandbox.ccf.nodes.size).toBe(0);
  });
});

describe("the rest", () => {
  test("storage: anonymous access and websites need an account that allows them", async () => {
    await northwind.deploy(ACCOUNT, "a", account("data"));
    const container = { ...GROUP, accountName: "data", containerName: "public", publicAccess: "Blob" };
    await expect(northwind.deploy(CONTAINER, "c", container)).rejects.toThrow('Code="PublicAccessNotPermitted"');
    await northwind.deploy(WEBSITE, "w", { ...GROUP, accountName: "data", indexDocument: "index.html" });
    expect(sandbox.blobs.websites.get("data")).toEqual({ indexDocument: "index.html" });
    await northwind.deploy(ACCOUNT, "b", account("old", { kind: "BlobStorage" }));
    await expect(northwind.deploy(WEBSITE, "x", { ...GROUP, accountName: "old" })).rejects.toThrow(
      "needs an account of kind StorageV2",
    );
  });

  test("a container deleted by a client is gone on refresh", async () => {
    await northwind.deploy(ACCOUNT, "a", account("data"));
    const { id, inputs } = await northwind.deploy(CONTAINER, "c", {
      ...GROUP,
      accountName: "data",
      containerName: "input",
    });
    await sandbox.blobs.deleteContainer("data", "input");
    expect((await northwind.read(CONTAINER, "c", id, inputs)).id).toBe("");
  });

  test("a resource deleted in the portal is gone on refresh", async () => {
    const { id, inputs } = await northwind.deploy(ACCOUNT, "a", account("data"));
    await sandbox.azure.deleteResource(id);
    expect((await northwind.read(ACCOUNT, "a", id, inputs)).id).toBe("");
    await expect(sandbox.azure.deleteResource(id)).rejects.toThrow("There is no resource");
  });

  test("an id of another type is refused on import, an id in other capitals is not", async () => {
    const { id } = await northwind.deploy(ACCOUNT, "a", account("data"));
    await expect(northwind.read(VAULT, "v", id)).rejects.toThrow("is not the id of a azure-native:keyvault:Vault");
    expect(await northwind.read(ACCOUNT, "a", id.replace("resourceGroups", "resourcegroups"))).toMatchObject({
      id,
      inputs: { accountName: "data", resourceGroupName: "rg", kind: "StorageV2" },
    });
  });

  test("clusters: identities, credentials for administrators, local accounts switched off", async () => {
    const cluster = {
      ...GROUP,
      resourceName: "cluster",
      dnsPrefix: "cluster",
      identity: { type: "SystemAssigned" },
      agentPoolProfiles: [{ name: "agentpool", mode: "System", count: 1, vmSize: "Standard_D4ds_v5" }],
    };
    const { id, inputs, outputs } = await northwind.deploy(CLUSTER, "c", cluster);
    const { kubeletidentity } = outputs.identityProfile as Record<string, Args>;
    expect(sandbox.tokens.findByObjectId(String(kubeletidentity!.objectId))).toBeDefined();
    const list = "azure-native:containerservice:listManagedClusterAdminCredentials";
    const { kubeconfigs } = await northwind.invoke(list, { ...GROUP, resourceName: "cluster" });
    const { value } = (kubeconfigs as Args[])[0]!;
    expect(isSecret(value)).toBe(true);
    expect(Buffer.from(String(plain(value)), "base64").toString()).toContain(id);
    await northwind.update(CLUSTER, "c", id, inputs, { ...inputs, disableLocalAccounts: true });
    await expect(northwind.invoke(list, { ...GROUP, resourceName: "cluster" })).rejects.toThrow(
      "disable local accounts",
    );
    await northwind.delete(CLUSTER, "c", id);
    expect(sandbox.tokens.identities.size).toBe(0);
  });

  test.each([
    [{ identity: { type: "UserAssigned" } }, "only 'SystemAssigned' is simulated"],
    [{ identity: undefined }, "'identity' (or 'servicePrincipalProfile') is required"],
    [{ agentPoolProfiles: [] }, "'agentPoolProfiles' must hold at least one pool"],
    [{ agentPoolProfiles: [{ name: "p", mode: "User", vmSize: "v" }] }, "must hold a pool of mode 'System'"],
    [{ dnsPrefix: "-" }, "'dnsPrefix' must be"],
  ])("a cluster with %j is refused", async (change, reason) => {
    const cluster = {
      ...GROUP,
      resourceName: "cluster",
      dnsPrefix: "cluster",
      identity: { type: "SystemAssigned" },
      ...change,
    };
    await expect(northwind.deploy(CLUSTER, "c", cluster)).rejects.toThrow(reason);
  });

  test("who the caller is", async () => {
    expect(await northwind.invoke("azure-native:authorization:getClientConfig", {})).toEqual({
      clientId: NORTHWIND.clientId,
      objectId: NORTHWIND.objectId,
      subscriptionId: subscriptionOf(NORTHWIND),
      tenantId: NORTHWIND.tenantId,
    });
  });

  test("functions that look up what somebody else deployed", async () => {
    const get = "azure-native:storage:getStorageAccount";
    await expect(northwind.invoke(get, { ...GROUP, accountName: "data" })).rejects.toThrow('Code="ResourceNotFound"');
    const { id, outputs } = await northwind.deploy(ACCOUNT, "a", account("data"));
    expect(await northwind.invoke(get, { ...GROUP, accountName: "data" })).toEqual({ id, ...outputs });
    await expect(northwind.invoke(get, GROUP)).rejects.toThrow("missing required property 'accountName'");
    const group = "azure-native:resources:getResourceGroup";
    expect(await northwind.invoke(group, GROUP)).toMatchObject({ name: "rg", location: "westeurope" });
    await expect(northwind.invoke(group, { resourceGroupName: "x" })).rejects.toThrow('Code="ResourceGroupNotFound"');
  });

  test("what is not simulated says so", async () => {
    await expect(northwind.check("azure-native:sql:Server", "s", {})).rejects.toThrow(
      "does not simulate azure-native:sql:Server",
    );
    await expect(northwind.invoke("azure-native:sql:getServer", {})).rejects.toThrow(
      "does not simulate azure-native:sql:getServer",
    );
  });

  test("secret values reach neither log nor error text", async () => {
    const lines: string[] = [];
    Object.assign(sandbox.host, { log: (_: string, line: string) => lines.push(line) });
    const bad = account("data", { minimumTlsVersion: 12, tags: { password: secret("hunter2") } });
    await expect(northwind.deploy(ACCOUNT, "a", bad)).rejects.not.toThrow("hunter2");
    const wrong = account("data", { minimumTlsVersion: secret("hunter2") });
    await expect(northwind.deploy(ACCOUNT, "a", wrong)).rejects.toThrow(
      "must be one of TLS1_0, TLS1_1, TLS1_2, TLS1_3, not [secret]",
    );
    await expect(northwind.create(ACCOUNT, "a", wrong)).rejects.toThrow("not [secret]");
    await northwind.deploy(ACCOUNT, "a", account("data", { tags: { password: secret("hunter2") } }));
    expect(lines.join("\n")).not.toContain("hunter2");
    expect(fs.statSync(path.join(sandbox.host.stateDir, "azure-resources.json")).mode & 0o077).toBe(0);
  });
});
