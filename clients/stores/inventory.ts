import {
  comparePaths,
  contentDigest,
  recordOf,
  sameRecord,
  storedSize,
  type DataFile,
  type Encryption,
  type FileRecord,
} from "../../domain/data/publishedFile.ts";
import type { ObjectStore } from "./objectStore.ts";

/** What lies in the store under a prefix, by path relative to it. */
export interface Inventory {
  /** Whole objects that we wrote. */
  readonly published: ReadonlyMap<string, FileRecord>;
  /** Objects with our record whose length cannot be right. */
  readonly damaged: readonly string[];
  /** Objects that somebody else wrote. */
  readonly foreign: readonly string[];
}

/** One listing; no content is read. */
export async function takeInventory(store: ObjectStore, prefix: string): Promise<Inventory> {
  const published = new Map<string, FileRecord>();
  const damaged: string[] = [];
  const foreign: string[] = [];
  for await (const { name, size, record } of store.list(prefix)) {
    const path = name.slice(prefix.length);
    if (!record) foreign.push(path);
    else if (size !== storedSize(record)) damaged.push(path);
    else published.set(path, record);
  }
  return { published, damaged, foreign };
}

/** The content digest of what was found; equals `publishedDigest` of the files when all of them are there, unchanged. */
export function inventoryDigest({ published }: Inventory): string {
  const entries = [...published].map(([path, { size, digest }]) => ({ path, size, digest }));
  return contentDigest(entries.sort(comparePaths));
}

/** Files the store does not hold as they are. */
export function missingFiles<F extends DataFile>(
  { published }: Inventory,
  encryption: Encryption,
  files: readonly F[],
): F[] {
  return files.filter((file) => {
    const found = published.get(file.path);
    return found === undefined || !sameRecord(found, recordOf(encryption, file));
  });
}

/** `folder` → `folder/`; the root is the empty text. */
export function normalPrefix(prefix = ""): string {
  const trimmed = prefix.replace(/^\/+|\/+$/g, "");
  return trimmed === "" ? "" : `${trimmed}/`;
}
