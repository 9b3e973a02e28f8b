import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { expectedMentions } from "../../demos/expected.ts";
import { generateDemoData, MENTIONED, type DemoFile } from "../../demos/generate.ts";
import { DEFAULT_DEMO, PERSONAS } from "../../demos/demos.ts";
import type { OperatorHandoff } from "../../domain/handoff.ts";
import type { Pending } from "../../domain/pending.ts";
import { startSandbox, type Sandbox } from "../../sandbox/index.ts";
import { blobNames, containerOf, inConsortium, signIn } from "./byHand.ts";
import {
  CHECKOUT,
  cleanroom,
  processesOf,
  requirePulumi,
  Stacks,
  temporaryFolder,
  told,
  until,
  type Ended,
  type Operation,
} from "./support.ts";

// The life of one collaboration, in order: each test goes on where the one before it stopped.
jest.setTimeout(600_000);

const DEMO = DEFAULT_DEMO;
const QUERY = "woodgrove/mentions";
const NEW_MENTIONS = `30/09/2025,12:00,LateLatecomer,"@${MENTIONED}: still, there"\r\n`.repeat(3);
const folder = temporaryFolder("life");
const demoFolder = path.join(folder, "demo");
const sandboxFolder = path.join(demoFolder, "sandbox");
let stacks: Stacks;
let sandbox: Sandbox | undefined;
let signOut: (() => void) | undefined;
let files: DemoFile[];

beforeAll(() => {
  requirePulumi();
  ({ files } = generateDemoData(path.join(folder, "expected")));
});
afterAll(async () => {
  signOut?.();
  // Whoever hosts it by now.
  if (sandbox) await sandbox.stop();
  else await cleanroom(["sandbox", "stop", "--folder", sandboxFolder]);
  fs.rmSync(folder, { recursive: true, force: true });
});

/** But for sources, which somebody may be editing; the demo has no reason to write any. */
function trackedChanges(): string[] {
  const status = ["status", "--porcelain", "--untracked-files=no"];
  const changes = execFileSync("git", status, { cwd: CHECKOUT, encoding: "utf8" }).split("\n");
  return changes.filter((line) => !line.endsWith(".ts"));
}

describe("the demo", () => {
  let run: Ended;
  let before: string[];

  beforeAll(async () => {
    before = trackedChanges();
    run = await cleanroom(["demo", "--json", "--keep", "--folder", demoFolder]);
    if (run.code === 0) stacks = new Stacks(demoFolder);
  });

  it("succeeds", () => {
    expect(run.stderr).toContain("Result of run first");
    expect(run.code).toBe(0);
  });

  it("prints exactly one document of the promised form on stdout", () => {
    expect(run.stdout.trimEnd().split("\n")).toHaveLength(1);
    expect(JSON.parse(run.stdout)).toEqual({
      demo: DEMO,
      stacks: PERSONAS.map((name) => ({
        name,
        updates: expect.any(Number),
        resources: expect.any(Number),
        seconds: expect.any(Number),
      })),
      query: {
        id: `${DEMO}-woodgrove-mentions-r1`,
        digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
        segments: expect.arrayContaining([expect.objectContaining({ executionSequence: 2 })]),
      },
      run: {
        id: "first",
        state: "COMPLETED",
        rowsRead: files.reduce((sum, file) => sum + file.rows, 0),
        rowsWritten: expectedMentions(files).length,
        location: expect.stringMatching(`^https://.*/${DEMO}-woodgrove-output/analytics/\\d{4}-\\d\\d-\\d\\d/first$`),
      },
      result: { columns: ["author", "Number_Of_Mentions"], rows: expect.any(Array) },
      pending: [],
    });
  });

  it("finds the right answer", () => {
    const { rows } = JSON.parse(run.stdout).result as { rows: [string, string][] };
    const found = rows.map(([author, mentions]) => ({ author, mentions: Number(mentions) }));
    const expected = expectedMentions(files);
    expect(found.map(({ mentions }) => mentions)).toEqual(expected.map(({ mentions }) => mentions));
    expect(new Set(found.map(asText))).toEqual(new Set(expected.map(asText)));
  });

  it("changes no tracked file", () => {
    expect(trackedChanges()).toEqual(before);
  });

  it("leaves nothing but the sandbox running", () => {
    const sandbox = Number(fs.readFileSync(path.join(demoFolder, "sandbox", "lock"), "utf8"));
    expect(processesOf(demoFolder)).toEqual([sandbox]);
  });
});

function asText({ author, mentions }: { author: string; mentions: number }): string {
  return `${author}: ${mentions}`;
}

