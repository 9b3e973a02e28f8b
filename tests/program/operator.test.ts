import { deploy } from "./support/program.ts";
import { CALLER, SUBSCRIPTION } from "./support/cloud.ts";
import { handoffs, tell, type Story } from "./support/story.ts";
import type { Values } from "./support/values.ts";

let story: Story;
beforeAll(async () => (story = await tell()));

const ENVIRONMENT = [
  "ResourceGroup operator-rg",
  "StorageAccount operatoroidc",
  "StorageAccountStaticWebsite operator-oidc-website",
  "RoleAssignment operator-oidc-writer",
  "Registry operatoracr",
];
const LEDGER = ["StorageAccount operatorccf", "FileShare operator-ccf-0"];
const NETWORK = [
  "MemberKey operator-ccfoperator-key",
  "MemberKey operator-operator-key",
  "ContainerGroup operator-ccf-0",
  "CcfNetwork operator-ccf",
  "ConsortiumMember operator-operator",
];
const SERVICE = ["ConsortiumService operator-service", "OidcIssuer operator-issuer"];
const CONTRACT = [
  "Contract operator-contract",
  "CertificateAuthority operator-ca",
  "CleanRoomPolicy operator-policy",
  "DeploymentInformation operator-deployment",
];
const CLUSTER = [
  "ManagedCluster operator-cluster-aks",
  "PublicIPAddress operator-cluster-agent-ip",
  "RoleAssignment operator-cluster-agent-ip-user",
  "kubernetes operator-cluster-kubernetes",
  "Release operator-cluster-agent",
];
const INVITATIONS = ["UserInvitation northwind-invitation", "UserInvitation woodgrove-invitation"];

const without = (labels: readonly string[], prefix: string): string[] =>
  labels.filter((label) => !label.startsWith(prefix));

test("the operator hosts network, contract and clean room, and invites", () => {
  const [first] = story.operator;
  expect(without(first.labels(), "JwtIssuer ")).toEqual(
    [...ENVIRONMENT, ...LEDGER, ...NETWORK, ...SERVICE, ...CONTRACT, ...CLUSTER, ...INVITATIONS].sort(),
  );
  expect(first.outputs.pending).toEqual([
    {
      what: "northwind has not accepted its invitation",
      who: "northwind",
      command: "pulumi up --stack northwind",
    },
    {
      what: "woodgrove has not accepted its invitation",
      who: "woodgrove",
      command: "pulumi up --stack woodgrove",
    },
  ]);
  expect(first.outputs.handoff).toMatchObject({
    version: 1,
    persona: "operator",
    consortium: {
      contractId: "analytics",
      invitations: {
        northwind: { invitationId: "invitation of nora@northwind.example", email: "nora@northwind.example" },
      },
      users: {},
    },
  });
});

test("who has accepted becomes a user, by invitation, address and user id", () => {
  const second = story.operator[1];
  expect(second.pending()).toEqual([]);
  expect(second.ofKind("UserIdentity").map(({ label }) => label)).toEqual([
    "UserIdentity northwind-user",
    "UserIdentity woodgrove-user",
  ]);
  expect(second.inputs("UserIdentity northwind-user")).toMatchObject({
    invitationId: "invitation of nora@northwind.example",
    email: "nora@northwind.example",
    expectedUserId: "nora",
  });
  expect(second.outputs.handoff).toMatchObject({
    consortium: { users: { northwind: { userId: "nora", tenantId: "tenant of nora" } } },
  });
});

test("one who has not accepted keeps nobody else out", async () => {
  const stacks = handoffs({ northwind: story.northwind[1], woodgrove: story.woodgrove[0] });
  const deployment = await deploy("operator", { stacks });
  expect(deployment.ofKind("UserIdentity").map(({ name }) => name)).toEqual(["northwind-user"]);
  expect(deployment.pending()).toEqual(["woodgrove has not accepted its invitation"]);
});

test("a collaborator with neither stack nor handoff is invited, and the operator is told what to configure", async () => {
  const collaborators = [{ name: "northwind", email: "nora@northwind.example" }];
  const deployment = await deploy("operator", { config: { collaborators } });
  expect(deployment.ofKind("UserInvitation")).toHaveLength(1);
  expect(deployment.outputs.pending).toEqual([
    {
      what: expect.stringContaining("names neither its stack nor its handoff"),
      who: "operator",
      command: expect.any(String),
    },
  ]);
});

