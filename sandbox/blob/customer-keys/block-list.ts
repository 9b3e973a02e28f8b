import { StorageError } from "../errors.ts";

export interface ListedBlock {
  readonly kind: "Committed" | "Uncommitted" | "Latest";
  /** Base64, as the client gave it. */
  readonly id: string;
}

const ENTRY = /<(Committed|Uncommitted|Latest)>\s*([A-Za-z0-9+/=]+)\s*<\/\1>/g;

/** Body of Put Block List, in order: https://learn.microsoft.com/rest/api/storageservices/put-block-list#request-body */
export function parseBlockList(xml: string): ListedBlock[] {
  const entries = [...xml.matchAll(ENTRY)].map(([, kind, id]) => ({ kind: kind as ListedBlock["kind"], id: id ?? "" }));
  const rest = xml.replace(ENTRY, "").replace(/<\?xml[^>]*\?>|<\/?BlockList\s*\/?>|\s|\uFEFF/g, "");
  // What is not understood here might be understood by the backend.
  if (rest !== "") throw new StorageError(400, "InvalidXmlDocument", "XML specified is not syntactically valid.");
  return entries;
}
