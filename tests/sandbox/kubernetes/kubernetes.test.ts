import { subscriptionOf } from "../../../sandbox/azure/subscriptions.ts";
import { UNKNOWN, isSecret, plain, secret } from "../../../sandbox/azure/values.ts";
import type { Args } from "../../../sandbox/azure/values.ts";
import { EngineClient } from "../azure/engine-client.ts";
import { NORTHWIND, startTestSandbox } from "../azure/fakes.ts";
import type { TestSandbox } from "../azure/fakes.ts";

const RELEASE = "kubernetes:helm.sh/v3:Release";
const NAMESPACE = "kubernetes:core/v1:Namespace";
const CLUSTER = "azure-native:containerservice:ManagedCluster";
const GROUP = { resourceGroupName: "rg" };
const GROUP_ID = `/subscriptions/${subscriptionOf(NORTHWIND)}/resourceGroups/rg`;
const CLUSTER_ID = `${GROUP_ID}/providers/Microsoft.ContainerService/managedClusters/cluster`;

const annotations = {
  "service.beta.kubernetes.io/azure-pip-name": "agent-ip",
  "service.beta.kubernetes.io/azure-load-balancer-resource-group": "rg",
};
const values: Args = {
  ccrgovEndpoint: "https://localhost:1",
  ccrgovApiPathPrefix: "/app/contracts/c",
  ccrgovServiceCert: "cGVt",
  ccfNetworkRecoveryMembers: "W10=",
  ccePolicy: Buffer.from("package policy").toString("base64"),
  service: { annotations },
};
const agent = (change: Args = {}): Args => ({
  chart: "oci://registry.example/helm/cleanroom-spark-analytics-agent",
  version: "8.0.0",
  name: "agent",
  namespace: "analytics",
  compat: "true",
  values: { ...values, ...change },
});

let sandbox: TestSandbox;
let azure: EngineClient;
let kubernetes: EngineClient;
let cluster: { id: string; inputs: Args; outputs: Args };

async function kubeconfig(): Promise<string> {
  const list = "azure-native:containerservice:listManagedClusterAdminCredentials";
  const { kubeconfigs } = await azure.invoke(list, { ...GROUP, resourceName: "cluster" });
  return Buffer.from(String(plain((kubeconfigs as Args[])[0]!.value)), "base64").toString();
}

function deployCluster(): Promise<{ id: string; inputs: Args; outputs: Args }> {
  return azure.deploy(CLUSTER, "cluster", {
    ...GROUP,
    resourceName: "cluster",
    dnsPrefix: "cluster",
    identity: { type: "SystemAssigned" },
    agentPoolProfiles: [{ name: "agentpool", mode: "System", count: 1, vmSize: "Standard_D4ds_v5" }],
  });
}

async function letClusterUseAddresses(): Promise<void> {
  await azure.deploy("azure-native:authorization:RoleAssignment", "join", {
    scope: GROUP_ID,
    principalId: (cluster.outputs.identity as Args).principalId,
    principalType: "ServicePrincipal",
    roleDefinitionId: "/providers/Microsoft.Authorization/roleDefinitions/4d97b98b-1d4f-4787-a291-c67834d212e7",
  });
}

beforeEach(async () => {
  sandbox = await startTestSandbox();
  azure = await new EngineClient(sandbox.azure.providers["azure-native"]!).signIn(NORTHWIND);
  await azure.deploy("azure-native:resources:ResourceGroup", "rg", GROUP);
  await azure.deploy("azure-native:network:PublicIPAddress", "ip", { ...GROUP, publicIpAddressName: "agent-ip" });
  cluster = await deployCluster();
  kubernetes = await new EngineClient(sandbox.azure.providers.kubernetes!).configure({
    kubeconfig: secret(await kubeconfig()),
  });
});

afterEach(async () => {
  azure.close();
  kubernetes.close();
  await sandbox.close();
});

