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

/** @throws UserError when there is no such document. */
export async function requireDocument(cgs: CgsClient, documentId: string): Promise<UserDocument> {
  const document = await cgs.documents.get(documentId);
  if (!document) throw new UserError(`Document ${documentId} is not in the consortium: its author has to publish it first.`);
  return document;
}
