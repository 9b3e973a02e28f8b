import https from "node:https";
import type http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { CcfError, CcfUnreachableError, OutcomeUnknownError, type CcfErrorDetail } from "./errors.ts";

export interface CcfConnection {
  /** `https://host[:port]` */
  readonly endpoint: string;
  /** PEM; several certificates may follow one another while a recovery is under way. */
  readonly serviceCertificate: string;
}

/** PEM texts of a consortium member's certificate and private key. */
export interface MemberSigner {
  readonly certificate: string;
  readonly privateKey: string;
}

/** Gives a bearer token that is valid now. */
export type TokenSource = () => Promise<string>;

export interface CcfCredentials {
  readonly member?: MemberSigner;
  readonly token?: TokenSource;
}

/** Who a request is made as. */
export type CallerKind = "member" | "token" | "nobody";

export interface CcfOptions {
  /** For one call with its retries and, after a write, until it is committed. Default 60. */
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
}

export interface RequestOptions {
  /** Default: the member if there is one, else the token's user, else nobody. */
  readonly as?: CallerKind;
  /** A value is sent as JSON, bytes as they are (then `contentType` says what they are), nothing as an empty body. */
  readonly body?: unknown;
  readonly contentType?: string;
  /**
   * `read`: may be repeated after any failure (some reads are POSTs). `write`: repeated only when it cannot have been
   * applied, and resolved only once committed.
   */
  readonly effect: "read" | "write";
}

export interface CcfResponse<T = unknown> {
  readonly status: number;
  /** JSON, or text when the answer is not JSON, or `undefined` when it is empty. */
  readonly body: T;
  readonly transactionId: string | undefined;
}

interface RawAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
}

interface Deadline {
  readonly signal: AbortSignal;
  readonly seconds: number;
}

const DEFAULT_TIMEOUT_SECONDS = 60;
/** Shorter than the idle time after which servers hang up, so that no write is sent into a closing connection. */
const IDLE_SOCKET_MS = 4000;
const COMMIT_POLLS_MS = [0, 50, 100, 200, 500];
const COMMIT_LIMIT_MS = 10_000;
const RETRY_WAITS_MS = [200, 1000, 3000];
const MAX_REDIRECTS = 3;

/** The request never left this machine, or nobody was there to take it. */
const NOT_SENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN"]);
/** Answers to requests that the network did not carry out and asks to repeat. */
const NOT_APPLIED_CODES = new Set([
  "RequestAlreadyForwarded",
  "InternalError",
  "TransactionCommitAttemptsExceedLimit",
  "TransactionReplicationFailed",
  "TooManyPendingTransactions",
  "ViewNotKnown",
]);

/**
 * HTTPS to one CCF network, trusted through its service certificate and nothing else.
 *
 * Host names are not compared: a node's certificate is issued by the service identity itself, which is pinned, while
 * the name under which a node is reached (load balancer, address) is the operator's affair.
 * @throws CcfError for answers with an error status, CcfUnreachableError when nothing was applied because nobody
 * trusted answered, OutcomeUnknownError when a write may or may not have been applied.
 */
export class CcfTransport {
  readonly connection: CcfConnection;
  readonly credentials: CcfCredentials;
  private readonly options: CcfOptions;
  private readonly origin: URL;
  private readonly agents = new Map<string, https.Agent>();

  constructor(connection: CcfConnection, credentials: CcfCredentials, options: CcfOptions = {}) {
    this.connection = connection;
    this.credentials = credentials;
    this.options = options;
    this.origin = parseEndpoint(connection.endpoint);
    if (!connection.serviceCertificate.includes("-----BEGIN CERTIFICATE-----")) {
      throw new Error(
        `The service certificate of ${connection.endpoint} is not a PEM certificate; take it from the operator's handoff.`,
      );
    }
  }

  get<T>(path: string, as?: CallerKind): Promise<CcfResponse<T>> {
    return this.request<T>("GET", path, { effect: "read", as });
  }

  /** A read that the service spells POST. */
  read<T>(path: string, as?: CallerKind): Promise<CcfResponse<T>> {
    return this.request<T>("POST", path, { effect: "read", as });
  }

