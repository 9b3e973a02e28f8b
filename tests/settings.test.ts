import fs from "node:fs";
import path from "node:path";
import { parse as parseYaml } from "yaml";
import { UserError } from "../domain/errors.ts";
import { DEFAULT_ATTESTATION_AUTHORITY } from "../domain/keys.ts";
import { parseSettings, type CollaboratorSettings, type OperatorSettings, type Settings } from "../settings.ts";

const root = path.join(__dirname, "..");
const PEM = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n";
const QUERY = "segments: [{ executionSequence: 1, data: SELECT 1 }]";
const DIGEST = `sha256:${"0".repeat(64)}`;

/** What the tests' configurations name. */
const FILES: Readonly<Record<string, string>> = {
  "query.yaml": QUERY,
  "broken.yaml": "segments: [",
  "constitution.js": "export function validate() {}",
  "app.json": JSON.stringify({ metadata: { endpoints: {} }, modules: [] }),
  "handoff.json": JSON.stringify({ version: 1 }),
  "text.txt": "hello",
  "ccf.pem": PEM,
};
const files = {
  read(name: string): string {
    const text = FILES[name];
    if (text === undefined) throw new Error(`ENOENT: ${name}`);
    return text;
  },
};

type Values = Record<string, unknown>;

/** As Pulumi hands configuration over: full keys, structured values as JSON text. */
function config(values: Values): Record<string, string> {
  const defined = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(
    defined.map(([key, value]) => [
      key.includes(":") ? key : `cleanroom:${key}`,
      typeof value === "string" ? value : JSON.stringify(value),
    ]),
  );
}

const source = {
  name: "input",
  kind: "source",
  path: "data",
  encryption: "SSE",
  schema: [
    { name: "day", type: "date" },
    { name: "sku", type: "string" },
  ],
  allowedFields: ["day"],
};
const { path: _none, ...pathless } = source;
const sink = { ...pathless, name: "output", kind: "sink" };
const query = {
  name: "mentions",
  file: "query.yaml",
  inputs: { theirs: "northwind/input", ours: "woodgrove/input" },
  output: "output",
};
const woodgrove: Values = {
  persona: "woodgrove",
  email: "wanda@woodgrove.example",
  operator: "operator",
  collaborators: [{ name: "northwind", stack: "northwind" }],
  datasets: [source, sink],
  queries: [query],
  approvals: { "woodgrove/mentions": DIGEST },
  runs: [{ query: "mentions", id: "first" }],
};
const operator: Values = {
  persona: "operator",
  collaborators: [{ name: "northwind", email: "nora@northwind.example", stack: "northwind" }],
  governanceService: { constitution: "constitution.js", application: "app.json" },
};

const parse = (values: Values): Settings => parseSettings(config(values), files);
const collaborator = (changes: Values): CollaboratorSettings =>
  parse({ ...woodgrove, ...changes }) as CollaboratorSettings;

/** The problems that are told, without their bullets. */
function problems(values: Values): string[] {
  try {
    parse(values);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    const [head, ...found] = (error as Error).message.split("\n  - ");
    expect(head).toBe(
      `The configuration of this stack has ${found.length === 1 ? "a problem" : `${found.length} problems`}:`,
    );
    return found;
  }
  return [];
}

