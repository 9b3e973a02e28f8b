import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import vm from "node:vm";

/** The part of a `@azure/core-client` mapper that says what a valid value is. */
export interface Mapper {
  /** Path of the property in the ARM body, e.g. `properties.osType`; a dot inside a name is written `\\.`. */
  readonly serializedName?: string;
  readonly required?: boolean;
  readonly readOnly?: boolean;
  readonly isConstant?: boolean;
  readonly constraints?: {
    readonly InclusiveMinimum?: number;
    readonly InclusiveMaximum?: number;
    readonly MaxItems?: number;
    readonly Pattern?: RegExp;
  };
  readonly type: {
    readonly name: string;
    readonly className?: string;
    readonly modelProperties?: Readonly<Record<string, Mapper>>;
    readonly additionalProperties?: Mapper;
    readonly element?: Mapper;
    readonly value?: Mapper;
    readonly allowedValues?: readonly unknown[];
  };
}

export type Mappers = Readonly<Record<string, Mapper>>;

/** Where the generated clients keep their tables; two of them ship no other form than this. */
const LOCATIONS = ["dist/esm/models/mappers.js", "dist-esm/src/models/mappers.js"];
const loaded = new Map<string, Mappers>();

/**
 * Tables of the official Azure management clients (generated from the published REST API specifications).
 * The packages do not export them, so the file, which holds nothing but constants, is evaluated on its own.
 * @param client package name without scope, e.g. `arm-storage`.
 * @throws when the package is not installed or has no tables (its newest major version has none).
 */
export function mappersOf(client: string): Mappers {
  let mappers = loaded.get(client);
  if (!mappers) {
    mappers = evaluate(fs.readFileSync(locate(client), "utf8"));
    loaded.set(client, mappers);
  }
  return mappers;
}

function locate(client: string): string {
  const entry = createRequire(import.meta.url).resolve(`@azure/${client}`);
  const root = entry.slice(0, entry.lastIndexOf(`${client}${path.sep}`) + client.length);
  const file = LOCATIONS.map((location) => path.join(root, location)).find((candidate) => fs.existsSync(candidate));
  if (!file) throw new Error(`@azure/${client} has no model tables; install the version package.json names.`);
  return file;
}

function evaluate(source: string): Mappers {
  const names = [...source.matchAll(/^export (?:const|let) (\w+) =/gm)].map((match) => match[1]);
  const script = source.replaceAll(/^export /gm, "").replaceAll(/^import .*$/gm, "");
  return vm.runInNewContext(`${script}\n;({ ${names.join(", ")} })`) as Mappers;
}
