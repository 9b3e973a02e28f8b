import crypto from "node:crypto";
import https from "node:https";
import { text } from "node:stream/consumers";
import { decodeProtectedHeader, importJWK, jwtVerify, type JWTPayload } from "jose";
import { caBundles, jwtIssuers, jwtKeys, type JwtKey } from "./tables.ts";
import type { Transaction } from "./kv.ts";
import type { CcfNetwork } from "./network.ts";

/** Key set entry as issuers publish it: RFC 7517, plus the `issuer` that Entra adds. */
export interface PublishedKey extends JsonWebKey {
  kid: string;
  x5c?: string[];
  issuer?: string;
}

const ALGORITHMS = ["RS256", "ES256"];
const REFRESH_INTERVAL_MS = 30 * 60_000;
/** An unknown key id makes the sandbox ask the issuers again, at most this often. */
const UNKNOWN_KEY_REFRESH_MS = 2_000;
const FETCH_TIMEOUT_MS = 5_000;
const ENTRA_HOST = "login.microsoftonline.com";

/**
 * Verifies a bearer token against the registered keys. The audience is not checked: CCF does not.
 * @throws when it is not acceptable; the message says why.
 */
export async function verifyToken(token: string, keysOf: (kid: string) => readonly JwtKey[]): Promise<JWTPayload> {
  const { kid, alg } = decodeProtectedHeader(token);
  if (!kid || !alg || !ALGORITHMS.includes(alg)) throw new Error("JWT header must name a key and RS256 or ES256");
  const keys = keysOf(kid);
  if (keys.length === 0) throw new Error(`JWT signing key not found for kid ${kid}`);
  let reason = "Signature verification failed";
  for (const { jwk, constraint } of keys) {
    try {
      const { payload } = await jwtVerify(token, await importJWK({ ...jwk } as Parameters<typeof importJWK>[0], alg), {
        algorithms: ALGORITHMS,
        requiredClaims: ["exp", "iss"],
      });
      if (constraint === undefined || matchesConstraint(payload, constraint)) return payload;
      reason = `Kid ${kid} failed issuer constraint validation`;
    } catch (error) {
      reason = (error as Error).message;
    }
  }
  throw new Error(reason);
}

/** CCF's rule for keys that are bound to an issuer. */
export function matchesConstraint(payload: JWTPayload, constraint: string): boolean {
  const tid = payload["tid"];
  if (new URL(constraint).hostname !== ENTRA_HOST) return payload.iss === constraint && tid === undefined;
  if (typeof tid !== "string" || payload.iss !== constraint.replace("{tenantid}", tid)) return false;
  return new URL(payload.iss).pathname.split("/")[1] === tid;
}

/**
 * Replaces the keys an issuer has registered.
 * @throws when an entry has no usable key or names an issuer of another domain.
 */
export function storeIssuerKeys(tx: Transaction, issuer: string, published: readonly PublishedKey[]): void {
  const usable = published.map((entry): [string, JwtKey] => {
    if (!entry.kid) throw new Error("JWKS entry without kid");
    if (entry.issuer !== undefined && !isSameDomain(issuer, entry.issuer)) {
      throw new Error(
        `JWKS kid ${entry.kid} with issuer constraint ${entry.issuer} fails validation against issuer ${issuer}`,
      );
    }
    return [
      entry.kid,
      { issuer, jwk: publicJwk(entry), ...(entry.issuer !== undefined && { constraint: entry.issuer }) },
    ];
  });
  removeIssuerKeys(tx, issuer);
  for (const [kid, key] of usable) tx.put(jwtKeys, kid, [...(tx.get(jwtKeys, kid) ?? []), key]);
}

export function removeIssuerKeys(tx: Transaction, issuer: string): void {
  for (const [kid, keys] of tx.entries(jwtKeys)) {
    const left = keys.filter((key) => key.issuer !== issuer);
    if (left.length === keys.length) continue;
    if (left.length === 0) tx.remove(jwtKeys, kid);
    else tx.put(jwtKeys, kid, left);
  }
}

function publicJwk(entry: PublishedKey): JsonWebKey {
  if (entry.n !== undefined) return { kty: "RSA", n: entry.n, e: entry.e ?? "AQAB" };
  if (entry.x !== undefined) return { kty: "EC", crv: entry.crv ?? "P-256", x: entry.x, y: entry.y ?? "" };
  const der = entry.x5c?.[0];
  if (der === undefined) throw new Error(`JWKS kid ${entry.kid} has neither RSA/EC public key or x5c`);
  return new crypto.X509Certificate(Buffer.from(der, "base64")).publicKey.export({ format: "jwk" });
}