describe("secrets", () => {
  it("are nowhere readable in what the stacks and the demo leave", () => {
    const passphrase = fs.readFileSync(path.join(demoFolder, "passphrase"), "utf8");
    const revealing = [/PRIVATE KEY/, /eyJ[\w-]{10,}\.eyJ/, /\bAKIA[0-9A-Z]{16}\b/, /AccountKey=/, passphrase];
    const places = ["state", "project", "pulumi", "sandbox/requests.log", "sandbox/sandbox.log"];
    const leaks = places.flatMap((place) =>
      filesBelow(path.join(demoFolder, place)).flatMap((file) => {
        const content = fs.readFileSync(file, "latin1");
        return revealing.filter((secret) => content.search(secret) >= 0).map((secret) => `${file}: ${secret}`);
      }),
    );
    expect(leaks).toEqual([]);
  });

  it("are in the state, encrypted with the demo's own passphrase", async () => {
    const keys = stacks.resources("operator").filter(({ type }) => type.endsWith(":MemberKey"));
    expect(keys).toHaveLength(2);
    for (const { outputs } of keys) expect(outputs.privateKey.ciphertext).toMatch(/^v1:/);
    const wrong = { PULUMI_CONFIG_PASSPHRASE: "sandbox", PULUMI_CONFIG_PASSPHRASE_FILE: undefined };
    const { code, stderr } = await stacks.pulumi(["stack", "export", "--stack", "operator", "--show-secrets"], wrong);
    expect(stderr).toContain("incorrect passphrase");
    expect(code).not.toBe(0);
  });
});

