import { execFile, spawn, spawnSync } from "node:child_process";
import type { SpawnOptionsWithStdioTuple, StdioNull, StdioPipe } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";

// The toolchain is plain CommonJS that any Node.js starts, so it has no types of its own.
const tools = path.join(__dirname, "..", "..", "tools");
const load = <T extends object>(name: string): T => jest.requireActual<T>(path.join(tools, name));

interface Context {
  root: string;
  cache: string;
  env: Record<string, string>;
  say: (text: string) => void;
}
interface Found {
  executable?: string;
  folder?: string;
}
const { isAtLeast } = load<{ isAtLeast(version: string, minimum: string): boolean }>("versions.cjs");
const { cacheFolder, prependPath } = load<{
  cacheFolder(env: Record<string, string>, platform: string, home: string): string;
  prependPath(folders: (string | undefined)[], searchPath: string): string;
}>("paths.cjs");
const { buildOnce } = load<{
  buildOnce(target: string, say: (text: string) => void, build: (folder: string) => Promise<void>): Promise<void>;
}>("cache.cjs");
const { isStale } = load<{ isStale(lock: { content: string; age: number }): boolean }>("lock.cjs");
const { whyOutdated } = load<{ whyOutdated(root: string): string | undefined }>("dependencies.cjs");
const { ensureNode } = load<{ ensureNode(context: Context, running?: string): Promise<Found> }>("node.cjs");
const { ensurePulumi } = load<{ ensurePulumi(context: Context): Promise<Found> }>("pulumi.cjs");

/** A folder with the few system programs that are needed, so that a Go or Pulumi of this machine is not found. */
const systemPath = fs.mkdtempSync(path.join(os.tmpdir(), "system-"));
beforeAll(() => {
  for (const name of ["sh", "cp", "mkdir", "chmod", "dirname"]) {
    const folders = ["/bin", "/usr/bin"].filter((candidate) => fs.existsSync(path.join(candidate, name)));
    fs.symlinkSync(path.join(folders[0]!, name), path.join(systemPath, name));
  }
});
afterAll(() => fs.rmSync(systemPath, { recursive: true }));

let folder: string;
let said: string[];

beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "tool chain "));
  said = [];
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

function context(env: Record<string, string> = {}): Context {
  const cache = path.join(folder, "cache");
  return { root: path.dirname(tools), cache, env: { PATH: systemPath, ...env }, say: (text) => said.push(text) };
}

/** Writes an executable shell script. */
function script(file: string, ...lines: string[]): string {
  const full = path.join(folder, file);
  fs.mkdirSync(path.dirname(full), { recursive: true });
  fs.writeFileSync(full, ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o755 });
  return full;
}

function json(file: string, value: unknown): void {
  const full = path.join(folder, file);
  fs.mkdirSync(path.dirname(full), { recursive: true });
  fs.writeFileSync(full, JSON.stringify(value));
}

describe("versions", () => {
  test.each([
    ["22.18.0", "22.18.0", true],
    ["v22.23.3", "22.18.0", true],
    ["22.9.0", "22.18.0", false],
    ["100.0.0", "22.18.0", true],
    ["21.99.99", "22.18.0", false],
    ["v3.259.0-dev+abc\n", "3.200.0", true],
    ["v3.68.0", "3.200.0", false],
    ["no version", "3.200.0", false],
  ])("%j is at least %s: %s", (version, minimum, expected) => {
    expect(isAtLeast(version, minimum)).toBe(expected);
  });
});

