import { isObject, plain } from "./values.ts";
import type { Args } from "./values.ts";

export type ChangeKind = "add" | "update" | "delete";

export interface Change {
  readonly kind: ChangeKind;
  readonly replace: boolean;
}

/**
 * What differs between two sets of inputs, by property path (`containers[0].image`), in the way azure-native reports it:
 * a change at or below one of `replaceOn` (written with `[]` for any element: `containers[].image`) forces a replacement,
 * capitals and spaces in a `location` do not matter, secret markers neither, an unknown value differs from any other.
 */
export function detailedDiff(olds: Args, news: Args, replaceOn: readonly string[]): Record<string, Change> {
  const changes: Record<string, Change> = {};
  const report = (path: string, kind: ChangeKind): void => {
    changes[path] = { kind, replace: replaceOn.some((pattern) => isAtOrBelow(path, pattern)) };
  };
  compare(withoutLocationStyle(plain(olds) as Args), withoutLocationStyle(plain(news) as Args), "", report);
  return changes;
}

/** `West Europe` and `westeurope` name the same region. */
export function normalizedLocation(location: string): string {
  return location.replaceAll(" ", "").toLowerCase();
}

function withoutLocationStyle(args: Args): Args {
  return typeof args.location === "string" ? { ...args, location: normalizedLocation(args.location) } : args;
}

function compare(old: unknown, now: unknown, path: string, report: (path: string, kind: ChangeKind) => void): void {
  if (old === undefined && now === undefined) return;
  if (old === undefined) return report(path, "add");
  if (now === undefined) return report(path, "delete");
  if (Array.isArray(old) && Array.isArray(now)) {
    for (let index = 0; index < Math.max(old.length, now.length); index++) {
      compare(old[index], now[index], `${path}[${index}]`, report);
    }
  } else if (isObject(old) && isObject(now)) {
    for (const key of new Set([...Object.keys(old), ...Object.keys(now)])) {
      compare(old[key], now[key], propertyPath(path, key), report);
    }
  } else if (old !== now) {
    report(path, "update");
  }
}

/** Keys that are not identifiers (tags, say) are quoted, as the engine's property paths want it. */
function propertyPath(parent: string, key: string): string {
  if (!/^[A-Za-z_$][\w$]*$/.test(key)) return `${parent}["${key.replaceAll('"', '\\"')}"]`;
  return parent ? `${parent}.${key}` : key;
}

function isAtOrBelow(path: string, pattern: string): boolean {
  const general = path.replaceAll(/\[\d+\]/g, "[]");
  return general === pattern || general.startsWith(`${pattern}.`) || general.startsWith(`${pattern}[`);
}
