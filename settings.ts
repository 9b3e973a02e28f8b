import { z } from "zod";
import { DATASET_FORMATS, ENCRYPTION_MODES, FIELD_TYPES, datasetProblems } from "./domain/dataset.ts";
import { UserError } from "./domain/errors.ts";
import type { ApplicationBundle } from "./domain/governance/actions.ts";
import { applicationDigest, constitutionDigest } from "./domain/governance/digests.ts";
import { DEFAULT_ATTESTATION_AUTHORITY } from "./domain/keys.ts";
import { parseQueryFile, type Segment } from "./domain/query.ts";

/** Where another organisation's handoff comes from. */
export type HandoffSource =
  | { readonly kind: "stack"; readonly stack: string }
  /** `value` is the document itself; `origin` names where it was found, for errors. */
  | { readonly kind: "document"; readonly value: unknown; readonly origin: string };

interface CommonSettings {
  readonly persona: string;
  /** First part of every document id, so that one consortium can serve several collaborations. */
  readonly collaboration: string;
  readonly location: string;
  /** Name of an existing resource group; a new one is made when absent. */
  readonly resourceGroup?: string;
  readonly tags: Readonly<Record<string, string>>;
}

/** A file and the digest (`sha256:<hex>`) its content had when the settings were read. */
export interface PinnedFile {
  readonly path: string;
  readonly digest: string;
}

export interface CollaboratorEntry {
  readonly name: string;
  readonly email: string;
  readonly source?: HandoffSource;
}

export interface OperatorSettings extends CommonSettings {
  readonly role: "operator";
  readonly contractId: string;
  readonly collaborators: readonly CollaboratorEntry[];
  /** Name of a storage account with a static website that already exists in `resourceGroup`. */
  readonly oidcStorageAccount?: string;
  /** A CCF network somebody else runs; this operator must already be a member of it. */
  readonly ccf?: {
    readonly endpoint: string;
    readonly serviceCertificate: string;
    readonly member: { readonly certificate: string; readonly privateKeyConfigKey: string };
  };
  /** The artifacts that make a CCF network a clean room governance service. */
  readonly governanceService: { readonly constitution: PinnedFile; readonly application: PinnedFile };
  /** Version of the clean room's agent: image, chart and therefore measurement. */
  readonly cleanRoomRelease: string;
}

export interface DatasetSettings {
  readonly name: string;
  readonly kind: "source" | "sink";
  /** Sources: folder with the files. */
  readonly path?: string;
  readonly store: "azureBlob" | "s3";
  readonly encryption: (typeof ENCRYPTION_MODES)[number];
  readonly format: (typeof DATASET_FORMATS)[number];
  readonly schema: readonly { readonly name: string; readonly type: (typeof FIELD_TYPES)[number] }[];
  readonly allowedFields: readonly string[];
  /** A value that does not parse as its type is an error instead of a warning. */
  readonly strict: boolean;
  /** CSE and CPK: raise it for a new data encryption key, with which everything is encrypted and published again. */
  readonly keyGeneration: number;
}

export interface QuerySettings {
  readonly name: string;
  readonly segments: readonly Segment[];
  /** View name → whose dataset. */
  readonly inputs: Readonly<Record<string, DatasetName>>;
  /** One of this stack's sinks. */
  readonly output: string;
}

export interface DatasetName {
  readonly owner: string;
  readonly dataset: string;
}

export interface RunSettings {
  readonly query: string;
  readonly id: string;
  /** yyyy-MM-dd, both or none. */
  readonly from?: string;
  readonly to?: string;
}

export interface CollaboratorSettings extends CommonSettings {
  readonly role: "collaborator";
  readonly email: string;
  /** Attestation service whose tokens release this organisation's keys. */
  readonly attestationAuthority: string;
  readonly operator: HandoffSource;
  readonly collaborators: Readonly<Record<string, HandoffSource>>;
  readonly datasets: readonly DatasetSettings[];
  readonly queries: readonly QuerySettings[];
  /** `owner/query` → digest that was reviewed. */
  readonly approvals: Readonly<Record<string, string>>;
  readonly runs: readonly RunSettings[];
}

export type Settings = OperatorSettings | CollaboratorSettings;

