import { badParameter } from "./errors.ts";
import type { KeyInput, OperationInput, VaultKeys } from "./keys.ts";
import type { SecretInput, VaultSecrets } from "./secrets.ts";

export interface Call {
  readonly name: string;
  /** Empty: the latest. */
  readonly version: string;
  readonly body: Record<string, unknown>;
  readonly apiVersion: string;
}

export interface Route {
  /** Data action below `Microsoft.KeyVault/vaults/`. */
  readonly action: string;
  readonly answer: (keys: VaultKeys, secrets: VaultSecrets, call: Call) => unknown;
  /** Lists are answered in pages. */
  readonly isList?: true;
  /** Purging answers 204 without a body. */
  readonly isPurge?: true;
}

const operation = (name: string, action: string): Route => ({
  action: `keys/${action}/action`,
  answer: (keys, _, call) => keys.operate(call.name, call.version, name, call.body as OperationInput),
});

/**
 * `METHOD collection[/name[/version]][/verb]` -> what it takes and does. Versions are optional where the REST API says so.
 * Actions: https://learn.microsoft.com/azure/role-based-access-control/permissions/security#microsoftkeyvault
 */
const ROUTES: Record<string, Route> = {
  "GET keys": { action: "keys/read", isList: true, answer: (keys) => keys.list() },
  "POST keys/name/create": {
    action: "keys/create/action",
    answer: (keys, _, call) => keys.create(call.name, call.body as KeyInput),
  },
  "POST keys/name/rotate": { action: "keys/rotate/action", answer: (keys, _, call) => keys.rotate(call.name) },
  "PUT keys/name": {
    action: "keys/import/action",
    answer: (keys, _, call) => keys.import(call.name, call.body as KeyInput),
  },
  "GET keys/name": { action: "keys/read", answer: (keys, _, call) => keys.get(call.name, call.version) },
  "GET keys/name/versions": { action: "keys/read", isList: true, answer: (keys, _, call) => keys.versions(call.name) },
  "PATCH keys/name": {
    action: "keys/update/action",
    answer: (keys, _, call) => keys.update(call.name, call.version, call.body as KeyInput),
  },
  "DELETE keys/name": { action: "keys/delete", answer: (keys, _, call) => keys.delete(call.name) },
  "POST keys/name/encrypt": operation("encrypt", "encrypt"),
  "POST keys/name/decrypt": operation("decrypt", "decrypt"),
  "POST keys/name/wrapkey": operation("wrapKey", "wrap"),
  "POST keys/name/unwrapkey": operation("unwrapKey", "unwrap"),
  "POST keys/name/sign": operation("sign", "sign"),
  "POST keys/name/verify": operation("verify", "verify"),
  "POST keys/name/release": {
    action: "keys/release/action",
    answer: (keys, _, call) => keys.release(call.name, call.version, call.apiVersion, call.body),
  },
  "GET deletedkeys": { action: "keys/read", isList: true, answer: (keys) => keys.listDeleted() },
  "GET deletedkeys/name": { action: "keys/read", answer: (keys, _, call) => keys.getDeleted(call.name) },
  "POST deletedkeys/name/recover": {
    action: "keys/recover/action",
    answer: (keys, _, call) => keys.recover(call.name),
  },
  "DELETE deletedkeys/name": {
    action: "keys/purge/action",
    isPurge: true,
    answer: (keys, _, call) => keys.store.purge(call.name),
  },

  "GET secrets": { action: "secrets/readMetadata/action", isList: true, answer: (_, secrets) => secrets.list() },
  "PUT secrets/name": {
    action: "secrets/setSecret/action",
    answer: (_, secrets, call) => secrets.set(call.name, call.body as SecretInput),
  },
  "GET secrets/name": {
    action: "secrets/getSecret/action",
    answer: (_, secrets, call) => secrets.get(call.name, call.version),
  },
  "GET secrets/name/versions": {
    action: "secrets/readMetadata/action",
    isList: true,
    answer: (_, secrets, call) => secrets.versions(call.name),
  },
  "PATCH secrets/name": {
    action: "secrets/update/action",
    answer: (_, secrets, call) => secrets.update(call.name, call.version, call.body as SecretInput),
  },
  "DELETE secrets/name": { action: "secrets/delete", answer: (_, secrets, call) => secrets.delete(call.name) },
  "GET deletedsecrets": {
    action: "secrets/readMetadata/action",
    isList: true,
    answer: (_, secrets) => secrets.listDeleted(),
  },
  "GET deletedsecrets/name": {
    action: "secrets/readMetadata/action",
    answer: (_, secrets, call) => secrets.getDeleted(call.name),
  },
  "POST deletedsecrets/name/recover": {
    action: "secrets/recover/action",
    answer: (_, secrets, call) => secrets.recover(call.name),
  },
  "DELETE deletedsecrets/name": {
    action: "secrets/purge/action",
    isPurge: true,
    answer: (_, secrets, call) => secrets.store.purge(call.name),
  },
};

const VERSION = /^[0-9a-f]{32}$/;

/** @throws VaultError when the REST API has no such operation, or the sandbox does not have it. */
export function findRoute(method: string, pathname: string): { route: Route; name: string; version: string } {
  const [collection = "", name = "", ...rest] = pathname.split("/").slice(1).map(decodeSegment);
  const version = rest[0] !== undefined && VERSION.test(rest[0]) ? rest[0] : "";
  const verb = (version === "" ? rest : rest.slice(1)).filter((segment) => segment !== "");
  const key = [`${method} ${collection}`, ...(name === "" ? [] : ["name"]), ...verb].join("/");
  const route = Object.hasOwn(ROUTES, key) ? ROUTES[key] : undefined;
  if (!route) throw badParameter(`The sandbox's Key Vault does not implement ${method} ${pathname}.`);
  return { route, name, version };
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw badParameter("The request URI is not well formed.");
  }
}
