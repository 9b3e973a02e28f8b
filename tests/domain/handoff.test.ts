import { UserError } from "../../domain/errors.ts";
import { parseCollaboratorHandoff, parseOperatorHandoff } from "../../domain/handoff.ts";
import { reviewOf } from "../../domain/review.ts";
import { acceptedDataset, proposedQuery, query, source } from "./support.ts";

const pem = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n";
const operator = {
  version: 1,
  persona: "operator",
  consortium: {
    endpoint: "https://ccf.example",
    serviceCertificate: pem,
    contractId: "analytics",
    issuerUrl: "https://oidc.example/operator-oidc",
    invitations: { northwind: { invitationId: "i1", email: "nora@northwind.example" } },
    users: {},
    analytics: { endpoint: "https://agent.example", caCertificate: pem, measurement: "ff", platform: "virtual" },
  },
};
const datasets = [
  source,
  { ...source, documentId: "store-visits" },
  { ...source, documentId: "overlap-out", kind: "sink" as const },
];
const review = reviewOf(
  proposedQuery(query, ["wanda", "nora"]),
  new Map(datasets.map((dataset) => [dataset.documentId, acceptedDataset(dataset, "wanda")])),
);
const collaborator = {
  version: 1,
  persona: "woodgrove",
  identity: { email: "wanda@woodgrove.example", userId: "wanda", tenantId: "t", acceptedInvitation: "i1" },
  datasets: {
    input: {
      documentId: "retail-orders",
      kind: "source",
      format: "csv",
      fields: source.fields,
      allowedFields: ["day"],
    },
  },
  queries: { overlap: { documentId: "weekly-overlap", digest: "sha256:00", review } },
  approvals: { "woodgrove/overlap": "sha256:00" },
};

describe("an operator's handoff", () => {
  test("says what it was told", () => {
    expect(parseOperatorHandoff("Stack operator", operator)).toEqual(operator);
  });

  test("survives the way through a file", () => {
    expect(parseOperatorHandoff("file", JSON.parse(JSON.stringify(operator)))).toEqual(operator);
  });

  test.each<[string, unknown, RegExp]>([
    ["of another version", { ...operator, version: 2 }, /version 1: version/],
    ["without a version", { ...operator, version: undefined }, /version/],
    ["that is a collaborator's", collaborator, /consortium/],
    [
      "without the certificate to pin",
      { ...operator, consortium: { ...operator.consortium, serviceCertificate: "" } },
      /consortium\.serviceCertificate/,
    ],
    [
      "with an address that is none",
      { ...operator, consortium: { ...operator.consortium, endpoint: "ccf" } },
      /consortium\.endpoint/,
    ],
    ["that is not there", undefined, /handoff of version 1/],
    ["that is a text", "operator", /handoff of version 1/],
  ])("%s is refused, by source and place", (_what, value, problem) => {
    expect(() => parseOperatorHandoff("cleanroom:operator.handoff (operator.json)", value)).toThrow(UserError);
    expect(() => parseOperatorHandoff("cleanroom:operator.handoff (operator.json)", value)).toThrow(problem);
    expect(() => parseOperatorHandoff("cleanroom:operator.handoff (operator.json)", value)).toThrow(
      /^cleanroom:operator\.handoff \(operator\.json\) /,
    );
  });
});

describe("a collaborator's handoff", () => {
  test("says what it was told, a query's review whole", () => {
    expect(parseCollaboratorHandoff("Stack woodgrove", collaborator)).toEqual(collaborator);
  });

  test("may come before anything is shared", () => {
    const first = { version: 1, persona: "woodgrove", identity: { email: "wanda@woodgrove.example" } };
    expect(parseCollaboratorHandoff("s", first)).toEqual({ ...first, datasets: {}, queries: {}, approvals: {} });
  });

  test("loses members of later versions that are unknown here", () => {
    const later = { ...collaborator, note: "x", identity: { ...collaborator.identity, phone: "1" } };
    expect(parseCollaboratorHandoff("s", later)).toEqual(collaborator);
  });

  test.each<[string, unknown, RegExp]>([
    ["of another version", { ...collaborator, version: "1" }, /version/],
    ["without identity", { ...collaborator, identity: undefined }, /identity/],
    [
      "with a dataset of no kind",
      { ...collaborator, datasets: { input: { ...collaborator.datasets.input, kind: "both" } } },
      /datasets\.input\.kind/,
    ],
    [
      "with a query nobody can review",
      { ...collaborator, queries: { overlap: { documentId: "q", digest: "d" } } },
      /queries\.overlap\.review/,
    ],
    [
      "with a review of another version",
      { ...collaborator, queries: { overlap: { ...collaborator.queries.overlap, review: { ...review, version: 2 } } } },
      /queries\.overlap\.review\.version/,
    ],
  ])("%s is refused, by source and place", (_what, value, problem) => {
    expect(() => parseCollaboratorHandoff("Stack woodgrove", value)).toThrow(UserError);
    expect(() => parseCollaboratorHandoff("Stack woodgrove", value)).toThrow(problem);
  });
});
