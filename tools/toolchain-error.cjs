"use strict";

/** A tool is missing and cannot be had. The message is for the user, complete in itself, and shown without a stack. */
class ToolchainError extends Error {
  /**
   * @param {string} what  what is missing
   * @param {string[]} tried  what was tried, with the reason it failed
   * @param {string[]} ways  what the user can do; any one of them helps
   */
  constructor(what, tried, ways) {
    const lines = [what];
    for (const attempt of tried) lines.push("  tried: " + attempt);
    if (ways.length > 0) lines.push("Any one of these helps:");
    ways.forEach((way, index) => lines.push("  " + (index + 1) + ". " + way));
    super(lines.join("\n"));
    this.name = "ToolchainError";
  }
}

module.exports = { ToolchainError };