  put<T>(path: string, body: unknown, as?: CallerKind): Promise<CcfResponse<T>> {
    return this.request<T>("PUT", path, { effect: "write", body, as });
  }

  post<T>(path: string, body?: unknown, as?: CallerKind): Promise<CcfResponse<T>> {
    return this.request<T>("POST", path, { effect: "write", body, as });
  }

  /** A signed governance request; `bytes` are a COSE_Sign1 envelope. */
  postSigned<T>(path: string, bytes: Uint8Array, effect: "read" | "write" = "write"): Promise<CcfResponse<T>> {
    return this.request<T>("POST", path, { effect, body: bytes, contentType: "application/cose", as: "nobody" });
  }

  /** A GET that answers 202 while the network still looks into its ledger: asks again until it is there. */
  async getWhenReady<T>(path: string): Promise<CcfResponse<T>> {
    const deadline = this.deadline();
    for (;;) {
      const { status, headers, text } = await this.attempt("GET", path, { effect: "read" }, deadline);
      if (status !== 202) return toResponse<T>("GET", path, { status, headers, text });
      await this.pause(Math.max(Number(headers["retry-after"] ?? 1), 0.1) * 1000, "GET", path, deadline);
    }
  }

  /** Every item of a list that is cut into pages by `nextLink`, each page possibly answered 202 first. */
  async *pages<T>(path: string): AsyncGenerator<T> {
    let next: string | undefined = path;
    while (next !== undefined) {
      const { body }: CcfResponse<{ value: T[]; nextLink?: string }> = await this.getWhenReady(next);
      yield* body.value;
      next = body.nextLink;
    }
  }

  async request<T>(method: string, path: string, options: RequestOptions): Promise<CcfResponse<T>> {
    const deadline = this.deadline();
    for (;;) {
      const response = toResponse<T>(method, path, await this.attempt(method, path, options, deadline));
      if (options.effect === "read" || response.transactionId === undefined) return response;
      // `Invalid` means the network rolled the transaction back: nothing is left of it, so it is done again.
      if ((await this.commitStatus(method, path, response.transactionId, deadline)) === "Committed") return response;
    }
  }

  /** Closes idle connections. The transport can still be used afterwards. */
  close(): void {
    for (const agent of this.agents.values()) agent.destroy();
    this.agents.clear();
  }

  private async attempt(method: string, path: string, options: RequestOptions, deadline: Deadline): Promise<RawAnswer> {
    for (let round = 0; ; round++) {
      const wait = RETRY_WAITS_MS[round];
      try {
        const answer = await this.send(method, path, options, deadline);
        if (wait === undefined || !mayRepeatAnswer(answer, options.effect)) {
          if (answer.status === 504 && options.effect === "write")
            throw new OutcomeUnknownError(operationOf(method, path), "504 from the network");
          return answer;
        }
        await this.pause(Number(answer.headers["retry-after"] ?? 0) * 1000 || wait, method, path, deadline);
      } catch (error) {
        const failure = this.classify(error, method, path, options.effect, deadline);
        if (wait === undefined || !failure.repeat) throw failure.error;
        await this.pause(wait, method, path, deadline);
      }
    }
  }

  private async send(method: string, path: string, options: RequestOptions, deadline: Deadline): Promise<RawAnswer> {
    const caller = this.callerOf(options.as, method, path);
    const { payload, contentType } = encodeBody(options);
    const headers: http.OutgoingHttpHeaders = { accept: "application/json, text/plain, */*" };
    if (contentType !== undefined) headers["content-type"] = contentType;
    if (method !== "GET") headers["content-length"] = payload?.byteLength ?? 0;
    if (caller === "token") headers.authorization = `Bearer ${await this.credentials.token!()}`;

    let url = new URL(path, this.origin);
    for (let redirects = 0; ; redirects++) {
      const answer = await exchange(
        url,
        { method, headers, agent: this.agentFor(caller), signal: deadline.signal },
        payload,
      );
      const location = answer.headers.location;
      if ((answer.status !== 307 && answer.status !== 308) || location === undefined || redirects === MAX_REDIRECTS)
        return answer;
      url = new URL(location, url);
      if (url.protocol !== "https:")
        throw new Error(
          `${operationOf(method, path)}: the network redirects to ${url.protocol}//, only https is followed`,
        );
    }
  }

