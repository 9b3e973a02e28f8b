/** Something with the same id is there already and says something else. */
export class ContentDiffersError extends Error {
  readonly what: string;
  readonly id: string;
  readonly differences: readonly string[];

  constructor(what: string, id: string, differences: readonly string[]) {
    super(
      `${what} ${id} already exists and differs in ${differences.join(", ")}; what has been agreed cannot be changed. ` +
        "Use another id, or change this side back to what was agreed.",
    );
    this.name = "ContentDiffersError";
    this.what = what;
    this.id = id;
    this.differences = differences;
  }
}

/** A document or invitation belongs to somebody else. */
export class OwnerDiffersError extends Error {
  readonly id: string;
  readonly owner: string;

  constructor(what: string, id: string, owner: string, self: string) {
    super(
      `${what} ${id} belongs to ${owner}, not to ${self}. Ids are shared by everyone in the consortium: choose another one, or find out why somebody else used it.`,
    );
    this.name = "OwnerDiffersError";
    this.id = id;
    this.owner = owner;
  }
}

/** What is to be voted on is not what was reviewed, or is not open to votes. */
export class NotVotableError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "NotVotableError";
  }
}

/** An invitation was accepted by somebody it was not meant for, or changed since. */
export class InvitationMismatchError extends Error {
  readonly invitationId: string;

  constructor(invitationId: string, reasons: readonly string[]) {
    super(`Invitation ${invitationId} must not be finalised: ${reasons.join("; ")}. Remove it and invite again.`);
    this.name = "InvitationMismatchError";
    this.invitationId = invitationId;
  }
}
