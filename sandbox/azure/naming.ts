import { createHash, randomBytes } from "node:crypto";
import { guidOf } from "./guids.ts";
import type { Failure } from "./provider.ts";
import type { NameRule } from "./resource-type.ts";

const SUFFIX_LENGTH = 8;

/**
 * The name azure-native makes up for a resource the program gives none: the resource's name in the program and eight hexadecimal
 * digits, made of the characters and cut to the length Azure accepts.
 * @param seed what the engine sends so that a plan and its execution agree; random when empty.
 */
export function automaticName(rule: NameRule, resource: string, seed: Uint8Array): string {
  const source = seed.length > 0 ? seed : randomBytes(32);
  const digest = createHash("sha256").update(source).update(resource).digest("hex");
  if (rule.style === "guid") return guidOf(digest);
  return shape(rule, resource).slice(0, rule.maxLength - SUFFIX_LENGTH) + digest.slice(0, SUFFIX_LENGTH);
}

function shape(rule: NameRule, resource: string): string {
  if (rule.style === "lowerAlphanumeric") return resource.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  if (rule.style === "alphanumeric") return resource.replaceAll(/[^A-Za-z0-9]/g, "");
  return resource;
}

export function checkName(rule: NameRule, name: unknown): Failure[] {
  if (typeof name === "string" && rule.pattern.test(name)) return [];
  return [{ property: rule.input, reason: `'${rule.input}' must be ${rule.rule}, not ${JSON.stringify(name)}` }];
}