describe("token issuers", () => {
  const issuers = async (stacks: Record<string, unknown>): Promise<Record<string, unknown>> => {
    const deployment = await deploy("operator", { stacks });
    return Object.fromEntries(deployment.ofKind("JwtIssuer").map(({ name, inputs }) => [name, inputs.issuer]));
  };
  const accepted = (tenantId: string): Values => ({
    ...story.northwind[1].outputs.handoff,
    identity: { ...(story.northwind[1].outputs.handoff.identity as Values), tenantId },
  });

  test("keep their resource when a tenant joins, wherever it sorts", async () => {
    const before = await issuers({});
    for (const tenant of ["00000000-0000-4000-8000-000000000000", "ffffffff-0000-4000-8000-000000000000"]) {
      const after = await issuers({ northwind: accepted(tenant) });
      expect(after).toMatchObject(before);
      expect(Object.values(after)).toContain(`https://sts.windows.net/${tenant}/`);
    }
  });

  test("are the sign-in authority's alone where it is not the public one", async () => {
    const authority = process.env["AZURE_AUTHORITY_HOST"];
    process.env["AZURE_AUTHORITY_HOST"] = "https://sign-in.example/";
    try {
      expect(Object.values(await issuers({ northwind: accepted("t") }))).toEqual([
        "https://sign-in.example/common/v2.0",
      ]);
    } finally {
      if (authority === undefined) delete process.env["AZURE_AUTHORITY_HOST"];
      else process.env["AZURE_AUTHORITY_HOST"] = authority;
    }
  });
});

test("what was agreed in a network goes away with its node; published issuer documents do not", () => {
  const deployment = story.operator[1];
  const agreed = [
    ...NETWORK.slice(3),
    ...SERVICE.slice(0, 1),
    ...CONTRACT,
    ...INVITATIONS,
    "UserIdentity northwind-user",
  ];
  for (const label of agreed) {
    expect([label, deployment.resource(label).deletedWith]).toEqual([label, "ContainerGroup operator-ccf-0"]);
  }
  expect(deployment.resource("OidcIssuer operator-issuer").deletedWith).toBeUndefined();
  expect(deployment.resource("Release operator-cluster-agent").deletedWith).toBe("ManagedCluster operator-cluster-aks");
});

test("the clean room's agent runs the policy that the contract accepts", () => {
  const deployment = story.operator[1];
  const values = deployment.inputs("Release operator-cluster-agent").values as Values;
  const { claims } = deployment.inputs("CleanRoomPolicy operator-policy") as { claims: Record<string, unknown[]> };
  const { createHash } = jest.requireActual<typeof import("node:crypto")>("node:crypto");
  const policy = Buffer.from(String(values.ccePolicy), "base64").toString("utf8");
  expect(claims["x-ms-sevsnpvm-hostdata"]).toEqual([createHash("sha256").update(policy).digest("hex")]);
  expect(policy).toContain(String(values.ccrgovApiPathPrefix));
  expect(values.ccrgovEndpoint).toBe(
    (deployment.outputs.handoff as { consortium: { endpoint: string } }).consortium.endpoint,
  );
});

describe("an existing network", () => {
  const ccf = {
    endpoint: "https://ccf.example:8080",
    serviceCertificate: "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n",
    member: { certificate: "-----BEGIN CERTIFICATE-----\nm\n-----END CERTIFICATE-----\n" },
  };

  test("is used instead of starting one, signed with the configured member's key", async () => {
    const deployment = await deploy("operator", { config: { ccf, memberKey: "the member's key" } });
    expect(deployment.labels()).toEqual([...ENVIRONMENT, ...SERVICE, ...CONTRACT, ...CLUSTER, ...INVITATIONS].sort());
    expect(deployment.inputs("Contract operator-contract")).toMatchObject({
      consortium: { endpoint: ccf.endpoint, serviceCertificate: ccf.serviceCertificate },
      signer: { certificate: ccf.member.certificate, privateKey: "the member's key" },
    });
    expect(deployment.resource("Contract operator-contract").deletedWith).toBeUndefined();
    expect(deployment.isSecret).toBe(false);
  });
});

test("an account for issuer documents that exists already is written to and not declared", async () => {
  const deployment = await deploy("operator", {
    config: { oidcStorageAccount: "preparedaccount", resourceGroup: "prepared" },
  });
  const scope = `/subscriptions/${SUBSCRIPTION}/resourceGroups/prepared/providers/Microsoft.Storage/storageAccounts/preparedaccount`;
  expect(deployment.ofKind("ResourceGroup")).toEqual([]);
  expect(deployment.ofKind("StorageAccountStaticWebsite")).toEqual([]);
  expect(deployment.ofKind("StorageAccount").map(({ name }) => name)).toEqual(["operatorccf"]);
  expect(deployment.inputs("RoleAssignment operator-oidc-writer")).toMatchObject({ scope, principalId: CALLER });
  expect(deployment.inputs("OidcIssuer operator-issuer")).toMatchObject({
    blobEndpoint: "https://preparedaccount.blob.example/",
    webEndpoint: "https://preparedaccount.web.example/",
  });
});