/** How settings look at files; errors name the config key. */
export interface SettingsFiles {
  /** @throws when the file cannot be read. */
  read(path: string): string;
}

const NAMESPACE = "cleanroom";
/** The release this program was written for. */
const CLEAN_ROOM_RELEASE = "8.0.0";
const KNOWN_PERSONAS: Readonly<Record<string, "operator" | "collaborator">> = {
  operator: "operator",
  northwind: "collaborator",
  woodgrove: "collaborator",
};

const name = z
  .string()
  .regex(
    /^[a-z][a-z0-9-]{0,30}[a-z0-9]$/,
    "expected 2 to 32 lower-case letters, digits and dashes, starting with a letter",
  );
const email = z.email("expected an e-mail address");
const date = z.iso.date("expected a date yyyy-MM-dd");
const digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, "expected sha256: and 64 hex digits, as shown under pendingApprovals");
const qualified = z.string().regex(/^[a-z][a-z0-9-]*\/[a-z][a-z0-9-]*$/, "expected owner/name");

const handoffSource = z.union(
  [
    z.string().min(1),
    z.strictObject({ stack: z.string().min(1) }),
    z.strictObject({ handoff: z.union([z.string().min(1), z.record(z.string(), z.unknown())]) }),
  ],
  "expected the name of a stack, {stack: name} or {handoff: file}",
);

const dataset = z.strictObject({
  name,
  kind: z.enum(["source", "sink"]),
  path: z.string().min(1).optional(),
  store: z.enum(["azureBlob", "s3"]).default("azureBlob"),
  encryption: z.enum(ENCRYPTION_MODES),
  format: z.enum(DATASET_FORMATS).default("csv"),
  schema: z.array(z.strictObject({ name: z.string().min(1), type: z.enum(FIELD_TYPES) })),
  allowedFields: z.array(z.string()),
  strict: z.boolean().default(false),
  keyGeneration: z.int("expected a whole number").min(0, "expected 0 or more").default(0),
});

const run = z
  .strictObject({ query: name, id: name, from: date.optional(), to: date.optional() })
  .refine((value) => (value.from === undefined) === (value.to === undefined), "from and to go together")
  .refine((value) => !value.from || !value.to || value.from <= value.to, "from lies after to");

const common = {
  persona: name,
  role: z.enum(["operator", "collaborator"]).optional(),
  collaboration: name.default("analytics"),
  location: z.string().min(1).default("westeurope"),
  resourceGroup: z.string().min(1).optional(),
  tags: z.record(z.string(), z.string()).default({}),
};

/** Keys of an operator's stack. */
export const operatorSchema = z.object({
  ...common,
  contractId: name.default("analytics"),
  collaborators: z.array(
    z.strictObject({ name, email, stack: z.string().optional(), handoff: z.unknown().optional() }),
  ),
  oidcStorageAccount: z.string().optional(),
  ccf: z
    .strictObject({
      endpoint: z.url({ protocol: /^https$/, error: "expected https://host[:port]" }),
      serviceCertificate: z.string().min(1),
      member: z.strictObject({ certificate: z.string().min(1) }),
    })
    .optional(),
  governanceService: z.strictObject({ constitution: z.string().min(1), application: z.string().min(1) }),
  cleanRoomRelease: z
    .string()
    .regex(/^\d+\.\d+\.\d+$/, "expected a version such as 8.0.0, quoted")
    .default(CLEAN_ROOM_RELEASE),
  /** PEM, secret; only its presence is looked at here. */
  memberKey: z.string().optional(),
});

/** Keys of a collaborator's stack. */
export const collaboratorSchema = z.object({
  ...common,
  email,
  attestationAuthority: z.url({ protocol: /^https$/ }).default(DEFAULT_ATTESTATION_AUTHORITY),
  operator: handoffSource,
  collaborators: z
    .array(z.strictObject({ name, stack: z.string().optional(), handoff: z.unknown().optional() }))
    .default([]),
  datasets: z.array(dataset).default([]),
  queries: z
    .array(z.strictObject({ name, file: z.string().min(1), inputs: z.record(z.string(), qualified), output: name }))
    .default([]),
  approvals: z.record(qualified, digest).default({}),
  runs: z.array(run).default([]),
});

