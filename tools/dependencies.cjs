"use strict";

const crypto = require("crypto");
const fs = require("fs");
const path = require("path");
const { buildOnce } = require("./cache.cjs");
const { withLock } = require("./lock.cjs");
const { ensureNpm, findNpm, quiet } = require("./npm.cjs");
const { Interrupted, step } = require("./processes.cjs");
const { ToolchainError } = require("./toolchain-error.cjs");

/** Installed trees that no checkout has asked for in this time are removed from the cache. */
const keptUnused = 30 * 24 * 60 * 60 * 1000;

/**
 * Makes node_modules what the lockfile says. Install scripts do not run: the only ones that matter would fetch Pulumi
 * plugins, which the engine does itself when it needs them.
 * @param {{executable: string}} node  runs npm
 */
async function ensureDependencies(context, node) {
  if (!whyOutdated(context.root)) return context.say("npm packages match the lockfile");
  const lock = path.join(context.cache, "locks", "node_modules-" + hash(context.root) + ".lock");
  await withLock(lock, context.say, async () => {
    const reason = whyOutdated(context.root);
    if (!reason) return;
    context.say("npm packages: installing (" + reason + ") ...");
    try {
      await install(context, node);
    } catch (error) {
      if (error instanceof Interrupted) throw error;
      throw new ToolchainError(
        "The npm packages of this project cannot be installed.",
        [error.message],
        [
          "let npm reach a registry: `npm config get registry` shows which one it asks",
          "run `npm ci` by hand, with the settings your network needs",
          "copy node_modules from a machine of the same platform where `npm ci` has run for this lockfile",
        ],
      );
    }
  });
  context.say("npm packages installed from the lockfile");
}

/** Installs into the cache, once per lockfile, and copies: for more than a hundred thousand files that is many times faster. */
async function install(context, node) {
  const { root, cache, env, say } = context;
  const npmCi = async (folder) => {
    const npmCli = await ensureNpm(context, findNpm(env, process.execPath));
    await step("npm ci", node.executable, [npmCli, "ci", "--prefer-offline"].concat(quiet), { cwd: folder, env });
  };
  if (process.platform === "win32") return npmCi(root);

  const lockfile = fs.readFileSync(path.join(root, "package-lock.json"));
  const trees = path.join(cache, "node_modules");
  const tree = path.join(trees, [hash(lockfile), process.platform, process.arch].join("-"));
  await buildOnce(tree, say, async (folder) => {
    fs.writeFileSync(path.join(folder, "package-lock.json"), lockfile);
    fs.copyFileSync(path.join(root, "package.json"), path.join(folder, "package.json"));
    await npmCi(folder);
  });
  markUsed(trees, tree);
  await copyInOneStep(
    path.join(tree, "node_modules"),
    path.join(root, "node_modules"),
    path.join(root, ".cleanroom"),
    env,
  );
}

/** Copies a folder so that `target` is the old one, absent, or the complete new one, never a part of it. */
async function copyInOneStep(source, target, workFolder, env) {
  fs.mkdirSync(workFolder, { recursive: true });
  const temporary = fs.mkdtempSync(path.join(workFolder, path.basename(target) + "-"));
  try {
    await step("copying " + path.basename(target), "cp", ["-RP", source, path.join(temporary, "new")], { env });
    if (fs.existsSync(target)) fs.renameSync(target, path.join(temporary, "old"));
    fs.renameSync(path.join(temporary, "new"), target);
  } finally {
    await step("removing " + temporary, "rm", ["-rf", temporary], { env });
  }
}

function markUsed(trees, tree) {
  const now = new Date();
  fs.utimesSync(tree, now, now);
  for (const name of fs.readdirSync(trees)) {
    const other = path.join(trees, name);
    if (now - fs.statSync(other).mtime > keptUnused) fs.rmSync(other, { recursive: true, force: true });
  }
}

function hash(content) {
  return crypto.createHash("sha256").update(content).digest("hex").slice(0, 16);
}

/**
 * Why node_modules is not what package-lock.json says; undefined when it is. npm itself notes what it has installed, as
 * its last act, in node_modules/.package-lock.json: a half-finished install has no such note, and one made by hand with
 * `npm install` counts as well.
 */
function whyOutdated(root) {
  const wanted = readPackages(path.join(root, "package-lock.json"));
  if (!wanted) {
    throw new ToolchainError(
      "package-lock.json is missing or unreadable in " + root + ".",
      [],
      ["restore it: `git checkout package-lock.json`"],
    );
  }
  const installed = readPackages(path.join(root, "node_modules", ".package-lock.json"));
  if (!installed) return "none are installed";
  for (const location of Object.keys(wanted)) {
    if (location === "") continue;
    const want = wanted[location];
    const have = installed[location];
    // Optional packages are for one platform each; npm leaves out the others.
    if (!have && want.optional) continue;
    if (!have) return location + " is missing";
    if (have.version !== want.version || have.integrity !== want.integrity) return location + " is another version";
  }
  return undefined;
}

function readPackages(file) {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8")).packages;
  } catch (_error) {
    return undefined;
  }
}

module.exports = { ensureDependencies, whyOutdated };
