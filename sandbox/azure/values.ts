import structpb from "google-protobuf/google/protobuf/struct_pb.js";

/**
 * Property values as the Pulumi engine sends them: JSON, plus two markers inside it.
 * Source: pulumi/pulumi, sdk/go/common/resource/plugin/rpc.go and sdk/nodejs/runtime/rpc.ts.
 */
export type Args = Record<string, unknown>;

/** Stands for any value that is not known yet (preview only). */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";

export function isObject(value: unknown): value is Args {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isSecret(value: unknown): value is { value: unknown } {
  return isObject(value) && value[SIGNATURE] === SECRET;
}

export function secret(value: unknown): Args {
  return { [SIGNATURE]: SECRET, value };
}

/** Whether the value, or any part of it, is unknown. */
export function hasUnknown(value: unknown): boolean {
  if (value === UNKNOWN) return true;
  if (Array.isArray(value)) return value.some(hasUnknown);
  return isObject(value) && Object.values(value).some(hasUnknown);
}

/** The same value without secret markers; properties that are null are left out, as Azure does. */
export function plain(value: unknown): unknown {
  if (isSecret(value)) return plain(value.value);
  if (Array.isArray(value)) return value.map(plain);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== undefined && item !== null)
      .map(([key, item]) => [key, plain(item)]),
  );
}

export function plainArgs(value: Args): Args {
  return plain(value) as Args;
}

/** Marks in `value` what is secret at the same place in `like`. */
export function withSecretsOf(value: unknown, like: unknown): unknown {
  if (isSecret(like)) return value === undefined ? undefined : secret(plain(value));
  if (Array.isArray(value) && Array.isArray(like)) return value.map((item, index) => withSecretsOf(item, like[index]));
  if (!isObject(value) || !isObject(like)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withSecretsOf(item, like[key])]));
}

/** `text` with everything that is secret in `values` masked. */
export function withoutSecrets(text: string, values: unknown): string {
  return secretTexts(values).reduce((masked, item) => masked.replaceAll(item, "[secret]"), text);
}

function secretTexts(value: unknown): string[] {
  if (isSecret(value)) return scalars(plain(value)).flatMap((item) => [JSON.stringify(item), String(item)]);
  if (Array.isArray(value)) return value.flatMap(secretTexts);
  return isObject(value) ? Object.values(value).flatMap(secretTexts) : [];
}

function scalars(value: unknown): unknown[] {
  if (Array.isArray(value)) return value.flatMap(scalars);
  if (isObject(value)) return Object.values(value).flatMap(scalars);
  return value === "" ? [] : [value];
}

export function fromStruct(struct: structpb.Struct | undefined): Args {
  return (struct?.toJavaScript() ?? {}) as Args;
}

/** @throws never for JSON values; `undefined` is left out. */
export function toStruct(value: Args): structpb.Struct {
  return structpb.Struct.fromJavaScript(JSON.parse(JSON.stringify(value)) as Record<string, structpb.JavaScriptValue>);
}
