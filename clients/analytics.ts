import https from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import type { TokenSource } from "./ccf/transport.ts";

/** The agent of a clean room: runs approved queries. */
export interface AnalyticsConnection {
  /** `https://host[:port]` */
  readonly endpoint: string;
  /** PEM of the contract's certificate authority. */
  readonly caCertificate: string;
  readonly token: TokenSource;
  /** For one call; default 120, because submitting a query checks approvals and hands over keys. */
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
}

export interface QueryRun {
  /** Same id, same job: submitting it again answers the state of the first. */
  readonly runId: string;
  /** `YYYY-MM-DD`, both or none. */
  readonly startDate?: string;
  readonly endDate?: string;
  /** Checks everything and prepares the run without starting it. */
  readonly dryRun?: boolean;
}

export interface SubmittedRun {
  /** `cl-spark-…`; `none` for a dry run. */
  readonly jobId: string;
  /** The job was there before. */
  readonly isKnown: boolean;
}

export interface JobEvent {
  readonly name?: string;
  readonly reason: string;
  readonly message: string;
  readonly type: string;
  readonly firstTimestamp?: string;
  readonly lastTimestamp?: string;
  readonly count?: number;
}

export interface JobStatus {
  readonly id: string;
  readonly status: {
    /** `COMPLETED` and `FAILED` are final. */
    readonly applicationState: { readonly state: string; readonly errorMessage?: string };
    readonly terminationTime?: string;
    readonly [key: string]: unknown;
  };
  readonly events: readonly JobEvent[];
}

export interface RunRecord {
  readonly runId: string;
  readonly startTime: string;
  readonly endTime?: string;
  readonly isSuccessful: boolean;
  readonly error?: { readonly code: string; readonly message: string };
  readonly stats?: { readonly rowsRead: number; readonly rowsWritten: number };
}

export interface RunHistory {
  readonly queryId: string;
  readonly latestRun?: RunRecord;
  /** At most the last five. */
  readonly runs: readonly RunRecord[];
  readonly summary: {
    readonly totalRuns: number;
    readonly successfulRuns: number;
    readonly failedRuns: number;
    readonly totalRowsRead: number;
    readonly totalRowsWritten: number;
    readonly [key: string]: number;
  };
}

/** The clean room refused. `code` is its own, for instance `QueryMissingApprovalsFromDatasetOwners`. */
export class AnalyticsError extends Error {
  readonly status: number;
  readonly code: string;
  /** The clean room's own sentence. */
  readonly reason: string;

  constructor(operation: string, answer: { status: number; code: string; reason: string }) {
    super(`${operation}: ${answer.status} ${answer.code}: ${answer.reason}`);
    this.name = "AnalyticsError";
    this.status = answer.status;
    this.code = answer.code;
    this.reason = answer.reason;
  }
}

/** Nobody answered, or nobody the contract's certificate authority vouches for. */
export class AnalyticsUnreachableError extends Error {
  constructor(endpoint: string, operation: string, cause: Error) {
    super(
      `${operation}: the clean room at ${endpoint} cannot be reached (${cause.message}). ` +
        "Check that the operator's stack is up; after a change of the contract's certificate authority, refresh the operator's handoff.",
      { cause },
    );
    this.name = "AnalyticsUnreachableError";
  }
}

const DEFAULT_TIMEOUT_SECONDS = 120;
/** Every call may be repeated: reads anyway, and a run because its id names the job. */
const RETRY_WAITS_MS = [500, 2000];
const REPEATABLE_STATUS = new Set([502, 503, 504]);
/** The agent reads the caller's token from here, because gateways in front of it strip `Authorization`. */
const TOKEN_HEADER = "x-ms-cleanroom-authorization";

/**
 * Client of the analytics agent. The connection is trusted through the contract's certificate authority and nothing
 * else: only attested clean rooms of the contract get certificates from it.
 */
export class AnalyticsClient {
  private readonly connection: AnalyticsConnection;
  private readonly agent: https.Agent;

  constructor(connection: AnalyticsConnection) {
    if (!URL.canParse(connection.endpoint) || new URL(connection.endpoint).protocol !== "https:") {
      throw new Error(`The analytics endpoint must look like https://host:port, got "${connection.endpoint}".`);
    }
    this.connection = connection;
    this.agent = new https.Agent({
      keepAlive: true,
      ca: connection.caCertificate,
      rejectUnauthorized: true,
      minVersion: "TLSv1.2",
    });
  }