describe("a collaborator's settings", () => {
  test("are the configuration, with defaults", () => {
    expect(collaborator({})).toMatchObject({
      role: "collaborator",
      persona: "woodgrove",
      collaboration: "analytics",
      location: "westeurope",
      tags: {},
      email: "wanda@woodgrove.example",
      attestationAuthority: DEFAULT_ATTESTATION_AUTHORITY,
      operator: { kind: "stack", stack: "operator" },
      collaborators: { northwind: { kind: "stack", stack: "northwind" } },
      datasets: [
        { ...source, store: "azureBlob", format: "csv", strict: false, keyGeneration: 0 },
        { ...sink, store: "azureBlob", format: "csv", strict: false, keyGeneration: 0 },
      ],
      queries: [
        {
          name: "mentions",
          segments: [{ executionSequence: 1, data: "SELECT 1", preConditions: [], postFilters: [] }],
          inputs: { theirs: { owner: "northwind", dataset: "input" }, ours: { owner: "woodgrove", dataset: "input" } },
          output: "output",
        },
      ],
      approvals: { "woodgrove/mentions": DIGEST },
      runs: [{ query: "mentions", id: "first" }],
    });
  });

  test("need no more than who it is and who operates", () => {
    expect(parse({ persona: "northwind", email: "nora@northwind.example", operator: "operator" })).toMatchObject({
      datasets: [],
      queries: [],
      approvals: {},
      runs: [],
      collaborators: {},
    });
  });

  test("cannot be changed afterwards", () => {
    const settings = collaborator({});
    expect(() => ((settings as { email: string }).email = "x")).toThrow(TypeError);
    expect(() => (settings.datasets[0]!.allowedFields as string[]).push("sku")).toThrow(TypeError);
  });

  test("leave the configuration of others alone", () => {
    expect(() => collaborator({ "azure-native:tenantId": "t", "aws:region": "eu-west-1" })).not.toThrow();
  });

  test.each<[string, unknown, object]>([
    ["a stack's name", "org/project/operator", { kind: "stack", stack: "org/project/operator" }],
    ["a stack", { stack: "operator" }, { kind: "stack", stack: "operator" }],
    [
      "a file",
      { handoff: "handoff.json" },
      { kind: "document", value: { version: 1 }, origin: "cleanroom:operator.handoff (handoff.json)" },
    ],
    [
      "the document itself",
      { handoff: { version: 1 } },
      { kind: "document", value: { version: 1 }, origin: "cleanroom:operator.handoff" },
    ],
  ])("hear of the operator from %s", (_what, value, expected) => {
    expect(collaborator({ operator: value }).operator).toEqual(expected);
  });

  test("may run any persona under a role", () => {
    expect(
      parse({ persona: "contoso", role: "collaborator", email: "c@contoso.example", operator: "operator" }),
    ).toMatchObject({
      persona: "contoso",
      role: "collaborator",
    });
  });

  test("take dates of a run both or not at all", () => {
    const runs = [{ query: "mentions", id: "first", from: "2025-09-01", to: "2025-09-04" }];
    expect(collaborator({ runs }).runs).toEqual(runs);
  });
});

