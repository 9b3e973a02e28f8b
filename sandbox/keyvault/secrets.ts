import type { VaultSpec } from "../contracts.ts";
import { badParameter, forbidden } from "./errors.ts";
import { applyUpdate, attributesOf, ItemStore, newVersion, nowSeconds } from "./items.ts";
import type { AttributesInput, ItemVersion, StoredItem } from "./items.ts";
import type { Sealer } from "./seal.ts";

const MAX_VALUE_BYTES = 25 * 1024;

export interface SecretVersion extends ItemVersion {
  readonly sealed: string;
  contentType?: string;
}

/** Body of set and update. */
export interface SecretInput {
  value?: string;
  contentType?: string;
  attributes?: AttributesInput;
  tags?: Record<string, string>;
}

/**
 * Secrets of one vault. REST: https://learn.microsoft.com/rest/api/keyvault/secrets/operation-groups
 * Every method answers what the REST operation answers, or throws VaultError.
 */
export class VaultSecrets {
  readonly store: ItemStore<SecretVersion>;
  private readonly spec: () => VaultSpec;
  private readonly vaultUri: () => string;
  private readonly sealer: Sealer;

  constructor(
    items: Record<string, StoredItem<SecretVersion>>,
    { spec, vaultUri, sealer }: { spec: () => VaultSpec; vaultUri: () => string; sealer: Sealer },
  ) {
    this.store = new ItemStore("secret", items, spec);
    this.spec = spec;
    this.vaultUri = vaultUri;
    this.sealer = sealer;
  }

  set(name: string, input: SecretInput): unknown {
    const { value, contentType, attributes, tags } = input;
    if (typeof value !== "string") throw badParameter("Property value must be a string.");
    if (Buffer.byteLength(value) > MAX_VALUE_BYTES)
      throw badParameter(`Property value is larger than ${MAX_VALUE_BYTES} bytes.`);
    const base = newVersion(attributes, tags);
    const sealed = this.sealer.seal(value, this.owner(name, base.version));
    const stored: SecretVersion = { ...base, sealed, ...(contentType && { contentType }) };
    this.store.add(name, stored);
    return { value, ...this.bundle(name, stored) };
  }

  get(name: string, version: string): unknown {
    const stored = this.store.get(name, version);
    const now = nowSeconds();
    if (!stored.enabled) throw forbidden("Operation get is not allowed on a disabled secret.", "SecretDisabled");
    if (stored.nbf && now < stored.nbf)
      throw forbidden("Operation get is not allowed on a secret that is not yet valid.", "SecretNotYetValid");
    if (stored.exp && now > stored.exp)
      throw forbidden("Operation get is not allowed on an expired secret.", "SecretExpired");
    return { value: this.sealer.open(stored.sealed, this.owner(name, stored.version)), ...this.bundle(name, stored) };
  }

  update(name: string, version: string, input: SecretInput): unknown {
    const stored = this.store.get(name, version);
    applyUpdate(stored, input.attributes, input.tags);
    if (input.contentType) stored.contentType = input.contentType;
    return this.bundle(name, stored);
  }

  list(): unknown[] {
    return this.store.live().map(([name, version]) => this.item(name, version));
  }

  versions(name: string): unknown[] {
    return this.store.versions(name).map((version) => this.bundle(name, version));
  }

  delete(name: string): unknown {
    this.store.delete(name);
    return this.getDeleted(name);
  }

  getDeleted(name: string): unknown {
    const { latest, deletedAt } = this.store.getDeleted(name);
    return { ...this.bundle(name, latest), ...this.deletion(name, deletedAt) };
  }

  listDeleted(): unknown[] {
    return this.store
      .deleted()
      .map(([name, version, deletedAt]) => ({ ...this.item(name, version), ...this.deletion(name, deletedAt) }));
  }

  recover(name: string): unknown {
    return this.bundle(name, this.store.recover(name));
  }

  private owner(name: string, version: string): string {
    return `${this.spec().name}/secrets/${name}/${version}`;
  }

  /** Without the value. */
  private bundle(name: string, stored: SecretVersion): Record<string, unknown> {
    return { ...this.item(name, stored), id: `${this.vaultUri()}secrets/${name}/${stored.version}` };
  }

  private item(name: string, stored: SecretVersion): Record<string, unknown> {
    return {
      id: `${this.vaultUri()}secrets/${name}`,
      attributes: { ...attributesOf(stored), ...this.store.recovery() },
      ...(stored.contentType && { contentType: stored.contentType }),
      ...(stored.tags && { tags: stored.tags }),
    };
  }

  private deletion(name: string, deletedAt: number): Record<string, unknown> {
    return {
      recoveryId: `${this.vaultUri()}deletedsecrets/${name}`,
      deletedDate: deletedAt,
      scheduledPurgeDate: this.store.scheduledPurge(deletedAt),
    };
  }
}
