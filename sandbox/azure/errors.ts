/** An error as Azure Resource Manager words it. */
export class ArmError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(`Status=${status} Code="${code}" Message="${message}"`);
    this.name = code;
    this.status = status;
    this.code = code;
  }
}