  /** Whether the agent takes requests; `false` while it starts or is away. */
  async ready(): Promise<boolean> {
    try {
      await this.call("GET", "/ready", { anonymous: true });
      return true;
    } catch (error) {
      if (error instanceof AnalyticsUnreachableError || error instanceof AnalyticsError) return false;
      throw error;
    }
  }

  /** Submits a run. @throws AnalyticsError when approvals, consent or dates do not allow it. */
  async run(queryId: string, run: QueryRun): Promise<SubmittedRun> {
    const path = `/queries/${encodeURIComponent(queryId)}/run`;
    const answer = await this.call<{ id: string; status: unknown }>("POST", path, { body: run });
    return { jobId: answer.id, isKnown: typeof answer.status === "object" };
  }

  status(jobId: string): Promise<JobStatus> {
    return this.call<JobStatus>("GET", `/status/${encodeURIComponent(jobId)}`);
  }

  /** `undefined` when the query has never run. */
  async runs(queryId: string): Promise<RunHistory | undefined> {
    try {
      return await this.call<RunHistory>("GET", `/queries/${encodeURIComponent(queryId)}/runs`);
    } catch (error) {
      if (error instanceof AnalyticsError && error.status === 404) return undefined;
      throw error;
    }
  }

  close(): void {
    this.agent.destroy();
  }

  private async call<T>(
    method: string,
    path: string,
    options: { body?: unknown; anonymous?: boolean } = {},
  ): Promise<T> {
    const seconds = this.connection.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS;
    const timeout = AbortSignal.timeout(seconds * 1000);
    const signal = this.connection.signal ? AbortSignal.any([timeout, this.connection.signal]) : timeout;
    for (let round = 0; ; round++) {
      const wait = RETRY_WAITS_MS[round];
      const token = options.anonymous ? undefined : await this.connection.token();
      const outcome = await this.send(method, path, token, options.body, signal);
      if ("answer" in outcome && (wait === undefined || !REPEATABLE_STATUS.has(outcome.answer.status))) {
        return parseAnswer<T>(`${method} ${path}`, outcome.answer);
      }
      if ("failure" in outcome && (wait === undefined || !isTransient(outcome.failure))) {
        const { failure } = outcome;
        const cause = timeout.aborted ? new Error(`no answer within ${seconds} s`, { cause: failure }) : failure;
        throw new AnalyticsUnreachableError(this.connection.endpoint, `${method} ${path}`, cause);
      }
      await sleep(wait, undefined, { signal }).catch(() => undefined);
    }
  }

  private send(
    method: string,
    path: string,
    token: string | undefined,
    body: unknown,
    signal: AbortSignal,
  ): Promise<{ answer: Answer } | { failure: Error }> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body), "utf8");
    const headers: Record<string, string | number> = { accept: "application/json" };
    if (payload) Object.assign(headers, { "content-type": "application/json", "content-length": payload.byteLength });
    if (token !== undefined) headers[TOKEN_HEADER] = `Bearer ${token}`;
    return new Promise((resolve) => {
      const fail = (failure: Error): void => resolve({ failure });
      const url = new URL(path, this.connection.endpoint);
      const request = https.request(url, { method, headers, agent: this.agent, signal }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", fail);
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          resolve({ answer: { status: response.statusCode ?? 0, text } });
        });
      });
      request.on("error", fail);
      request.end(payload);
    });
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

const TRANSIENT = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ETIMEDOUT",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EPIPE",
]);

function isTransient(error: Error): boolean {
  return TRANSIENT.has((error as NodeJS.ErrnoException).code ?? "");
}

function parseAnswer<T>(operation: string, { status, text }: Answer): T {
  if (status >= 200 && status <= 299) return (text === "" ? undefined : parseJson(text)) as T;
  const { error } = (parseJson(text) ?? {}) as { error?: { code?: string; message?: string } };
  throw new AnalyticsError(operation, {
    status,
    code: error?.code ?? `Http${status}`,
    reason: error?.message ?? (text.slice(0, 200) || "no further explanation"),
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
