import { createPrivateKey } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { expectedMentions } from "../../demos/expected.ts";
import { generateDemoData } from "../../demos/generate.ts";
import { Sealer } from "../../sandbox/keyvault/seal.ts";
import type { SandboxHost } from "../../sandbox/contracts.ts";
import { openDocument } from "../../sandbox/host.ts";
import {
  cleanroom,
  ended,
  requirePulumi,
  Stacks,
  start,
  temporaryFolder,
  told,
  CHECKOUT,
  type Change,
  type Ended,
} from "./support.ts";

// One client-side encrypted collaboration, in order: each test goes on where the one before it stopped.
jest.setTimeout(600_000);

const COLLABORATORS = ["northwind", "woodgrove"] as const;
const folder = temporaryFolder("keys");
const demoFolder = path.join(folder, "demo");
let stacks: Stacks;
let run: Ended;
let processes: Set<string>;

beforeAll(async () => {
  requirePulumi();
  const demo = start(process.execPath, [
    path.join(CHECKOUT, "cli", "main.ts"),
    "demo",
    "--json",
    "--keep",
    "--folder",
    demoFolder,
  ]);
  processes = new Set();
  const watch = setInterval(() => collectProcesses(demoFolder, processes), 100);
  run = await ended(demo);
  clearInterval(watch);
  if (run.code !== 0) throw new Error(run.stderr);
  stacks = new Stacks(demoFolder);
});
afterAll(async () => {
  if (stacks) await cleanroom(["sandbox", "stop", "--folder", path.join(demoFolder, "sandbox")]);
  fs.rmSync(folder, { recursive: true, force: true });
});

/** Arguments and environment of every process that has the folder in one of them (Linux). */
function collectProcesses(place: string, found: Set<string>): void {
  for (const id of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    for (const file of ["cmdline", "environ"]) {
      try {
        const text = fs.readFileSync(`/proc/${id}/${file}`, "latin1");
        if (text.includes(place)) found.add(text);
      } catch {
        // Ended meanwhile, or somebody else's.
      }
    }
  }
}

interface Exported {
  deployment: { resources: { type: string; outputs?: Record<string, unknown> }[] };
}

/** As the owner sees them: with the stack's own passphrase. */
async function dataEncryptionKeys(): Promise<Buffer[]> {
  const keys: Buffer[] = [];
  for (const stack of COLLABORATORS) {
    const { stdout } = await stacks.pulumi(["stack", "export", "--show-secrets", "--stack", stack]);
    const { deployment } = JSON.parse(stdout) as Exported;
    for (const { outputs } of deployment.resources.filter(({ type }) => type.endsWith(":DataEncryptionKey"))) {
      const { plaintext } = outputs!["key"] as { plaintext: string };
      keys.push(Buffer.from(JSON.parse(plaintext) as string, "base64"));
    }
  }
  return keys;
}

/** What happened to resources; reading another stack is none of it. */
const changed = ({ changes }: { changes: readonly Change[] }): string[] =>
  told(changes.filter(({ op }) => op !== "discard"));

const vaultDocument = (name: string) =>
  openDocument<any>(path.join(demoFolder, "sandbox", `${name}.json`), () => ({})).value;

function vaultNames(): string[] {
  return fs.readdirSync(path.join(demoFolder, "sandbox", "vaults")).map((file) => path.basename(file, ".json"));
}

/** Of every key and secret in the vaults, oldest version first. */
function enabledVersions(): boolean[][] {
  return vaultNames().flatMap((vault) => {
    const { keys, secrets } = vaultDocument(`vaults/${vault}`);
    const items = [...Object.values<any>(keys), ...Object.values<any>(secrets)];
    return items.map(({ versions }) => versions.map(({ enabled }: { enabled: boolean }) => enabled));
  });
}

/** Private parts of all keys in the sandbox's vaults, which nobody outside could get at. */
function keyEncryptionKeys(): Buffer[] {
  const document = (name: string) => ({ value: vaultDocument(name), save: () => undefined });
  const sealer = new Sealer({ document } as unknown as SandboxHost);
  return vaultNames().flatMap((vault) =>
    Object.entries<{ versions: { version: string; sealed: string }[] }>(vaultDocument(`vaults/${vault}`).keys).flatMap(
      ([name, { versions }]) =>
        versions.flatMap(({ version, sealed }) => {
          const der = Buffer.from(sealer.open(sealed, `${vault}/keys/${name}/${version}`), "base64");
          const { d, p, q } = createPrivateKey({ key: der, format: "der", type: "pkcs8" }).export({ format: "jwk" });
          return [d!, p!, q!].map((part) => Buffer.from(part, "base64url"));
        }),
    ),
  );
}

