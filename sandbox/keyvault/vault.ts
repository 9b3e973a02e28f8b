import type { IncomingMessage, ServerResponse } from "node:http";
import type { RoleBasedAccess, TokenClaims, TokenService, VaultSpec } from "../contracts.ts";
import { readBody, sendJson } from "../listener.ts";
import { badParameter, forbidden, VaultError } from "./errors.ts";
import type { VaultKeys } from "./keys.ts";
import { findRoute } from "./routes.ts";
import type { VaultSecrets } from "./secrets.ts";

const RESOURCE = "https://vault.azure.net";
const API_VERSION = /^(7\.[0-9]|20\d\d-\d\d-\d\d)(-preview(\.\d+)?)?$/;
const MAX_BODY_BYTES = 1024 * 1024;
const PAGE_SIZE = 25;

export interface VaultFrontDependencies {
  readonly spec: () => VaultSpec;
  readonly vaultUri: () => string;
  readonly keys: VaultKeys;
  readonly secrets: VaultSecrets;
  readonly tokens: TokenService;
  readonly access: RoleBasedAccess;
  readonly save: () => void;
}

/** The REST endpoint of one vault. */
export class VaultFront {
  private readonly dependencies: VaultFrontDependencies;

  constructor(dependencies: VaultFrontDependencies) {
    this.dependencies = dependencies;
  }

  async handle(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    try {
      await this.serve(request, response, url);
    } catch (error) {
      if (!(error instanceof VaultError)) throw error;
      request.resume();
      sendJson(response, error.status, error.toBody(), error.headers);
    }
  }

  private async serve(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const { keys, secrets, save } = this.dependencies;
    const method = request.method ?? "GET";
    const claims = await this.authenticate(request.headers.authorization ?? "");
    const { route, name, version } = findRoute(method, url.pathname);
    this.authorize(claims, route.action, name);
    const apiVersion = url.searchParams.get("api-version") ?? "";
    if (!API_VERSION.test(apiVersion)) throw badParameter(`api-version '${apiVersion}' is not known.`);
    const body = await readJson(request);
    const answer = await route.answer(keys, secrets, { name, version, body, apiVersion });
    if (method !== "GET") save();
    if (route.isPurge) {
      response.writeHead(204).end();
      return;
    }
    sendJson(response, 200, route.isList ? this.page(answer as unknown[], url) : answer);
  }

  /** @throws VaultError with the challenge that tells a client where to get which token. */
  private async authenticate(authorization: string): Promise<TokenClaims> {
    if (!authorization.startsWith("Bearer "))
      throw this.challenge("AKV10000: Request is missing a Bearer or PoP token.");
    let claims: TokenClaims;
    try {
      claims = await this.dependencies.tokens.verify(authorization.slice("Bearer ".length), [RESOURCE]);
    } catch (error) {
      throw this.challenge(`AKV10046: Unable to validate the token: ${(error as Error).message}.`);
    }
    if (claims.tid !== this.dependencies.spec().tenantId) {
      throw this.challenge("AKV10032: Invalid issuer: the token is of another tenant than the vault.");
    }
    return claims;
  }

  private authorize({ oid, appid }: TokenClaims, action: string, name: string): void {
    const { spec, access } = this.dependencies;
    const { id, enableRbacAuthorization } = spec();
    const dataAction = `Microsoft.KeyVault/vaults/${action}`;
    const scope = name === "" ? id : `${id}/${action.split("/", 1)[0]}/${name}`;
    const caller = `Caller: appid=${appid ?? ""};oid=${oid}\nAction: '${dataAction}'\nResource: '${scope}'`;
    if (!enableRbacAuthorization) {
      throw forbidden(
        `The sandbox knows no access policies; enable RBAC authorization on the vault.\n${caller}`,
        "ForbiddenByPolicy",
      );
    }
    if (!access.isAllowed(oid, { dataAction }, scope)) {
      throw forbidden(
        `Caller is not authorized to perform action on resource.\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\n${caller}\nAssignment: (not found)`,
        "ForbiddenByRbac",
      );
    }
  }

  private challenge(message: string): VaultError {
    const authorization = `${this.dependencies.tokens.authority}/${this.dependencies.spec().tenantId}`;
    return new VaultError(401, "Unauthorized", message, undefined, {
      "www-authenticate": `Bearer authorization="${authorization}", resource="${RESOURCE}"`,
    });
  }

  private page(all: unknown[], url: URL): unknown {
    const start = Number(url.searchParams.get("$skiptoken") ?? 0);
    const size = Math.min(Number(url.searchParams.get("maxresults") ?? PAGE_SIZE), PAGE_SIZE);
    if (!Number.isInteger(start) || !Number.isInteger(size) || start < 0 || size < 1)
      throw badParameter("maxresults must be 1 to 25.");
    const next = start + size;
    if (next >= all.length) return { value: all.slice(start), nextLink: null };
    const link = new URL(url.pathname, this.dependencies.vaultUri());
    link.search = new URLSearchParams({ ...Object.fromEntries(url.searchParams), $skiptoken: String(next) }).toString();
    return { value: all.slice(start, next), nextLink: link.href };
  }
}

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  let body: unknown;
  try {
    const text = (await readBody(request, MAX_BODY_BYTES)).toString("utf8");
    body = text === "" ? {} : JSON.parse(text);
  } catch {
    throw badParameter("The request body must be a JSON object.");
  }
  if (typeof body !== "object" || body === null || Array.isArray(body))
    throw badParameter("The request body must be a JSON object.");
  return body as Record<string, unknown>;
}
