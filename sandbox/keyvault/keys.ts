import crypto from "node:crypto";
import { promisify } from "node:util";
import { CompactSign } from "jose";
import type { VaultSpec, VirtualAttestation } from "../contracts.ts";
import { decrypt, encrypt, signDigest, verifyDigest } from "./algorithms.ts";
import { badParameter, forbidden } from "./errors.ts";
import { applyUpdate, attributesOf, ItemStore, newVersion, nowSeconds } from "./items.ts";
import type { AttributesInput, ItemVersion, StoredItem } from "./items.ts";
import { meetsPolicy, parseReleasePolicy, targetKey, wrapForRelease } from "./release.ts";
import type { Sealer } from "./seal.ts";

const generateKeyPair = promisify(crypto.generateKeyPair);

const KEY_TYPES = ["RSA", "RSA-HSM", "EC", "EC-HSM"];
const RSA_SIZES = [2048, 3072, 4096];
const CURVES = ["P-256", "P-384", "P-521"];
const OPERATIONS = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey", "import", "export"];
const DEFAULT_OPERATIONS: Record<string, string[]> = {
  RSA: ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"],
  EC: ["sign", "verify"],
};
/** Operations that still work after `exp`: what was protected must stay readable. */
const AFTER_EXPIRY = ["decrypt", "unwrapKey", "verify"];
const POLICY_CONTENT_TYPE = "application/json; charset=utf-8";

interface StoredPolicy {
  contentType: string;
  /** base64url JSON. */
  data: string;
  immutable: boolean;
}

export interface KeyVersion extends ItemVersion {
  readonly kty: string;
  readonly publicJwk: crypto.JsonWebKey;
  /** PKCS#8 DER, base64, sealed. */
  readonly sealed: string;
  readonly exportable: boolean;
  keyOps: string[];
  releasePolicy?: StoredPolicy;
}

/** Body of create, import and update; each reads what it knows. */
export interface KeyInput {
  kty?: string;
  key_size?: number;
  crv?: string;
  key_ops?: string[];
  attributes?: AttributesInput;
  tags?: Record<string, string>;
  release_policy?: { contentType?: string; data?: string; immutable?: boolean };
  key?: crypto.JsonWebKey & { kty?: string; key_ops?: string[] };
  Hsm?: boolean;
}

export interface OperationInput {
  alg?: string;
  value?: string;
  digest?: string;
}

export interface KeyDependencies {
  readonly spec: () => VaultSpec;
  /** Ends with `/`. */
  readonly vaultUri: () => string;
  readonly sealer: Sealer;
  readonly attestation: VirtualAttestation;
}

/**
 * Keys of one vault. REST: https://learn.microsoft.com/rest/api/keyvault/keys/operation-groups
 * Every method answers what the REST operation answers, or throws VaultError.
 */
export class VaultKeys {
  readonly store: ItemStore<KeyVersion>;
  private readonly dependencies: KeyDependencies;

  constructor(items: Record<string, StoredItem<KeyVersion>>, dependencies: KeyDependencies) {
    this.store = new ItemStore("key", items, dependencies.spec);
    this.dependencies = dependencies;
  }

  async create(name: string, input: KeyInput): Promise<unknown> {
    const kty = input.kty ?? "";
    this.checkKeyType(kty);
    return this.add(name, kty, await generateKey(kty, input), input);
  }

  import(name: string, input: KeyInput): unknown {
    const jwk = input.key ?? {};
    const kty = input.Hsm && !String(jwk.kty).endsWith("-HSM") ? `${jwk.kty}-HSM` : String(jwk.kty);
    this.checkKeyType(kty);
    let key: crypto.KeyObject;
    try {
      key = crypto.createPrivateKey({ key: { ...jwk, kty: kty.replace("-HSM", "") }, format: "jwk" });
    } catch {
      throw badParameter("Property key is not a private RSA or EC key in JWK form.");
    }
    return this.add(name, kty, key, { ...input, ...(jwk.key_ops && { key_ops: jwk.key_ops }) });
  }

  rotate(name: string): Promise<unknown> {
    const { kty, publicJwk, keyOps, exportable, releasePolicy, tags } = this.store.get(name);
    return this.create(name, {
      kty,
      key_ops: keyOps,
      attributes: { exportable },
      ...(publicJwk.n && { key_size: 8 * Buffer.from(publicJwk.n, "base64url").length }),
      ...(publicJwk.crv && { crv: publicJwk.crv }),
      ...(releasePolicy && { release_policy: releasePolicy }),
      ...(tags && { tags }),
    });
  }

  get(name: string, version: string): unknown {
    return this.bundle(name, this.store.get(name, version));
  }

