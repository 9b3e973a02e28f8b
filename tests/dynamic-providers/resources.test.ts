import fs from "node:fs";
import path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { WireProvider } from "../../dynamic-providers/framework/provider.ts";
import { providerText } from "../../dynamic-providers/framework/resource.ts";
import { reviewDigest, type QueryReview } from "../../domain/review.ts";

const FOLDER = path.join(__dirname, "..", "..", "dynamic-providers");
const SIGNATURE = "4dabf18193072939515e22adb298388d";
const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

const signer = { certificate: "CERTIFICATE", privateKey: "-----BEGIN PRIVATE KEY-----" };
const consortium = { endpoint: "https://ccf.example", serviceCertificate: "PEM" };
const asMember = { consortium, signer, contractId: "analytics" };
const asUser = { consortium, contractId: "analytics" };
const dataset = {
  documentId: "d",
  ownerId: "o",
  content: "sha256:0",
  format: "csv",
  fields: [],
  allowedFields: [],
};
const review: QueryReview = {
  version: 1,
  contractId: "analytics",
  documentId: "q",
  inputs: [],
  output: dataset,
  segments: [],
  approvers: [],
};

/** What each class takes; those of keys and secrets have tests of their own. */
const ARGUMENTS: Record<string, object> = {
  memberKey: { memberName: "operator" },
  ccfNetwork: { endpoint: "https://ccf.example", reportUrl: "https://ccf.example/report", hostData: "00", signer },
  consortiumMember: { consortium, member: signer, memberData: {}, proposer: signer },
  consortiumService: {
    consortium,
    signer,
    constitution: { path: "c", digest: "d" },
    application: { path: "a", digest: "d" },
  },
  jwtIssuer: { consortium, signer, issuer: "https://login.example", caCertificates: "PEM" },
  oidcIssuer: { consortium, signer, blobEndpoint: "https://b/", webEndpoint: "https://w/", path: "oidc" },
  contract: { ...asMember, data: "{}" },
  certificateAuthority: asMember,
  cleanRoomPolicy: { ...asMember, claims: {} },
  deploymentInformation: { ...asMember, url: "https://agent.example" },
  userInvitation: { consortium, signer, email: "nora@northwind.example" },
  invitationAcceptance: { consortium, invitationId: "i", email: "nora@northwind.example" },
  userIdentity: { consortium, signer, invitationId: "i", email: "nora@northwind.example", userId: "u" },
  datasetDocument: {
    ...asUser,
    baseId: "b",
    dataset: {
      kind: "source",
      format: "csv",
      fields: [{ name: "f", type: "string" }],
      allowedFields: ["f"],
      encryption: "SSE",
      store: { type: "Azure_BlobStorage", url: "https://b/", container: "c" },
    },
  },
  queryDocument: { ...asUser, baseId: "b", inputs: UNKNOWN, output: "o", segments: [] },
  queryApproval: { ...asUser, review, digest: reviewDigest(review), owners: {} },
  queryRun: {
    ...asUser,
    analytics: { endpoint: "https://agent.example", caCertificate: "PEM" },
    documentId: "q",
    digest: "d",
    runId: "r",
  },
};

interface Registered {
  readonly type: string;
  readonly inputs: Record<string, unknown>;
}
const registered: Registered[] = [];

beforeAll(() =>
  pulumi.runtime.setMocks({
    newResource: ({ type, name, inputs }) => {
      registered.push({ type, inputs: inputs as Record<string, unknown> });
      return { id: name, state: inputs as Record<string, unknown> };
    },
    call: () => ({}),
  }),
);

const isSecret = (value: unknown): boolean => typeof value === "object" && value !== null && SIGNATURE in value;
const unwrapped = (value: unknown): unknown => (isSecret(value) ? (value as { value: unknown }).value : value);

async function register(
  kind: string,
): Promise<Registered & { resource: Record<string, unknown>; provider: WireProvider }> {
  const module = (await import(path.join(FOLDER, `${kind}.ts`))) as Record<string, unknown> & {
    provider: WireProvider;
  };
  const Resource = module[`${kind[0]!.toUpperCase()}${kind.slice(1)}`] as new (
    name: string,
    args: object,
  ) => pulumi.CustomResource;
  const resource = new Resource("r", ARGUMENTS[kind]!);
  await new Promise((resolve) => resource.urn.apply(resolve));
  return { ...registered.at(-1)!, resource: resource as unknown as Record<string, unknown>, provider: module.provider };
}

describe.each(Object.keys(ARGUMENTS))("the resource %s", (kind) => {
  test("is registered under its own type with the constant text, and every key in it is a secret", async () => {
    const { type, inputs } = await register(kind);
    expect(type).toBe(`pulumi-nodejs:dynamic/cleanroom:${kind[0]!.toUpperCase()}${kind.slice(1)}`);
    expect(inputs["__provider"]).toBe(providerText(kind));
    for (const [name, value] of Object.entries(inputs)) {
      if (JSON.stringify(value)?.includes("PRIVATE KEY")) expect([name, isSecret(value)]).toEqual([name, true]);
    }
  });

  test("gives its provider nothing that the provider does not take", async () => {
    const { inputs, provider } = await register(kind);
    const { __provider, ...given } = Object.fromEntries(
      Object.entries(inputs).map(([name, value]) => [name, unwrapped(value)]),
    );
    const checked = await provider.check({ get: () => undefined }, {}, given);
    expect(checked.failures).toEqual([]);
    const names = Object.entries(given)
      .filter(([, value]) => value !== undefined)
      .map(([name]) => name);
    expect(Object.keys(checked.inputs!).sort()).toEqual(names.sort());
  });

  test("has an output for every property it declares", async () => {
    const { resource } = await register(kind);
    const text = fs.readFileSync(path.join(FOLDER, `${kind}.ts`), "utf8");
    const declared = [...text.matchAll(/^ {2}declare readonly (\w+):/gm)].map(([, name]) => name!);
    for (const name of declared) expect([name, pulumi.Output.isInstance(resource[name])]).toEqual([name, true]);
  });
});
