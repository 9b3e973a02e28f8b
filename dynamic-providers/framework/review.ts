import type { CgsClient } from "../../clients/cgs/client.ts";
import type { UserDocument } from "../../clients/cgs/types.ts";
import { UserError } from "../../domain/errors.ts";
import { parseQueryDocument } from "../../domain/query.ts";
import type { LedgerDocument } from "../../domain/review.ts";

/** The dataset documents a query names, as the consortium holds them; missing ones are left out. */
export async function datasetsOf(cgs: CgsClient, query: LedgerDocument): Promise<Map<string, LedgerDocument>> {
  const definition = parseQueryDocument(query.id, query.data);
  const ids = new Set([...definition.inputs.map((input) => input.documentId), definition.output]);
  const found = await Promise.all([...ids].map((id) => cgs.documents.get(id)));
  return new Map(found.filter((document) => document !== undefined).map((document) => [document.id, document]));
}

/**
 * Whether the caller itself lets an accepted document be used. The service only tells whether everybody does and, if
 * not, names in its reason who does not.
 */
export async function ownConsent(cgs: CgsClient, document: UserDocument): Promise<boolean> {
  const { status, reason } = await cgs.documents.option(document.contractId, document.id, "execution");
  if (status === "enabled") return true;
  const isNamed = (id: string): boolean => reason?.message.includes(id) ?? false;
  const isSomebodyNamed = document.approvers?.some(({ approverId }) => isNamed(approverId)) ?? false;
  return isSomebodyNamed && !isNamed(await cgs.callerId());
}

/** @throws UserError when there is no such document. */
export async function requireDocument(cgs: CgsClient, documentId: string): Promise<UserDocument> {
  const document = await cgs.documents.get(documentId);
  if (!document)
    throw new UserError(`Document ${documentId} is not in the consortium: its author has to publish it first.`);
  return document;
}