  update(name: string, version: string, input: KeyInput): unknown {
    const stored = this.store.get(name, version);
    const keyOps = input.key_ops && checkOperations(input.key_ops);
    const policy = input.release_policy && checkPolicy(input.release_policy, stored);
    applyUpdate(stored, input.attributes, input.tags);
    if (keyOps) stored.keyOps = keyOps;
    if (policy) stored.releasePolicy = policy;
    return this.bundle(name, stored);
  }

  list(): unknown[] {
    return this.store.live().map(([name, version]) => this.item(name, version, false));
  }

  versions(name: string): unknown[] {
    return this.store.versions(name).map((version) => this.item(name, version, true));
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
      .map(([name, version, deletedAt]) => ({ ...this.item(name, version, false), ...this.deletion(name, deletedAt) }));
  }

  recover(name: string): unknown {
    return this.bundle(name, this.store.recover(name));
  }

  /** @param operation as in `key_ops`. */
  operate(name: string, version: string, operation: string, input: OperationInput): unknown {
    const stored = this.usable(name, version, operation);
    if (!stored.keyOps.includes(operation)) {
      throw forbidden(`Operation ${operation} is not permitted on this key.`, "KeyOperationForbidden");
    }
    const key = this.privateKey(name, stored);
    const algorithm = String(input.alg);
    const value = bytes("value", input.value);
    if (operation === "verify") return { value: verifyDigest(algorithm, key, bytes("digest", input.digest), value) };
    return {
      kid: this.kid(name, stored.version),
      value: compute(operation, algorithm, key, value).toString("base64url"),
    };
  }

  /** @param body `target`: attestation token; `enc`: envelope, `CKM_RSA_AES_KEY_WRAP` by default. */
  async release(name: string, version: string, apiVersion: string, body: Record<string, unknown>): Promise<unknown> {
    const stored = this.usable(name, version, "release");
    if (!stored.exportable || !stored.releasePolicy) throw forbidden("The key is not exportable.", "KeyNotExportable");
    let claims: Record<string, unknown>;
    try {
      claims = await this.dependencies.attestation.verifyToken(String(body.target));
    } catch {
      throw forbidden("Target environment attestation statement cannot be verified.", "AttestationInvalid");
    }
    if (!meetsPolicy(parseReleasePolicy(stored.releasePolicy.data), claims)) {
      throw forbidden(
        "Target environment attestation statement does not meet the key release policy.",
        "ReleasePolicyNotMet",
      );
    }
    const kid = this.kid(name, stored.version);
    const enc = String(body.enc ?? "CKM_RSA_AES_KEY_WRAP");
    const key_hsm = wrapForRelease(this.privateKey(name, stored), targetKey(claims), kid, enc);
    const bundle = this.bundle(name, stored);
    const payload = {
      request: { "api-version": apiVersion, enc, kid, ...(typeof body.nonce === "string" && { nonce: body.nonce }) },
      response: { key: { ...bundle, key: { ...(bundle.key as object), key_hsm } } },
    };
    return { value: await this.signRelease(payload) };
  }

