/** What the engine puts in place of a value it does not know yet, whatever its type. */
const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** Whether a value is, or holds anywhere, something that is only known after `up`. */
export function hasUnknown(value: unknown): boolean {
  if (value === UNKNOWN) return true;
  if (Array.isArray(value)) return value.some(hasUnknown);
  if (typeof value === "object" && value !== null) return Object.values(value).some(hasUnknown);
  return false;
}

/**
 * The form in which properties may cross to the engine. What protobuf would refuse or silently change (undefined in
 * arrays, Buffer, Date, Map, bigint, NaN, integers beyond 2^53) is an error here, at the place that made it: the engine
 * would otherwise lose a resource that already exists.
 */
export function toWire<T extends object>(properties: T): T {
  return convert(properties, "") as T;
}

function convert(value: unknown, path: string): unknown {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER) return value;
  if (Array.isArray(value)) return Array.from(value, (item, index) => convert(item, `${path}[${index}]`));
  if (typeof value === "object" && isRecord(value)) {
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, member]) => member !== undefined)
        .map(([key, member]) => [key, convert(member, path ? `${path}.${key}` : key)]),
    );
  }
  throw new TypeError(`${path || "properties"} holds a ${describe(value)}, which cannot be stored in the state`);
}

function isRecord(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function describe(value: unknown): string {
  if (typeof value === "object" && value !== null) return value.constructor?.name ?? "object";
  return typeof value === "number" ? `number ${value}` : typeof value;
}
