import "reflect-metadata";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { decodeJwt, jwtVerify, SignJWT } from "jose";
import type { IncomingMessage, ServerResponse } from "node:http";
import type {
  FederatedCredential,
  Principal,
  SandboxHost,
  StateDocument,
  TokenClaims,
  TokenService,
} from "../contracts.ts";
import { listen, readBody, sendJson } from "../listener.ts";
import type { Listener } from "../listener.ts";
import { SEEDED_USERS } from "./directory.ts";
import { EntraError, invalidClient, invalidRequest } from "./errors.ts";
import { checkFederatedAssertion, unverifiedClaims } from "./federation.ts";
import { openSigningKey } from "./signing-key.ts";
import type { SigningKey } from "./signing-key.ts";

const TOKEN_SECONDS = 3600;
const MAX_REQUEST_BYTES = 64 * 1024;
const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const EXCHANGE_AUDIENCE = "api://AzureADTokenExchange";
const USER_SUBJECT = "sandbox-user";

/** Resources every tenant knows; a scope is one of them + `/.default`. */
const RESOURCES = [
  "https://storage.azure.com",
  "https://vault.azure.net",
  "https://managedhsm.azure.net",
  "https://management.azure.com",
  "https://management.core.windows.net",
  "https://graph.microsoft.com",
  "https://attest.azure.net",
];
/** A storage account's own URL, as the blob service serves it. */
const ACCOUNT_RESOURCE = /^https:\/\/127\.0\.0\.1:\d+\/[a-z0-9]{3,24}$/;

interface DirectoryState {
  managedIdentities: Principal[];
  federatedCredentials: Record<string, FederatedCredential[]>;
}

/**
 * Stands in for Microsoft Entra: one signing key, a tenant per persona, the v2.0 endpoints.
 * Managed identities authenticate by workload identity federation, checked as Entra checks it. Users are simulated: the
 * file `federatedTokenFile` stands for "somebody signed in interactively" and vouches for every seeded user.
 * Protocol: https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
 */
export class SandboxEntra implements TokenService {
  readonly users = SEEDED_USERS;
  readonly federatedTokenFile: string;
  private readonly host: SandboxHost;
  private readonly directory: StateDocument<DirectoryState>;
  private running: { listener: Listener; key: SigningKey } | undefined;

  constructor(host: SandboxHost) {
    this.host = host;
    this.federatedTokenFile = path.join(host.stateDir, "federated-token.jwt");
    this.directory = host.document<DirectoryState>("entra-directory", () => ({
      managedIdentities: [],
      federatedCredentials: {},
    }));
  }

  get authority(): string {
    return this.started().listener.url;
  }

  async start(): Promise<void> {
    const key = await openSigningKey(this.host);
    const listener = await listen(this.host, "entra", (request, response, url) => this.handle(request, response, url));
    this.running = { listener, key };
    await this.writeUserProof();
  }

  async stop(): Promise<void> {
    await this.running?.listener.close();
    this.running = undefined;
  }

  findByClientId(tenantId: string, clientId: string): Principal | undefined {
    return this.principals().find((principal) => principal.tenantId === tenantId && principal.clientId === clientId);
  }

  findByObjectId(objectId: string): Principal | undefined {
    return this.principals().find((principal) => principal.objectId === objectId);
  }

  /** Adds, or replaces the identity of the same object id. */
  addManagedIdentity(identity: Principal): void {
    const { managedIdentities } = this.directory.value;
    this.directory.value.managedIdentities = [
      ...managedIdentities.filter(({ objectId }) => objectId !== identity.objectId),
      identity,
    ];
    this.directory.save();
  }

  removeManagedIdentity(objectId: string): void {
    const state = this.directory.value;
    state.managedIdentities = state.managedIdentities.filter((identity) => identity.objectId !== objectId);
    delete state.federatedCredentials[objectId];
    this.directory.save();
  }