describe("the cache", () => {
  test("is where the platform keeps caches", () => {
    expect(cacheFolder({}, "linux", "/home/a")).toBe("/home/a/.cache/cleanroom");
    expect(cacheFolder({ XDG_CACHE_HOME: "/scratch" }, "linux", "/home/a")).toBe("/scratch/cleanroom");
    // The XDG specification has relative paths ignored.
    expect(cacheFolder({ XDG_CACHE_HOME: "scratch" }, "linux", "/home/a")).toBe("/home/a/.cache/cleanroom");
    expect(cacheFolder({}, "darwin", "/Users/a")).toBe("/Users/a/Library/Caches/cleanroom");
    expect(cacheFolder({ LOCALAPPDATA: "/local" }, "win32", "/a")).toBe(path.join("/local", "cleanroom", "Cache"));
  });

  test("comes in front of PATH", () => {
    expect(prependPath(["/cache", undefined], "/usr/bin")).toBe("/cache:/usr/bin");
  });

  test("a failed build leaves nothing, and what an interrupted one left is removed by the next", async () => {
    const target = path.join(folder, "tool");
    const fail = async (temporary: string): Promise<void> => {
      fs.writeFileSync(path.join(temporary, "half"), "");
      throw new Error("no network");
    };
    await expect(buildOnce(target, () => undefined, fail)).rejects.toThrow("no network");
    expect(fs.readdirSync(folder)).toEqual([]);

    fs.mkdirSync(`${target}.unfinished-abc`);
    await buildOnce(
      target,
      () => undefined,
      async (temporary) => fs.writeFileSync(path.join(temporary, "whole"), ""),
    );
    expect(fs.readdirSync(folder)).toEqual(["tool"]);
    expect(fs.readdirSync(target)).toEqual(["whole"]);
  });

  test("of three runs at once one builds, also over the lock of a run that died", async () => {
    const target = path.join(folder, "tool");
    const dead = spawnSync(process.execPath, ["-e", ""]);
    fs.writeFileSync(`${target}.lock`, JSON.stringify({ pid: dead.pid, host: os.hostname() }));
    const program = `
      const { buildOnce } = require(${JSON.stringify(path.join(tools, "cache.cjs"))});
      buildOnce(process.argv[1], () => {}, async () => {
        console.log("built");
        await new Promise((resolve) => setTimeout(resolve, 500));
      });`;
    const runs = [1, 2, 3].map(() => promisify(execFile)(process.execPath, ["-e", program, target]));
    const outputs = (await Promise.all(runs)).map(({ stdout }) => stdout.trim());
    expect(outputs.sort()).toEqual(["", "", "built"]);
    expect(fs.readdirSync(folder)).toEqual(["tool"]);
  });

  test("a lock is stale when its process is gone or when it is very old", () => {
    const minute = 60_000;
    const mine = JSON.stringify({ pid: process.pid, host: os.hostname() });
    const elsewhere = JSON.stringify({ pid: 1, host: "another-machine" });
    expect(isStale({ content: mine, age: minute })).toBe(false);
    expect(isStale({ content: mine, age: 31 * minute })).toBe(true);
    expect(isStale({ content: elsewhere, age: minute })).toBe(false);
    expect(isStale({ content: "", age: 100 })).toBe(false);
    expect(isStale({ content: "", age: minute })).toBe(true);
  });
});

describe("npm packages", () => {
  const wanted = { "": {}, "node_modules/a": { version: "1.0.0", integrity: "sha512-a" } };

  test.each([
    ["nothing installed", wanted, undefined, "none are installed"],
    ["the same", wanted, wanted, undefined],
    ["one missing", wanted, {}, "node_modules/a is missing"],
    [
      "another version",
      wanted,
      { "node_modules/a": { version: "1.0.1", integrity: "sha512-a" } },
      "node_modules/a is another version",
    ],
    [
      "another content",
      wanted,
      { "node_modules/a": { version: "1.0.0", integrity: "sha512-b" } },
      "node_modules/a is another version",
    ],
    [
      "one of another platform",
      { ...wanted, "node_modules/b": { version: "1.0.0", optional: true } },
      wanted,
      undefined,
    ],
  ])("%s", (_name, locked, installed, expected) => {
    json("package-lock.json", { packages: locked });
    if (installed) json("node_modules/.package-lock.json", { packages: installed });
    expect(whyOutdated(folder)).toBe(expected);
  });
});

describe("Node.js", () => {
  const wanted = load<{ nodePackages: Record<string, { name: string; version: string; integrity: string }> }>(
    "versions.cjs",
  ).nodePackages[`${process.platform}-${process.arch}`]!;

  /** An npm that "installs" a node which reports `version`. */
  function fakeNpm(version: string): string {
    json("npm/package.json", { version: "11.0.0" });
    const cli = path.join(folder, "npm", "bin", "npm-cli.js");
    fs.mkdirSync(path.dirname(cli));
    const binary = `node_modules/${wanted.name}/bin`;
    fs.writeFileSync(
      cli,
      `const fs = require("fs");
       const lock = JSON.parse(fs.readFileSync("package-lock.json"));
       if (lock.packages["node_modules/${wanted.name}"].integrity !== "${wanted.integrity}") process.exit(1);
       fs.mkdirSync("${binary}", { recursive: true });
       fs.writeFileSync("${binary}/node", "#!/bin/sh\\necho ${version}\\n", { mode: 0o755 });`,
    );
    return cli;
  }

  test("the running one is taken when it is new enough", async () => {
    expect((await ensureNode(context())).executable).toBe(process.execPath);
    expect(said).toEqual([`node ${process.versions.node} (running)`]);
  });

  test("else one is fetched, with its pinned integrity, and found again", async () => {
    const own = context({ npm_execpath: fakeNpm(`v${wanted.version}`) });
    const { executable, folder: onPath } = await ensureNode(own, "18.20.0");
    expect(executable).toBe(path.join(onPath!, "node"));
    expect(fs.readdirSync(onPath!)).toEqual(["node"]);
    fs.rmSync(path.join(folder, "npm"), { recursive: true });
    expect(await ensureNode(own, "18.20.0")).toEqual({ executable, folder: onPath });
    expect(said.at(-1)).toBe(`node ${wanted.version} (cache; the running 18.20.0 is too old)`);
  });

  test("one that is not what was asked for is not kept", async () => {
    const own = context({ npm_execpath: fakeNpm("v1.2.3") });
    const failed = ensureNode(own, "18.20.0");
    await expect(failed).rejects.toThrow(
      /Node.js 22.18.0 or newer is needed; this one is 18.20.0[^]*v1.2.3[^]*1\. [^]*2\. [^]*3\. /,
    );
    expect(fs.readdirSync(path.join(own.cache, "node"))).toEqual([]);
  });
});

