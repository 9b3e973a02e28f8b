import { execFile, execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { subscriptionOf } from "../../../sandbox/azure/subscriptions.ts";
import { NORTHWIND, startTestSandbox } from "./fakes.ts";
import type { TestSandbox } from "./fakes.ts";

const run = promisify(execFile);
const ENGINE_TIMEOUT_MS = 240_000;

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
import { getClientConfigOutput } from "@pulumi/azure-native/authorization/index.js";
import * as authorization from "@pulumi/azure-native/authorization/index.js";
import * as keyvault from "@pulumi/azure-native/keyvault/index.js";
import * as managedidentity from "@pulumi/azure-native/managedidentity/index.js";
import * as resources from "@pulumi/azure-native/resources/index.js";
import * as storage from "@pulumi/azure-native/storage/index.js";
import * as containerservice from "@pulumi/azure-native/containerservice/index.js";
import * as network from "@pulumi/azure-native/network/index.js";
import * as kubernetes from "@pulumi/kubernetes";

const config = new pulumi.Config();
const client = getClientConfigOutput();
const group = new resources.ResourceGroup("northwind");
const account = new storage.StorageAccount("data", {
  resourceGroupName: group.name,
  kind: "StorageV2",
  sku: { name: "Standard_LRS" },
  allowSharedKeyAccess: false,
  minimumTlsVersion: config.get("tls") ?? "TLS1_2",
});
new storage.StorageAccountStaticWebsite("site", {
  resourceGroupName: group.name, accountName: account.name, indexDocument: "index.html",
});
const container = new storage.BlobContainer("input", {
  resourceGroupName: group.name, accountName: account.name, containerName: "input",
});
const vault = new keyvault.Vault("keys", {
  resourceGroupName: group.name,
  properties: {
    tenantId: client.tenantId, sku: { family: "A", name: "premium" }, enableRbacAuthorization: true, enablePurgeProtection: true,
  },
});
const identity = new managedidentity.UserAssignedIdentity("reader", { resourceGroupName: group.name });
new managedidentity.FederatedIdentityCredential("federation", {
  resourceGroupName: group.name, resourceName: identity.name,
  issuer: pulumi.interpolate\`\${account.primaryEndpoints.web}oidc\`, subject: "contract-user", audiences: ["api://AzureADTokenExchange"],
});
new authorization.RoleAssignment("read", {
  scope: container.id, principalId: identity.principalId, principalType: "ServicePrincipal",
  roleDefinitionId: "/providers/Microsoft.Authorization/roleDefinitions/2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
});
const cluster = new containerservice.ManagedCluster("cluster", {
  resourceGroupName: group.name, dnsPrefix: "cluster", identity: { type: "SystemAssigned" },
  agentPoolProfiles: [{ name: "agentpool", mode: "System", count: 2, vmSize: "Standard_D4ds_v5" }],
});
const address = new network.PublicIPAddress("agent", {
  resourceGroupName: group.name, sku: { name: "Standard" }, publicIPAllocationMethod: "Static",
  dnsSettings: { domainNameLabel: "analytics-abc" },
});
const join = new authorization.RoleAssignment("join", {
  scope: group.id, principalId: cluster.identity.apply((i) => i.principalId), principalType: "ServicePrincipal",
  roleDefinitionId: "/providers/Microsoft.Authorization/roleDefinitions/4d97b98b-1d4f-4787-a291-c67834d212e7",
});
const credentials = containerservice.listManagedClusterAdminCredentialsOutput({
  resourceGroupName: group.name, resourceName: cluster.name,
});
const kubeconfig = credentials.kubeconfigs.apply(([first]) => Buffer.from(first.value, "base64").toString());
const k8s = new kubernetes.Provider("cluster", { kubeconfig });
new kubernetes.helm.v3.Release("agent", {
  chart: "oci://registry.example/helm/cleanroom-spark-analytics-agent", version: "8.0.0", name: "agent", namespace: "analytics",
  createNamespace: true,
  values: {
    ccrgovEndpoint: "https://localhost:1", ccrgovApiPathPrefix: "/app/contracts/c", ccrgovServiceCert: "eA==",
    ccfNetworkRecoveryMembers: "W10=", ccePolicy: Buffer.from("package policy").toString("base64"),
    service: { annotations: {
      "service.beta.kubernetes.io/azure-pip-name": address.name,
      "service.beta.kubernetes.io/azure-load-balancer-resource-group": group.name,
    } },
  },
}, { provider: k8s, dependsOn: join });

export const accountName = account.name;
export const blobEndpoint = account.primaryEndpoints.blob;
export const vaultUri = vault.properties.vaultUri;
export const agent = address.dnsSettings.apply((dns) => dns.fqdn);
export const config2 = kubeconfig;
`;

const describeWithEngine = engineIsInstalled() ? describe : describe.skip;

describeWithEngine("the real engine against the stand-in", () => {
  let sandbox: TestSandbox;
  let folder: string;
  let environment: NodeJS.ProcessEnv;

  const pulumi = async (...args: string[]): Promise<string> => {
    try {
      const { stdout } = await run("pulumi", [...args, "--non-interactive", "--stack", "test"], {
        cwd: folder,
        env: environment,
      });
      return stdout;
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string };
      throw new Error(`pulumi ${args.join(" ")} failed:\n${stdout}\n${stderr}`, { cause: error });
    }
  };

  beforeAll(async () => {
    sandbox = await startTestSandbox();
    const parent = path.resolve(".cleanroom");
    fs.mkdirSync(parent, { recursive: true });
    folder = fs.mkdtempSync(path.join(parent, "test-azure-"));
    fs.writeFileSync(
      path.join(folder, "Pulumi.yaml"),
      "name: sandbox-test\nruntime: {name: nodejs, options: {typescript: false}}\nmain: index.mjs\n",
    );
    fs.writeFileSync(path.join(folder, "package.json"), JSON.stringify({ type: "module", main: "index.mjs" }));
    fs.writeFileSync(path.join(folder, "index.mjs"), PROGRAM);
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
      NODE_OPTIONS: "",
    };
    await pulumi("stack", "init");
    const settings = {
      tenantId: NORTHWIND.tenantId,
      clientId: NORTHWIND.clientId,
      subscriptionId: subscriptionOf(NORTHWIND),
      location: "westeurope",
    };
    for (const [key, value] of Object.entries(settings)) await pulumi("config", "set", `azure-native:${key}`, value);
  }, ENGINE_TIMEOUT_MS);

  afterAll(async () => {
    await sandbox.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  test(
    "up, no changes, refresh, update, destroy",
    async () => {
      await pulumi("up", "--yes", "--skip-preview");
      const outputs = JSON.parse(await pulumi("stack", "output", "--json")) as Record<string, string>;
      console.log(outputs);

      await pulumi("preview", "--expect-no-changes");
      await pulumi("refresh", "--yes", "--expect-no-changes", "--skip-preview");

      await pulumi("config", "set", "tls", "TLS1_3");
      console.log(await pulumi("up", "--yes", "--diff"));

      await pulumi("destroy", "--yes", "--skip-preview");
    },
    ENGINE_TIMEOUT_MS,
  );
});