  setFederatedCredentials(objectId: string, credentials: readonly FederatedCredential[]): void {
    this.directory.value.federatedCredentials[objectId] = [...credentials];
    this.directory.save();
  }

  async verify(token: string, audiences: readonly string[]): Promise<TokenClaims> {
    const { key, listener } = this.started();
    const { tid } = decodeJwt(token);
    const publicKey = crypto.createPublicKey(key.privateKey);
    const { payload } = await jwtVerify(token, publicKey, {
      algorithms: ["RS256"],
      issuer: `${listener.url}/${String(tid)}/v2.0`,
      audience: audiences.flatMap((audience) => [audience.replace(/\/$/, ""), `${audience.replace(/\/$/, "")}/`]),
      requiredClaims: ["exp", "oid", "tid"],
    });
    return {
      oid: String(payload.oid),
      tid: String(payload.tid),
      aud: String(payload.aud),
      ...(typeof payload.appid === "string" && { appid: payload.appid }),
    };
  }

  private started(): { listener: Listener; key: SigningKey } {
    if (!this.running) throw new Error("The token service of the sandbox is not running: call start() first.");
    return this.running;
  }

  private principals(): readonly Principal[] {
    return [...this.users, ...this.directory.value.managedIdentities];
  }

  private get userIssuer(): string {
    return `${this.authority}/sandbox-login`;
  }

  private async writeUserProof(): Promise<void> {
    const { key } = this.started();
    const proof = await new SignJWT({})
      .setProtectedHeader({ alg: "RS256", typ: "JWT", kid: key.kid })
      .setIssuer(this.userIssuer)
      .setSubject(USER_SUBJECT)
      .setAudience(EXCHANGE_AUDIENCE)
      .setIssuedAt()
      .setExpirationTime("365d")
      .sign(key.privateKey);
    fs.writeFileSync(this.federatedTokenFile, proof, { mode: 0o600 });
  }

  private async handle(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const [, tenant = "", ...rest] = url.pathname.split("/");
    const route = `${request.method} ${rest.join("/")}`;
    try {
      this.requireTenant(tenant);
      if (route === "GET v2.0/.well-known/openid-configuration") return sendJson(response, 200, this.metadata(tenant));
      if (route === "GET discovery/v2.0/keys") return sendJson(response, 200, { keys: [this.started().key.publicJwk] });
      if (route === "POST oauth2/v2.0/token")
        return sendJson(response, 200, await this.issue(tenant, await readForm(request)));
      throw new EntraError(404, "invalid_request", 900144, `The sandbox has no '${url.pathname}'.`);
    } catch (error) {
      if (!(error instanceof EntraError)) throw error;
      this.host.log("entra", error.message);
      sendJson(response, error.status, error.toBody());
    }
  }

  private requireTenant(tenant: string): void {
    if (tenant === "common" || tenant === "organizations") return;
    if (this.principals().some(({ tenantId }) => tenantId === tenant)) return;
    throw invalidRequest(90002, `Tenant '${tenant}' not found. Check to make sure you have the correct tenant ID.`);
  }

  private metadata(tenant: string): Record<string, unknown> {
    const base = `${this.authority}/${tenant}`;
    const isTemplate = tenant === "common" || tenant === "organizations";
    return {
      issuer: `${this.authority}/${isTemplate ? "{tenantid}" : tenant}/v2.0`,
      jwks_uri: `${base}/discovery/v2.0/keys`,
      token_endpoint: `${base}/oauth2/v2.0/token`,
      authorization_endpoint: `${base}/oauth2/v2.0/authorize`,
      token_endpoint_auth_methods_supported: ["private_key_jwt"],
      response_types_supported: ["token"],
      subject_types_supported: ["pairwise"],
      id_token_signing_alg_values_supported: ["RS256"],
    };
  }