  private async commitStatus(
    method: string,
    path: string,
    transactionId: string,
    deadline: Deadline,
  ): Promise<"Committed" | "Invalid"> {
    const started = Date.now();
    for (let poll = 0; Date.now() - started < COMMIT_LIMIT_MS; poll++) {
      await this.pauseForCommit(COMMIT_POLLS_MS[Math.min(poll, COMMIT_POLLS_MS.length - 1)]!, method, path, deadline);
      const status = await this.transactionStatus(transactionId, method, path, deadline);
      if (status === "Committed" || status === "Invalid") return status;
    }
    throw new OutcomeUnknownError(
      operationOf(method, path),
      `transaction ${transactionId} was not committed within ${COMMIT_LIMIT_MS / 1000} s`,
    );
  }

  private async transactionStatus(
    transactionId: string,
    method: string,
    path: string,
    deadline: Deadline,
  ): Promise<string> {
    const statusPath = `/app/tx?transaction_id=${transactionId}`;
    try {
      const answer = await this.attempt("GET", statusPath, { effect: "read", as: "nobody" }, deadline);
      return toResponse<{ status: string }>("GET", statusPath, answer).body.status;
    } catch (error) {
      throw new OutcomeUnknownError(
        operationOf(method, path),
        `the status of transaction ${transactionId} could not be read`,
        { cause: error },
      );
    }
  }

  private async pauseForCommit(milliseconds: number, method: string, path: string, deadline: Deadline): Promise<void> {
    try {
      await sleep(milliseconds, undefined, { signal: deadline.signal });
    } catch (error) {
      throw new OutcomeUnknownError(operationOf(method, path), "stopped while waiting for the commit", {
        cause: error,
      });
    }
  }

  /** Between two attempts nothing is under way, so stopping here leaves nothing unknown. */
  private async pause(milliseconds: number, method: string, path: string, deadline: Deadline): Promise<void> {
    try {
      await sleep(milliseconds, undefined, { signal: deadline.signal });
    } catch {
      throw new CcfUnreachableError(this.connection.endpoint, operationOf(method, path), this.stopReason(deadline));
    }
  }

  private classify(
    error: unknown,
    method: string,
    path: string,
    effect: "read" | "write",
    deadline: Deadline,
  ): { error: unknown; repeat: boolean } {
    if (!(error instanceof ExchangeError)) return { error, repeat: false };
    const stopped = deadline.signal.aborted;
    const operation = operationOf(method, path);
    const cause = stopped ? this.stopReason(deadline) : error.cause;
    const code = (error.cause as NodeJS.ErrnoException).code ?? "";
    if (error.sent && effect === "write") {
      return { error: new OutcomeUnknownError(operation, (cause as Error).message, { cause }), repeat: false };
    }
    // A certificate that does not verify will not verify a second later.
    const isTransient = error.sent || NOT_SENT.has(code) || code === "ECONNRESET" || code === "ETIMEDOUT";
    return {
      error: new CcfUnreachableError(this.connection.endpoint, operation, cause),
      repeat: isTransient && !stopped,
    };
  }

  private stopReason(deadline: Deadline): Error {
    return this.options.signal?.aborted ? new Error("cancelled") : new Error(`no answer within ${deadline.seconds} s`);
  }

  private deadline(): Deadline {
    const seconds = this.options.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS;
    const timeout = AbortSignal.timeout(seconds * 1000);
    return { seconds, signal: this.options.signal ? AbortSignal.any([timeout, this.options.signal]) : timeout };
  }

  private callerOf(as: CallerKind | undefined, method: string, path: string): CallerKind {
    const { member, token } = this.credentials;
    const caller = as ?? (member ? "member" : token ? "token" : "nobody");
    if (caller === "member" && !member)
      throw new Error(`${operationOf(method, path)} is for consortium members: give a member certificate and key.`);
    if (caller === "token" && !token)
      throw new Error(`${operationOf(method, path)} is for users: give a token source.`);
    return caller;
  }

