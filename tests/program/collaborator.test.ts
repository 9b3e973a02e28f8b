import * as pulumi from "@pulumi/pulumi";
import { deploy, type Deployment } from "./support/program.ts";
import { AUTHORITY } from "./support/consortium.ts";
import { handoffs, tell, type Story } from "./support/story.ts";
import { copy, type Values } from "./support/values.ts";

let story: Story;
beforeAll(async () => (story = await tell()));

const ENVIRONMENT = (persona: string): string[] => [
  `ResourceGroup ${persona}-rg`,
  `RoleAssignment ${persona}-owner-blobs`,
  `RoleAssignment ${persona}-owner-keys`,
  `StorageAccount ${persona}data`,
  `Vault ${persona}-kv`,
];
const IDENTITY = (persona: string): string[] => [
  `FederatedIdentityCredential ${persona}-cleanroom-federation`,
  `UserAssignedIdentity ${persona}-cleanroom-mi`,
];
const DATASET = (name: string): string[] => [
  `BlobContainer ${name}-container`,
  `DatasetDocument ${name}-document`,
  `RoleAssignment ${name}-access`,
];
const KEYS = (name: string): string[] => [
  `DataEncryptionKey ${name}-keys-dek`,
  `KeyEncryptionKey ${name}-keys-kek`,
  `WrappedKey ${name}-keys-wrapped`,
  `RoleAssignment ${name}-keys-release`,
  `RoleAssignment ${name}-keys-read`,
];
const SOURCE = (name: string): string[] => [...DATASET(name), `DatasetFiles ${name}-files`];

/** Exactly these, besides components. */
function expectDeclared(deployment: Deployment, ...labels: readonly string[][]): void {
  expect(deployment.labels()).toEqual(labels.flat().sort());
}

test("knowing nobody, a collaborator prepares its environment and says whom it waits for", () => {
  const [alone] = story.northwind;
  expectDeclared(alone, ENVIRONMENT("northwind"));
  expect(alone.outputs).toEqual({
    handoff: {
      version: 1,
      persona: "northwind",
      identity: { email: "nora@northwind.example" },
      datasets: {},
      queries: {},
      approvals: {},
    },
    pending: [
      { what: "northwind knows nothing of operator yet", who: "operator", command: "pulumi up --stack operator" },
    ],
    pendingApprovals: [],
    results: {},
  });
});

test("not invited, it declares no more and says so", async () => {
  const operator = copy(story.operator[0].outputs.handoff) as { consortium: { invitations: Values } };
  delete operator.consortium.invitations.northwind;
  const deployment = await deploy("northwind", { stacks: { operator } });
  expectDeclared(deployment, ENVIRONMENT("northwind"));
  expect(deployment.pending()).toEqual(["operator has not invited northwind"]);
});

test("invited, it accepts as that user, and waits to be made one", () => {
  const invited = story.northwind[1];
  expectDeclared(invited, ENVIRONMENT("northwind"), ["InvitationAcceptance northwind-invitation"]);
  expect(invited.inputs("InvitationAcceptance northwind-invitation")).toMatchObject({
    invitationId: "invitation of nora@northwind.example",
    email: "nora@northwind.example",
  });
  expect(invited.outputs.handoff.identity).toEqual({
    email: "nora@northwind.example",
    userId: "nora",
    tenantId: "tenant of nora",
    acceptedInvitation: "invitation of nora@northwind.example",
  });
  expect(invited.outputs.pending).toEqual([
    {
      what: "operator has not made northwind a user of the consortium",
      who: "operator",
      command: "pulumi up --stack operator",
    },
  ]);
});

test("as a user, a data owner publishes; nothing is left to do", () => {
  const member = story.northwind[2];
  expectDeclared(
    member,
    ENVIRONMENT("northwind"),
    ["InvitationAcceptance northwind-invitation"],
    IDENTITY("northwind"),
    SOURCE("northwind-input"),
    KEYS("northwind-input"),
  );
  expect(member.outputs.pending).toEqual([]);
  expect(member.outputs.handoff.datasets).toEqual({
    input: {
      documentId: "analytics-northwind-input-r1",
      kind: "source",
      format: "csv",
      fields: expect.arrayContaining([{ name: "mentions", type: "string" }]),
      allowedFields: ["date", "author", "mentions"],
    },
  });
});

test("a document is published only after files and access are there", () => {
  const { dependsOn } = story.northwind[2].resource("DatasetDocument northwind-input-document");
  expect(dependsOn).toEqual(
    expect.arrayContaining(["DatasetFiles northwind-input-files", "RoleAssignment northwind-input-access"]),
  );
  expect(story.northwind[2].resource("DatasetFiles northwind-input-files").dependsOn).toContain(
    "RoleAssignment northwind-owner-blobs",
  );
});

