import { canonicalJson, sha256Hex } from "../json.ts";
import type { ApplicationBundle } from "./actions.ts";

/** `sha256:<hex>` of the constitution's text, as the network's attestation report states it. */
export function constitutionDigest(constitution: string): string {
  return `sha256:${sha256Hex(constitution)}`;
}

/**
 * `sha256:<hex>` of an application bundle in the form the attestation report states: modules sorted by name and
 * without a leading slash, keys sorted, two spaces of indentation, nothing escaped that JSON need not escape.
 */
export function applicationDigest(bundle: ApplicationBundle): string {
  const canonical: unknown = JSON.parse(
    canonicalJson({ metadata: { endpoints: bundle.metadata.endpoints }, modules: canonicalModules(bundle) }),
  );
  return `sha256:${sha256Hex(JSON.stringify(canonical, null, 2))}`;
}

/**
 * Whether what is installed does what `wanted` says. The network adds defaults to endpoint metadata, so a field that
 * `wanted` leaves out is not compared.
 */
export function isInstalled(wanted: ApplicationBundle, installed: ApplicationBundle): boolean {
  if (canonicalJson(canonicalModules(wanted)) !== canonicalJson(canonicalModules(installed))) return false;
  return (
    sameKeys(wanted.metadata.endpoints, installed.metadata.endpoints) &&
    Object.entries(wanted.metadata.endpoints).every(([path, methods]) =>
      sameMethods(methods, installed.metadata.endpoints[path]!),
    )
  );
}

function sameMethods(wanted: Readonly<Record<string, unknown>>, installed: Readonly<Record<string, unknown>>): boolean {
  return (
    sameKeys(wanted, installed) &&
    Object.entries(wanted).every(([method, value]) => isCoveredBy(value, installed[method]))
  );
}

function isCoveredBy(wanted: unknown, installed: unknown): boolean {
  if (!isRecord(wanted) || !isRecord(installed)) {
    return wanted !== undefined && installed !== undefined && canonicalJson(wanted) === canonicalJson(installed);
  }
  return Object.entries(wanted).every(([key, value]) => isCoveredBy(value, installed[key]));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function sameKeys(a: object, b: object): boolean {
  return canonicalJson(Object.keys(a).sort()) === canonicalJson(Object.keys(b).sort());
}

function canonicalModules(bundle: ApplicationBundle): { name: string; module: string }[] {
  return bundle.modules
    .map(({ name, module }) => ({ name: name.replace(/^\/+/, ""), module }))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
