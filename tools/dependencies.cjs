"use strict";

const crypto = require("crypto");
const fs = require("fs");
const path = require("path");
const { withLock } = require("./lock.cjs");
const { ensureNpm, findNpm, quiet } = require("./npm.cjs");
const { Interrupted, step } = require("./processes.cjs");
const { ToolchainError } = require("./toolchain-error.cjs");

/**
 * Makes node_modules what the lockfile says, with `npm ci` when it is not. Install scripts do not run: the only ones that matter
 * would fetch Pulumi plugins, which the engine does itself when it needs them.
 */
async function ensureDependencies(context, node) {
  const reason = whyOutdated(context.root);
  if (!reason) return context.say("npm packages match the lockfile");
  const key = crypto.createHash("sha256").update(context.root).digest("hex").slice(0, 16);
  await withLock(path.join(context.cache, "locks", "node_modules-" + key + ".lock"), context.say, async () => {
    if (!whyOutdated(context.root)) return;
    context.say("npm packages: installing (" + reason + ") ...");
    const npmCli = await ensureNpm(context, findNpm(context.env, process.execPath));
    try {
      const args = [npmCli, "ci", "--prefer-offline"].concat(quiet);
      await step("npm ci", node.executable, args, { cwd: context.root, env: context.env });
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

/**
 * Why node_modules is not what package-lock.json says; undefined when it is. npm itself notes what it has installed, as its last act, in
 * node_modules/.package-lock.json: a half-finished install has no such note, and one by `npm install` counts as well.
 */
function whyOutdated(root) {
  const wanted = readPackages(path.join(root, "package-lock.json"));
  if (!wanted)
    throw new ToolchainError(
      "package-lock.json is missing in " + root + ".",
      [],
      ["restore it: `git checkout package-lock.json`"],
    );
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
