/** A refusal in the words of AWS: error code, HTTP status, and what else the answer carries. */
export class AwsError extends Error {
  readonly code: string;
  readonly status: number;
  /** Elements of the error document beside `Code` and `Message`. */
  readonly details: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    message: string,
    extra: { details?: Record<string, string>; headers?: Record<string, string> } = {},
  ) {
    super(message);
    this.name = code;
    this.code = code;
    this.status = status;
    this.details = extra.details ?? {};
    this.headers = extra.headers ?? {};
  }
}
