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
 * `before`: the process dies before the request leaves. `after`: it dies when the request has been applied.
 * `answer lost`: the process lives on, but does not learn whether the request was applied.
 */
export type FailureKind = "before" | "after" | "answer lost";

export class Crash extends Error {}

/** Fails at one request of a series and counts them all. */
export class Failure {
  count = 0;
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
    const isHit = ++this.count === this.at;
    if (isHit && this.kind === "before") throw new Crash(operation);
    const answer = await send();
    if (isHit && this.kind === "after") throw new Crash(operation);
    if (isHit && isWrite) throw new OutcomeUnknownError(operation, "the answer was lost");
    return answer;
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
