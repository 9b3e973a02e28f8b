import type { TokenCredential } from "@azure/identity";
import type { JsonWebKey } from "node:crypto";
import { KeyClient, type KeyVaultKey } from "@azure/keyvault-keys";
import { SecretClient } from "@azure/keyvault-secrets";
import { setTimeout as sleep } from "node:timers/promises";
import { sameJson } from "../../domain/json.ts";
import type { ReleasePolicy } from "../../domain/keys.ts";

/** The version of a release key that is in force. */
export interface ReleaseKey {
  /** `https://vault/keys/name/version` */
  readonly id: string;
  /** RSA public key; the private half never leaves the vault's hardware but to attested code. */
  readonly publicKey: JsonWebKey;
  readonly policy: ReleasePolicy;
  /** Enabled, not expired, and good for nothing but wrapping, as it was made. */
  readonly isIntact: boolean;
}

export interface StoredSecret {
  readonly version: string;
  readonly value: string;
}

const AZURE_VAULTS = /\.(vault|managedhsm)\.(azure\.net|azure\.cn|usgovcloudapi\.net)$/;
const KEY_SIZE = 2048;
const KEY_OPERATIONS = ["wrapKey"];
/** Role assignments take minutes to reach a vault. */
const ROLE_DEADLINE_MS = 5 * 60_000;
const ROLE_RETRY_MS = 5000;
const POLL = { intervalInMs: 500 };

/** Keys and secrets of one vault, as its owner. */
export class Vault {
  readonly #keys: KeyClient;
  readonly #secrets: SecretClient;
  readonly #roleDeadlineMs: number;

  /**
   * @param vaultUri `https://…/`
   * @param options `roleDeadlineMs`: how long to wait for a role that was just assigned. Default 5 minutes.
   */
  constructor(vaultUri: string, credential: TokenCredential, { roleDeadlineMs = ROLE_DEADLINE_MS } = {}) {
    this.#roleDeadlineMs = roleDeadlineMs;
    // Only vaults of Azure itself have names under the domain that their sign-in challenge names.
    const options = { disableChallengeResourceVerification: !AZURE_VAULTS.test(new URL(vaultUri).hostname) };
    this.#keys = new KeyClient(vaultUri, credential, options);
    this.#secrets = new SecretClient(vaultUri, credential, options);
  }

  /**
   * Makes sure the newest version of a key can be released under exactly this policy, and only wraps: an HSM key made
   * inside the vault, exportable by release. A deleted key of that name is recovered first.
   */
  async ensureReleaseKey(name: string, policy: ReleasePolicy): Promise<ReleaseKey> {
    const known = await this.releaseKey(name);
    if (known?.isIntact && sameJson(known.policy, policy)) return known;
    if (!known) await this.#recoverKey(name);
    const created = await this.#whenPermitted(() =>
      this.#keys.createKey(name, "RSA-HSM", {
        keySize: KEY_SIZE,
        exportable: true,
        keyOps: KEY_OPERATIONS,
        releasePolicy: {
          encodedPolicy: Buffer.from(JSON.stringify(policy)),
          contentType: "application/json; charset=utf-8",
        },
      }),
    );
    return releaseKeyOf(created);
  }

  /** The newest version; `undefined` when there is none (or it was deleted). */
  async releaseKey(name: string): Promise<ReleaseKey | undefined> {
    const key = await unlessMissing(this.#whenPermitted(() => this.#keys.getKey(name)));
    return key && releaseKeyOf(key);
  }

  /** Switches off every version but this one. */
  async disableOtherKeyVersions(name: string, keyId: string): Promise<void> {
    for await (const { id, version, enabled } of this.#keys.listPropertiesOfKeyVersions(name)) {
      if (id !== keyId && enabled) await this.#keys.updateKeyProperties(name, version!, { enabled: false });
    }
  }

  /** Soft-deletes; succeeds when it is gone already. */
  async deleteKey(name: string): Promise<void> {
    const poller = await unlessMissing(this.#keys.beginDeleteKey(name, POLL));
    await poller?.pollUntilDone();
  }

  /** Stores a new version, recovering a deleted secret of that name first, and switches the older ones off. */
  async putSecret(name: string, value: string): Promise<string> {
    if (!(await this.secret(name))) await this.#recoverSecret(name);
    const stored = await this.#whenPermitted(() => this.#secrets.setSecret(name, value));
    const version = stored.properties.version!;
    for await (const other of this.#secrets.listPropertiesOfSecretVersions(name)) {
      if (other.version !== version && other.enabled)
        await this.#secrets.updateSecretProperties(name, other.version!, { enabled: false });
    }
    return version;
  }

  /** The newest version, if it is enabled and valid. */
  async secret(name: string): Promise<StoredSecret | undefined> {
    const secret = await unlessMissing(this.#whenPermitted(() => this.#secrets.getSecret(name)));
    if (secret?.value === undefined) return undefined;
    return { version: secret.properties.version!, value: secret.value };
  }

  /** Soft-deletes; succeeds when it is gone already. */
  async deleteSecret(name: string): Promise<void> {
    const poller = await unlessMissing(this.#secrets.beginDeleteSecret(name, POLL));
    await poller?.pollUntilDone();
  }

  /** A role that was just assigned takes its time; one that never was is still missing when the time is over. */
  async #whenPermitted<T>(call: () => Promise<T>): Promise<T> {
    const deadline = Date.now() + this.#roleDeadlineMs;
    for (;;) {
      try {
        return await call();
      } catch (error) {
        if (!lacksRole(error) || Date.now() >= deadline) throw error;
        await sleep(ROLE_RETRY_MS);
      }
    }
  }

  async #recoverKey(name: string): Promise<void> {
    const deleted = await unlessMissing(this.#whenPermitted(() => this.#keys.getDeletedKey(name)));
    if (deleted) await (await this.#keys.beginRecoverDeletedKey(name, POLL)).pollUntilDone();
  }

  async #recoverSecret(name: string): Promise<void> {
    const deleted = await unlessMissing(this.#whenPermitted(() => this.#secrets.getDeletedSecret(name)));
    if (deleted) await (await this.#secrets.beginRecoverDeletedSecret(name, POLL)).pollUntilDone();
  }
}

function releaseKeyOf({ id, key, keyOperations, properties }: KeyVaultKey): ReleaseKey {
  const { encodedPolicy } = properties.releasePolicy ?? {};
  const isExpired = properties.expiresOn !== undefined && properties.expiresOn.getTime() <= Date.now();
  const base64url = (part: Uint8Array | undefined): string => Buffer.from(part ?? []).toString("base64url");
  return {
    id: id!,
    publicKey: { kty: "RSA", n: base64url(key?.n), e: base64url(key?.e) },
    policy: JSON.parse(Buffer.from(encodedPolicy ?? []).toString("utf8") || "{}") as ReleasePolicy,
    isIntact: properties.enabled === true && !isExpired && sameJson(keyOperations, KEY_OPERATIONS),
  };
}

interface ServiceError {
  readonly statusCode?: number;
  readonly code?: string;
}

/** No such key, secret or vault; a secret that nobody may read (disabled, expired) is as good as missing. */
async function unlessMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    const { statusCode, code, message } = error as Error & ServiceError;
    const isUnreadable = statusCode === 403 && /(disabled|expired) secret|secret that is not yet valid/i.test(message);
    if (statusCode === 404 || code === "ENOTFOUND" || isUnreadable) return undefined;
    throw error;
  }
}

function lacksRole(error: unknown): boolean {
  const { statusCode, message } = error as Error & ServiceError;
  return statusCode === 403 && /ForbiddenByRbac|not authorized/i.test(message);
}
