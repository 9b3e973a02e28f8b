import fs from "node:fs";
import path from "node:path";
import { createDemoProject } from "../../cli/demoProject.ts";
import { DEFAULT_DEMO, DEMOS, type PersonaName } from "../../demos/demos.ts";
import type { Pending } from "../../domain/pending.ts";
import { startSandbox, type Sandbox } from "../../sandbox/index.ts";
import { cleanroom, requirePulumi, Stacks, temporaryFolder } from "./support.ts";

// What users do wrong before there is a collaboration; the rest of it is in lifecycle.test.ts.
jest.setTimeout(300_000);

const folder = temporaryFolder("mistakes");
const STACK_TRACE = /^\s+at .*(\d+:\d+|node:)/m;

beforeAll(requirePulumi);
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

describe("the command line", () => {
  const missing = path.join(folder, "nowhere");
  const empty = path.join(folder, "empty");
  const occupied = path.join(folder, "occupied");
  const crashed = path.join(folder, "crashed");

  beforeAll(() => {
    for (const directory of [empty, occupied]) fs.mkdirSync(directory);
    fs.writeFileSync(path.join(occupied, "thesis.txt"), "mine");
    fs.mkdirSync(crashed);
    // No process has this id: it is above every system's limit.
    fs.writeFileSync(path.join(crashed, "lock"), String(2 ** 30));
  });

  it.each([
    {
      what: "an unknown demo",
      args: ["demo", "--demo", "analytix"],
      says: /--demo analytix is unknown; there are .*analytics-sse/,
    },
    {
      what: "an unknown encryption",
      args: ["demo", "--encryption", "ROT13"],
      says: /--encryption ROT13 is unknown; there are CSE, CPK, SSE/,
    },
    { what: "data that is not there", args: ["demo", "--data", missing], says: /--data .*nowhere: there is no/ },
    {
      what: "data of another layout",
      args: ["demo", "--data", empty],
      says: /there is no folder northwind\/input in it; expected/,
    },
    {
      what: "a query that is not there",
      args: ["demo", "--query", missing],
      says: /--query .*nowhere: there is no such file/,
    },
    {
      what: "a folder that is in use",
      args: ["demo", "--folder", occupied],
      says: /holds something else; choose an empty folder/,
    },
    { what: "--data and --download", args: ["demo", "--data", empty, "--download"], says: /exclude each other/ },
    {
      what: "a sandbox that does not run",
      args: ["sandbox", "stop", "--folder", empty],
      says: /No sandbox runs in .*--folder/,
    },
    {
      what: "a sandbox that crashed",
      args: ["sandbox", "stop", "--folder", crashed],
      says: /No sandbox runs in .*--folder/,
    },
    {
      what: "a project that is not there",
      args: ["output", "--project", empty],
      says: /Stack woodgrove cannot be opened .*--project/,
    },
  ])("refuses $what in one message", async ({ args, says }) => {
    const { code, stdout, stderr } = await cleanroom(args, { cwd: empty });
    expect(stderr).toMatch(says);
    expect(stderr).toMatch(/^cleanroom: /);
    expect(stderr).not.toMatch(STACK_TRACE);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(fs.readdirSync(empty)).toEqual([]);
  });

  it.each([[["demo", "--dmo", "analytics"]], [["demonstrate"]]])(
    "answers %p with a hint and exit code 2",
    async (args) => {
      const { code, stderr } = await cleanroom(args, { cwd: empty });
      expect(stderr).toMatch(/unknown (option|command)/);
      expect(code).toBe(2);
    },
  );
});

describe("a stack on its own", () => {
  let stacks: Stacks;
  let sandbox: Sandbox;

  beforeAll(async () => {
    sandbox = await startSandbox(path.join(folder, "sandbox"));
    const data = path.join(folder, "data");
    const { environment } = createDemoProject(folder, { name: DEFAULT_DEMO, demo: DEMOS[DEFAULT_DEMO]!, data });
    stacks = new Stacks(folder, { ...sandbox.environment, ...environment });
    for (const stack of ["northwind", "woodgrove"]) await stacks.pulumi(["stack", "init", stack]);
  });
  afterAll(() => sandbox?.stop());

  /** Previews the stack with another configuration, and puts back what was there. */
  async function mistaken(
    stack: PersonaName,
    values: Readonly<Record<string, unknown>>,
  ): Promise<{ code: number; said: string }> {
    const file = path.join(stacks.project, `Pulumi.${stack}.yaml`);
    const before = fs.readFileSync(file);
    try {
      stacks.configure(stack, (config) => {
        for (const [key, value] of Object.entries(values)) config.setIn(["config", `cleanroom:${key}`], value);
      });
      const { code, errors, changes } = await stacks.preview(stack);
      expect(changes).toEqual([]);
      return { code, said: errors.join("\n") };
    } finally {
      fs.writeFileSync(file, before);
    }
  }

  it("names every mistake in its configuration at once, by its key", async () => {
    const { code, said } = await mistaken("woodgrove", { emial: "wanda@woodgrove.example", email: "wanda" });
    expect(said).toContain("cleanroom:emial is not a key");
    expect(said).toContain("cleanroom:email: expected an e-mail address");
    expect(said).not.toMatch(STACK_TRACE);
    expect(code).not.toBe(0);
  });

  it("refuses an unknown persona", async () => {
    const { code, said } = await mistaken("northwind", { persona: "southwind" });
    expect(said).toContain('cleanroom:persona "southwind" is unknown; expected one of operator, northwind, woodgrove');
    expect(said).not.toMatch(STACK_TRACE);
    expect(code).not.toBe(0);
  });

  it("refuses a wrong passphrase", async () => {
    const wrong = path.join(folder, "wrong");
    fs.writeFileSync(wrong, "open sesame");
    const { code, errors } = await stacks.operate("preview", "northwind", [], { PULUMI_CONFIG_PASSPHRASE_FILE: wrong });
    expect(errors.join("\n")).toMatch(/incorrect passphrase/);
    expect(code).not.toBe(0);
  });

  it("waits for an operator whose stack does not exist", async () => {
    const { errors } = await stacks.up("northwind");
    expect(errors).toEqual([]);
    expect(await stacks.output<Pending[]>("northwind", "pending")).toEqual([
      { what: "northwind knows nothing of operator yet", who: "operator", command: "pulumi up --stack operator" },
    ]);
  });
});
