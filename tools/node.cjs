"use strict";

const fs = require("fs");
const path = require("path");
const { buildOnce } = require("./cache.cjs");
const { findNpm, installPackage } = require("./npm.cjs");
const { findExecutable, pathKey } = require("./paths.cjs");
const { Interrupted, step } = require("./processes.cjs");
const { ToolchainError } = require("./toolchain-error.cjs");
const { isAtLeast, nodeMinimum, nodePackages } = require("./versions.cjs");

/**
 * A Node.js that runs TypeScript sources: the running one if it is new enough, else one from the npm registry.
 * @returns {Promise<{executable: string, folder?: string}>}  `folder`: to be put in front of PATH, when PATH does not lead there yet
 */
async function ensureNode(context, running = process.versions.node) {
  if (isAtLeast(running, nodeMinimum)) {
    context.say("node " + running + " (running)");
    return {
      executable: process.execPath,
      folder: isFirstOnPath(context.env) ? undefined : path.dirname(process.execPath),
    };
  }
  const wanted = nodePackages[process.platform + "-" + process.arch];
  if (!wanted) throw missing(running, "there is no prebuilt package for " + process.platform + "-" + process.arch);
  const target = path.join(context.cache, "node", [wanted.version, process.platform, process.arch].join("-"));
  try {
    await buildOnce(target, context.say, (folder) => fetchNode(context, wanted, folder));
  } catch (error) {
    if (error instanceof Interrupted || error instanceof ToolchainError) throw error;
    throw missing(running, wanted.name + "@" + wanted.version + " from the npm registry: " + error.message);
  }
  context.say("node " + wanted.version + " (cache; the running " + running + " is too old)");
  const executable = nodeIn(target);
  return { executable, folder: path.dirname(executable) };
}

async function fetchNode(context, wanted, folder) {
  context.say("node " + wanted.version + ": fetching from the npm registry ...");
  await installPackage(findNpm(context.env, process.execPath), wanted, folder, context.env);
  const source = path.join(folder, "node_modules", wanted.name, "bin", nodeName());
  // Only the binary is kept, alone in its folder: nothing else of the package may come in front of the user's PATH.
  fs.mkdirSync(path.join(folder, "bin"));
  fs.renameSync(source, nodeIn(folder));
  fs.rmSync(path.join(folder, "node_modules"), { recursive: true });
  const version = await step("the fetched Node.js", nodeIn(folder), ["--version"], { env: context.env });
  if (version.trim() !== "v" + wanted.version) throw new Error("it reports the version " + version.trim());
}

function nodeIn(folder) {
  return path.join(folder, "bin", nodeName());
}

function nodeName() {
  return process.platform === "win32" ? "node.exe" : "node";
}

function isFirstOnPath(env) {
  const first = findExecutable("node", env[pathKey(env)] || "");
  return first !== undefined && fs.realpathSync(first) === fs.realpathSync(process.execPath);
}

function missing(running, reason) {
  return new ToolchainError(
    "Node.js " + nodeMinimum + " or newer is needed; this one is " + running + ".",
    [reason],
    [
      "install Node.js 22 or newer from https://nodejs.org or a package manager",
      "use a version manager that reads .nvmrc (`nvm install`, `fnm use`)",
      "let npm reach its registry or your mirror of it: a copy is then fetched into the user's cache",
    ],
  );
}

module.exports = { ensureNode };
