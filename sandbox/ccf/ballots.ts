import vm from "node:vm";

/** The two texts every CGS client sends; recognised without running anything. */
const CONSTANT_BALLOTS: Readonly<Record<string, boolean>> = {
  "export function vote (proposal, proposerId) { return true }": true,
  "export function vote (proposal, proposerId) { return false }": false,
};
const TIME_LIMIT_MS = 100;

/**
 * Runs a member's ballot: an ES module exporting `vote(proposal, proposerId)`.
 * Other than the two fixed texts it runs in an empty context with a time limit; that keeps mistakes away from the
 * sandbox, it is no defence against an attacker.
 * @throws what the ballot throws, or when it exports no `vote`.
 */
export function evaluateBallot(source: string, proposal: string, proposerId: string): boolean {
  const constant = CONSTANT_BALLOTS[source];
  if (constant !== undefined) return constant;
  const script = `"use strict";\n${source.replace(/^\s*export\s+(?=(?:async\s+)?function\b|const\b|let\b|var\b)/gm, "")}\n;vote(proposal, proposerId)`;
  const context = vm.createContext(Object.assign(Object.create(null), { proposal, proposerId }), {
    codeGeneration: { strings: false, wasm: false },
    microtaskMode: "afterEvaluate",
  });
  const result: unknown = vm.runInContext(script, context, { timeout: TIME_LIMIT_MS });
  return result === true;
}
