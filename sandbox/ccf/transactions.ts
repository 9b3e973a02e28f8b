import { CcfError } from "./errors.ts";
import type { KeyValueStore } from "./kv.ts";

export type TransactionStatus = "Unknown" | "Pending" | "Committed" | "Invalid";

/** What became of a transaction. Here everything that was answered is committed; another view's number is invalid. */
export function transactionStatus(
  store: KeyValueStore,
  transactionId: string | null | undefined,
): { transaction_id: string; status: TransactionStatus } {
  const match = /^(\d+)\.(\d+)$/.exec(transactionId ?? "");
  if (!match)
    throw new CcfError(
      400,
      "InvalidQueryParameterValue",
      `The value '${transactionId ?? ""}' could not be converted to a valid Tx ID.`,
    );
  const [view, seqno] = [Number(match[1]), Number(match[2])];
  return { transaction_id: `${view}.${seqno}`, status: statusOf(store, view, seqno) };
}

function statusOf(store: KeyValueStore, view: number, seqno: number): TransactionStatus {
  const committedIn = store.viewOf(seqno);
  if (committedIn !== undefined) return committedIn === view ? "Committed" : "Invalid";
  return view < store.view ? "Invalid" : "Unknown";
}
