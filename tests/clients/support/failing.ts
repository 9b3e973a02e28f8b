import { OutcomeUnknownError } from "../../../clients/ccf/errors.ts";
import {
  CcfTransport,
  type CcfConnection,
  type CcfCredentials,
  type CcfResponse,
  type RequestOptions,
} from "../../../clients/ccf/transport.ts";
import type { TransportFactory } from "./consortium.ts";

/**
 * `crash`: the process dies when the request has been applied (dying before a request is dying after the one before it).
 * `answer lost`: the process lives on, but does not learn whether a write was applied.
 */
export type FailureKind = "crash" | "answer lost";

export class Crash extends Error {}

/** Fails at one request of a series, and remembers which of them were writes. */
export class Failure {
  readonly isWrite: boolean[] = [];
  private readonly at: number;
  private readonly kind: FailureKind;

  /** @param at which request fails, from 1; 0 for none. */
  constructor(at: number, kind: FailureKind) {
    this.at = at;
    this.kind = kind;
  }

  readonly transport: TransportFactory = (connection, credentials) =>
    new FailingTransport(connection, credentials, this);

  async around<T>(operation: string, isWrite: boolean, send: () => Promise<T>): Promise<T> {
    if (this.isWrite.push(isWrite) !== this.at) return send();
    await send().catch(() => undefined);
    throw this.kind === "answer lost"
      ? new OutcomeUnknownError(operation, "the answer was lost")
      : new Crash(operation);
  }
}

class FailingTransport extends CcfTransport {
  private readonly failure: Failure;

  constructor(connection: CcfConnection, credentials: CcfCredentials, failure: Failure) {
    super(connection, credentials, { timeoutSeconds: 20 });
    this.failure = failure;
  }

  override request<T>(method: string, path: string, options: RequestOptions): Promise<CcfResponse<T>> {
    return this.failure.around(`${method} ${path}`, options.effect === "write", () =>
      super.request<T>(method, path, options),
    );
  }

  override getWhenReady<T>(path: string): Promise<CcfResponse<T>> {
    return this.failure.around(`GET ${path}`, false, () => super.getWhenReady<T>(path));
  }
}