describe("an operator's settings", () => {
  test("are the configuration, with defaults and the digests of its artifacts", () => {
    expect(parse(operator)).toMatchObject({
      role: "operator",
      persona: "operator",
      collaboration: "analytics",
      location: "westeurope",
      tags: {},
      contractId: "analytics",
      collaborators: [
        { name: "northwind", email: "nora@northwind.example", source: { kind: "stack", stack: "northwind" } },
      ],
      governanceService: {
        constitution: { path: "constitution.js", digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
        application: { path: "app.json", digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
      },
      cleanRoomRelease: "8.0.0",
    });
  });

  test("may name a network that is there; its key never becomes part of them", () => {
    const ccf = { endpoint: "https://ccf.example:8080", serviceCertificate: "ccf.pem", member: { certificate: PEM } };
    const settings = parse({ ...operator, ccf, memberKey: "-----BEGIN PRIVATE KEY-----" }) as OperatorSettings;
    expect(settings.ccf).toEqual({
      endpoint: "https://ccf.example:8080",
      serviceCertificate: PEM,
      member: { certificate: PEM, privateKeyConfigKey: "cleanroom:memberKey" },
    });
    expect(JSON.stringify(settings)).not.toContain("PRIVATE KEY");
  });

  test("know a collaborator before it has said anything", () => {
    const settings = parse({
      ...operator,
      collaborators: [{ name: "northwind", email: "nora@northwind.example" }],
    }) as OperatorSettings;
    expect(settings.collaborators).toEqual([{ name: "northwind", email: "nora@northwind.example" }]);
  });
});

describe("a mistake is told by its key:", () => {
  test.each<[string, Values, RegExp]>([
    [
      "no persona",
      {},
      /^cleanroom:persona is missing; set it with: pulumi config set cleanroom:persona <operator\|northwind\|woodgrove>$/,
    ],
    [
      "an unknown persona",
      { persona: "nortwind" },
      /^cleanroom:persona "nortwind" is unknown; expected one of operator, northwind, woodgrove, or any name together with cleanroom:role/,
    ],
    ["an unknown role", { ...woodgrove, role: "owner" }, /^cleanroom:role: .*operator.*collaborator/],
    ["a missing key", { ...woodgrove, email: undefined }, /^cleanroom:email is missing: expected an e-mail address$/],
    [
      "a misspelt key",
      { ...woodgrove, datsets: [] },
      /^cleanroom:datsets is not a key of a stack with role collaborator; known are approvals, .*datasets/,
    ],
    [
      "a key of the other role",
      { ...woodgrove, contractId: "c" },
      /^cleanroom:contractId is not a key of a stack with role collaborator/,
    ],
    [
      "a clean room release that is no version",
      { ...operator, cleanRoomRelease: "latest" },
      /^cleanroom:cleanRoomRelease: expected a version such as 8\.0\.0, quoted$/,
    ],
    [
      "a misspelt key inside",
      { ...woodgrove, datasets: [{ ...source, pth: "x" }, sink] },
      /^cleanroom:datasets\[0\]\.pth is not a known key$/,
    ],
    ["an address that is none", { ...woodgrove, email: "wanda" }, /^cleanroom:email: expected an e-mail address$/],
    [
      "a text instead of a list",
      { ...woodgrove, datasets: "input" },
      /^cleanroom:datasets: expected array, received string$/,
    ],
    [
      "an operator of no kind",
      { ...woodgrove, operator: {} },
      /^cleanroom:operator: expected the name of a stack, \{stack: name\} or \{handoff: file\}$/,
    ],
    [
      "a handoff file that is not there",
      { ...woodgrove, operator: { handoff: "gone.json" } },
      /^cleanroom:operator\.handoff: file gone\.json cannot be read; paths are relative to the project folder$/,
    ],
    [
      "a handoff file that is not JSON",
      { ...woodgrove, operator: { handoff: "text.txt" } },
      /^cleanroom:operator\.handoff: text\.txt is not JSON$/,
    ],
    [
      "a collaborator with stack and handoff",
      { ...woodgrove, collaborators: [{ name: "northwind", stack: "northwind", handoff: "handoff.json" }] },
      /^cleanroom:collaborators\[0\] has both stack and handoff; keep one$/,
    ],
    [
      "a collaborator named twice",
      {
        ...woodgrove,
        collaborators: [
          { name: "northwind", stack: "a" },
          { name: "northwind", stack: "b" },
        ],
      },
      /^cleanroom:collaborators names northwind more than once$/,
    ],
    [
      "an attestation service without TLS",
      { ...woodgrove, attestationAuthority: "http://attest.example" },
      /^cleanroom:attestationAuthority: /,
    ],
    [
      "a name that Azure would not take",
      { ...woodgrove, collaboration: "My_Demo" },
      /^cleanroom:collaboration: expected 2 to 32 lower-case letters/,
    ],
  ])("%s", (_what, values, problem) => {
    expect(problems(values)).toEqual([expect.stringMatching(problem)]);
  });

  const dataset = (change: object): Values => ({ ...woodgrove, datasets: [{ ...source, ...change }, sink] });
  test.each<[string, Values, RegExp]>([
    [
      "an unknown encryption",
      dataset({ encryption: "AES" }),
      /^cleanroom:datasets\[0\]\.encryption: .*"CSE"\|"CPK"\|"SSE"$/,
    ],
    [
      "no encryption",
      dataset({ encryption: undefined }),
      /^cleanroom:datasets\[0\]\.encryption is missing: .*"CSE"\|"CPK"\|"SSE"$/,
    ],
    ["an unknown store", dataset({ store: "ftp" }), /^cleanroom:datasets\[0\]\.store: .*"azureBlob"\|"s3"$/],
    ["an unknown format", dataset({ format: "xml" }), /^cleanroom:datasets\[0\]\.format: .*"csv"\|"json"\|"parquet"$/],
    [
      "an unknown type",
      dataset({ schema: [{ name: "day", type: "text" }] }),
      /^cleanroom:datasets\[0\]\.schema\[0\]\.type: .*"string"/,
    ],
    [
      "a source without files",
      { ...woodgrove, datasets: [pathless, sink] },
      /^cleanroom:datasets\[0\]\.path is missing: a source needs the folder with its files$/,
    ],
    [
      "a sink with files",
      { ...woodgrove, datasets: [source, { ...sink, path: "x" }] },
      /^cleanroom:datasets\[1\]\.path: a sink has no files of its own/,
    ],
    [
      "an allowed field that is not there",
      dataset({ allowedFields: ["price"] }),
      /^cleanroom:datasets\[0\]: allowedFields names price, not in the schema \(day, sku\)$/,
    ],
    ["no allowed field", dataset({ allowedFields: [] }), /^cleanroom:datasets\[0\]: allowedFields is empty/],
    [
      "S3 with other encryption than its own",
      dataset({ store: "s3", encryption: "CPK" }),
      /^cleanroom:datasets\[0\]: S3 datasets are encrypted by the service/,
    ],
    [
      "a generation of a key it does not have",
      dataset({ keyGeneration: 1 }),
      /^cleanroom:datasets\[0\]\.keyGeneration: encryption SSE has no key of this organisation; remove it/,
    ],
    [
      "a generation that is no number to count with",
      dataset({ encryption: "CSE", keyGeneration: -1 }),
      /^cleanroom:datasets\[0\]\.keyGeneration: expected 0 or more$/,
    ],
    [
      "two datasets of one name",
      { ...woodgrove, datasets: [source, source, sink] },
      /^cleanroom:datasets names input more than once$/,
    ],
  ])("a dataset with %s", (_what, values, problem) => {
    expect(problems(values)).toEqual([expect.stringMatching(problem)]);
  });

  const withQuery = (change: object): Values => ({ ...woodgrove, queries: [{ ...query, ...change }] });
  const withRun = (change: object): Values => ({ ...woodgrove, runs: [{ query: "mentions", id: "first", ...change }] });
  test.each<[string, Values, RegExp]>([
    [
      "a query file that is not there",
      withQuery({ file: "gone.yaml" }),
      /^cleanroom:queries\[0\]\.file: file gone\.yaml cannot be read/,
    ],
    [
      "a query file that is not YAML",
      withQuery({ file: "broken.yaml" }),
      /^cleanroom:queries\[0\]\.file: Query file broken\.yaml is not YAML/,
    ],
    [
      "a query file of another kind",
      withQuery({ file: "text.txt" }),
      /^cleanroom:queries\[0\]\.file: Query file text\.txt is not a segmented query/,
    ],
    ["a query without inputs", withQuery({ inputs: {} }), /^cleanroom:queries\[0\]\.inputs is empty/],
    [
      "an input that is not owner/dataset",
      withQuery({ inputs: { ours: "input" } }),
      /^cleanroom:queries\[0\]\.inputs\.ours: expected owner\/name$/,
    ],
    [
      "an input this stack does not have",
      withQuery({ inputs: { ours: "woodgrove/inptu" } }),
      /^cleanroom:queries\[0\]\.inputs\.ours: inptu is not a source of this stack$/,
    ],
    [
      "a sink as input",
      withQuery({ inputs: { ours: "woodgrove/output" } }),
      /^cleanroom:queries\[0\]\.inputs\.ours: output is not a source/,
    ],
    [
      "an input of somebody unknown",
      withQuery({ inputs: { theirs: "contoso/input" } }),
      /^cleanroom:queries\[0\]\.inputs\.theirs: nothing is known of contoso; add it to cleanroom:collaborators/,
    ],
    [
      "an output that is no sink",
      withQuery({ output: "input" }),
      /^cleanroom:queries\[0\]\.output: input is not a sink of this stack$/,
    ],
    [
      "two queries of one name",
      { ...woodgrove, queries: [query, query] },
      /^cleanroom:queries names mentions more than once$/,
    ],
    [
      "a run of an unknown query",
      withRun({ query: "mention" }),
      /^cleanroom:runs\[0\]\.query: mention is not a query of this stack \(mentions\)$/,
    ],
    [
      "a run where there is no query",
      { ...withRun({}), queries: [] },
      /^cleanroom:runs\[0\]\.query: mentions is not a query of this stack \(it has none\)$/,
    ],
    [
      "a run without an id",
      { ...woodgrove, runs: [{ query: "mentions" }] },
      /^cleanroom:runs\[0\]\.id is missing: expected string$/,
    ],
    [
      "a run id used twice",
      {
        ...woodgrove,
        runs: [
          { query: "mentions", id: "first" },
          { query: "mentions", id: "first" },
        ],
      },
      /^cleanroom:runs uses the id first more than once/,
    ],
    ["half a range of dates", withRun({ from: "2025-09-01" }), /^cleanroom:runs\[0\]: from and to go together$/],
    [
      "a range that ends before it starts",
      withRun({ from: "2025-09-02", to: "2025-09-01" }),
      /^cleanroom:runs\[0\]: from lies after to$/,
    ],
    [
      "a date of another form",
      withRun({ from: "1.9.2025", to: "2025-09-01" }),
      /^cleanroom:runs\[0\]\.from: expected a date yyyy-MM-dd$/,
    ],
    [
      "an approval with a short digest",
      { ...woodgrove, approvals: { "woodgrove/mentions": "sha256:00" } },
      /^cleanroom:approvals\.woodgrove\/mentions: expected sha256: and 64 hex digits, as shown under pendingApprovals$/,
    ],
    [
      "an approval with a digest in upper case",
      { ...woodgrove, approvals: { "woodgrove/mentions": `sha256:${"A".repeat(64)}` } },
      /^cleanroom:approvals\.woodgrove\/mentions: expected sha256:/,
    ],
    [
      "an approval of a query without owner",
      { ...woodgrove, approvals: { mentions: DIGEST } },
      /^cleanroom:approvals\.mentions: expected owner\/name$/,
    ],
    [
      "an approval of a query of somebody unknown",
      { ...woodgrove, approvals: { "contoso/x": DIGEST } },
      /^cleanroom:approvals\.contoso\/x: nothing is known of contoso/,
    ],
  ])("%s", (_what, values, problem) => {
    expect(problems(values)).toEqual([expect.stringMatching(problem)]);
  });

  test.each<[string, Values, RegExp]>([
    [
      "no collaborators",
      { ...operator, collaborators: undefined },
      /^cleanroom:collaborators is missing: expected array$/,
    ],
    [
      "an account without its group",
      { ...operator, oidcStorageAccount: "acct" },
      /^cleanroom:oidcStorageAccount needs cleanroom:resourceGroup/,
    ],
    [
      "a network without a key",
      { ...operator, ccf: { endpoint: "https://ccf.example", serviceCertificate: PEM, member: { certificate: PEM } } },
      /^cleanroom:ccf needs cleanroom:memberKey: .*config set --secret cleanroom:memberKey/,
    ],
    [
      "a network without TLS",
      {
        ...operator,
        memberKey: "k",
        ccf: { endpoint: "http://ccf.example", serviceCertificate: PEM, member: { certificate: PEM } },
      },
      /^cleanroom:ccf\.endpoint: expected https:\/\/host\[:port\]$/,
    ],
    [
      "a certificate that is none",
      {
        ...operator,
        memberKey: "k",
        ccf: { endpoint: "https://ccf.example", serviceCertificate: "text.txt", member: { certificate: PEM } },
      },
      /^cleanroom:ccf\.serviceCertificate: expected a PEM certificate or a file with one$/,
    ],
    [
      "an application that is not JSON",
      { ...operator, governanceService: { constitution: "constitution.js", application: "text.txt" } },
      /^cleanroom:governanceService\.application: text\.txt is not what it should be/,
    ],
    [
      "a constitution that is not there",
      { ...operator, governanceService: { constitution: "gone.js", application: "app.json" } },
      /^cleanroom:governanceService\.constitution: file gone\.js cannot be read/,
    ],
  ])("an operator with %s", (_what, values, problem) => {
    expect(problems(values)).toEqual([expect.stringMatching(problem)]);
  });

  test("all of them at once", () => {
    const found = problems({
      ...woodgrove,
      emial: "wanda@woodgrove.example",
      email: undefined,
      datasets: [
        { ...source, encryption: "AES" },
        { ...sink, format: "xml" },
      ],
      approvals: { "woodgrove/mentions": "sha256:00" },
      runs: [{ query: "mentions", id: "F" }],
    });
    expect(found.map((line) => /^cleanroom:[^ :]+/.exec(line)?.[0])).toEqual([
      "cleanroom:emial",
      "cleanroom:email",
      "cleanroom:datasets[0].encryption",
      "cleanroom:datasets[1].format",
      "cleanroom:approvals.woodgrove/mentions",
      "cleanroom:runs[0].id",
    ]);
    expect(
      problems({
        ...woodgrove,
        datasets: [{ ...pathless, allowedFields: [] }, sink],
        runs: [{ query: "x1", id: "first" }],
        queries: [{ ...query, output: "nothing" }],
      }),
    ).toHaveLength(4);
  });

  test("secrets never appear in it", () => {
    const [problem] = problems({ ...operator, memberKey: ["-----BEGIN PRIVATE KEY-----"] });
    expect(problem).toMatch(/^cleanroom:memberKey: /);
    expect(problem).not.toContain("PRIVATE");
  });
});

describe("the checked-in stacks", () => {
  const real = { read: (name: string) => fs.readFileSync(path.join(root, name), "utf8") };
  const stack = (name: string): Settings => {
    const { config: values } = parseYaml(fs.readFileSync(path.join(root, `Pulumi.${name}.yaml`), "utf8")) as {
      config: Values;
    };
    return parseSettings(config(values), real);
  };

  test.each(["operator", "northwind", "woodgrove"])("Pulumi.%s.yaml can be used", (name) => {
    expect(stack(name).persona).toBe(name);
  });

  test("agree with each other", () => {
    const host = stack("operator") as OperatorSettings;
    const [northwind, consumer] = [
      stack("northwind") as CollaboratorSettings,
      stack("woodgrove") as CollaboratorSettings,
    ];
    expect(host.collaborators.map(({ name, email }) => [name, email])).toEqual([
      ["northwind", northwind.email],
      ["woodgrove", consumer.email],
    ]);
    expect(northwind.collaboration).toBe(consumer.collaboration);
    const [mentions] = consumer.queries;
    expect(Object.values(mentions!.inputs).map(({ owner, dataset }) => `${owner}/${dataset}`)).toEqual([
      "northwind/input",
      "woodgrove/input",
    ]);
    expect(northwind.datasets.map(({ name }) => name)).toContain("input");
  });
});