function isSameDomain(issuer: string, constraint: string): boolean {
  const host = new URL(issuer).hostname;
  const other = new URL(constraint).hostname;
  return other === host || other.endsWith(`.${host}`);
}

/** Fetches the keys of issuers registered with `auto_refresh`, trusting only the CA bundle registered for each. */
export class IssuerKeys {
  readonly #network: CcfNetwork;
  readonly #log: (line: string) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #stopped = new AbortController();
  #lastRefresh = 0;
  #running: Promise<void> | undefined;

  constructor(network: CcfNetwork, log: (line: string) => void) {
    this.#network = network;
    this.#log = log;
    this.#timer = setInterval(() => void this.refresh(), REFRESH_INTERVAL_MS).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopped.abort();
    await this.#running;
  }

  async verify(token: string): Promise<JWTPayload> {
    const { kid } = decodeProtectedHeader(token);
    if (kid && this.#keysOf(kid).length === 0) await this.#running;
    if (kid && this.#keysOf(kid).length === 0 && Date.now() - this.#lastRefresh > UNKNOWN_KEY_REFRESH_MS) {
      await this.refresh();
    }
    return verifyToken(token, (id) => this.#keysOf(id));
  }

  /**
   * Asks every issuer once, after a round that is under way (an issuer may have been registered since it began).
   * Failures are logged and leave the keys that are known.
   */
  refresh(): Promise<void> {
    const round = (this.#running ?? Promise.resolve())
      .then(() => this.#refreshAll())
      .finally(() => {
        this.#lastRefresh = Date.now();
        if (this.#running === round) this.#running = undefined;
      });
    this.#running = round;
    return round;
  }

  #keysOf(kid: string): readonly JwtKey[] {
    return this.#network.store.begin().get(jwtKeys, kid) ?? [];
  }

  async #refreshAll(): Promise<void> {
    const tx = this.#network.store.begin();
    for (const [issuer, { auto_refresh, ca_cert_bundle_name }] of tx.entries(jwtIssuers)) {
      const bundle = ca_cert_bundle_name === undefined ? undefined : tx.get(caBundles, ca_cert_bundle_name);
      if (!auto_refresh || bundle === undefined || this.#stopped.signal.aborted) continue;
      try {
        const keys = await fetchIssuerKeys(issuer, bundle, this.#stopped.signal);
        await this.#network.execute((write) => {
          if (!isStored(write, issuer, keys)) storeIssuerKeys(write, issuer, keys);
          return { status: 200 };
        });
        this.#log(`jwt issuer ${issuer}: ${keys.length} keys`);
      } catch (error) {
        this.#log(`jwt issuer ${issuer}: keys not refreshed: ${(error as Error).message}`);
      }
    }
  }
}

/** Avoids a transaction when nothing changed. */
function isStored(tx: Transaction, issuer: string, published: readonly PublishedKey[]): boolean {
  const known = tx.entries(jwtKeys).filter(([, keys]) => keys.some((key) => key.issuer === issuer));
  if (known.length !== published.length) return false;
  return published.every((entry) => {
    const stored = tx.get(jwtKeys, entry.kid)?.find((key) => key.issuer === issuer);
    return (
      stored && stored.constraint === entry.issuer && JSON.stringify(stored.jwk) === JSON.stringify(publicJwk(entry))
    );
  });
}

async function fetchIssuerKeys(issuer: string, ca: string, signal: AbortSignal): Promise<PublishedKey[]> {
  const metadataUrl = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const metadata = (await fetchJson(metadataUrl, ca, signal)) as { jwks_uri?: string };
  if (!metadata.jwks_uri?.startsWith("https://")) throw new Error("its OpenID metadata names no https jwks_uri");
  const jwks = (await fetchJson(metadata.jwks_uri, ca, signal)) as { keys?: PublishedKey[] };
  if (!Array.isArray(jwks.keys)) throw new Error("its key set is not a JWKS");
  return jwks.keys;
}

/** `fetch` cannot be told which certificates to trust. */
function fetchJson(url: string, ca: string, signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const request = https.get(url, { ca, signal, agent: false, timeout: FETCH_TIMEOUT_MS }, (response) => {
      if (response.statusCode !== 200) request.destroy(new Error(`${url} answers ${response.statusCode}`));
      text(response)
        .then((body) => JSON.parse(body) as unknown)
        .then(resolve, reject);
    });
    request.on("timeout", () => request.destroy(new Error(`${url} does not answer within ${FETCH_TIMEOUT_MS} ms`)));
    request.on("error", reject);
  });
}
