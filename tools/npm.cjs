"use strict";

const fs = require("fs");
const path = require("path");
const { buildOnce } = require("./cache.cjs");
const { findExecutable, pathKey } = require("./paths.cjs");
const { step } = require("./processes.cjs");
const { ToolchainError } = require("./toolchain-error.cjs");
const { isAtLeast, npmMinimum, npmPinned } = require("./versions.cjs");

const quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];

/** Path of the `npm-cli.js` to use: the one that runs us, else the one beside the running Node.js, else the one on PATH. */
function findNpm(env, nodeExecutable) {
  const candidates = [env.npm_execpath];
  const nodeFolder = path.dirname(nodeExecutable);
  const inPackage = path.join("node_modules", "npm", "bin", "npm-cli.js");
  candidates.push(path.join(nodeFolder, "..", "lib", inPackage), path.join(nodeFolder, inPackage));
  const onPath = findExecutable("npm", env[pathKey(env)] || "");
  if (onPath) candidates.push(fs.realpathSync(onPath), path.join(path.dirname(onPath), inPackage));
  const found = candidates.find(
    // npm_execpath names yarn's or pnpm's script when one of them runs us.
    (candidate) => candidate && path.basename(candidate) === "npm-cli.js" && fs.existsSync(candidate),
  );
  if (found) return found;
  throw new ToolchainError(
    "npm was not found beside Node.js (" + nodeExecutable + ") nor on PATH.",
    [],
    ["install Node.js with its npm from https://nodejs.org", "put npm on PATH", "start this command through `npm run`"],
  );
}

function npmVersion(npmCli) {
  return JSON.parse(fs.readFileSync(path.join(path.dirname(npmCli), "..", "package.json"), "utf8")).version;
}

/** An npm that can install this project: the given one if it is new enough, else the pinned one, fetched with it. */
async function ensureNpm(context, npmCli) {
  if (isAtLeast(npmVersion(npmCli), npmMinimum)) return npmCli;
  const target = path.join(context.cache, "npm", npmPinned.version);
  await buildOnce(target, context.say, (folder) => installPackage(npmCli, npmPinned, folder, context.env));
  context.say("npm " + npmPinned.version + " (cache)");
  return path.join(target, "node_modules", "npm", "bin", "npm-cli.js");
}

/**
 * Installs one package without dependencies into `folder`/node_modules. Its integrity stands in a lockfile (of the version that
 * npm 6 and its successors all read), so npm refuses a package whose content is not the pinned one.
 */
async function installPackage(npmCli, { name, version, integrity }, folder, env) {
  const dependencies = { [name]: version };
  const lockfile = {
    name: "tool",
    version: "0.0.0",
    lockfileVersion: 2,
    requires: true,
    packages: {
      "": { name: "tool", version: "0.0.0", dependencies },
      ["node_modules/" + name]: { version, integrity },
    },
    dependencies: { [name]: { version, integrity } },
  };
  writeJson(path.join(folder, "package.json"), { name: "tool", version: "0.0.0", private: true, dependencies });
  writeJson(path.join(folder, "package-lock.json"), lockfile);
  const args = [npmCli, "ci"].concat(quiet);
  await step("npm ci of " + name + "@" + version, process.execPath, args, { cwd: folder, env });
}

function writeJson(file, value) {
  fs.writeFileSync(file, JSON.stringify(value, null, 2) + "\n");
}

module.exports = { findNpm, ensureNpm, installPackage, quiet };