  /** The real service signs with a certificate of its own; here the signing key only completes the format. */
  private async signRelease(payload: object): Promise<string> {
    const { privateKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
    const { crv, x, y, kty } = privateKey.export({ format: "jwk" });
    return new CompactSign(Buffer.from(JSON.stringify(payload)))
      .setProtectedHeader({ alg: "ES256", typ: "JWT", jwk: { crv, x, y, kty } as JsonWebKey })
      .sign(privateKey);
  }

  private checkKeyType(kty: string): void {
    if (!KEY_TYPES.includes(kty))
      throw badParameter(`Property kty has invalid value '${kty}': the sandbox has ${KEY_TYPES.join(", ")}.`);
    if (kty.endsWith("-HSM") && this.dependencies.spec().sku !== "premium") {
      throw badParameter(
        `Property kty has invalid value '${kty}': HSM protected keys need a vault of the premium SKU.`,
      );
    }
  }

  private add(name: string, kty: string, key: crypto.KeyObject, input: KeyInput): unknown {
    const exportable = input.attributes?.exportable === true;
    if (exportable !== (input.release_policy !== undefined)) {
      throw badParameter(
        "A key is exportable if and only if it has a release policy: give both attributes.exportable and release_policy, or neither.",
      );
    }
    if (exportable && !kty.endsWith("-HSM"))
      throw badParameter("Only HSM protected keys (RSA-HSM, EC-HSM) can be exportable.");
    const base = newVersion(input.attributes, input.tags);
    const stored: KeyVersion = {
      ...base,
      kty,
      exportable,
      keyOps: checkOperations(input.key_ops ?? DEFAULT_OPERATIONS[kty.replace("-HSM", "")] ?? []),
      publicJwk: crypto.createPublicKey(key).export({ format: "jwk" }),
      sealed: this.dependencies.sealer.seal(
        key.export({ type: "pkcs8", format: "der" }).toString("base64"),
        this.owner(name, base.version),
      ),
      ...(input.release_policy && { releasePolicy: checkPolicy(input.release_policy) }),
    };
    this.store.add(name, stored);
    return this.bundle(name, stored);
  }

  private usable(name: string, version: string, operation: string): KeyVersion {
    const stored = this.store.get(name, version);
    const now = nowSeconds();
    if (!stored.enabled) throw forbidden(`Operation ${operation} is not allowed on a disabled key.`, "KeyDisabled");
    if (stored.nbf && now < stored.nbf)
      throw forbidden(`Operation ${operation} is not allowed on a key that is not yet valid.`, "KeyNotYetValid");
    if (stored.exp && now > stored.exp && !AFTER_EXPIRY.includes(operation)) {
      throw forbidden(`Operation ${operation} is not allowed on an expired key.`, "KeyExpired");
    }
    return stored;
  }

  private privateKey(name: string, stored: KeyVersion): crypto.KeyObject {
    const der = this.dependencies.sealer.open(stored.sealed, this.owner(name, stored.version));
    return crypto.createPrivateKey({ key: Buffer.from(der, "base64"), format: "der", type: "pkcs8" });
  }

  private owner(name: string, version: string): string {
    return `${this.dependencies.spec().name}/keys/${name}/${version}`;
  }

  private kid(name: string, version: string): string {
    return `${this.dependencies.vaultUri()}keys/${name}/${version}`;
  }

  private bundle(name: string, stored: KeyVersion): Record<string, unknown> {
    const { kty: _kty, ...members } = stored.publicJwk;
    return {
      key: { kid: this.kid(name, stored.version), kty: stored.kty, key_ops: stored.keyOps, ...members },
      attributes: this.attributes(stored),
      ...(stored.tags && { tags: stored.tags }),
      ...(stored.releasePolicy && { release_policy: stored.releasePolicy }),
    };
  }

  private item(name: string, stored: KeyVersion, versioned: boolean): Record<string, unknown> {
    const kid = this.kid(name, stored.version);
    return {
      kid: versioned ? kid : kid.slice(0, kid.lastIndexOf("/")),
      attributes: this.attributes(stored),
      ...(stored.tags && { tags: stored.tags }),
    };
  }

  private attributes(stored: KeyVersion): Record<string, unknown> {
    return { ...attributesOf(stored), ...this.store.recovery(), exportable: stored.exportable };
  }

  private deletion(name: string, deletedAt: number): Record<string, unknown> {
    return {
      recoveryId: `${this.dependencies.vaultUri()}deletedkeys/${name}`,
      deletedDate: deletedAt,
      scheduledPurgeDate: this.store.scheduledPurge(deletedAt),
    };
  }
}

async function generateKey(kty: string, { key_size: size = 2048, crv = "P-256" }: KeyInput): Promise<crypto.KeyObject> {
  if (kty.startsWith("RSA")) {
    if (!RSA_SIZES.includes(size))
      throw badParameter(`Property key_size must be one of ${RSA_SIZES.join(", ")}, got ${size}.`);
    return (await generateKeyPair("rsa", { modulusLength: size })).privateKey;
  }
  if (!CURVES.includes(crv)) throw badParameter(`Property crv must be one of ${CURVES.join(", ")}, got '${crv}'.`);
  return (await generateKeyPair("ec", { namedCurve: crv })).privateKey;
}

function checkOperations(operations: unknown): string[] {
  if (!Array.isArray(operations) || !operations.every((operation) => OPERATIONS.includes(operation as string))) {
    throw badParameter(`Property key_ops must be a list of ${OPERATIONS.join(", ")}.`);
  }
  return [...(operations as string[])];
}

function checkPolicy(input: NonNullable<KeyInput["release_policy"]>, current?: KeyVersion): StoredPolicy {
  parseReleasePolicy(input.data);
  if (current && !current.exportable) throw badParameter("The key is not exportable and cannot have a release policy.");
  if (current?.releasePolicy?.immutable && current.releasePolicy.data !== input.data) {
    throw badParameter("The release policy of this key is immutable.");
  }
  return {
    contentType: input.contentType ?? POLICY_CONTENT_TYPE,
    data: input.data as string,
    immutable: input.immutable ?? current?.releasePolicy?.immutable ?? false,
  };
}

function compute(operation: string, algorithm: string, key: crypto.KeyObject, value: Buffer): Buffer {
  if (operation === "encrypt" || operation === "wrapKey") return encrypt(algorithm, key, value);
  if (operation === "decrypt" || operation === "unwrapKey") return decrypt(algorithm, key, value);
  return signDigest(algorithm, key, value);
}

function bytes(name: string, value: unknown): Buffer {
  if (typeof value !== "string" || value === "")
    throw badParameter(`Property ${name} must be base64url encoded bytes.`);
  return Buffer.from(value, "base64url");
}
