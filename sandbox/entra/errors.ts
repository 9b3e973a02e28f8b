import crypto from "node:crypto";

/**
 * A refusal in Entra's own terms.
 * Codes: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
 */
export class EntraError extends Error {
  readonly status: number;
  readonly error: string;
  readonly code: number;

  constructor(status: number, error: string, code: number, message: string) {
    super(`AADSTS${code}: ${message}`);
    this.name = "EntraError";
    this.status = status;
    this.error = error;
    this.code = code;
  }

  toBody(): Record<string, unknown> {
    const traceId = crypto.randomUUID();
    const correlationId = crypto.randomUUID();
    const timestamp = new Date()
      .toISOString()
      .replace("T", " ")
      .replace(/\.\d+Z$/, "Z");
    return {
      error: this.error,
      error_description: `${this.message} Trace ID: ${traceId} Correlation ID: ${correlationId} Timestamp: ${timestamp}`,
      error_codes: [this.code],
      timestamp,
      trace_id: traceId,
      correlation_id: correlationId,
    };
  }
}

export function invalidClient(code: number, message: string): EntraError {
  return new EntraError(401, "invalid_client", code, message);
}

export function invalidRequest(code: number, message: string): EntraError {
  return new EntraError(400, "invalid_request", code, message);
}
