"use strict";

const { spawn } = require("child_process");
const fs = require("fs");
const os = require("os");

const running = new Set();
let interruptedBy;

/**
 * Runs a program to its end.
 * @param {{cwd?: string, env?: object, capture?: boolean}} options  `capture`: collect stdout and stderr instead of inheriting the terminal
 * @returns {Promise<{code: number, output: string}>}  `code` is 128 + n after signal n, 127 when the program cannot be started
 */
function run(program, args, options) {
  return new Promise((resolve) => {
    // Node.js gives its children default signal handling, so a SIGINT that was ignored by our caller works again in them.
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: options.env,
      stdio: options.capture ? ["ignore", "pipe", "pipe"] : "inherit",
      windowsHide: true,
    });
    running.add(child);
    let output = "";
    if (options.capture) {
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
    }
    const finish = (code) => {
      running.delete(child);
      resolve({ code, output });
    };
    child.on("error", (error) => {
      output += error.message;
      finish(127);
    });
    child.on("close", (code, signal) => finish(code === null ? exitCodeOf(signal) : code));
  });
}

/** Like `run` with `capture`, but a failure is an error that shows the end of what the program said. */
async function step(what, program, args, options) {
  const { code, output } = await run(program, args, Object.assign({}, options, { capture: true }));
  throwIfInterrupted();
  if (code !== 0) throw new StepError(what + " failed (exit code " + code + "): " + tail(output));
  return output;
}

class StepError extends Error {}

class Interrupted extends Error {
  constructor(signal) {
    super("interrupted by " + signal);
    this.exitCode = exitCodeOf(signal);
  }
}

function interrupted() {
  return interruptedBy !== undefined;
}

function throwIfInterrupted() {
  if (interruptedBy) throw new Interrupted(interruptedBy);
}

/** Hands SIGINT, SIGTERM and SIGHUP on to the running children; this process ends when they have ended. */
function forwardSignals() {
  const terminalSendsInterrupt = hasControllingTerminal();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    let lastForwarded = -Infinity;
    process.on(signal, () => {
      interruptedBy = signal;
      // Ctrl-C reaches every process of the terminal's foreground group: a second one would mean "stop at once" to Pulumi.
      if (signal === "SIGINT" && terminalSendsInterrupt) return;
      // npm forwards what a whole process group has received as well.
      if (Date.now() - lastForwarded < 500) return;
      lastForwarded = Date.now();
      for (const child of running) child.kill(signal);
    });
  }
}

function hasControllingTerminal() {
  if (process.platform === "win32") return true;
  try {
    fs.closeSync(fs.openSync("/dev/tty", "r"));
    return true;
  } catch (_error) {
    return false;
  }
}

function exitCodeOf(signal) {
  return 128 + (os.constants.signals[signal] || 0);
}

function tail(output) {
  const lines = output.trim().split("\n");
  return lines.slice(-12).join("\n    ");
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

module.exports = { run, step, forwardSignals, interrupted, throwIfInterrupted, sleep, Interrupted, StepError };
