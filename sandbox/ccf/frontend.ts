import findMyWay from "find-my-way";
import { appRoutes } from "./app/routes.ts";
import { policiesOf, type AppContext, type AppRoute } from "./app/route.ts";
import type { Body } from "./attestation.ts";
import { authenticate, requireAuthorizedCaller } from "./caller.ts";
import { applicationError, CcfError, internalError, ok, type CcfReply } from "./errors.ts";
import type { FaultInjector } from "./faults.ts";
import { govRoutes, type GovRoute } from "./governance.ts";
import type { IssuerKeys } from "./jwt.ts";
import type { Transaction } from "./kv.ts";
import type { CcfNetwork } from "./network.ts";
import { nodeRoutes, type NodeRoute } from "./node-routes.ts";
import { ShareCollector } from "./recovery.ts";
import { caBundles, jsBundle, jsRuntimeOptions, jwtIssuers, service, SETTING, type ServiceInfo } from "./tables.ts";
import { transactionStatus } from "./transactions.ts";

export interface CcfRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** DER of the TLS client certificate. */
  readonly clientCertificate: Buffer | undefined;
}

type Endpoint =
  | { readonly kind: "app"; readonly route: AppRoute }
  | { readonly kind: "gov"; readonly route: GovRoute }
  | { readonly kind: "node"; readonly route: NodeRoute }
  | { readonly kind: "status" | "commit" }
  | { readonly kind: "api"; readonly root: string };

const METHODS = ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"] as const;
const API_VERSIONS = ["2023-06-01-preview", "2024-07-01"];
/** Below each of these CCF itself answers `tx`, `commit` and `api`, whatever application is installed. */
const BUILT_IN_ROOTS = ["/app", "/gov", "/node"];

/** Routes requests of one node to governance, node and application endpoints, each run as one transaction. */
export class Frontend {
  readonly #network: CcfNetwork;
  readonly #issuers: IssuerKeys;
  readonly #faults: () => FaultInjector;
  readonly #routes: { method: string; path: string }[] = [];
  readonly #shares = new ShareCollector();
  readonly #router = findMyWay({ caseSensitive: true, maxParamLength: 1000 });

  constructor(network: CcfNetwork, issuers: IssuerKeys, faults: () => FaultInjector) {
    this.#network = network;
    this.#issuers = issuers;
    this.#faults = faults;
    for (const route of appRoutes)
      this.#add(route.method, `/app${route.path.replace(/\{(\w+)\}/g, ":$1")}`, { kind: "app", route });
    for (const route of govRoutes) this.#add(route.method, route.path, { kind: "gov", route });
    for (const route of nodeRoutes) this.#add("GET", route.path, { kind: "node", route });
    for (const root of BUILT_IN_ROOTS) {
      this.#add("GET", `${root}/tx`, { kind: "status" });
      this.#add("GET", `${root}/commit`, { kind: "commit" });
      this.#add("GET", `${root}/api`, { kind: "api", root });
    }
  }

  /** Never throws: what goes wrong becomes an error answer. */
  async handle(request: CcfRequest): Promise<CcfReply> {
    try {
      return await this.#dispatch(request);
    } catch (error) {
      return internalError(error).toReply();
    }
  }

