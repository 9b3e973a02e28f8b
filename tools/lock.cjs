"use strict";

const fs = require("fs");
const os = require("os");
const path = require("path");
const { sleep, throwIfInterrupted } = require("./processes.cjs");

/** A lock of another machine, or of a process id that was given away again, is broken after this time. */
const maximumAge = 30 * 60 * 1000;
/** A lock file without readable content may be one that is being written. */
const writingTime = 10 * 1000;

/**
 * Runs `action` while holding the lock file `file`; waits for another holder, and breaks the lock of one that is gone.
 * @param {(text: string) => void} say  told once when there is a wait
 */
async function withLock(file, say, action) {
  await acquire(file, say);
  try {
    return await action();
  } finally {
    fs.rmSync(file, { force: true });
  }
}

async function acquire(file, say) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const content = JSON.stringify({ pid: process.pid, host: os.hostname() });
  for (let waited = false; ; waited = true) {
    throwIfInterrupted();
    try {
      fs.writeFileSync(file, content, { flag: "wx" });
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    const found = read(file);
    if (found === undefined) continue;
    if (isStale(found)) {
      breakLock(file, found.content);
      continue;
    }
    if (!waited) say("waiting for another run that is preparing the same thing (" + file + ")");
    await sleep(300);
  }
}

/** Content and age (milliseconds) of a lock file; undefined when it is gone. */
function read(file) {
  try {
    return { content: fs.readFileSync(file, "utf8"), age: Date.now() - fs.statSync(file).mtimeMs };
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

function isStale({ content, age }) {
  if (age > maximumAge) return true;
  let holder;
  try {
    holder = JSON.parse(content);
  } catch (_error) {
    return age > writingTime;
  }
  return holder.host === os.hostname() && !isAlive(holder.pid);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code !== "ESRCH";
  }
}

/** Removes the lock file whose content was judged stale, but not one that another waiter has put there since. */
function breakLock(file, staleContent) {
  const aside = file + ".broken-" + process.pid;
  try {
    fs.renameSync(file, aside);
  } catch (error) {
    if (error.code === "ENOENT") return;
    throw error;
  }
  if (fs.readFileSync(aside, "utf8") !== staleContent) {
    try {
      fs.linkSync(aside, file);
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
  }
  fs.rmSync(aside, { force: true });
}

module.exports = { withLock, isStale };
