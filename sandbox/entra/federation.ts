import https from "node:https";
import tls from "node:tls";
import { compactVerify, createLocalJWKSet, decodeProtectedHeader } from "jose";
import type { JSONWebKeySet } from "jose";
import type { FederatedCredential } from "../contracts.ts";
import { readBody } from "../listener.ts";
import type { EntraError } from "./errors.ts";
import { invalidClient, invalidRequest } from "./errors.ts";

const ALGORITHMS = ["RS256", "PS256", "ES256"];
const CLOCK_SKEW_SECONDS = 300;
const MAX_METADATA_BYTES = 64 * 1024;
const FETCH_TIMEOUT_MS = 5_000;

/**
 * Accepts a foreign token in place of a secret when a federated credential names its issuer, subject and audience
 * exactly and the issuer's published keys verify it.
 * Protocol: https://learn.microsoft.com/entra/workload-id/workload-identity-federation
 * @param extraRoot PEM trusted besides the system's roots when the issuer's documents are fetched.
 * @throws EntraError
 */
export async function checkFederatedAssertion(
  assertion: string,
  credentials: readonly FederatedCredential[],
  extraRoot: string,
): Promise<void> {
  const claims = unverifiedClaims(assertion);
  const issuer = matchCredential(claims, credentials).issuer;
  const keys = await fetchKeys(issuer, extraRoot);
  await checkSignature(assertion, keys);
  checkTimes(claims);
}

/** Claims as presented; nothing may be decided in favour of the caller before the signature is checked. */
export function unverifiedClaims(assertion: string): Record<string, unknown> {
  try {
    const parts = assertion.split(".");
    if (parts.length !== 3) throw new Error("not a compact JWS");
    const claims: unknown = JSON.parse(Buffer.from(parts[1] ?? "", "base64url").toString("utf8"));
    if (typeof claims !== "object" || claims === null) throw new Error("claims are not an object");
    return claims as Record<string, unknown>;
  } catch {
    throw invalidRequest(50027, "JWT token is invalid or malformed.");
  }
}

function matchCredential(
  claims: Record<string, unknown>,
  credentials: readonly FederatedCredential[],
): FederatedCredential {
  if (credentials.length === 0) {
    throw invalidClient(70025, "The client has no configured federated identity credentials.");
  }
  const audiences = [claims.aud].flat();
  const byIssuer = credentials.filter(({ issuer }) => issuer === claims.iss);
  if (byIssuer.length === 0) throw noMatch(700211, "issuer", claims.iss);
  const bySubject = byIssuer.filter(({ subject }) => subject === claims.sub);
  if (bySubject.length === 0) throw noMatch(700213, "subject", claims.sub);
  const match = bySubject.find((credential) => credential.audiences.some((audience) => audiences.includes(audience)));
  if (!match) throw noMatch(700212, "audience", audiences.join(" "));
  return match;
}

function noMatch(code: number, claim: string, value: unknown): EntraError {
  return invalidClient(
    code,
    `No matching federated identity record found for presented assertion ${claim} '${String(value)}'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion.`,
  );
}

async function fetchKeys(issuer: string, extraRoot: string): Promise<JSONWebKeySet> {
  try {
    const metadata = await fetchJson(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`, extraRoot);
    if (metadata.issuer !== issuer) throw new Error(`its metadata names another issuer, '${String(metadata.issuer)}'`);
    const { keys } = await fetchJson(String(metadata.jwks_uri), extraRoot);
    if (!Array.isArray(keys)) throw new Error("its key set has no 'keys'");
    // CGS publishes its keys as RS256 and signs PS256: the algorithm is restricted below instead.
    return { keys: keys.map(({ alg: _alg, ...key }: Record<string, unknown>) => key) } as JSONWebKeySet;
  } catch (error) {
    throw invalidRequest(
      50166,
      `Request to External OIDC endpoint failed: issuer '${issuer}': ${(error as Error).message}.`,
    );
  }
}

async function fetchJson(address: string, extraRoot: string): Promise<Record<string, unknown>> {
  const url = new URL(address);
  if (url.protocol !== "https:") throw new Error(`${address} is not https`);
  const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS);
  const body = await new Promise<Buffer>((resolve, reject) => {
    const ca = [...tls.rootCertificates, extraRoot];
    const request = https.get(url, { ca, agent: false, signal }, (response) => {
      if (response.statusCode !== 200) {
        response.resume();
        reject(new Error(`${address} answered ${response.statusCode}`));
        return;
      }
      readBody(response, MAX_METADATA_BYTES).then(resolve, reject);
    });
    request.on("error", (error) => {
      reject(signal.aborted ? new Error(`${address} did not answer in ${FETCH_TIMEOUT_MS} ms`) : error);
    });
  });
  return JSON.parse(body.toString("utf8")) as Record<string, unknown>;
}

async function checkSignature(assertion: string, keys: JSONWebKeySet): Promise<void> {
  try {
    if (!decodeProtectedHeader(assertion).kid) throw new Error("the header has no kid");
    await compactVerify(assertion, createLocalJWKSet(keys), { algorithms: ALGORITHMS });
  } catch (error) {
    throw invalidClient(700027, `Client assertion failed signature validation: ${(error as Error).message}.`);
  }
}

/** Unix seconds, also as strings: CGS fills its claims from a query string. */
function checkTimes(claims: Record<string, unknown>): void {
  const now = Date.now() / 1000;
  const time = (name: string): number | undefined => {
    const value = claims[name];
    if (value === undefined) return undefined;
    const seconds = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
    if (typeof seconds !== "number" || !Number.isFinite(seconds)) {
      throw invalidRequest(50027, `JWT token is invalid or malformed: claim '${name}' is not a time.`);
    }
    return seconds;
  };
  const expires = time("exp");
  const starts = time("nbf") ?? time("iat") ?? 0;
  if (expires === undefined || expires < now - CLOCK_SKEW_SECONDS || starts > now + CLOCK_SKEW_SECONDS) {
    throw invalidClient(
      700024,
      "Client assertion is not within its valid time range. Please review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
    );
  }
}
