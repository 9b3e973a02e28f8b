import crypto from "node:crypto";
import type { VaultSpec } from "../contracts.ts";
import { badParameter, forbidden, VaultError } from "./errors.ts";

const NAME = /^[0-9a-zA-Z-]{1,127}$/;
const DAY_SECONDS = 86_400;

/** What every version of a key or secret has. Times are Unix seconds. */
export interface ItemVersion {
  readonly version: string;
  readonly created: number;
  updated: number;
  enabled: boolean;
  nbf?: number;
  exp?: number;
  tags?: Record<string, string>;
}

export interface StoredItem<V extends ItemVersion> {
  /** Oldest first; never empty. */
  versions: V[];
  deletedAt?: number;
}

/** As sent in `attributes`. */
export interface AttributesInput {
  enabled?: boolean;
  nbf?: number;
  exp?: number;
  exportable?: boolean;
}

/** Named things with versions and soft delete: the part keys and secrets share. */
export class ItemStore<V extends ItemVersion> {
  private readonly kind: "key" | "secret";
  private readonly items: Record<string, StoredItem<V>>;
  private readonly spec: () => VaultSpec;

  /** @param items the stored record; changed in place, saved by the caller. */
  constructor(kind: "key" | "secret", items: Record<string, StoredItem<V>>, spec: () => VaultSpec) {
    this.kind = kind;
    this.items = items;
    this.spec = spec;
  }

  /** @param version empty: the latest. */
  get(name: string, version = ""): V {
    const item = this.find(name);
    const found =
      item &&
      !item.deletedAt &&
      (version === "" ? item.versions.at(-1) : item.versions.find((v) => v.version === version));
    if (!found) throw this.notFound(name, version);
    return found;
  }

  versions(name: string): readonly V[] {
    this.get(name);
    return this.items[name]?.versions ?? [];
  }

  /** Names and latest versions of everything live. */
  live(): [string, V][] {
    return this.all()
      .filter(([, item]) => !item.deletedAt)
      .map(([name, item]) => [name, item.versions.at(-1) as V]);
  }

  deleted(): [string, V, number][] {
    return this.all().flatMap(([name, { deletedAt, versions }]) =>
      deletedAt ? [[name, versions.at(-1) as V, deletedAt] as [string, V, number]] : [],
    );
  }

  /** @throws VaultError when the name is taken by something deleted but recoverable. */
  add(name: string, version: V): void {
    if (!NAME.test(name)) throw badParameter(`The request URI contains an invalid name: ${name}`);
    const item = this.find(name);
    if (item?.deletedAt) {
      throw new VaultError(
        409,
        "Conflict",
        `${this.title()} ${name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the ${this.kind} can only be recovered or purged.`,
        "ObjectIsDeletedButRecoverable",
      );
    }
    if (item) item.versions.push(version);
    else this.items[name] = { versions: [version] };
  }

  delete(name: string): void {
    this.get(name);
    (this.items[name] as StoredItem<V>).deletedAt = nowSeconds();
  }

  getDeleted(name: string): { latest: V; deletedAt: number } {
    const item = this.find(name);
    if (!item?.deletedAt) throw this.notFound(name, "", "Deleted ");
    return { latest: item.versions.at(-1) as V, deletedAt: item.deletedAt };
  }

  recover(name: string): V {
    const { latest } = this.getDeleted(name);
    delete this.items[name]?.deletedAt;
    return latest;
  }

  purge(name: string): void {
    this.getDeleted(name);
    if (this.spec().enablePurgeProtection) {
      throw forbidden(
        `Operation "purge" is not allowed because purge protection is enabled for this vault. ${this.title()} ${name} can only be recovered.`,
      );
    }
    delete this.items[name];
  }

  /** Members of `attributes` that say how deletion works in this vault. */
  recovery(): { recoveryLevel: string; recoverableDays: number } {
    const { enablePurgeProtection, softDeleteRetentionInDays: recoverableDays } = this.spec();
    const level = recoverableDays < 90 ? "CustomizedRecoverable" : "Recoverable";
    return { recoveryLevel: enablePurgeProtection ? level : `${level}+Purgeable`, recoverableDays };
  }

  scheduledPurge(deletedAt: number): number {
    return deletedAt + this.spec().softDeleteRetentionInDays * DAY_SECONDS;
  }

  private all(): [string, StoredItem<V>][] {
    return Object.keys(this.items).flatMap((name) => {
      const item = this.find(name);
      return item ? [[name, item] as [string, StoredItem<V>]] : [];
    });
  }

  /** Forgets what has been deleted for longer than the vault retains it. */
  private find(name: string): StoredItem<V> | undefined {
    if (!Object.hasOwn(this.items, name)) return undefined;
    const item = this.items[name];
    if (!item?.deletedAt || this.scheduledPurge(item.deletedAt) > nowSeconds()) return item;
    delete this.items[name];
    return undefined;
  }

  private notFound(name: string, version: string, prefix = ""): VaultError {
    const id = version === "" ? name : `${name}/${version}`;
    return new VaultError(
      404,
      `${this.title()}NotFound`,
      `A ${prefix.toLowerCase()}${this.kind} with (name/id) ${id} was not found in this key vault. If you recently deleted this ${this.kind} you may be able to recover it using the correct recovery command.`,
    );
  }

  private title(): string {
    return this.kind === "key" ? "Key" : "Secret";
  }
}

export function newVersion(attributes: AttributesInput = {}, tags?: Record<string, string>): ItemVersion {
  const now = nowSeconds();
  const version = { version: crypto.randomUUID().replaceAll("-", ""), created: now, updated: now, enabled: true };
  applyUpdate(version, attributes, tags);
  return version;
}

/** Absent members stay as they are. */
export function applyUpdate(
  version: ItemVersion,
  attributes: AttributesInput = {},
  tags?: Record<string, string>,
): void {
  const { enabled, nbf, exp } = attributes;
  if (enabled !== undefined && typeof enabled !== "boolean")
    throw badParameter("Property attributes.enabled must be a boolean.");
  for (const [name, time] of Object.entries({ nbf, exp })) {
    if (time !== undefined && time !== null && !Number.isInteger(time))
      throw badParameter(`Property attributes.${name} must be Unix seconds.`);
  }
  if (enabled !== undefined) version.enabled = enabled;
  if (nbf) version.nbf = nbf;
  if (exp) version.exp = exp;
  if (tags) version.tags = { ...tags };
  version.updated = nowSeconds();
}

export function attributesOf(version: ItemVersion): Record<string, unknown> {
  const { enabled, nbf, exp, created, updated } = version;
  return { enabled, ...(nbf && { nbf }), ...(exp && { exp }), created, updated };
}

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