test("the consumer proposes the query over its own and the partner's data", () => {
  const member = story.woodgrove[2];
  expectDeclared(
    member,
    ENVIRONMENT("woodgrove"),
    ["InvitationAcceptance woodgrove-invitation"],
    IDENTITY("woodgrove"),
    SOURCE("woodgrove-input"),
    KEYS("woodgrove-input"),
    DATASET("woodgrove-output"),
    KEYS("woodgrove-output"),
    ["QueryDocument woodgrove-mentions"],
  );
  expect(member.inputs("QueryDocument woodgrove-mentions")).toMatchObject({
    contractId: "analytics",
    baseId: "analytics-woodgrove-mentions",
    inputs: [
      { view: "publisher_data", documentId: "analytics-northwind-input-r1" },
      { view: "consumer_data", documentId: "analytics-woodgrove-input-r1" },
    ],
    output: "analytics-woodgrove-output-r1",
  });
  expect(member.pending()).toEqual([
    "run first waits for northwind to approve query woodgrove/mentions",
    "run first waits for woodgrove to approve query woodgrove/mentions",
  ]);
});

test("a query whose input a partner has not published is not proposed", async () => {
  const { operator, northwind, woodgrove } = story;
  const stacks = handoffs({ operator: operator[1], northwind: northwind[1], woodgrove: woodgrove[1] });
  const deployment = await deploy("woodgrove", { stacks });
  expect(deployment.ofKind("QueryDocument")).toEqual([]);
  expect(deployment.outputs.pending).toEqual([
    {
      what: "query mentions reads northwind/input, which is not published",
      who: "northwind",
      command: "pulumi up --stack northwind",
    },
  ]);
});

test("the same holds for a partner whose stack does not exist yet", async () => {
  const stacks = handoffs({ operator: story.operator[1], woodgrove: story.woodgrove[1] });
  const deployment = await deploy("woodgrove", { stacks });
  expect(deployment.ofKind("QueryDocument")).toEqual([]);
  expect(deployment.pending()).toEqual(["query mentions reads northwind/input, which is not published"]);
});

describe("approving", () => {
  test("every owner is shown the query with its digest until it has pinned one", async () => {
    const { operator, northwind, woodgrove, digest } = story;
    const stacks = handoffs({ operator: operator[1], northwind: northwind[2], woodgrove: woodgrove[2] });
    const owner = await deploy("northwind", { stacks });
    expect(owner.outputs.pendingApprovals).toEqual([
      { query: "woodgrove/mentions", digest, review: expect.objectContaining({ approvers: ["nora", "wanda"] }) },
    ]);
    expect(woodgrove[2].outputs.pendingApprovals).toEqual([expect.objectContaining({ digest })]);
    expect(northwind[3].outputs.pendingApprovals).toEqual([]);
  });

  test("somebody who owns none of its data is not asked", async () => {
    const { operator, northwind, woodgrove } = story;
    const stranger = copy(woodgrove[2].outputs.handoff) as {
      queries: { mentions: { review: { approvers: string[] } } };
    };
    stranger.queries.mentions.review.approvers = ["wanda"];
    const stacks = { ...handoffs({ operator: operator[1], northwind: northwind[2] }), woodgrove: stranger };
    expect((await deploy("northwind", { stacks })).outputs.pendingApprovals).toEqual([]);
  });

  test("a pinned digest becomes a vote that knows who claims which dataset", () => {
    const { northwind, digest } = story;
    const vote = northwind[3].inputs("QueryApproval northwind-approves-woodgrove-mentions");
    expect(vote).toMatchObject({
      contractId: "analytics",
      digest,
      owners: {
        "analytics-northwind-input-r1": "nora",
        "analytics-woodgrove-input-r1": "wanda",
        "analytics-woodgrove-output-r1": "wanda",
      },
    });
    expect(northwind[3].outputs.handoff.approvals).toEqual({ "woodgrove/mentions": digest });
  });

  test("an approval of a query nobody publishes waits for its author", async () => {
    const { operator, northwind, woodgrove, digest } = story;
    const stacks = handoffs({ operator: operator[1], northwind: northwind[2], woodgrove: woodgrove[1] });
    const deployment = await deploy("northwind", { config: { approvals: { "woodgrove/mentions": digest } }, stacks });
    expect(deployment.ofKind("QueryApproval")).toEqual([]);
    expect(deployment.outputs.pending).toEqual([
      {
        what: "an approval is configured for woodgrove/mentions, which is not published",
        who: "woodgrove",
        command: "pulumi up --stack woodgrove",
      },
    ]);
  });
});

