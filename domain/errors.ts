/**
 * A mistake the user can mend. Its message is all that is shown: it names the config key or argument, says what was
 * expected and what to do. It carries no stack trace to the terminal.
 */
export class UserError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "UserError";
    this.stack = message;
  }
}
