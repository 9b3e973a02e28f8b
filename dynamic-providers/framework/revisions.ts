import type { UserSession } from "../../clients/cgs/session.ts";
import type { DocumentToPublish } from "../../clients/cgs/acts/documents.ts";
import { UserError } from "../../domain/errors.ts";

const MAX_REVISIONS = 1000;

/** Id of a document's n-th revision; accepted documents cannot change, so changed content gets the next one. */
export function revisionId(baseId: string, revision: number): string {
  return `${baseId}-r${revision}`;
}

/**
 * The first revision that is free or holds this content already. So a create that was interrupted finds its own
 * document again, and one whose content changed moves on.
 * @param documentFor the whole document for an id: its content names it.
 */
export async function nextRevision(
  { cgs }: UserSession,
  baseId: string,
  documentFor: (documentId: string) => DocumentToPublish,
): Promise<DocumentToPublish> {
  const self = await cgs.callerId();
  for (let revision = 1; revision <= MAX_REVISIONS; revision++) {
    const document = documentFor(revisionId(baseId, revision));
    const known = await cgs.documents.get(document.id);
    if (known?.state === "Accepted" && known.proposerId !== self) {
      throw new UserError(
        `Document ${document.id} belongs to user ${known.proposerId}. Document ids are shared by the whole consortium: choose another cleanroom:collaboration or name.`,
      );
    }
    const isSame = known?.data === document.data && known.contractId === document.contractId;
    if (known?.state !== "Accepted" || isSame) return document;
  }
  throw new Error(`Document ${baseId} has ${MAX_REVISIONS} revisions`);
}