describe("a run", () => {
  const RUN = "QueryRun woodgrove-mentions-first";
  const woodgrove = (stacks: Record<string, unknown>, digest = story.digest): Promise<Deployment> =>
    deploy("woodgrove", { config: { approvals: { "woodgrove/mentions": digest } }, stacks });
  const approved = (): Record<string, unknown> =>
    handoffs({ operator: story.operator[1], northwind: story.northwind[3], woodgrove: story.woodgrove[2] });

  test("starts once every owner has reported its approval, after the own vote", () => {
    const running = story.woodgrove[3];
    expect(running.pending()).toEqual([]);
    expect(running.inputs(RUN)).toMatchObject({
      runId: "first",
      digest: story.digest,
      documentId: "analytics-woodgrove-mentions-r1",
      analytics: { endpoint: expect.stringMatching(/^https:/), caCertificate: AUTHORITY },
    });
    expect(running.resource(RUN).dependsOn).toContain("QueryApproval woodgrove-approves-woodgrove-mentions");
    expect(running.outputs.results).toEqual({
      first: {
        query: "mentions",
        state: "COMPLETED",
        rowsRead: 10,
        rowsWritten: 2,
        finishedAt: "2026-01-01T00:00:00Z",
        store: expect.objectContaining({ container: "analytics-woodgrove-output" }),
        format: "csv",
        encryption: "CSE",
        path: "out/first",
        sink: "woodgrove-output",
      },
    });
  });

  test("waits for an owner who has not approved", async () => {
    const stacks = { ...approved(), ...handoffs({ northwind: story.northwind[2] }) };
    const deployment = await woodgrove(stacks);
    expect(deployment.ofKind("QueryRun")).toEqual([]);
    expect(deployment.outputs.pending).toEqual([
      {
        what: "run first waits for northwind to approve query woodgrove/mentions",
        who: "northwind",
        command: expect.stringContaining("pulumi up --stack northwind"),
      },
    ]);
  });

  test("waits for an owner who approved another digest than the published one", async () => {
    const stale = copy(story.northwind[3].outputs.handoff) as { approvals: Values };
    stale.approvals["woodgrove/mentions"] = `sha256:${"0".repeat(64)}`;
    const deployment = await woodgrove({ ...approved(), northwind: stale });
    expect(deployment.ofKind("QueryRun")).toEqual([]);
    expect(deployment.pending()).toEqual(["run first waits for northwind to approve query woodgrove/mentions"]);
  });

  test("waits for everybody after the query was changed: the old approvals are of the old query", async () => {
    const deployment = await deploy("woodgrove", {
      config: {
        approvals: { "woodgrove/mentions": story.digest },
        queries: [
          {
            name: "mentions",
            file: "demos/query/mentions.yaml",
            inputs: { publisher_data: "northwind/input" },
            output: "output",
          },
        ],
      },
      stacks: approved(),
    });
    expect(deployment.ofKind("QueryRun")).toEqual([]);
    expect(deployment.pending()).toHaveLength(2);
  });

  test("waits while this stack has not published the query with an update of its own", async () => {
    const stacks = { ...approved(), ...handoffs({ woodgrove: story.woodgrove[1] }) };
    expect((await woodgrove(stacks)).ofKind("QueryRun")).toEqual([]);
  });
});

describe("handoff documents instead of stacks", () => {
  test("do the same", async () => {
    const { operator, northwind, woodgrove } = story;
    const stacks = { woodgrove: woodgrove[2].outputs.handoff };
    const deployment = await deploy("woodgrove", {
      config: {
        operator: { handoff: operator[1].outputs.handoff },
        collaborators: [{ name: "northwind", handoff: northwind[3].outputs.handoff }],
        approvals: { "woodgrove/mentions": story.digest },
      },
      stacks,
    });
    expect(deployment.labels()).toEqual(woodgrove[3].labels());
    expect(deployment.outputs).toEqual(woodgrove[3].outputs);
  });

  test("of another version are refused by the key they came with", async () => {
    const operator = { handoff: { ...story.operator[1].outputs.handoff, version: 2 } };
    await expect(deploy("northwind", { config: { operator } })).rejects.toThrow(
      /cleanroom:operator\.handoff is not a handoff of version 1: version/,
    );
  });
});

test.each([
  ["snp", [expect.stringContaining("refuses datasets with encryption CSE (input)")]],
  ["virtual", []],
])("client-side encryption in a consortium whose platform is %s", async (platform, warnings) => {
  const operator = copy(story.operator[1].outputs.handoff) as { consortium: { analytics: Values } };
  operator.consortium.analytics.platform = platform;
  const warn = jest.spyOn(pulumi.log, "warn").mockResolvedValue();
  await deploy("northwind", { stacks: { operator } });
  expect(warn.mock.calls.map(([message]) => message)).toEqual(warnings);
  warn.mockRestore();
});

test("without data in Azure there is no environment and nothing to publish", async () => {
  const stacks = handoffs({ operator: story.operator[1], northwind: story.northwind[1] });
  const deployment = await deploy("northwind", { config: { datasets: undefined }, stacks });
  expectDeclared(deployment, ["InvitationAcceptance northwind-invitation"]);
  expect(deployment.pending()).toEqual([]);
});