describe("Pulumi", () => {
  const noNetwork = (): string => script("bin/curl", "echo 'could not resolve host' >&2", "exit 6");
  const onPath = (): Record<string, string> => ({ PATH: `${path.join(folder, "bin")}:${systemPath}` });

  test("the one on PATH is taken", async () => {
    script("bin/pulumi", "echo v3.270.0");
    script("bin/pulumi-language-nodejs");
    expect(await ensurePulumi(context(onPath()))).toEqual({});
    expect(said).toEqual([`pulumi 3.270.0 (PATH: ${path.join(folder, "bin", "pulumi")})`]);
  });

  test("without any way to get it, one error says what was tried and the three ways", async () => {
    script("bin/pulumi", "echo v3.100.0");
    script("bin/pulumi-language-nodejs");
    noNetwork();
    const message = await ensurePulumi(context(onPath())).then(String, (error: Error) => error.message);
    expect(message).toMatch(/tried: PATH: .*is v3.100.0, older than 3.200.0/);
    expect(message).toMatch(/tried: official installer: .*could not resolve host/);
    expect(message).toMatch(/tried: built from Go modules: no go on PATH/);
    expect(message).toMatch(/1\. install Pulumi [^]*2\. let curl reach [^]*3\. install Go /);
  });

  test("a CLI without a language host is not enough", async () => {
    script("bin/pulumi", "echo v3.270.0");
    noNetwork();
    await expect(ensurePulumi(context(onPath()))).rejects.toThrow(/has no pulumi-language-nodejs/);
  });

  test("the official installer comes before a build, and its result is found again", async () => {
    const installer = [
      "while [ $# -gt 0 ]; do case $1 in --version) version=$2;; --install-root) root=$2;; esac; shift; done",
      'mkdir "$root/bin"',
      'printf "#!/bin/sh\\necho v$version\\n" > "$root/bin/pulumi"',
      'printf "#!/bin/sh\\n" > "$root/bin/pulumi-language-nodejs"',
      'chmod +x "$root"/bin/*',
    ];
    script("installer.sh", ...installer);
    script("bin/curl", 'while [ "$1" != -o ]; do shift; done', `cp "${path.join(folder, "installer.sh")}" "$2"`);
    script("bin/go", "exit 1");
    const own = context(onPath());
    const found = await ensurePulumi(own);
    expect(spawnSync(path.join(found.folder!, "pulumi"), { encoding: "utf8" }).stdout).toBe("v3.270.0\n");
    noNetwork();
    expect(await ensurePulumi(own)).toEqual(found);
    expect(said.at(-1)).toBe("pulumi 3.270.0 (cache; official installer)");
  });

  test("a build from Go modules wraps the old language host and is complete", async () => {
    noNetwork();
    const write = (text: string): string => `printf '#!/bin/sh\\n${text}\\n' > "$out"`;
    script(
      "bin/go",
      'while [ "$1" != -o ]; do shift; done; out=$2',
      `case $3 in */pulumi-language-nodejs) ${write('echo "$@"')};; *) ${write("echo v3.259.0")};; esac`,
      'chmod +x "$out"',
    );
    const { folder: built } = await ensurePulumi(context(onPath()));
    expect(fs.readdirSync(built!).sort()).toEqual([
      "pulumi",
      "pulumi-language-nodejs",
      "pulumi-language-nodejs-impl",
      "pulumi-resource-pulumi-nodejs",
    ]);
    const host = spawnSync(path.join(built!, "pulumi-language-nodejs"), ["127.0.0.1:1", "-root", "a b"], {
      encoding: "utf8",
    });
    expect(host.stdout).toBe("-typescript=false 127.0.0.1:1 -root a b\n");
  });

  test("a build that reports another version is not kept", async () => {
    noNetwork();
    script(
      "bin/go",
      'while [ "$1" != -o ]; do shift; done',
      `printf '#!/bin/sh\\necho v3.1.0\\n' > "$2"; chmod +x "$2"`,
    );
    const own = context(onPath());
    await expect(ensurePulumi(own)).rejects.toThrow(/built from Go modules: pulumi reports the version v3.1.0/);
    expect(fs.readdirSync(path.join(own.cache, "pulumi"))).toEqual([]);
  });
});