/**
 * Turns a stack's configuration into one validated, frozen value.
 * @param config every config value of the stack by full key (`cleanroom:email`); structured values as JSON text.
 * @throws UserError that lists every problem, each by its config key.
 */
export function parseSettings(config: Readonly<Record<string, string>>, files: SettingsFiles): Settings {
  const values = ownValues(config);
  const problems: string[] = [];
  const role = roleOf(values, problems);
  if (!role) throw invalid(problems);
  const schema: z.ZodType = role === "operator" ? operatorSchema : collaboratorSchema;
  const known = Object.keys(role === "operator" ? operatorSchema.shape : collaboratorSchema.shape);
  for (const key of Object.keys(values)) {
    if (!known.includes(key))
      problems.push(
        `${NAMESPACE}:${key} is not a key of a stack with role ${role}; known are ${known.sort().join(", ")}`,
      );
  }
  const result = schema.safeParse(values);
  if (!result.success) problems.push(...result.error.issues.flatMap((issue) => describeIssue(issue, values)));
  if (!result.success) throw invalid(problems);
  const context = { files, problems };
  const settings =
    role === "operator"
      ? operatorSettings(result.data as z.infer<typeof operatorSchema>, context)
      : collaboratorSettings(result.data as z.infer<typeof collaboratorSchema>, context);
  if (problems.length > 0) throw invalid(problems);
  return deepFreeze(settings);
}

interface Context {
  readonly files: SettingsFiles;
  readonly problems: string[];
}

function operatorSettings(values: z.infer<typeof operatorSchema>, context: Context): OperatorSettings {
  const { role: _role, collaborators, ccf, governanceService, memberKey, ...rest } = values;
  reportRepeated("collaborators", collaborators, context);
  if (rest.oidcStorageAccount && !rest.resourceGroup) {
    context.problems.push(
      `${NAMESPACE}:oidcStorageAccount needs ${NAMESPACE}:resourceGroup: the account is looked up there`,
    );
  }
  if (ccf && memberKey === undefined) {
    context.problems.push(
      `${NAMESPACE}:ccf needs ${NAMESPACE}:memberKey: set the private key of ccf.member as a secret (pulumi config set --secret ${NAMESPACE}:memberKey)`,
    );
  }
  return {
    role: "operator",
    ...rest,
    collaborators: collaborators.map((entry, index) => ({
      name: entry.name,
      email: entry.email,
      ...optional("source", optionalSource(`collaborators[${index}]`, entry, context)),
    })),
    ...optional(
      "ccf",
      ccf && {
        endpoint: ccf.endpoint,
        serviceCertificate: readPem("ccf.serviceCertificate", ccf.serviceCertificate, context),
        member: {
          certificate: readPem("ccf.member.certificate", ccf.member.certificate, context),
          privateKeyConfigKey: `${NAMESPACE}:memberKey`,
        },
      },
    ),
    governanceService: {
      constitution: pinFile(
        "governanceService.constitution",
        governanceService.constitution,
        constitutionDigest,
        context,
      ),
      application: pinFile("governanceService.application", governanceService.application, bundleDigest, context),
    },
  };
}

function collaboratorSettings(values: z.infer<typeof collaboratorSchema>, context: Context): CollaboratorSettings {
  const { role: _role, operator, collaborators, datasets, queries, ...rest } = values;
  for (const [key, list] of Object.entries({ collaborators, datasets, queries })) reportRepeated(key, list, context);
  datasets.forEach((entry, index) => checkDataset(`datasets[${index}]`, entry, context));
  const settings: CollaboratorSettings = {
    role: "collaborator",
    ...rest,
    operator: source("operator", operator, context),
    collaborators: Object.fromEntries(
      collaborators.flatMap((entry, index) => {
        const from = optionalSource(`collaborators[${index}]`, entry, context);
        return from ? [[entry.name, from]] : [];
      }),
    ),
    datasets,
    queries: queries.map((query, index) => ({
      name: query.name,
      segments: readQuery(`queries[${index}].file`, query.file, context),
      inputs: Object.fromEntries(Object.entries(query.inputs).map(([view, target]) => [view, datasetName(target)])),
      output: query.output,
    })),
  };
  checkReferences(settings, context);
  return settings;
}

