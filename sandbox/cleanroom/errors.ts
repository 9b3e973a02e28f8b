/** An answer of the agent other than success: `{"error":{"code","message"}}`. */
export class AgentError extends Error {
  override readonly name = "AgentError";
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }

  toBody(): { error: { code: string; message: string } } {
    return { error: { code: this.code, message: this.message } };
  }
}
