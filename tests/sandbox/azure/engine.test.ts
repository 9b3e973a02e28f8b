import { execFile, execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import type { Principal } from "../../../sandbox/contracts.ts";
import { subscriptionOf } from "../../../sandbox/azure/subscriptions.ts";
import { NORTHWIND, WOODGROVE, startTestSandbox } from "./fakes.ts";
import type { TestSandbox } from "./fakes.ts";

const run = promisify(execFile);
const ENGINE_TIMEOUT_MS = 300_000;

function engineIsInstalled(): boolean {
  try {
    execFileSync("pulumi", ["version"], { stdio: "ignore" });
    return true;
  } catch {
    console.warn("Skipped: no pulumi CLI on PATH, so nothing can attach to the provider servers.");
    return false;
  }
}

const PROGRAM = `
import * as pulumi from "@pulumi/pulumi";
import { getClientConfigOutput } from "@pulumi/azure-native/authorization/getClientConfig.js";
import { RoleAssignment } from "@pulumi/azure-native/authorization/roleAssignment.js";
import { listManagedClusterAdminCredentialsOutput } from "@pulumi/azure-native/containerservice/listManagedClusterAdminCredentials.js";
import { ManagedCluster } from "@pulumi/azure-native/containerservice/managedCluster.js";
import { Vault } from "@pulumi/azure-native/keyvault/vault.js";
import { FederatedIdentityCredential } from "@pulumi/azure-native/managedidentity/federatedIdentityCredential.js";
import { UserAssignedIdentity } from "@pulumi/azure-native/managedidentity/userAssignedIdentity.js";
import { PublicIPAddress } from "@pulumi/azure-native/network/publicIPAddress.js";
import { ResourceGroup } from "@pulumi/azure-native/resources/resourceGroup.js";
import { BlobContainer } from "@pulumi/azure-native/storage/blobContainer.js";
import { StorageAccount } from "@pulumi/azure-native/storage/storageAccount.js";
import { StorageAccountStaticWebsite } from "@pulumi/azure-native/storage/storageAccountStaticWebsite.js";
import { Release } from "@pulumi/kubernetes/helm/v3/release.js";
import { Provider } from "@pulumi/kubernetes/provider.js";

const role = (id) => "/providers/Microsoft.Authorization/roleDefinitions/" + id;
const config = new pulumi.Config();
const client = getClientConfigOutput();
const group = new ResourceGroup("party");
const resourceGroupName = group.name;
const account = new StorageAccount("data", {
  resourceGroupName,
  accountName: config.get("accountName"),
  kind: "StorageV2",
  sku: { name: "Standard_LRS" },
  allowSharedKeyAccess: false,
  minimumTlsVersion: config.get("tls") ?? "TLS1_2",
  tags: { note: config.requireSecret("note") },
});
const site = new StorageAccountStaticWebsite("site", { resourceGroupName, accountName: account.name, indexDocument: "index.html" });
const container = new BlobContainer("input", { resourceGroupName, accountName: account.name, containerName: "input" });
const vault = new Vault("keys", {
  resourceGroupName,
  properties: { tenantId: client.tenantId, sku: { family: "A", name: "premium" }, enableRbacAuthorization: true },
});
const identity = new UserAssignedIdentity("reader", { resourceGroupName });
new FederatedIdentityCredential("federation", {
  resourceGroupName,
  resourceName: identity.name,
  issuer: pulumi.interpolate\`\${account.primaryEndpoints.web}oidc\`,
  subject: "contract-user",
  audiences: ["api://AzureADTokenExchange"],
});
new RoleAssignment("read", {
  scope: container.id,
  principalId: identity.principalId,
  principalType: "ServicePrincipal",
  roleDefinitionId: role("2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"),
});
const cluster = new ManagedCluster("cluster", {
  resourceGroupName,
  dnsPrefix: "cluster",
  identity: { type: "SystemAssigned" },
  agentPoolProfiles: [{ name: "agentpool", mode: "System", count: 2, vmSize: "Standard_D4ds_v5" }],
});
const address = new PublicIPAddress("agent", {
  resourceGroupName,
  sku: { name: "Standard" },
  publicIPAllocationMethod: "Static",
  dnsSettings: { domainNameLabel: pulumi.getStack() + "-agent" },
});
const join = new RoleAssignment("join", {
  scope: address.id,
  principalId: cluster.identity.apply((assigned) => assigned.principalId),
  principalType: "ServicePrincipal",
  roleDefinitionId: role("4d97b98b-1d4f-4787-a291-c67834d212e7"),
});
const kubeconfig = listManagedClusterAdminCredentialsOutput({ resourceGroupName, resourceName: cluster.name })
  .kubeconfigs.apply(([first]) => Buffer.from(first.value, "base64").toString());
const kubernetes = new Provider("cluster", { kubeconfig });
const annotation = "service.beta.kubernetes.io/azure-";
new Release("agent", {
  chart: "oci://registry.example/helm/cleanroom-spark-analytics-agent",
  version: "8.0.0",
  name: "agent",
  namespace: "analytics",
  values: {
    ccrgovEndpoint: "https://localhost:1",
    ccrgovApiPathPrefix: "/app/contracts/c",
    ccrgovServiceCert: "eA==",
    ccfNetworkRecoveryMembers: "W10=",
    ccePolicy: Buffer.from("package policy").toString("base64"),
    service: { annotations: { [annotation + "pip-name"]: address.name, [annotation + "load-balancer-resource-group"]: resourceGroupName } },
  },
}, { provider: kubernetes, dependsOn: join });

export const accountId = account.id;
export const accountName = account.name;
export const blobEndpoint = account.primaryEndpoints.blob;
export const website = site.containerName;
export const vaultUri = vault.properties.vaultUri;
export const agent = address.dnsSettings.apply((dns) => dns.fqdn);
export const credentials = kubeconfig;
export const note = account.tags.apply((tags) => tags.note);
`;

const describeWithEngine = engineIsInstalled() ? describe : describe.skip;

describeWithEngine("the real engine against the stand-in", () => {
  let sandbox: TestSandbox;
  let folder: string;
  let environment: NodeJS.ProcessEnv;

  const pulumi = async (stack: string, ...args: string[]): Promise<string> => {
    const command = [...args, "--non-interactive", "--stack", stack];
    try {
      return (await run("pulumi", command, { cwd: folder, env: environment })).stdout;
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string };
      throw new Error(`pulumi ${command.join(" ")} failed:\n${stdout}\n${stderr}`, { cause: error });
    }
  };

  const createStack = async (stack: string, user: Principal): Promise<void> => {
    await pulumi(stack, "stack", "init");
    const settings = {
      "azure-native:tenantId": user.tenantId,
      "azure-native:clientId": user.clientId,
      "azure-native:subscriptionId": subscriptionOf(user),
      "azure-native:location": "westeurope",
    };
    for (const [key, value] of Object.entries(settings)) await pulumi(stack, "config", "set", key, value);
    await pulumi(stack, "config", "set", "--secret", "note", `secret of ${user.name}`);
  };

  const outputsOf = async (stack: string): Promise<Record<string, string>> =>
    JSON.parse(await pulumi(stack, "stack", "output", "--json")) as Record<string, string>;

  beforeAll(async () => {
    sandbox = await startTestSandbox();
    // Inside the checkout, so that the program finds its packages.
    const parent = path.resolve(".cleanroom");
    fs.mkdirSync(parent, { recursive: true });
    folder = fs.mkdtempSync(path.join(parent, "test-azure-"));
    fs.writeFileSync(
      path.join(folder, "Pulumi.yaml"),
      "name: sandbox\nruntime: {name: nodejs, options: {typescript: false}}\n",
    );
    fs.writeFileSync(path.join(folder, "package.json"), JSON.stringify({ type: "module", main: "index.js" }));
    fs.writeFileSync(path.join(folder, "index.js"), PROGRAM);
    fs.mkdirSync(path.join(folder, "state"));
    const providers = Object.entries(sandbox.azure.providers).map(([name, port]) => `${name}:${port}`);
    environment = {
      ...process.env,
      PULUMI_DEBUG_PROVIDERS: providers.join(","),
      PULUMI_BACKEND_URL: `file://${path.join(folder, "state")}`,
      PULUMI_HOME: path.join(folder, "home"),
      PULUMI_CONFIG_PASSPHRASE: "test",
      PULUMI_SKIP_UPDATE_CHECK: "true",
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    };
    await createStack("northwind", NORTHWIND);
    await createStack("woodgrove", WOODGROVE);
  }, ENGINE_TIMEOUT_MS);

  afterAll(async () => {
    await sandbox.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  test(
    "two parties deploy, change, repair and destroy",
    async () => {
      // Both engines use the same servers at the same time, each with its own configuration.
      await Promise.all([pulumi("northwind", "preview"), pulumi("woodgrove", "preview")]);
      expect(sandbox.azure.resources()).toEqual([]);
      await Promise.all([
        pulumi("northwind", "up", "--yes", "--skip-preview"),
        pulumi("woodgrove", "up", "--yes", "--skip-preview"),
      ]);

      const outputs = await outputsOf("northwind");
      expect(outputs).toMatchObject({
        website: "$web",
        vaultUri: "https://localhost:2000/",
        credentials: "[secret]",
        note: "[secret]",
      });
      expect(outputs.accountName).toMatch(/^data[0-9a-f]{8}$/);
      expect(outputs.blobEndpoint).toBe(`https://localhost:1000/${outputs.accountName}/`);
      expect(outputs.agent).toMatch(/^localhost:\d+$/);
      const tenants = [...sandbox.blobs.accounts.values()].map(({ tenantId }) => tenantId);
      expect(tenants.sort()).toEqual([NORTHWIND.tenantId, WOODGROVE.tenantId]);
      expect(sandbox.cleanRoom.installed.size).toBe(2);
      const state = fs.readFileSync(path.join(folder, "state/.pulumi/stacks/sandbox/northwind.json"), "utf8");
      expect(state).not.toContain("secret of Northwind");
      expect(state).not.toMatch(/users:\\n/);

      await pulumi("northwind", "preview", "--expect-no-changes");
      await pulumi("northwind", "refresh", "--yes", "--skip-preview", "--expect-no-changes");

      await pulumi("northwind", "config", "set", "tls", "TLS1_3");
      const changed = await pulumi("northwind", "up", "--yes", "--skip-preview", "--diff");
      expect(changed).toContain('~ minimumTlsVersion: "TLS1_2" => "TLS1_3"');
      expect(changed).toContain("1 updated");

      // Somebody deletes the account in the portal: refresh notices, up repairs.
      await sandbox.azure.deleteResource(outputs.accountId!);
      const drift = await pulumi("northwind", "refresh", "--yes", "--skip-preview");
      expect(drift).toMatch(/- 4 deleted/);
      expect(await pulumi("northwind", "up", "--yes", "--skip-preview")).toMatch(/\+ 4 created/);

      await pulumi("northwind", "config", "set", "accountName", "northwindrenamed");
      const plan = await pulumi("northwind", "preview", "--diff");
      expect(plan).toContain('~ accountName: "');
      expect(plan).toContain("+-4 to replace");
      await pulumi("northwind", "up", "--yes", "--skip-preview");
      expect((await outputsOf("northwind")).accountName).toBe("northwindrenamed");

      await pulumi("northwind", "config", "set", "accountName", "Not-A-Name");
      await expect(pulumi("northwind", "preview")).rejects.toThrow(
        "'accountName' must be 3 to 24 lower-case letters and digits",
      );

      await Promise.all([
        pulumi("northwind", "destroy", "--yes", "--skip-preview"),
        pulumi("woodgrove", "destroy", "--yes", "--skip-preview"),
      ]);
      expect(sandbox.azure.resources()).toEqual([]);
      expect(sandbox.blobs.accounts.size + sandbox.vaults.vaults.size + sandbox.cleanRoom.installed.size).toBe(0);
      expect(sandbox.tokens.identities.size).toBe(0);
    },
    ENGINE_TIMEOUT_MS,
  );
});