  /** The member's certificate is shown only where the caller acts as that member. */
  private agentFor(caller: CallerKind): https.Agent {
    const key = caller === "member" ? "member" : "anonymous";
    let agent = this.agents.get(key);
    if (!agent) {
      const member = key === "member" ? this.credentials.member : undefined;
      agent = new https.Agent({
        keepAlive: true,
        timeout: IDLE_SOCKET_MS,
        ca: this.connection.serviceCertificate,
        rejectUnauthorized: true,
        checkServerIdentity: () => undefined,
        minVersion: "TLSv1.2",
        cert: member?.certificate,
        key: member?.privateKey,
      });
      this.agents.set(key, agent);
    }
    return agent;
  }
}

/** Carries whether the request had been handed to a connection when it failed. */
class ExchangeError extends Error {
  readonly sent: boolean;

  constructor(cause: Error, sent: boolean) {
    super(cause.message, { cause });
    this.sent = sent;
  }
}

function exchange(url: URL, options: https.RequestOptions, payload: Uint8Array | undefined): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    let sent = false;
    const request = https.request(url, options);
    const fail = (error: Error): void => reject(new ExchangeError(error, sent));
    request.on("socket", (socket) => {
      // A connection at rest is secure already; a new one carries nothing before its handshake has been verified.
      if (request.reusedSocket) sent = true;
      else socket.once("secureConnect", () => (sent = true));
    });
    request.on("error", fail);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", fail);
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: Buffer.concat(chunks).toString("utf8"),
        }),
      );
    });
    request.end(payload);
  });
}

function mayRepeatAnswer(answer: RawAnswer, effect: "read" | "write"): boolean {
  if (answer.status < 500 && answer.status !== 408) return false;
  const code = errorOf(answer).code;
  if (code === "SessionConsistencyLost") return true;
  if (effect === "read")
    return answer.status === 408 || answer.status === 502 || answer.status === 503 || answer.status === 504;
  return answer.status === 503 && NOT_APPLIED_CODES.has(code);
}

function toResponse<T>(method: string, path: string, answer: RawAnswer): CcfResponse<T> {
  const transactionId = headerText(answer.headers["x-ms-ccf-transaction-id"]);
  if (answer.status < 200 || answer.status > 299) {
    const { code, message, details } = errorOf(answer);
    throw new CcfError({
      status: answer.status,
      code,
      reason: message,
      details,
      transactionId,
      operation: operationOf(method, path),
    });
  }
  return { status: answer.status, body: parseBody(method, path, answer) as T, transactionId };
}

function parseBody(method: string, path: string, answer: RawAnswer): unknown {
  if (answer.text === "") return undefined;
  if (!headerText(answer.headers["content-type"])?.includes("json")) return answer.text;
  try {
    return JSON.parse(answer.text);
  } catch (error) {
    throw new Error(`${operationOf(method, path)}: the answer says it is JSON but is not`, { cause: error });
  }
}

function errorOf(answer: RawAnswer): { code: string; message: string; details?: CcfErrorDetail[] } {
  try {
    const { error } = JSON.parse(answer.text) as {
      error: { code: string; message: string; details?: CcfErrorDetail[] };
    };
    return { code: String(error.code), message: String(error.message), details: error.details };
  } catch {
    return { code: `Http${answer.status}`, message: answer.text.slice(0, 200) || "no further explanation" };
  }
}

function encodeBody(options: RequestOptions): { payload?: Uint8Array; contentType?: string } {
  if (options.body === undefined) return {};
  if (options.body instanceof Uint8Array)
    return { payload: options.body, contentType: options.contentType ?? "application/octet-stream" };
  return { payload: Buffer.from(JSON.stringify(options.body), "utf8"), contentType: "application/json" };
}

function parseEndpoint(endpoint: string): URL {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url?.protocol !== "https:")
    throw new Error(`The consortium endpoint must look like https://host:port, got "${endpoint}".`);
  return url;
}

function headerText(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}

const operationOf = (method: string, path: string): string => `${method} ${path.split("?")[0]}`;
