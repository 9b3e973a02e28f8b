"use strict";

// The single entry behind every npm script: brings the toolchain (Node.js, npm packages, Pulumi), then runs the command with it.
// Plain CommonJS without dependencies: it has to start on any Node.js, before anything is installed.

const path = require("path");
const { commands, problemWith, usage } = require("./commands.cjs");
const { ensureDependencies } = require("./dependencies.cjs");
const { ensureNode } = require("./node.cjs");
const { cacheFolder, home, pathKey, prependPath, root } = require("./paths.cjs");
const { forwardSignals, Interrupted, interrupted, run } = require("./processes.cjs");
const { ensurePulumi } = require("./pulumi.cjs");
const { ToolchainError } = require("./toolchain-error.cjs");

/**
 * Brings the toolchain.
 * @returns {Promise<{node: string, env: object, changes: object}>}  the Node.js executable, the environment for children, and how it differs from ours
 */
async function prepare(needsPulumi) {
  const context = {
    root,
    cache: cacheFolder(process.env, process.platform, home()),
    env: process.env,
    say: (text) => process.stderr.write("toolchain: " + text + "\n"),
  };
  const key = pathKey(process.env);
  const node = await ensureNode(context);
  context.env = withPath(context.env, key, [node.folder]);
  await ensureDependencies(context, node);
  if (needsPulumi) {
    const pulumi = await ensurePulumi(context);
    context.env = withPath(context.env, key, [pulumi.folder]);
  }
  const changes = {
    [key]: context.env[key],
    // Compiled code that Node.js keeps between runs: a fifth to a quarter of the start-up of every program.
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE || path.join(context.cache, "compiled"),
    // The version is chosen here.
    PULUMI_SKIP_UPDATE_CHECK: "true",
  };
  return { node: node.executable, env: Object.assign({}, context.env, changes), changes };
}

function withPath(env, key, folders) {
  return Object.assign({}, env, { [key]: prependPath(folders, env[key]) });
}

/** Runs every step, so that one report names all that is wrong; the exit code is that of the first that failed. */
async function runSteps(steps, { node, env }) {
  let exitCode = 0;
  for (const [script, ...args] of steps) {
    const { code } = await run(node, [path.join(root, script), ...args], { cwd: root, env });
    if (interrupted()) return code;
    if (code !== 0 && steps.length > 1)
      process.stderr.write(path.basename(script) + " failed with exit code " + code + "\n");
    exitCode = exitCode || code;
  }
  return exitCode;
}

function shellExports(changes) {
  const quote = (value) => "'" + value.replace(/'/g, "'\\''") + "'";
  return Object.keys(changes)
    .map((name) => "export " + name + "=" + quote(changes[name]) + "\n")
    .join("");
}

async function main([name, ...args]) {
  const problem = problemWith(root, name, args);
  if (problem) {
    process.stderr.write(problem + "\n" + usage() + "\n");
    return 2;
  }
  forwardSignals();
  const toolchain = await prepare(commands[name].pulumi);
  if (name === "env") process.stdout.write(shellExports(toolchain.changes));
  return runSteps(commands[name].steps(args), toolchain);
}

main(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (error) => {
    const expected = error instanceof ToolchainError || error instanceof Interrupted;
    process.stderr.write((expected ? error.message : error.stack) + "\n");
    process.exitCode = error.exitCode || 1;
  },
);