function checkDataset(key: string, entry: z.infer<typeof dataset>, { problems }: Context): void {
  for (const problem of datasetProblems({
    ...entry,
    fields: entry.schema,
    store: { type: entry.store === "s3" ? "Aws_S3" : "Azure_BlobStorage" },
  })) {
    problems.push(`${NAMESPACE}:${key}: ${problem}`);
  }
  if (entry.kind === "source" && entry.path === undefined)
    problems.push(`${NAMESPACE}:${key}.path is missing: a source needs the folder with its files`);
  if (entry.kind === "sink" && entry.path !== undefined)
    problems.push(`${NAMESPACE}:${key}.path: a sink has no files of its own; remove it`);
  if (entry.encryption === "SSE" && entry.keyGeneration > 0)
    problems.push(
      `${NAMESPACE}:${key}.keyGeneration: encryption SSE has no key of this organisation; remove it, or choose CSE or CPK`,
    );
}

function checkReferences(settings: CollaboratorSettings, { problems }: Context): void {
  const own = new Map(settings.datasets.map((entry) => [entry.name, entry]));
  settings.queries.forEach((query, index) => {
    const key = `${NAMESPACE}:queries[${index}]`;
    if (Object.keys(query.inputs).length === 0)
      problems.push(`${key}.inputs is empty: name at least one view and its dataset (view: owner/dataset)`);
    if (own.get(query.output)?.kind !== "sink")
      problems.push(`${key}.output: ${query.output} is not a sink of this stack`);
    for (const [view, target] of Object.entries(query.inputs)) {
      if (target.owner === settings.persona) {
        if (own.get(target.dataset)?.kind !== "source")
          problems.push(`${key}.inputs.${view}: ${target.dataset} is not a source of this stack`);
      } else if (!settings.collaborators[target.owner]) {
        problems.push(
          `${key}.inputs.${view}: nothing is known of ${target.owner}; add it to ${NAMESPACE}:collaborators with its stack or handoff`,
        );
      }
    }
  });
  settings.runs.forEach((entry, index) => {
    if (!settings.queries.some((query) => query.name === entry.query)) {
      problems.push(
        `${NAMESPACE}:runs[${index}].query: ${entry.query} is not a query of this stack (${settings.queries.map((query) => query.name).join(", ") || "it has none"})`,
      );
    }
  });
  const ids = settings.runs.map((entry) => entry.id);
  for (const id of new Set(ids.filter((entry, index) => ids.indexOf(entry) !== index))) {
    problems.push(
      `${NAMESPACE}:runs uses the id ${id} more than once: the clean room runs an id once, whatever the query`,
    );
  }
  for (const reference of Object.keys(settings.approvals)) {
    const owner = reference.split("/")[0]!;
    if (owner !== settings.persona && !settings.collaborators[owner]) {
      problems.push(
        `${NAMESPACE}:approvals.${reference}: nothing is known of ${owner}; add it to ${NAMESPACE}:collaborators with its stack or handoff`,
      );
    }
  }
}

function ownValues(config: Readonly<Record<string, string>>): Record<string, unknown> {
  const prefix = `${NAMESPACE}:`;
  return Object.fromEntries(
    Object.entries(config)
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, text]) => [key.slice(prefix.length), structured(text)]),
  );
}

