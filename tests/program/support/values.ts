/** Helpers over property values as the SDK sends them: JSON with markers around what is secret. */
export type Values = Record<string, unknown>;

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";

export function isSecret(value: unknown): value is { value: unknown } {
  return isObject(value) && value[SIGNATURE] === SECRET;
}

export function asSecret(value: unknown): Values {
  return { [SIGNATURE]: SECRET, value };
}

/** The same value without secret markers. */
export function plain<T>(value: T): T {
  return mapSecrets(value, (inner) => inner) as T;
}

/** The same value with everything secret taken out. */
export function withoutSecrets(value: unknown): unknown {
  return mapSecrets(value, () => undefined);
}

function mapSecrets(value: unknown, change: (inner: unknown) => unknown): unknown {
  if (isSecret(value)) return mapSecrets(change(value.value), change);
  if (Array.isArray(value)) return value.map((item) => mapSecrets(item, change));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapSecrets(item, change)]));
}

export function isObject(value: unknown): value is Values {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Not `structuredClone`: its lists are none to a module that jest has loaded. */
export function copy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
