"use strict";

const fs = require("fs");
const path = require("path");
const { buildOnce } = require("./cache.cjs");
const { findExecutable, isExecutable, pathKey } = require("./paths.cjs");
const { Interrupted, run, step } = require("./processes.cjs");
const { ToolchainError } = require("./toolchain-error.cjs");
const { isAtLeast, parseVersion, pulumiBuilt, pulumiInstalled, pulumiMinimum } = require("./versions.cjs");

const installerUrl = "https://get.pulumi.com/install.sh";

/**
 * A Pulumi CLI with its Node.js language host: the one on PATH, else one from the cache, else from the official installer, else built
 * from Pulumi's Go modules.
 * @returns {Promise<{folder?: string}>}  `folder`: to be put in front of PATH, when PATH does not lead there yet
 */
async function ensurePulumi(context) {
  const tried = [];
  const onPath = await inspectPath(context);
  if (onPath.version) {
    context.say("pulumi " + onPath.version + " (PATH: " + onPath.cli + ")");
    return {};
  }
  tried.push("PATH: " + onPath.problem);

  const sources = [
    { name: "official installer", version: pulumiInstalled, id: "official", build: install, binaries: "bin" },
    { name: "built from Go modules", version: pulumiBuilt, id: "go", build: buildFromModules, binaries: "." },
  ].map((source) => Object.assign({ target: cacheEntry(context.cache, source) }, source));
  const cached = sources.find((source) => fs.existsSync(source.target));
  if (cached) {
    context.say("pulumi " + cached.version + " (cache; " + cached.name + ")");
    return { folder: path.join(cached.target, cached.binaries) };
  }
  for (const source of sources) {
    try {
      await buildOnce(source.target, context.say, (folder) => source.build(context, folder));
      context.say("pulumi " + source.version + " (" + source.name + ")");
      return { folder: path.join(source.target, source.binaries) };
    } catch (error) {
      if (error instanceof Interrupted) throw error;
      tried.push(source.name + ": " + error.message);
    }
  }
  throw new ToolchainError("There is no usable Pulumi CLI with its Node.js language host.", tried, [
    "install Pulumi " +
      pulumiMinimum +
      " or newer and put it on PATH: https://www.pulumi.com/docs/iac/download-install/",
    "let curl reach " + installerUrl + ": the official installer then puts a copy into the user's cache",
    "install Go and let it reach a Go module proxy: the CLI is then built from its published modules",
  ]);
}

function cacheEntry(cache, { version, id }) {
  return path.join(cache, "pulumi", [version, id, process.platform, process.arch].join("-"));
}

/** The `pulumi` that PATH leads to: `{cli, version}` when it will do, else `{problem}`. */
async function inspectPath(context) {
  const searchPath = context.env[pathKey(context.env)] || "";
  const cli = findExecutable("pulumi", searchPath);
  if (!cli) return { problem: "no pulumi" };
  const host = "pulumi-language-nodejs";
  const beside = path.join(path.dirname(fs.realpathSync(cli)), host + path.extname(cli));
  if (!findExecutable(host, searchPath) && !isExecutable(beside))
    return { problem: cli + " has no " + host + " beside it or on PATH" };
  const { code, output } = await run(cli, ["version"], { env: quietly(context.env), capture: true });
  if (code !== 0) return { problem: cli + " version failed: " + output.trim() };
  if (!isAtLeast(output, pulumiMinimum))
    return { problem: cli + " is " + output.trim() + ", older than " + pulumiMinimum };
  return { cli, version: parseVersion(output).join(".") };
}

/** Lets Pulumi's own installer (Linux, macOS) put a pinned version into `folder`/bin. */
async function install(context, folder) {
  if (process.platform === "win32") throw new Error("not for Windows (use `winget install pulumi`)");
  const { env, say } = context;
  const script = path.join(folder, "install.sh");
  await step(
    "fetching " + installerUrl,
    "curl",
    ["-fsSL", "--connect-timeout", "5", "--max-time", "30", "-o", script, installerUrl],
    { env },
  );
  say("pulumi " + pulumiInstalled + ": running the official installer ...");
  const args = [script, "--version", pulumiInstalled, "--install-root", folder, "--no-edit-path"];
  await step("install.sh", "sh", args, { env });
  await verify(path.join(folder, "bin"), pulumiInstalled, env);
}

/**
 * Builds the CLI and the language host from the Go modules pinned (with checksums) in tools/pulumi-modules.
 *
 * The last language host that is a module of its own is old: it runs current programs and engines, but passes
 * TypeScript to ts-node unless its command line says otherwise, whatever Pulumi.yaml says. Hence the wrapper.
 */
async function buildFromModules(context, folder) {
  if (process.platform === "win32") throw new Error("not for Windows (use `winget install pulumi`)");
  const { env, root, say } = context;
  const searchPath = env[pathKey(env)] || "";
  if (!findExecutable("go", searchPath)) throw new Error("no go on PATH");
  say("pulumi " + pulumiBuilt + ": building from Go modules (some minutes the first time) ...");
  const version = "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v" + pulumiBuilt;
  await goBuild(context, folder, "cli", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", "pulumi", version);
  const host = "pulumi-language-nodejs";
  await goBuild(
    context,
    folder,
    "language-host",
    "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/" + host,
    host + "-impl",
    "",
  );
  writeExecutable(
    path.join(folder, host),
    '#!/bin/sh\nexec "$(dirname "$0")/' + host + '-impl" -typescript=false "$@"\n',
  );
  const dynamic = "pulumi-resource-pulumi-nodejs";
  writeExecutable(
    path.join(folder, dynamic),
    fs.readFileSync(path.join(root, "node_modules", "@pulumi", "pulumi", dynamic)),
  );
  await verify(folder, pulumiBuilt, env);
}

async function goBuild({ env, root }, folder, module, packageName, binary, linkerFlags) {
  const source = path.join(folder, "source-" + module);
  fs.mkdirSync(source);
  for (const file of ["go.mod", "go.sum"]) {
    fs.copyFileSync(path.join(root, "tools", "pulumi-modules", module, file), path.join(source, file));
  }
  const args = ["build", "-mod=readonly", "-buildvcs=false", "-ldflags", ("-s -w " + linkerFlags).trim()];
  const own = Object.assign({}, env, { GOWORK: "off" });
  await step("go build of " + binary, "go", args.concat("-o", path.join(folder, binary), packageName), {
    cwd: source,
    env: own,
  });
  fs.rmSync(source, { recursive: true });
}

function writeExecutable(file, content) {
  fs.writeFileSync(file, content, { mode: 0o755 });
}

/** What was downloaded or built has to run, and to be what was asked for, before it is used. */
async function verify(folder, version, env) {
  const reported = await step("pulumi version", path.join(folder, "pulumi"), ["version"], { env: quietly(env) });
  if (parseVersion(reported).join(".") !== version) throw new Error("pulumi reports the version " + reported.trim());
  await step("pulumi-language-nodejs -help", path.join(folder, "pulumi-language-nodejs"), ["-help"], { env });
}

function quietly(env) {
  return Object.assign({}, env, { PULUMI_SKIP_UPDATE_CHECK: "true" });
}

module.exports = { ensurePulumi, inspectPath };
