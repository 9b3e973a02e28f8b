import { hasCode, OutcomeUnknownError } from "../../ccf/errors.ts";

const ROUNDS = 4;

/** Somebody else (or an earlier attempt of our own) changed the state between our read and our write. */
const OVERTAKEN_CODES = [
  "ContractAlreadyExists",
  "UserDocumentAlreadyExists",
  "UserDocumentAlreadyProposed",
  "UserDocumentAlreadyAccepted",
  "ContractAlreadyAccepted",
  "PreconditionFailed",
  "ProposalAlreadyExists",
  "ProposalNotOpen",
  "ProposalNotFound",
  "BallotAlreadySubmitted",
  "InvitationNotOpen",
];

/** Somebody else did the same at the same time; what is there now has to be read before going on. */
export class OvertakenError extends Error {}

/**
 * Runs an act again from its first read when a write's outcome is unknown or the state moved under it. Only for acts
 * that read before each write, so that what was done is never done twice.
 */
export async function untilSettled<T>(act: () => Promise<T>): Promise<T> {
  for (let round = 1; ; round++) {
    try {
      return await act();
    } catch (error) {
      const mayRepeat =
        error instanceof OutcomeUnknownError || error instanceof OvertakenError || hasCode(error, ...OVERTAKEN_CODES);
      if (!mayRepeat || round === ROUNDS) throw error;
    }
  }
}