describe("run.cjs", () => {
  /** A checkout (in a path with a space) with nothing but the tools, a command line tool and a Pulumi of its own. */
  function checkout(main = ""): Record<string, string> {
    fs.cpSync(tools, path.join(folder, "tools"), { recursive: true });
    fs.mkdirSync(path.join(folder, "bench"));
    fs.mkdirSync(path.join(folder, "cli"));
    fs.writeFileSync(path.join(folder, "cli", "main.ts"), main);
    json("package-lock.json", { packages: {} });
    json("node_modules/.package-lock.json", { packages: {} });
    script("bin/pulumi", "echo v3.270.0");
    script("bin/pulumi-language-nodejs");
    const searchPath = [path.join(folder, "bin"), path.dirname(process.execPath), systemPath].join(":");
    return { PATH: searchPath, XDG_CACHE_HOME: path.join(folder, "cache") };
  }
  const entry = (): string => path.join(folder, "tools", "run.cjs");
  // A session of its own: where there is a terminal, run.cjs leaves it to the terminal to interrupt its child.
  const withoutTerminal: SpawnOptionsWithStdioTuple<StdioNull, StdioPipe, StdioNull> = {
    detached: true,
    stdio: ["ignore", "pipe", "ignore"],
  };

  test("env prints what a shell needs, and only that, on stdout", () => {
    const env = checkout();
    const { stdout, stderr, status } = spawnSync(process.execPath, [entry(), "env"], { env, encoding: "utf8" });
    expect(status).toBe(0);
    expect(stderr.match(/^toolchain: .*$/gm)).toHaveLength(3);
    const shell = spawnSync("/bin/sh", ["-c", `PATH=; ${stdout}\ncommand -v pulumi; node --version`], {
      encoding: "utf8",
      env: {},
    });
    expect(shell.stdout).toBe(`${path.join(folder, "bin", "pulumi")}\n${process.version}\n`);
  });

  test("passes arguments on and keeps the exit code", () => {
    const env = checkout(`console.log(JSON.stringify(process.argv.slice(2))); process.exit(7);`);
    const args = [entry(), "demo", "--data", "a b", "--json"];
    const { stdout, status } = spawnSync(process.execPath, args, { env, encoding: "utf8" });
    expect(JSON.parse(stdout)).toEqual(["demo", "--data", "a b", "--json"]);
    expect(status).toBe(7);
  });

  test.each([
    [["nonsense"], /unknown command "nonsense"/],
    [["bench", "../cli/main"], /bench: expected one of/],
    [[], /no command given/],
  ])("refuses %j", (args, expected) => {
    const { stderr, status } = spawnSync(process.execPath, [path.join(tools, "run.cjs"), ...args], {
      encoding: "utf8",
    });
    expect(stderr).toMatch(expected);
    expect(status).toBe(2);
  });
  test("hands an interrupt on, even when its caller ignores interrupts, and keeps the child's exit code", async () => {
    const env = checkout(
      `process.on("SIGINT", () => { console.log("interrupted"); process.exit(3); });
       setInterval(() => undefined, 1000);
       console.log("ready");`,
    );
    const inner = `trap '' INT; exec "$0" "$1" sandbox`;
    const child = spawn("/bin/sh", ["-c", inner, process.execPath, entry()], {
      env,
      ...withoutTerminal,
    });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
      if (String(chunk).includes("ready")) child.kill("SIGINT");
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(output).toBe("ready\ninterrupted\n");
    expect(code).toBe(3);
  });

  test("ends with 128 + n when a signal ends the child", async () => {
    const env = checkout(`setInterval(() => undefined, 1000); console.log("ready");`);
    const child = spawn(process.execPath, [entry(), "sandbox"], { env, ...withoutTerminal });
    child.stdout.once("data", () => child.kill("SIGTERM"));
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(128 + os.constants.signals.SIGTERM);
  });
});
