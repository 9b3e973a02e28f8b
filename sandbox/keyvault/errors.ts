/**
 * A refusal in Key Vault's own terms: `{error: {code, message, innererror?: {code}}}`.
 * Codes: https://learn.microsoft.com/azure/key-vault/general/rest-error-codes
 */
export class VaultError extends Error {
  readonly status: number;
  readonly code: string;
  readonly innerCode: string | undefined;
  readonly headers: Record<string, string>;

  constructor(status: number, code: string, message: string, innerCode?: string, headers: Record<string, string> = {}) {
    super(message);
    this.name = "VaultError";
    this.status = status;
    this.code = code;
    this.innerCode = innerCode;
    this.headers = headers;
  }

  toBody(): unknown {
    const innererror = this.innerCode && { innererror: { code: this.innerCode } };
    return { error: { code: this.code, message: this.message, ...innererror } };
  }
}

export function badParameter(message: string): VaultError {
  return new VaultError(400, "BadParameter", message);
}

export function forbidden(message: string, innerCode?: string): VaultError {
  return new VaultError(403, "Forbidden", message, innerCode);
}