  #add(method: AppRoute["method"], path: string, endpoint: Endpoint): void {
    this.#router.on(method, path, () => undefined, endpoint);
    this.#routes.push({ method, path });
  }

  async #dispatch(request: CcfRequest): Promise<CcfReply> {
    const { pathname, searchParams } = new URL(request.url, "https://node");
    const found = this.#find(request.method, pathname);
    switch (found.endpoint.kind) {
      case "status":
        return ok(this.#status(searchParams.get("transaction_id")), {
          "x-ms-ccf-transaction-id": this.#network.store.lastTransaction,
        });
      case "commit":
        return ok({ transaction_id: this.#network.store.lastTransaction });
      case "api":
        return ok(this.#describeApi(found.endpoint.root));
      case "node": {
        const { route } = found.endpoint;
        return this.#network.execute((tx) => route.handler({ tx, params: found.params }));
      }
      case "gov":
        return this.#govern(found.endpoint.route, found.params, searchParams, request);
      case "app":
        return this.#serve(found.endpoint.route, found.params, searchParams, request);
    }
  }

  #find(method: string, pathname: string): { endpoint: Endpoint; params: Record<string, string> } {
    const path = pathname.startsWith("/gov/") ? pathname.replace(/(.):(\w+)$/, "$1/~$2") : pathname;
    const found = METHODS.includes(method as "GET") ? this.#router.find(method as "GET", path) : null;
    if (found?.store) return { endpoint: found.store as Endpoint, params: found.params as Record<string, string> };
    const allowed = METHODS.filter((other) => this.#router.find(other, path) !== null);
    if (allowed.length === 0) throw notFound(pathname);
    throw new CcfError(
      405,
      "UnsupportedHttpVerb",
      `Cannot execute '${method}' on '${pathname}': only '${allowed.join(", ")}' is allowed.`,
      {
        headers: { allow: allowed.join(", ") },
      },
    );
  }

  /** OpenAPI: which paths and verbs there are; like CGS's own, it says nothing about bodies. */
  #describeApi(root: string): object {
    const paths: Record<string, Record<string, object>> = {};
    for (const { method, path } of this.#routes.filter((route) => route.path.startsWith(`${root}/`))) {
      const template = path
        .slice(root.length)
        .replace(/:(\w+)/g, "{$1}")
        .replace("/~", ":");
      (paths[template] ??= {})[method.toLowerCase()] = { responses: { default: { description: "" } } };
    }
    return {
      openapi: "3.0.0",
      info: { title: "Clean Room Governance Service (sandbox)", version: "8.0.0" },
      servers: [{ url: root }],
      paths,
    };
  }

  #status(transactionId: string | null) {
    const faults = this.#faults();
    const status = transactionStatus(this.#network.store, transactionId);
    const pending =
      faults.faults.firstPollPending && status.status === "Committed" && faults.isFirst(`tx ${status.transaction_id}`);
    return pending ? { ...status, status: "Pending" } : status;
  }

  async #govern(
    route: GovRoute,
    params: Record<string, string>,
    query: URLSearchParams,
    request: CcfRequest,
  ): Promise<CcfReply> {
    if (!route.unversioned) requireApiVersion(query);
    const issuersBefore = this.#registeredIssuers();
    const reply = await this.#network.execute((tx) =>
      route.handler({
        tx,
        network: this.#network,
        params,
        query,
        contentType: header(request, "content-type"),
        body: request.body,
        shares: this.#shares,
      }),
    );
    if (this.#registeredIssuers() !== issuersBefore) void this.#issuers.refresh();
    return reply;
  }

  /** Changes whenever an issuer or a CA bundle is registered, even if anew with the same values. */
  #registeredIssuers(): string {
    const tx = this.#network.store.begin();
    return [jwtIssuers, caBundles]
      .flatMap((rows) => tx.keys(rows).map((key) => `${key} ${tx.version(rows, key)}`))
      .join();
  }

  async #serve(
    route: AppRoute,
    params: Record<string, string>,
    query: URLSearchParams,
    request: CcfRequest,
  ): Promise<CcfReply> {
    const { pathname } = new URL(request.url, "https://node");
    const snapshot = this.#network.store.begin();
    requireInstalled(snapshot, pathname);
    const credentials = {
      clientCertificate: request.clientCertificate,
      authorization: header(request, "authorization"),
    };
    const caller = await authenticate(policiesOf(route), credentials, snapshot, this.#issuers);
    const faults = this.#faults();
    return this.#network.execute((tx) =>
      runHandler(route, {
        tx,
        caller,
        params,
        query,
        attestation: this.#network.attestation,
        historicalPending: () => faults.faults.historicalPending && faults.isFirst(`history ${request.url}`),
        body: () => JSON.parse(request.body.toString("utf8")) as Body,
      }),
    );
  }
}

async function runHandler(route: AppRoute, context: AppContext): Promise<CcfReply> {
  const { tx, caller } = context;
  try {
    const authenticated = caller.policy !== "no_auth";
    if (route.registered === "always" || (route.registered === "unless no_auth" && authenticated)) {
      requireAuthorizedCaller(caller, tx);
    }
    const reply = await route.handler(context);
    if (route.mode === "readonly" && tx.writes.length > 0) throw new Error(`${route.path} is read-only but wrote`);
    return reply;
  } catch (error) {
    throw applicationError(error, tx.get(jsRuntimeOptions, SETTING)?.["return_exception_details"] === true);
  }
}

function requireInstalled(tx: Transaction, pathname: string): void {
  const { status } = tx.get(service, SETTING) as ServiceInfo;
  if (status !== "Open") throw new CcfError(404, "FrontendNotOpen", "Frontend is not open.");
  // `set_js_app` accepts no bundle but CGS's own.
  if (!tx.has(jsBundle, SETTING)) throw notFound(pathname);
}

const notFound = (pathname: string): CcfError => new CcfError(404, "ResourceNotFound", `Unknown path: ${pathname}.`);

function requireApiVersion(query: URLSearchParams): void {
  const version = query.get("api-version");
  if (version === null) {
    throw new CcfError(
      400,
      "MissingApiVersionParameter",
      "The api-version query parameter (?api-version=) is required for all requests.",
    );
  }
  if (!API_VERSIONS.includes(version)) {
    throw new CcfError(
      400,
      "UnsupportedApiVersionValue",
      `Unsupported api-version '${version}'. The supported api-versions are: ${API_VERSIONS.join(", ")}`,
    );
  }
}

function header(request: CcfRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
