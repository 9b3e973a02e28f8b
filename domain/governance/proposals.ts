import { digestOf } from "../json.ts";
import type { GovernanceAction } from "./actions.ts";

/** Texts longer than this (constitutions, applications) are shown by length and digest, not in full. */
const LONGEST_SHOWN_TEXT = 400;

/**
 * `sha256:<hex>` over the canonical JSON of a proposal's actions, in their order: what a member pins before voting.
 * Two proposals with one digest do the same thing.
 */
export function actionsDigest(actions: readonly GovernanceAction[]): string {
  return digestOf(actions.map(({ name, args }) => ({ name, args: args ?? {} })));
}

/** The actions as a person reads them: one heading an action, then its arguments. */
export function renderActions(actions: readonly GovernanceAction[]): string {
  return actions
    .map(({ name, args }, index) => {
      const lines = renderValue(args ?? {}, 1);
      return [`${index + 1}. ${name}`, ...lines].join("\n");
    })
    .join("\n");
}

function renderValue(value: unknown, depth: number): string[] {
  if (typeof value !== "object" || value === null) return [`${indent(depth)}${renderScalar(value, depth)}`];
  return Object.entries(value).flatMap(([key, member]) => {
    const label = Array.isArray(value) ? "-" : `${key}:`;
    const isLeaf = typeof member !== "object" || member === null || Object.keys(member).length === 0;
    if (!isLeaf) return [`${indent(depth)}${label}`, ...renderValue(member, depth + 1)];
    const text = typeof member === "object" && member !== null ? (Array.isArray(member) ? "[]" : "{}") : renderScalar(member, depth);
    return [`${indent(depth)}${label} ${text}`];
  });
}

function renderScalar(value: unknown, depth: number): string {
  if (typeof value !== "string") return JSON.stringify(value) ?? "";
  if (value.length > LONGEST_SHOWN_TEXT) return `${value.length} characters, ${digestOf(value)}`;
  if (!value.includes("\n")) return value;
  return value
    .trimEnd()
    .split("\n")
    .map((line) => `\n${indent(depth + 1)}${line}`)
    .join("");
}

const indent = (depth: number): string => "   ".repeat(depth);