describe("the agent's chart", () => {
  test("starts a clean room at the public address, updates it, and ends it", async () => {
    await letClusterUseAddresses();
    const { id, inputs, outputs } = await kubernetes.deploy(RELEASE, "agent", agent());
    expect(id).toBe("analytics/agent");
    expect(outputs.status).toMatchObject({ name: "agent", namespace: "analytics", revision: 1, status: "deployed" });
    const spec = {
      id: `${CLUSTER_ID}/helm/analytics/agent`,
      ccePolicy: "package policy",
      values: {
        ccrgovEndpoint: "https://localhost:1",
        ccrgovApiPathPrefix: "/app/contracts/c",
        ccrgovServiceCert: "cGVt",
        ccfNetworkRecoveryMembers: "W10=",
      },
      port: await sandbox.host.port(
        `public-ip-${GROUP_ID}/providers/Microsoft.Network/publicIPAddresses/agent-ip`.toLowerCase(),
      ),
    };
    expect([...sandbox.cleanRoom.installed.values()]).toEqual([spec]);

    expect((await kubernetes.diff(RELEASE, "agent", id, inputs, inputs)).changed).toBe(false);
    const changed = { ...inputs, ...agent({ ccrgovEndpoint: "https://localhost:2" }) };
    expect(await kubernetes.diff(RELEASE, "agent", id, inputs, changed)).toMatchObject({
      replaces: [],
      details: { "values.ccrgovEndpoint": "update" },
    });
    const updated = await kubernetes.update(RELEASE, "agent", id, outputs, changed);
    expect(updated.status).toMatchObject({ revision: 2 });
    expect([...sandbox.cleanRoom.installed.values()][0]!.values.ccrgovEndpoint).toBe("https://localhost:2");
    expect((await kubernetes.read(RELEASE, "agent", id, inputs)).inputs).toEqual(changed);
    expect((await kubernetes.diff(RELEASE, "agent", id, inputs, { ...inputs, namespace: "other" })).replaces).toEqual([
      "namespace",
    ]);

    await kubernetes.delete(RELEASE, "agent", id);
    expect(sandbox.cleanRoom.installed.size).toBe(0);
    expect((await kubernetes.read(RELEASE, "agent", id, inputs)).id).toBe("");
    await kubernetes.delete(RELEASE, "agent", id);
  });

  test("needs a cluster that may use the address, and an address", async () => {
    await expect(kubernetes.deploy(RELEASE, "agent", agent())).rejects.toThrow(
      "give it the role Network Contributor there",
    );
    await letClusterUseAddresses();
    const elsewhere = {
      service: { annotations: { ...annotations, "service.beta.kubernetes.io/azure-pip-name": "nowhere" } },
    };
    await expect(kubernetes.deploy(RELEASE, "agent", agent(elsewhere))).rejects.toThrow(
      "public IP address 'nowhere' was not found",
    );
    expect(sandbox.cleanRoom.installed.size).toBe(0);
  });

  test.each([
    [
      { ccrgovEndpont: "x" },
      "'values.ccrgovEndpont' is not a value of chart cleanroom-spark-analytics-agent; it takes ccrgovEndpoint",
    ],
    [{ ccePolicy: undefined }, "'values.ccePolicy' is required"],
    [{ service: { annotations: {} } }, "'values.service.annotations' must name the agent's public IP address"],
  ])("values with %j are refused", async (change, reason) => {
    await expect(kubernetes.deploy(RELEASE, "agent", agent(change))).rejects.toThrow(reason);
  });

  test("unknown values are not judged in a preview", async () => {
    const preview = { ...agent(), values: { ...values, service: { annotations: UNKNOWN }, ccePolicy: UNKNOWN } };
    const { inputs, failures } = await kubernetes.check(RELEASE, "agent", preview);
    expect(failures).toEqual([]);
    expect((await kubernetes.create(RELEASE, "agent", inputs, true)).id).toBe("");
    expect((await kubernetes.check(RELEASE, "agent", { ...agent(), values: UNKNOWN })).failures).toEqual([]);
  });

  test("ends with its cluster", async () => {
    await letClusterUseAddresses();
    await kubernetes.deploy(RELEASE, "agent", agent());
    await azure.delete(CLUSTER, "cluster", cluster.id);
    expect(sandbox.cleanRoom.installed.size).toBe(0);
    await expect(kubernetes.deploy(RELEASE, "agent", agent())).rejects.toThrow(
      "configured Kubernetes cluster is unreachable",
    );
    cluster = await deployCluster();
    await expect(kubernetes.deploy(RELEASE, "agent", agent())).rejects.toThrow("unreachable");
  });
});

describe("everything else", () => {
  test("other known charts exist, unknown ones are refused, names are made up", async () => {
    const operator = { chart: "spark-operator", namespace: "spark-operator", values: { password: secret("quiet") } };
    const { id, outputs } = await kubernetes.deploy(RELEASE, "operator", operator);
    expect(id).toMatch(/^spark-operator\/operator-[0-9a-f]{8}$/);
    expect(isSecret((outputs.values as Args).password)).toBe(true);
    await expect(kubernetes.deploy(RELEASE, "x", { chart: "nginx" })).rejects.toThrow(
      `'chart' "nginx" is not known to the sandbox`,
    );
    await expect(kubernetes.deploy(RELEASE, "x", { chart: "loki", name: "No" })).rejects.toThrow(
      "'name' must be a DNS label",
    );
  });

  test("namespaces", async () => {
    const { id, inputs, outputs } = await kubernetes.deploy(NAMESPACE, "ns", { metadata: { name: "analytics" } });
    expect(id).toBe("analytics");
    expect(outputs.status).toEqual({ phase: "Active" });
    await expect(kubernetes.create(NAMESPACE, "ns", inputs)).rejects.toThrow('resource "analytics" already exists');
    const renamed = { metadata: { name: "other" } };
    expect((await kubernetes.diff(NAMESPACE, "ns", id, inputs, renamed)).replaces).toEqual(["metadata.name"]);
    await expect(kubernetes.deploy(NAMESPACE, "bad", { metadata: { name: "Not_Valid" } })).rejects.toThrow("DNS label");
  });

  test("a kubeconfig with another cluster's credentials opens nothing", async () => {
    const forged = (await kubeconfig()).replace(/token: .*/, "token: guessed");
    const stranger = await new EngineClient(sandbox.azure.providers.kubernetes!).configure({ kubeconfig: forged });
    await expect(stranger.deploy(NAMESPACE, "ns", {})).rejects.toThrow("unreachable");
    stranger.close();
  });

  test("what is not simulated says so", async () => {
    await expect(kubernetes.check("kubernetes:apps/v1:Deployment", "d", {})).rejects.toThrow(
      "does not simulate kubernetes:apps/v1:Deployment",
    );
  });
});
