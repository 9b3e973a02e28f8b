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

/**
 * What an action sets, whatever it sets it to: of two open proposals with one target, the one accepted last wins.
 */
export function actionTarget({ name, args }: GovernanceAction): string {
  const values = (args ?? {}) as Record<string, unknown>;
  const key = TARGET_ARGUMENTS.map((argument) => values[argument]).find((value) => typeof value === "string");
  return digestOf([name, key ?? null]);
}

const TARGET_ARGUMENTS = [
  "contractId",
  "documentId",
  "invitationId",
  "id",
  "member_id",
  "issuer",
  "name",
  "option",
  "cert",
];

/** The actions as a person reads them: one heading an action, then its arguments. */
export function renderActions(actions: readonly GovernanceAction[]): string {
  return actions
    .map(({ name, args }, index) => {
      const lines = renderValue(args ?? {}, 1);
      return [`${index + 1}. ${visible(name)}`, ...lines].join("\n");
    })
    .join("\n");
}

function renderValue(value: unknown, depth: number): string[] {
  if (typeof value !== "object" || value === null) return [`${indent(depth)}${renderScalar(value, depth)}`];
  return Object.entries(value).flatMap(([key, member]) => {
    const label = Array.isArray(value) ? "-" : `${visible(key)}:`;
    const isLeaf = typeof member !== "object" || member === null || Object.keys(member).length === 0;
    if (!isLeaf) return [`${indent(depth)}${label}`, ...renderValue(member, depth + 1)];
    const text =
      typeof member === "object" && member !== null
        ? Array.isArray(member)
          ? "[]"
          : "{}"
        : renderScalar(member, depth);
    return [`${indent(depth)}${label} ${text}`];
  });
}

function renderScalar(value: unknown, depth: number): string {
  if (typeof value !== "string") return JSON.stringify(value) ?? "";
  if (value.length > LONGEST_SHOWN_TEXT) return `${value.length} characters, ${digestOf(value)}`;
  if (!value.includes("\n")) return visible(value);
  return value
    .trimEnd()
    .split("\n")
    .map((line) => `\n${indent(depth + 1)}${visible(line)}`)
    .join("");
}

/** A proposer must not be able to move the cursor, recolour or reorder what the reviewer sees. */
function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

const indent = (depth: number): string => "   ".repeat(depth);
