import { z } from "zod";
import { AwsError } from "../errors.ts";
import { CONDITION_OPERATORS, operatorOf } from "./conditions.ts";

/**
 * The JSON policy language, the part that S3 and IAM identity policies of this sandbox understand.
 * Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
 */
export interface Statement {
  readonly sid?: string;
  readonly effect: "Allow" | "Deny";
  /** Absent in identity policies. */
  readonly principals?: { readonly negated: boolean; readonly arns: readonly string[] };
  readonly actions: { readonly negated: boolean; readonly patterns: readonly string[] };
  readonly resources: { readonly negated: boolean; readonly patterns: readonly string[] };
  /** Operator → condition key → values. */
  readonly conditions: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}

export type Policy = readonly Statement[];

const MAX_BYTES = { identity: 2048, bucket: 20 * 1024 };

const list = z.union([z.string(), z.array(z.string()).min(1)]).transform((value) => [value].flat());
const scalars = z
  .union([z.string(), z.boolean(), z.number(), z.array(z.union([z.string(), z.boolean(), z.number()]))])
  .transform((value) => [value].flat().map(String));
const principal = z
  .union([z.literal("*"), z.strictObject({ AWS: list })])
  .transform((value) => (value === "*" ? ["*"] : value.AWS));

const statement = z.strictObject({
  Sid: z.string().optional(),
  Effect: z.enum(["Allow", "Deny"]),
  Principal: principal.optional(),
  NotPrincipal: principal.optional(),
  Action: list.optional(),
  NotAction: list.optional(),
  Resource: list.optional(),
  NotResource: list.optional(),
  Condition: z.record(z.string(), z.record(z.string(), scalars)).optional(),
});

const document = z.strictObject({
  Version: z.enum(["2012-10-17", "2008-10-17"]).optional(),
  Id: z.string().optional(),
  Statement: z.union([statement.transform((one) => [one]), z.array(statement).min(1)]),
});

/**
 * @param kind what the policy is attached to: a bucket policy names principals, an identity policy must not.
 * @throws {AwsError} 400 `MalformedPolicy` (S3) or `MalformedPolicyDocument` (IAM).
 */
export function parsePolicy(text: string, kind: "identity" | "bucket"): Policy {
  const malformed = (reason: string): AwsError =>
    kind === "bucket"
      ? new AwsError(400, "MalformedPolicy", reason)
      : new AwsError(400, "MalformedPolicyDocument", reason);
  if (Buffer.byteLength(text) > MAX_BYTES[kind]) throw malformed(`Policies may have ${MAX_BYTES[kind]} bytes.`);
  const parsed = document.safeParse(json(text, malformed));
  if (!parsed.success) throw malformed(`Syntax errors in policy: ${z.prettifyError(parsed.error)}`);
  return parsed.data.Statement.map((raw) => statementOf(raw, kind, malformed));
}

function json(text: string, malformed: (reason: string) => AwsError): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw malformed("The policy is not valid JSON.");
  }
}

function statementOf(
  raw: z.infer<typeof statement>,
  kind: "identity" | "bucket",
  malformed: (reason: string) => AwsError,
): Statement {
  const oneOf = (name: "Principal" | "Action" | "Resource"): { negated: boolean; patterns: string[] } => {
    const [plain, negated] = [raw[name], raw[`Not${name}`]];
    if ((plain === undefined) === (negated === undefined)) {
      throw malformed(`Every statement needs exactly one of ${name} and Not${name}.`);
    }
    return { negated: plain === undefined, patterns: plain ?? negated! };
  };
  if (kind === "identity" && (raw.Principal || raw.NotPrincipal)) {
    throw malformed("Policy document should not specify a principal.");
  }
  const conditions = raw.Condition ?? {};
  for (const operator of Object.keys(conditions)) {
    if (!operatorOf(operator)) {
      throw malformed(
        `The sandbox does not evaluate the condition operator ${operator}; it knows ${CONDITION_OPERATORS.join(", ")} and their …IfExists forms.`,
      );
    }
  }
  const actions = oneOf("Action");
  for (const action of actions.patterns) {
    if (!/^(\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$/.test(action)) throw malformed(`Policy has invalid action ${action}.`);
  }
  const resources = oneOf("Resource");
  for (const resource of resources.patterns) {
    if (resource !== "*" && !resource.startsWith("arn:")) {
      throw malformed(`Policy has invalid resource ${resource}: Resource must be in ARN format or "*".`);
    }
  }
  const named = kind === "bucket" ? oneOf("Principal") : undefined;
  return {
    ...(raw.Sid !== undefined && { sid: raw.Sid }),
    effect: raw.Effect,
    ...(named && { principals: { negated: named.negated, arns: named.patterns } }),
    actions,
    resources,
    conditions,
  };
}

/** The same policy in one spelling: AWS compares policies by what they mean, not by how they are written. */
export function canonicalPolicy(text: string): string {
  return JSON.stringify(canonical(JSON.parse(text)));
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(canonical);
    if (items.length === 1) return items[0];
    return items.every((item) => typeof item === "string") ? items.sort() : items;
  }
  if (typeof value !== "object" || value === null) return typeof value === "boolean" ? String(value) : value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, canonical(item)]),
  );
}
