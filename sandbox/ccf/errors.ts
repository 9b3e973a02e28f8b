/** An answer other than success, in the one error shape CCF and CGS use: `{"error":{"code","message","details"?}}`. */
export class CcfError extends Error {
  readonly status: number;
  readonly code: string;
  readonly details: readonly object[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    message: string,
    options: { details?: readonly object[]; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = options.details;
    this.headers = options.headers ?? {};
  }

  toReply(): CcfReply {
    const error = { code: this.code, message: this.message, ...(this.details && { details: this.details }) };
    return { status: this.status, headers: this.headers, body: { error } };
  }
}

/** What a handler answers: an object is sent as JSON, text as it is, nothing as an empty body. */
export interface CcfReply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object | string;
}

export const ok = (body?: object | string, headers?: Record<string, string>): CcfReply => ({
  status: 200,
  ...(body !== undefined && { body }),
  ...(headers && { headers }),
});

/** What CCF makes of an exception of its own code. */
export function internalError(error: unknown): CcfError {
  return error instanceof CcfError ? error : new CcfError(500, "InternalError", messageOf(error));
}

/** What CCF makes of an exception of the application; details only under `return_exception_details`. */
export function applicationError(error: unknown, returnDetails: boolean): CcfError {
  if (error instanceof CcfError) return error;
  const details = [{ code: "JSException", message: messageOf(error) }];
  return new CcfError(500, "InternalError", "Exception thrown while executing.", returnDetails ? { details } : {});
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? `${error.name}: ${error.message}` : String(error);
