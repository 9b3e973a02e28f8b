import { mappersOf } from "./mappers.ts";
import type { Mapper, Mappers } from "./mappers.ts";
import type { Failure } from "./provider.ts";
import { UNKNOWN, isObject } from "./values.ts";
import type { Args } from "./values.ts";

/** Which official model describes the inputs of a resource. */
export interface ModelReference {
  /** Package name without scope, e.g. `arm-storage`. */
  readonly client: string;
  /** Mapper name, e.g. `StorageAccountCreateParameters`. */
  readonly model: string;
  /** Inputs newer than the pinned model, by property path (`containers[].configMap`); passed unchecked. */
  readonly newer?: readonly string[];
  /** Inputs Azure requires although the model does not say so. */
  readonly required?: readonly string[];
  /** Values the service accepts where the model only says "string", by property path (`sku.name`, `containers[].x`). */
  readonly values?: Readonly<Record<string, readonly string[]>>;
}

interface Walk {
  readonly mappers: Mappers;
  readonly reference: ModelReference;
  readonly failures: Failure[];
}

/**
 * Checks inputs of an azure-native resource against the model Azure itself publishes: required properties, types, enumerations,
 * patterns, ranges and counts, and properties that do not exist. Parts that are unknown are not judged.
 * @param body inputs without those that only name the resource (they are part of the address, not of the body).
 */
export function checkModel(reference: ModelReference, body: Args): Failure[] {
  const mappers = mappersOf(reference.client);
  const mapper = mappers[reference.model];
  if (!mapper) throw new Error(`@azure/${reference.client} has no model ${reference.model}.`);
  const walk: Walk = { mappers, reference, failures: [] };
  checkComposite(walk, mapper, body, "");
  for (const property of reference.required ?? []) {
    if (valueAt(body, property) === undefined) missing(walk, property);
  }
  return walk.failures;
}

function check(walk: Walk, mapper: Mapper, value: unknown, path: string): void {
  if (value === UNKNOWN || value === undefined || value === null) return;
  const { name } = mapper.type;
  if (name === "Composite") return checkComposite(walk, mapper, value, path);
  if (name === "Sequence") return checkSequence(walk, mapper, value, path);
  if (name === "Dictionary") return checkDictionary(walk, mapper, value, path);
  const expected = expectation(mapper, value);
  if (expected) fail(walk, path, `must be ${expected}, not ${JSON.stringify(value)}`);
  checkConstraints(walk, mapper, value, path);
  const values = walk.reference.values?.[general(path)];
  if (values && !values.includes(value as string)) {
    fail(walk, path, `must be one of ${values.join(", ")}, not ${JSON.stringify(value)}`);
  }
}

function checkComposite(walk: Walk, mapper: Mapper, value: unknown, path: string): void {
  if (!isObject(value)) return fail(walk, path, "must be an object");
  const properties = propertiesOf(walk, mapper);
  const names = new Map<string, Mapper>();
  for (const [key, property] of Object.entries(properties)) {
    for (const name of inputNames(key, property)) names.set(name, property);
    const given = Object.keys(value).some((name) => inputNames(key, property).includes(name.toLowerCase()));
    if (property.required && !property.readOnly && !property.isConstant && !given && key !== "location") {
      missing(walk, join(path, key));
    }
  }
  for (const [key, item] of Object.entries(value)) {
    const property = names.get(key.toLowerCase());
    if (property) check(walk, property, item, join(path, key));
    else if (mapper.type.additionalProperties) check(walk, mapper.type.additionalProperties, item, join(path, key));
    else if (!walk.reference.newer?.includes(general(join(path, key))))
      fail(walk, join(path, key), `could not be found on '${mapper.type.className}'; check the spelling`);
  }
}

/** Flattened models have their own name for a property, or keep the last part of its place in the body; SDKs use either. */
function inputNames(key: string, property: Mapper): string[] {
  const wire = property.serializedName?.split(/(?<!\\)\./).at(-1) ?? key;
  return [key.toLowerCase(), wire.replaceAll("\\", "").toLowerCase()];
}

/** A reference to a model carries only its name; the table has its properties. */
function propertiesOf(walk: Walk, mapper: Mapper): Readonly<Record<string, Mapper>> {
  const { className, modelProperties } = mapper.type;
  return modelProperties ?? (className ? walk.mappers[className]?.type.modelProperties : undefined) ?? {};
}

function checkSequence(walk: Walk, mapper: Mapper, value: unknown, path: string): void {
  if (!Array.isArray(value)) return fail(walk, path, "must be an array");
  const { MaxItems } = mapper.constraints ?? {};
  if (MaxItems !== undefined && value.length > MaxItems) fail(walk, path, `must have at most ${MaxItems} items`);
  value.forEach((item, index) => check(walk, mapper.type.element!, item, `${path}[${index}]`));
}

/**
 * A map from resource ids (identities, say) may be given as a list of those ids: azure-native accepts both.
 */
function checkDictionary(walk: Walk, mapper: Mapper, value: unknown, path: string): void {
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return;
  if (!isObject(value)) return fail(walk, path, "must be an object");
  for (const [key, item] of Object.entries(value)) check(walk, mapper.type.value!, item, `${path}["${key}"]`);
}

/** What a scalar should have been; undefined when it is that. */
function expectation(mapper: Mapper, value: unknown): string | undefined {
  const { name, allowedValues } = mapper.type;
  if (name === "Enum") {
    return allowedValues!.includes(value) ? undefined : `one of ${allowedValues!.join(", ")}`;
  }
  if (name === "Boolean") return typeof value === "boolean" ? undefined : "true or false";
  if (name === "Number") return typeof value === "number" ? undefined : "a number";
  if (name === "Uuid") return typeof value === "string" && UUID.test(value) ? undefined : "a GUID";
  if (name === "any" || name === "Object") return undefined;
  return typeof value === "string" ? undefined : "a string";
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function checkConstraints(walk: Walk, mapper: Mapper, value: unknown, path: string): void {
  const { InclusiveMinimum, InclusiveMaximum, Pattern } = mapper.constraints ?? {};
  if (typeof value === "number") {
    if (InclusiveMinimum !== undefined && value < InclusiveMinimum)
      fail(walk, path, `must be at least ${InclusiveMinimum}`);
    if (InclusiveMaximum !== undefined && value > InclusiveMaximum)
      fail(walk, path, `must be at most ${InclusiveMaximum}`);
  }
  if (typeof value === "string") {
    if (Pattern && !new RegExp(Pattern.source, Pattern.flags).test(value))
      fail(walk, path, `must match ${Pattern.source}`);
  }
}

function missing(walk: Walk, path: string): void {
  if (walk.failures.some(({ property }) => property === path)) return;
  walk.failures.push({ property: path, reason: `missing required property '${path}'` });
}

function fail(walk: Walk, path: string, reason: string): void {
  walk.failures.push({ property: path, reason: `'${path}' ${reason}` });
}

function general(path: string): string {
  return path.replaceAll(/\[\d+\]/g, "[]");
}

function join(path: string, key: string): string {
  return path ? `${path}.${key}` : key;
}

function valueAt(value: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((current, key) => {
    if (current === UNKNOWN) return UNKNOWN;
    return isObject(current) ? current[key] : undefined;
  }, value);
}
