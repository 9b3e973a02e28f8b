import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export interface AppBundle {
  readonly metadata: { readonly endpoints: Readonly<Record<string, Readonly<Record<string, EndpointMetadata>>>> };
  readonly modules: readonly { readonly name: string; readonly module: string }[];
}

export interface EndpointMetadata {
  readonly js_module: string;
  readonly js_function: string;
  readonly authn_policies: readonly string[];
  readonly forwarding_required: string;
  readonly mode: string;
  readonly openapi: object;
}

const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), "..", "artifacts");

/** The constitution text whose rules are built into the sandbox. */
export const cgsConstitution = (): string => fs.readFileSync(path.join(folder, "constitution.js"), "utf8");

/** The application bundle whose handlers are built into the sandbox. */
export const cgsApp = (): AppBundle => JSON.parse(fs.readFileSync(path.join(folder, "app.json"), "utf8")) as AppBundle;

export const sha256 = (bytes: string | Uint8Array): string => crypto.createHash("sha256").update(bytes).digest("hex");

export const constitutionDigest = (text: string): string => `sha256:${sha256(text)}`;

/**
 * Digest of a bundle as `cgs-client` computes it: `{"metadata":{"endpoints"},"modules":[{"name","module"}]}`, modules
 * sorted by name without a leading slash, keys sorted, indented by two, UTF-8.
 */
export function bundleDigest(bundle: {
  metadata: { endpoints: object };
  modules: readonly { name: string; module: string }[];
}): string {
  const modules = bundle.modules
    .map(({ name, module }) => ({ name: name.replace(/^\//, ""), module }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const canonical = sortKeys({ metadata: { endpoints: bundle.metadata.endpoints }, modules });
  return `sha256:${sha256(JSON.stringify(canonical, undefined, 2))}`;
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sortKeys(item)]),
  );
}