/** Ways in which bytes get into a text. */
function forms(secret: Buffer): string[] {
  const hex = secret.toString("hex");
  const base64 = secret.toString("base64");
  return [
    secret.toString("latin1"),
    hex,
    hex.toUpperCase(),
    base64.replace(/=+$/, ""),
    secret.toString("base64url"),
    encodeURIComponent(base64),
  ];
}

function filesBelow(place: string): string[] {
  if (!fs.statSync(place).isDirectory()) return [place];
  const entries = fs.readdirSync(place, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
}

describe("secrets", () => {
  let places: Map<string, string>;
  beforeAll(async () => {
    stacks.configure("northwind", (config) => config.setIn(["config", "cleanroom:datasets", 0, "keyGeneration"], 1));
    const plan = path.join(folder, "plan.json");
    const preview = await stacks.pulumi(["preview", "--diff", "--save-plan", plan, "--stack", "northwind"]);
    const exported = await stacks.pulumi(["stack", "export", "--stack", "northwind"]);
    stacks.configure("northwind", (config) => config.deleteIn(["config", "cleanroom:datasets", 0, "keyGeneration"]));
    const below = ["state", "project", "pulumi", "sandbox/requests.log", "sandbox/sandbox.log"].flatMap((place) =>
      filesBelow(path.join(demoFolder, place)),
    );
    places = new Map([...below, plan].map((file) => [file, fs.readFileSync(file, "latin1")]));
    places.set("output of the demo", run.stdout + run.stderr);
    places.set("preview", preview.stdout + preview.stderr);
    places.set("exported stack", exported.stdout);
    places.set("processes", [...processes].join("\n"));
  });

  const leaks = (secrets: readonly (string | RegExp)[]): string[] =>
    [...places].flatMap(([place, text]) =>
      secrets
        .filter((secret) => (typeof secret === "string" ? text.includes(secret) : secret.test(text)))
        .map(() => place),
    );

  it("are looked for where they could be: the scan sees state, plan, logs, preview and processes", () => {
    const seen = (place: string | RegExp, content: string): boolean =>
      [...places].some(
        ([name, text]) => (typeof place === "string" ? name === place : place.test(name)) && text.includes(content),
      );
    expect(seen(/northwind\.json$/, "northwind-input-keys-dek")).toBe(true);
    expect(seen(/plan\.json$/, "northwind-input-keys-dek")).toBe(true);
    expect(seen(/requests\.log$/, "keyvault")).toBe(true);
    expect(seen("preview", "northwind-input-keys-dek")).toBe(true);
    expect(seen("preview", "[secret]")).toBe(true);
    expect(seen("processes", "pulumi")).toBe(true);
    expect(seen("output of the demo", "northwind-input-keys-kek")).toBe(true);
  });

  it("data encryption keys are nowhere, in no form", async () => {
    const keys = await dataEncryptionKeys();
    expect(keys.map(({ length }) => length)).toEqual([32, 32, 32]);
    expect(leaks(keys.flatMap(forms))).toEqual([]);
  });

  it("private parts of key encryption keys are nowhere, in no form", () => {
    const parts = keyEncryptionKeys();
    expect(parts).toHaveLength(9);
    expect(leaks(parts.flatMap(forms))).toEqual([]);
  });

  it("nor is the passphrase, a token, a private key, or what proves the sandbox's user", () => {
    const passphrase = fs.readFileSync(path.join(demoFolder, "passphrase"));
    const proof = fs.readFileSync(stacks.environment["AZURE_FEDERATED_TOKEN_FILE"]!);
    const patterns = [/eyJ[\w-]{10,}\.eyJ/, /PRIVATE KEY/, Buffer.from("PRIVATE KEY").toString("hex")];
    expect(leaks([...forms(passphrase), ...forms(proof), ...patterns])).toEqual([]);
  });

  it("are in the state, encrypted", () => {
    const { checkpoint } = JSON.parse(stacks.state("northwind")) as { checkpoint: { latest: Exported["deployment"] } };
    const secretOf = (type: string) =>
      checkpoint.latest.resources
        .filter((resource) => resource.type.endsWith(`:${type}`))
        .map(({ outputs }) => outputs!["key"]);
    for (const type of ["DataEncryptionKey", "WrappedKey", "DatasetFiles"]) {
      expect(secretOf(type)).toEqual([expect.objectContaining({ ciphertext: expect.stringMatching(/^v1:/) })]);
    }
  });
});

describe("a clean room of another release", () => {
  const runIds = (...ids: string[]) => ids.map((id) => ({ query: "mentions", id }));
  const rebound = (stack: string, ...datasets: string[]): string[] =>
    datasets.flatMap((dataset) => [`update ${stack}-${dataset}-keys-kek`, `update ${stack}-${dataset}-keys-wrapped`]);

  it("is measured differently: the contract's policy follows", async () => {
    stacks.configure("operator", (config) => config.setIn(["config", "cleanroom:cleanRoomRelease"], "8.0.1"));
    const { errors, changes } = await stacks.up("operator");
    expect(errors).toEqual([]);
    expect(changed({ changes })).toContain("update operator-policy");
    expect(changed({ changes })).not.toContain("replace operator-contract");
  });

  it("gets no key until their owners have agreed: their previews show it", async () => {
    for (const [stack, datasets] of [
      ["northwind", ["input"]],
      ["woodgrove", ["input", "output"]],
    ] as const) {
      const { errors, changes } = await stacks.preview(stack);
      expect(errors).toEqual([]);
      expect(changed({ changes })).toEqual(rebound(stack, ...datasets).sort());
    }
  });

  it("cannot run while only one of them has: the run says whose key it is refused, and nothing else breaks", async () => {
    stacks.configure("woodgrove", (config) => config.setIn(["config", "cleanroom:runs"], runIds("first", "second")));
    const { errors, changes } = await stacks.up("woodgrove");
    expect(changed({ changes })).toEqual(expect.arrayContaining(rebound("woodgrove", "input", "output")));
    expect(errors.join("\n")).toMatch(/-kek.*does not meet the key release policy/s);
  });

  it("runs as before once all have; older versions of keys and secrets are switched off", async () => {
    expect((await stacks.up("northwind")).errors).toEqual([]);
    stacks.configure("woodgrove", (config) => config.setIn(["config", "cleanroom:runs"], runIds("first", "third")));
    const { errors } = await stacks.up("woodgrove");
    expect(errors).toEqual([]);
    const { third } = await stacks.output<Record<string, { state: string; rowsWritten: number }>>(
      "woodgrove",
      "results",
    );
    const { files } = generateDemoData(path.join(folder, "expected"));
    expect(third).toMatchObject({ state: "COMPLETED", rowsWritten: expectedMentions(files).length });
    expect(enabledVersions()).toEqual(Array(6).fill([false, true]));
    for (const stack of COLLABORATORS) expect(changed(await stacks.preview(stack))).toEqual([]);
  });
});

describe("a new generation of a data key", () => {
  it("encrypts and publishes everything again, and the next run works with it", async () => {
    const [before] = await dataEncryptionKeys();
    stacks.configure("northwind", (config) => config.setIn(["config", "cleanroom:datasets", 0, "keyGeneration"], 1));
    const { errors, changes, messages } = await stacks.up("northwind");
    expect(errors).toEqual([]);
    expect(changed({ changes })).toEqual(
      expect.arrayContaining(["update northwind-input-files", "update northwind-input-keys-wrapped"]),
    );
    expect(changed({ changes })).not.toContain("update northwind-input-keys-kek");
    expect(messages.join("\n")).toMatch(/northwind-input: 4 files uploaded/);
    const [after] = await dataEncryptionKeys();
    expect(after!.equals(before!)).toBe(false);
    stacks.configure("woodgrove", (config) =>
      config.setIn(["config", "cleanroom:runs"], [{ query: "mentions", id: "fourth" }]),
    );
    expect((await stacks.up("woodgrove")).errors).toEqual([]);
  });
});

test("the demo under CPK, where Azure encrypts with the owner's key, finds the same answer", async () => {
  const options = ["--encryption", "CPK", "--json", "--folder", path.join(folder, "cpk")];
  const { code, stdout, stderr } = await cleanroom(["demo", ...options]);
  expect(stderr).toContain("encryption CPK");
  expect(code).toBe(0);
  const [own, other] = [stdout, run.stdout].map(
    (text) => (JSON.parse(text) as { result: { rows: string[][] } }).result.rows,
  );
  expect(new Set(own!.map(String))).toEqual(new Set(other!.map(String)));
});
