/** One entry of an error's `details`: which authentication policy refused, or the exception of the application. */
export interface CcfErrorDetail {
  readonly code?: string;
  readonly message?: string;
  readonly auth_policy?: string;
}

/**
 * An answer with an error status. `code` is what programs decide on (for instance `UserDocumentNotFound`); answers
 * without the usual JSON shape get `Http<status>`.
 */
export class CcfError extends Error {
  readonly status: number;
  readonly code: string;
  /** The service's own sentence, without the prefix `message` has. */
  readonly reason: string;
  readonly details: readonly CcfErrorDetail[];
  readonly transactionId: string | undefined;
  /** Method and path, without the query string. */
  readonly operation: string;

  constructor(answer: {
    status: number;
    code: string;
    reason: string;
    operation: string;
    details?: readonly CcfErrorDetail[];
    transactionId?: string;
  }) {
    const details = (answer.details ?? []).map(describe).filter((line) => line !== "");
    super(
      `${answer.operation}: ${answer.status} ${answer.code}: ${answer.reason}` +
        (details.length > 0 ? ` (${details.join("; ")})` : ""),
    );
    this.name = "CcfError";
    this.status = answer.status;
    this.code = answer.code;
    this.reason = answer.reason;
    this.details = answer.details ?? [];
    this.transactionId = answer.transactionId;
    this.operation = answer.operation;
  }
}

/** Nobody answered, or nobody the pinned service certificate vouches for. Nothing was applied. */
export class CcfUnreachableError extends Error {
  readonly endpoint: string;

  constructor(endpoint: string, operation: string, cause: unknown) {
    super(`${operation}: the consortium at ${endpoint} cannot be reached (${reasonOf(cause)}). ${adviceFor(cause)}`, {
      cause,
    });
    this.name = "CcfUnreachableError";
    this.endpoint = endpoint;
  }
}

/**
 * A write was sent and nobody knows whether it was applied. Callers read the state before they repeat it.
 */
export class OutcomeUnknownError extends Error {
  readonly operation: string;

  constructor(operation: string, reason: string, options?: ErrorOptions) {
    super(
      `${operation}: it is not known whether this was applied (${reason}). Run the same command again: it reads the state first.`,
      options,
    );
    this.name = "OutcomeUnknownError";
    this.operation = operation;
  }
}

/** Whether an error is an answer with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly string[]): error is CcfError {
  return error instanceof CcfError && codes.includes(error.code);
}

/** The value, or `undefined` when the service answered one of these codes. */
export async function unlessCode<T>(promise: Promise<T>, ...codes: readonly string[]): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (hasCode(error, ...codes)) return undefined;
    throw error;
  }
}

function describe(detail: CcfErrorDetail): string {
  const who = detail.auth_policy ?? detail.code;
  return [who, detail.message].filter((part) => part).join(": ");
}

function reasonOf(cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  const message = (cause as Error | undefined)?.message ?? String(cause);
  return code && !message.includes(code) ? `${code} ${message}` : message;
}

const CERTIFICATE_CODES = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "CERT_SIGNATURE_FAILURE",
]);

function adviceFor(cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code ?? "";
  if (CERTIFICATE_CODES.has(code)) {
    return "Its certificate does not chain to the service certificate in use: after a recovery the consortium has a new one; fetch and verify it again (run `pulumi up` on the operator's stack, then refresh this one).";
  }
  if (code === "CERT_HAS_EXPIRED") return "The operator must renew the consortium's certificates.";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN")
    return "Check the endpoint's host name and this machine's name resolution.";
  return "Check that the endpoint is right and that its node runs; `pulumi up` on the operator's stack starts or recovers it.";
}
