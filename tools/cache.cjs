"use strict";

const fs = require("fs");
const path = require("path");
const { withLock } = require("./lock.cjs");

/**
 * Makes sure that the folder `target` exists, built by `build(temporaryFolder)`. The folder appears in one rename after
 * `build` has succeeded, so what exists is complete; what an interrupted run left is removed; of two concurrent runs one builds.
 */
async function buildOnce(target, say, build) {
  if (fs.existsSync(target)) return;
  await withLock(target + ".lock", say, async () => {
    if (fs.existsSync(target)) return;
    removeUnfinished(target);
    const temporary = fs.mkdtempSync(target + ".unfinished-");
    try {
      await build(temporary);
      fs.renameSync(temporary, target);
    } finally {
      fs.rmSync(temporary, { recursive: true, force: true });
    }
  });
}

function removeUnfinished(target) {
  const folder = path.dirname(target);
  const prefix = path.basename(target) + ".unfinished-";
  for (const name of fs.readdirSync(folder)) {
    if (name.startsWith(prefix)) fs.rmSync(path.join(folder, name), { recursive: true, force: true });
  }
}

module.exports = { buildOnce };