/** Pulumi hands over lists and objects as JSON text, and scalars as they were written. */
function structured(text: string): unknown {
  if (text === "true" || text === "false") return text === "true";
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function roleOf(values: Record<string, unknown>, problems: string[]): "operator" | "collaborator" | undefined {
  const { persona, role } = values;
  if (role === "operator" || role === "collaborator") return role;
  if (typeof persona === "string" && KNOWN_PERSONAS[persona]) return KNOWN_PERSONAS[persona];
  problems.push(
    persona === undefined
      ? `${NAMESPACE}:persona is missing; set it with: pulumi config set ${NAMESPACE}:persona <${Object.keys(KNOWN_PERSONAS).join("|")}>`
      : `${NAMESPACE}:persona ${JSON.stringify(persona)} is unknown; expected one of ${Object.keys(KNOWN_PERSONAS).join(", ")}, or any name together with ${NAMESPACE}:role operator|collaborator`,
  );
  return undefined;
}

function source(key: string, value: z.infer<typeof handoffSource>, context: Context): HandoffSource {
  if (typeof value === "string") return { kind: "stack", stack: value };
  if ("stack" in value) return { kind: "stack", stack: value.stack };
  const { handoff } = value;
  if (typeof handoff !== "string") return { kind: "document", value: handoff, origin: `${NAMESPACE}:${key}.handoff` };
  const text = readFile(`${key}.handoff`, handoff, context);
  try {
    return { kind: "document", value: JSON.parse(text || "null"), origin: `${NAMESPACE}:${key}.handoff (${handoff})` };
  } catch {
    context.problems.push(`${NAMESPACE}:${key}.handoff: ${handoff} is not JSON`);
    return { kind: "document", value: undefined, origin: handoff };
  }
}

function optionalSource(
  key: string,
  entry: { stack?: string | undefined; handoff?: unknown },
  context: Context,
): HandoffSource | undefined {
  if (entry.stack !== undefined && entry.handoff !== undefined) {
    context.problems.push(`${NAMESPACE}:${key} has both stack and handoff; keep one`);
  }
  if (entry.stack !== undefined) return { kind: "stack", stack: entry.stack };
  if (entry.handoff === undefined) return undefined;
  return source(key, { handoff: entry.handoff as string | Record<string, unknown> }, context);
}

function readQuery(key: string, file: string, context: Context): readonly Segment[] {
  const text = readFile(key, file, context);
  if (!text) return [];
  try {
    return parseQueryFile(file, text);
  } catch (error) {
    context.problems.push(`${NAMESPACE}:${key}: ${(error as Error).message}`);
    return [];
  }
}

function pinFile(key: string, path: string, digestOfText: (text: string) => string, context: Context): PinnedFile {
  const text = readFile(key, path, context);
  try {
    return { path, digest: text && digestOfText(text) };
  } catch (error) {
    context.problems.push(`${NAMESPACE}:${key}: ${path} is not what it should be: ${(error as Error).message}`);
    return { path, digest: "" };
  }
}

function bundleDigest(text: string): string {
  return applicationDigest(JSON.parse(text) as ApplicationBundle);
}

function readPem(key: string, value: string, context: Context): string {
  const text = value.startsWith("-----BEGIN") ? value : readFile(key, value, context);
  if (text && !text.includes("-----BEGIN CERTIFICATE-----"))
    context.problems.push(`${NAMESPACE}:${key}: expected a PEM certificate or a file with one`);
  return text;
}

function readFile(key: string, path: string, { files, problems }: Context): string {
  try {
    return files.read(path);
  } catch {
    problems.push(`${NAMESPACE}:${key}: file ${path} cannot be read; paths are relative to the project folder`);
    return "";
  }
}

function datasetName(reference: string): DatasetName {
  const [owner, entry] = reference.split("/") as [string, string];
  return { owner, dataset: entry };
}

function reportRepeated(key: string, list: readonly { name: string }[], { problems }: Context): void {
  const names = list.map((entry) => entry.name);
  const repeated = new Set(names.filter((entry, index) => names.indexOf(entry) !== index));
  for (const entry of repeated) problems.push(`${NAMESPACE}:${key} names ${entry} more than once`);
}

function describeIssue(issue: z.core.$ZodIssue, values: unknown): string[] {
  const path = issue.path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  const key = `${NAMESPACE}:${path.replace(/^\./, "")}`;
  if (issue.code === "unrecognized_keys") return issue.keys.map((unknown) => `${key}.${unknown} is not a known key`);
  if (issue.code === "invalid_key") return issue.issues.map(({ message }) => `${key}: ${message}`);
  const expected = issue.message.replace(/^Invalid input: /, "").replace(/, received undefined$/, "");
  const isMissing =
    issue.path.reduce<unknown>((value, part) => (value as Record<PropertyKey, unknown> | undefined)?.[part], values) ===
    undefined;
  return [isMissing ? `${key} is missing: ${expected}` : `${key}: ${expected}`];
}

function invalid(problems: readonly string[]): UserError {
  return new UserError(
    `The configuration of this stack has ${problems.length === 1 ? "a problem" : `${problems.length} problems`}:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`,
  );
}

function optional<K extends string, V>(key: K, value: V | undefined): { [key in K]?: V } {
  return (value === undefined ? {} : { [key]: value }) as { [key in K]?: V };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
