/** One table: its name and, at compile time only, the type of its rows. */
export interface Table<Row> {
  readonly name: string;
  readonly rowType?: Row;
}

export const table = <Row>(name: string): Table<Row> => ({ name });

/** CCF's rule: names without the prefix `public:` are confidential, their values encrypted in the ledger. */
export const isPrivate = (tableName: string): boolean => !tableName.startsWith("public:");

/** `[table, key, JSON text]`; `null` removes the key. */
export type Write = readonly [table: string, key: string, text: string | null];

export interface Commit {
  readonly view: number;
  readonly seqno: number;
  readonly writes: readonly Write[];
}

interface Stored {
  readonly text: string | null;
  readonly view: number;
  readonly seqno: number;
}

/** A value a key once had. */
export interface Revision<Row> {
  readonly value: Row | undefined;
  readonly seqno: number;
}

/** The replicated key-value store of one CCF network: current values, and every former value of public tables. */
export class KeyValueStore {
  view = 2;
  seqno = 0;
  readonly #tables = new Map<string, Map<string, Stored>>();
  readonly #history = new Map<string, Stored[]>();
  /** First seqno of each view, ascending. */
  readonly #views: { view: number; from: number }[] = [];

  apply(commit: Commit): void {
    this.view = commit.view;
    this.seqno = commit.seqno;
    if (this.#views.at(-1)?.view !== commit.view) this.#views.push({ view: commit.view, from: commit.seqno });
    for (const [tableName, key, text] of commit.writes) {
      const stored = { text, view: commit.view, seqno: commit.seqno };
      this.#rows(tableName).set(key, stored);
      if (!isPrivate(tableName)) this.#revisions(tableName, key).push(stored);
    }
  }

  /** Forgets everything, to be replayed. */
  clear(): void {
    this.#tables.clear();
    this.#history.clear();
    this.#views.length = 0;
    this.seqno = 0;
  }

  begin(): Transaction {
    return new Transaction(this);
  }

  find(tableName: string, key: string): Stored | undefined {
    const stored = this.#tables.get(tableName)?.get(key);
    return stored?.text === null ? undefined : stored;
  }

  keys(tableName: string): string[] {
    const rows = this.#tables.get(tableName);
    return rows ? [...rows].filter(([, stored]) => stored.text !== null).map(([key]) => key) : [];
  }

  /** Former and current values of a public key with `from <= seqno <= to`, oldest first. */
  revisions<Row>(of: Table<Row>, key: string, from: number, to: number): Revision<Row>[] {
    return this.#revisions(of.name, key)
      .filter((stored) => stored.seqno >= from && stored.seqno <= to)
      .map((stored) => ({ value: parse<Row>(stored.text), seqno: stored.seqno }));
  }

  /** View in which a committed seqno was written. */
  viewOf(seqno: number): number | undefined {
    if (seqno < 1 || seqno > this.seqno) return undefined;
    return this.#views.findLast((entry) => entry.from <= seqno)?.view;
  }

  get lastTransaction(): string {
    return `${this.view}.${this.seqno}`;
  }

  #rows(tableName: string): Map<string, Stored> {
    let rows = this.#tables.get(tableName);
    if (!rows) this.#tables.set(tableName, (rows = new Map()));
    return rows;
  }

  #revisions(tableName: string, key: string): Stored[] {
    const id = `${tableName}\0${key}`;
    let revisions = this.#history.get(id);
    if (!revisions) this.#history.set(id, (revisions = []));
    return revisions;
  }
}

/** Reads see the store through the transaction's own writes; nothing reaches the store before the commit. */
export class Transaction {
  readonly store: KeyValueStore;
  readonly #overlay = new Map<string, Map<string, string | null>>();

  constructor(store: KeyValueStore) {
    this.store = store;
  }

  get<Row>(from: Table<Row>, key: string): Row | undefined {
    const written = this.#overlay.get(from.name)?.get(key);
    return parse<Row>(written === undefined ? (this.store.find(from.name, key)?.text ?? null) : written);
  }

  has(inTable: Table<unknown>, key: string): boolean {
    return this.get(inTable, key) !== undefined;
  }

  put<Row>(into: Table<Row>, key: string, row: NoInfer<Row>): void {
    this.#set(into.name, key, JSON.stringify(row));
  }

  remove(from: Table<unknown>, key: string): void {
    if (this.has(from, key)) this.#set(from.name, key, null);
  }

  keys(of: Table<unknown>): string[] {
    const keys = new Set(this.store.keys(of.name));
    for (const [key, text] of this.#overlay.get(of.name) ?? []) text === null ? keys.delete(key) : keys.add(key);
    return [...keys];
  }

  entries<Row>(of: Table<Row>): [key: string, row: Row][] {
    return this.keys(of).map((key) => [key, this.get(of, key) as Row]);
  }

  clear(all: Table<unknown>): void {
    for (const key of this.keys(all)) this.remove(all, key);
  }

  /** `<view>.<seqno>` of the last committed write of the key. */
  version(of: Table<unknown>, key: string): string | undefined {
    const stored = this.store.find(of.name, key);
    return stored && `${stored.view}.${stored.seqno}`;
  }

  get writes(): Write[] {
    return [...this.#overlay].flatMap(([name, rows]) => [...rows].map(([key, text]): Write => [name, key, text]));
  }

  #set(tableName: string, key: string, text: string | null): void {
    let rows = this.#overlay.get(tableName);
    if (!rows) this.#overlay.set(tableName, (rows = new Map()));
    rows.set(key, text);
  }
}

function parse<Row>(text: string | null): Row | undefined {
  return text === null ? undefined : (JSON.parse(text) as Row);
}
