/** Seqnos one page of a historical query covers, unless told otherwise. */
const DEFAULT_PAGE = 2000;

export interface Page {
  readonly from: number;
  readonly to: number;
  /** Query of the next page (`from_seqno=..&to_seqno=..`), when there is one. */
  readonly next: string | undefined;
}

/**
 * The range of a historical query: `from_seqno` (default 1) to `to_seqno` (default: the last committed), cut to
 * `max_seqno_per_page`.
 * @throws when a number is no integer, the range is reversed, or its end is not committed; CGS answers that with 500.
 */
export function pageOf(query: URLSearchParams, lastCommitted: number): Page {
  const from = integer(query, "from_seqno", 1);
  const end = integer(query, "to_seqno", lastCommitted);
  const size = integer(query, "max_seqno_per_page", DEFAULT_PAGE);
  if (from < 1 || size < 1) throw new Error("from_seqno and max_seqno_per_page must be positive");
  if (from > end) throw new Error(`Invalid range: Starts at ${from} but ends at ${end}`);
  if (end > lastCommitted) throw new Error(`Invalid range: the end ${end} is not committed yet`);
  const to = Math.min(end, from + size - 1);
  return { from, to, next: to < end ? `from_seqno=${to + 1}&to_seqno=${end}` : undefined };
}

function integer(query: URLSearchParams, name: string, otherwise: number): number {
  const text = query.get(name);
  if (text === null) return otherwise;
  if (!/^-?\d+$/.test(text)) throw new Error(`${name} is not an integer`);
  return Number(text);
}