  private async issue(tenant: string, form: URLSearchParams): Promise<Record<string, unknown>> {
    if (form.get("grant_type") !== "client_credentials") {
      throw new EntraError(
        400,
        "unsupported_grant_type",
        70003,
        `The app requested an unsupported grant type '${form.get("grant_type")}'.`,
      );
    }
    const clientId = form.get("client_id") ?? "";
    const principal = this.findByClientId(tenant, clientId);
    if (!principal) {
      throw new EntraError(
        400,
        "unauthorized_client",
        700016,
        `Application with identifier '${clientId}' was not found in the directory '${tenant}'.`,
      );
    }
    await this.authenticate(principal, form);
    const accessToken = await this.sign(principal, audienceOf(form.get("scope") ?? "", tenant));
    return {
      token_type: "Bearer",
      expires_in: TOKEN_SECONDS,
      ext_expires_in: TOKEN_SECONDS,
      access_token: accessToken,
    };
  }

  private async authenticate(principal: Principal, form: URLSearchParams): Promise<void> {
    if (form.has("client_secret")) {
      throw invalidClient(
        7000215,
        `Invalid client secret provided for app '${principal.clientId}': the sandbox knows no client secrets.`,
      );
    }
    const assertion = form.get("client_assertion");
    if (!assertion || form.get("client_assertion_type") !== ASSERTION_TYPE) {
      throw invalidClient(
        7000218,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
      );
    }
    if (principal.kind === "user") return this.checkUserProof(assertion);
    const credentials = this.directory.value.federatedCredentials[principal.objectId] ?? [];
    await checkFederatedAssertion(assertion, credentials, this.host.caCertificate);
  }

  private async checkUserProof(assertion: string): Promise<void> {
    const { iss } = unverifiedClaims(assertion);
    try {
      await jwtVerify(assertion, crypto.createPublicKey(this.started().key.privateKey), {
        algorithms: ["RS256"],
        issuer: this.userIssuer,
        subject: USER_SUBJECT,
        audience: EXCHANGE_AUDIENCE,
      });
    } catch {
      throw invalidClient(
        70021,
        `No matching federated identity record found for presented assertion. Assertion Issuer: '${String(iss)}'. A user of the sandbox signs in with the file AZURE_FEDERATED_TOKEN_FILE points at.`,
      );
    }
  }

  private async sign(principal: Principal, audience: string): Promise<string> {
    const { key } = this.started();
    const { tenantId: tid, clientId, objectId: oid, email, name } = principal;
    const personal = principal.kind === "user" ? { preferred_username: email, name } : { idtyp: "app" };
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({
      ver: "2.0",
      oid,
      tid,
      azp: clientId,
      appid: clientId,
      azpacr: "2",
      uti: crypto.randomUUID(),
      ...personal,
    })
      .setProtectedHeader({ alg: "RS256", typ: "JWT", kid: key.kid })
      .setIssuer(`${this.authority}/${tid}/v2.0`)
      .setSubject(oid)
      .setAudience(audience)
      .setIssuedAt(now)
      .setNotBefore(now)
      .setExpirationTime(now + TOKEN_SECONDS)
      .sign(key.privateKey);
  }
}

/** `https://storage.azure.com/.default` -> `https://storage.azure.com`. */
function audienceOf(scope: string, tenant: string): string {
  if (!scope.endsWith("/.default")) {
    throw new EntraError(
      400,
      "invalid_scope",
      1002012,
      `The provided value for scope '${scope}' is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier.`,
    );
  }
  const resource = scope.slice(0, -"/.default".length).replace(/\/$/, "");
  if (!RESOURCES.includes(resource) && !ACCOUNT_RESOURCE.test(resource)) {
    throw new EntraError(
      400,
      "invalid_resource",
      500011,
      `The resource principal named '${resource}' was not found in the tenant named '${tenant}'.`,
    );
  }
  return resource;
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  try {
    return new URLSearchParams((await readBody(request, MAX_REQUEST_BYTES)).toString("utf8"));
  } catch (error) {
    throw invalidRequest(90023, `The request is not valid: ${(error as Error).message}`);
  }
}