function filesBelow(place: string): string[] {
  if (!fs.statSync(place).isDirectory()) return [place];
  const entries = fs.readdirSync(place, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
}

describe("when nothing has changed", () => {
  it.each(PERSONAS)("a preview of %s shows no change", async (stack) => {
    const { code, errors, changes } = await stacks.preview(stack, "--expect-no-changes");
    expect({ code, errors, changes }).toEqual({ code: 0, errors: [], changes: [] });
  });
});

describe("when the sandbox is stopped", () => {
  beforeAll(async () => {
    const { code } = await cleanroom(["sandbox", "stop", "--folder", sandboxFolder]);
    expect(code).toBe(0);
  });

  it("no process is left", () => until("the sandbox ends", () => processesOf(demoFolder).length === 0, 30));

  it("a preview is one clear error, and plans nothing", async () => {
    const { code, errors, changes } = await stacks.preview("northwind");
    expect(errors).toEqual([expect.stringContaining("azure-native")]);
    expect(changes).toEqual([]);
    expect(code).not.toBe(0);
  });
});

describe("when the sandbox is started again", () => {
  beforeAll(async () => {
    sandbox = await startSandbox(sandboxFolder);
    signOut = signIn(sandbox.environment, fs.readFileSync(path.join(sandboxFolder, "ca.pem"), "utf8"));
  });

  it("has the addresses it had before", () => {
    expect(stacks.environment).toMatchObject(sandbox!.environment);
  });

  it.each(PERSONAS)("a refresh of %s finds no drift", async (stack) => {
    const { code, errors, changes } = await stacks.drift(stack);
    expect({ code, errors, changes }).toEqual({ code: 0, errors: [], changes: [] });
  });
});

describe("when the files of a dataset change", () => {
  let update: Operation;
  let names: { before: string[]; after: string[] };

  beforeAll(async () => {
    const container = containerOf(stacks.resource("northwind", "northwind-input-files").outputs.location, "northwind");
    const input = path.join(demoFolder, "data", "northwind", "input");
    names = { before: await blobNames(container), after: [] };
    fs.appendFileSync(path.join(input, "2025-09-01", "HarborlightNotes.csv"), NEW_MENTIONS);
    fs.rmSync(path.join(input, "2025-09-04"), { recursive: true });
    fs.mkdirSync(path.join(input, "2025-09-05"));
    fs.writeFileSync(path.join(input, "2025-09-05", "Late.csv"), NEW_MENTIONS);
    update = await stacks.up("northwind");
    names.after = await blobNames(container);
  });

  it("only they are published: the document and the approvals stay", () => {
    expect({ errors: update.errors, changes: told(update.changes) }).toEqual({
      errors: [],
      changes: ["update northwind-input-files"],
    });
  });

  it("uploads what is new or different, and deletes what is gone", () => {
    expect(update.messages.join("\n")).toMatch(/2 files uploaded, 1 removed, 4 in all/);
    const added = names.after.filter((name) => !names.before.includes(name));
    const removed = names.before.filter((name) => !names.after.includes(name));
    expect([added, removed]).toEqual([
      [expect.stringContaining("2025-09-05")],
      [expect.stringContaining("2025-09-04")],
    ]);
  });

  it("leaves the stack without further changes", async () => {
    const { code, changes } = await stacks.preview("northwind", "--expect-no-changes");
    expect({ code, changes }).toEqual({ code: 0, changes: [] });
  });
});

describe("when the operator's tags change", () => {
  let update: Operation;

  beforeAll(async () => {
    stacks.configure("operator", (config) => config.setIn(["config", "cleanroom:tags"], { purpose: "rehearsal" }));
    update = await stacks.up("operator");
  });

  it("resources are updated in place", () => {
    expect(update.errors).toEqual([]);
    expect(new Set(update.changes.map(({ op }) => op))).toEqual(new Set(["update"]));
    expect(told(update.changes)).toContain("update operator-rg");
    // An update restarts the containers of a group, and CCF would lose its service identity.
    expect(told(update.changes)).not.toContain("update operator-ccf-0");
  });

  it("the consortium does not notice", async () => {
    const { changes } = await stacks.drift("operator");
    expect(changes).toEqual([]);
  });
});

describe("when a dataset's allowed fields change", () => {
  let publication: Operation;
  let consent: { old: boolean; new: boolean };

  beforeAll(async () => {
    stacks.configure("northwind", (config) =>
      config.setIn(["config", "cleanroom:datasets", 0, "allowedFields"], ["time", "author", "mentions"]),
    );
    publication = await stacks.up("northwind");
    const { consortium } = await stacks.output<OperatorHandoff>("operator", "handoff");
    consent = await inConsortium(consortium, "northwind", async ({ documents }) => {
      const isEnabled = async (id: string): Promise<boolean> =>
        (await documents.option(consortium.contractId, id, "execution")).status === "enabled";
      return { old: await isEnabled(`${DEMO}-northwind-input-r1`), new: await isEnabled(`${DEMO}-northwind-input-r2`) };
    });
  });

  it("its next revision is published", () => {
    expect(publication.errors).toEqual([]);
    expect(told(publication.changes)).toEqual([
      "create-replacement northwind-input-document",
      "delete-replaced northwind-input-document",
      "replace northwind-input-document",
      // Whose data a query may name changed with it.
      "update northwind-approves-woodgrove-mentions",
    ]);
  });

  it("consent is taken from the old revision", () => expect(consent).toEqual({ old: false, new: true }));
});

describe("when the author follows", () => {
  let refused: Operation;
  let digest: string;

  const pin = (stack: "northwind" | "woodgrove"): void =>
    stacks.configure(stack, (config) => config.setIn(["config", "cleanroom:approvals", QUERY], digest));

  beforeAll(async () => {
    refused = await stacks.up("woodgrove");
    digest = /now offers (sha256:[0-9a-f]{64})/.exec(refused.errors.join())?.[1] ?? "";
  });

  it("the query gets its next revision, and the old approval is refused", () => {
    expect(told(refused.changes)).toContain("create-replacement woodgrove-mentions");
    expect(refused.errors).toEqual([expect.stringContaining(`approval of ${DEMO}-woodgrove-mentions-r2 pins`)]);
    expect(refused.code).not.toBe(0);
  });

  it("after another review the run waits for the other owner", async () => {
    pin("woodgrove");
    const { errors } = await stacks.up("woodgrove");
    expect(errors).toEqual([]);
    expect(await stacks.output<Pending[]>("woodgrove", "pending")).toContainEqual(
      expect.objectContaining({ what: `run first waits for northwind to approve query ${QUERY}`, who: "northwind" }),
    );
  });

  it("the other owner's preview refuses the stale digest and shows the difference", async () => {
    const { code, errors } = await stacks.preview("northwind");
    expect(errors).toEqual([
      expect.stringMatching(/pins sha256:.* now offers sha256:.*input publisher_data: reviewed /s),
    ]);
    expect(errors[0]).toContain(digest);
    expect(code).not.toBe(0);
  });

  it("approved again, the query runs under a new id", async () => {
    pin("northwind");
    expect((await stacks.up("northwind")).errors).toEqual([]);
    stacks.configure("woodgrove", (config) => config.setIn(["config", "cleanroom:runs", 0, "id"], "second"));
    expect((await stacks.up("woodgrove")).errors).toEqual([]);
    expect(await stacks.output("woodgrove", "results")).toMatchObject({ second: { state: "COMPLETED" } });
    expect(await stacks.output("woodgrove", "pending")).toEqual([]);
  });
});

describe("when somebody changes things behind a stack's back", () => {
  let drift: Operation;
  let mending: Operation;

  beforeAll(async () => {
    const { consortium } = await stacks.output<OperatorHandoff>("operator", "handoff");
    const container = containerOf(stacks.resource("northwind", "northwind-input-files").outputs.location, "northwind");
    await container.deleteBlob((await blobNames(container))[0]!);
    await inConsortium(consortium, "northwind", ({ documents }) =>
      documents.setOption(consortium.contractId, `${DEMO}-northwind-input-r2`, "execution", false),
    );
    await sandbox!.azure.deleteResource(stacks.resource("northwind", "northwind-input-access").id);
    drift = await stacks.drift("northwind");
    mending = await stacks.up("northwind", "--refresh");
  });

  it("a refresh shows all of it", () => {
    expect(drift.errors).toEqual([]);
    expect(told(drift.changes)).toEqual([
      "delete northwind-input-access",
      "update northwind-input-document",
      "update northwind-input-files",
    ]);
  });

  it("the next update mends it", async () => {
    expect(mending.errors).toEqual([]);
    expect(told(mending.changes)).toEqual(
      expect.arrayContaining([
        "create northwind-input-access",
        "update northwind-input-document",
        "update northwind-input-files",
      ]),
    );
    const { errors, changes } = await stacks.drift("northwind");
    expect({ errors, changes }).toEqual({ errors: [], changes: [] });
  });
});

describe("when an approval is withdrawn", () => {
  const APPROVAL = ["config", "cleanroom:approvals", QUERY];
  let digest: string;

  const runAs = (id: string): Promise<Operation> => {
    stacks.configure("woodgrove", (config) => config.setIn(["config", "cleanroom:runs", 0, "id"], id));
    return stacks.up("woodgrove");
  };

  it("its consent goes, and no further run starts", async () => {
    stacks.configure("northwind", (config) => {
      digest = String(config.getIn(APPROVAL));
      config.deleteIn(APPROVAL);
    });
    const { errors, changes } = await stacks.up("northwind");
    expect({ errors, changes: told(changes) }).toEqual({
      errors: [],
      changes: ["delete northwind-approves-woodgrove-mentions"],
    });
    expect((await runAs("third")).errors).toEqual([]);
    expect(await stacks.output<Pending[]>("woodgrove", "pending")).toContainEqual(
      expect.objectContaining({ what: `run third waits for northwind to approve query ${QUERY}`, who: "northwind" }),
    );
  });

  it("given again, the run starts", async () => {
    stacks.configure("northwind", (config) => config.setIn(APPROVAL, digest));
    expect((await stacks.up("northwind")).errors).toEqual([]);
    expect((await stacks.up("woodgrove")).errors).toEqual([]);
    expect(await stacks.output("woodgrove", "results")).toMatchObject({ third: { state: "COMPLETED" } });
  });
});

describe("when a user makes a mistake", () => {
  /** Previews the stack with another configuration, and puts back what was there. */
  async function mistaken(
    stack: "northwind" | "woodgrove",
    at: readonly (string | number)[],
    value: unknown,
  ): Promise<string> {
    const file = path.join(stacks.project, `Pulumi.${stack}.yaml`);
    const before = fs.readFileSync(file);
    stacks.configure(stack, (config) => config.setIn(["config", ...at], value));
    const { code, errors } = await stacks.preview(stack);
    fs.writeFileSync(file, before);
    expect(code).not.toBe(0);
    expect(errors).toHaveLength(1);
    expect(errors[0]).not.toMatch(/^\s+at /m);
    return errors[0]!;
  }

  it("a dataset folder that does not exist is named", async () => {
    const missing = path.join(folder, "nowhere");
    expect(await mistaken("northwind", ["cleanroom:datasets", 0, "path"], missing)).toContain(missing);
  });

  it("a file with another number of columns is named", async () => {
    const input = path.join(folder, "columns", "2025-09-01");
    fs.mkdirSync(input, { recursive: true });
    fs.writeFileSync(path.join(input, "short.csv"), "01/09/2025,12:00,Somebody\r\n");
    expect(await mistaken("northwind", ["cleanroom:datasets", 0, "path"], path.dirname(input))).toMatch(
      /2025-09-01\/short\.csv.*3.*4/,
    );
  });

  it("a view that nothing makes is named", async () => {
    const file = path.join(folder, "query.yaml");
    fs.writeFileSync(file, "segments:\n  - executionSequence: 1\n    data: SELECT author FROM competitor_data\n");
    expect(await mistaken("woodgrove", ["cleanroom:queries", 0, "file"], file)).toContain("competitor_data");
  });
});

describe("when everybody leaves, the operator first", () => {
  it.each(PERSONAS)("%s takes back what is its own", async (stack) => {
    const { code, errors } = await stacks.destroy(stack);
    expect({ code, errors }).toEqual({ code: 0, errors: [] });
    expect(stacks.resources(stack).filter(({ type }) => !type.startsWith("pulumi:"))).toEqual([]);
  });

  it("nothing is left in Azure", () => expect(sandbox!.azure.resources()).toEqual([]));
});
