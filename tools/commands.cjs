"use strict";

const fs = require("fs");
const path = require("path");

/** What each command starts: lists of arguments for Node.js, run one after the other; `pulumi`: whether it needs the Pulumi CLI. */
const commands = {
  demo: {
    pulumi: true,
    about: "run a whole collaboration on the sandbox",
    steps: (args) => [["cli/main.ts", "demo", ...args]],
  },
  sandbox: {
    pulumi: true,
    about: "start the sandbox and print its environment",
    steps: (args) => [["cli/main.ts", "sandbox", ...args]],
  },
  cleanroom: { pulumi: true, about: "the command line tool", steps: (args) => [["cli/main.ts", ...args]] },
  test: {
    pulumi: true,
    about: "everything CI runs; arguments go to jest",
    steps: (args) => [
      ["node_modules/prettier/bin/prettier.cjs", "--check", "--log-level", "warn", "."],
      ["node_modules/eslint/bin/eslint.js", "--max-warnings", "0", "."],
      ["node_modules/typescript/bin/tsc", "--noEmit", "-p", "."],
      ["node_modules/jest/bin/jest.js", ...args],
    ],
  },
  lint: {
    about: "check code style and module rules",
    steps: (args) => [["node_modules/eslint/bin/eslint.js", ...(args.length ? args : ["."])]],
  },
  format: {
    about: "format the sources",
    steps: (args) => [["node_modules/prettier/bin/prettier.cjs", "--write", ...(args.length ? args : ["."])]],
  },
  typecheck: { about: "check the types", steps: () => [["node_modules/typescript/bin/tsc", "--noEmit", "-p", "."]] },
  bench: {
    pulumi: true,
    about: "run bench/<name>.ts",
    steps: ([name, ...args]) => [["bench/" + name + ".ts", ...args]],
  },
  env: { pulumi: true, about: "print the shell commands that put Node.js and Pulumi on PATH", steps: () => [] },
};

/** What is wrong with a command line, or undefined. */
function problemWith(root, name, args) {
  if (!name) return "no command given";
  if (!Object.prototype.hasOwnProperty.call(commands, name)) return "unknown command " + JSON.stringify(name);
  if (name === "bench" && !benchmarks(root).includes(args[0])) {
    return (
      "bench: expected one of " + benchmarks(root).join(", ") + (args[0] ? ", got " + JSON.stringify(args[0]) : "")
    );
  }
  return undefined;
}

function benchmarks(root) {
  return fs
    .readdirSync(path.join(root, "bench"))
    .filter((file) => file.endsWith(".ts") && file !== "lib.ts")
    .map((file) => file.slice(0, -".ts".length));
}

function usage() {
  const lines = Object.keys(commands).map((name) => "  " + name.padEnd(10) + commands[name].about);
  return ["Usage: npm run <command> [-- arguments]", ...lines].join("\n");
}

module.exports = { commands, problemWith, usage };
