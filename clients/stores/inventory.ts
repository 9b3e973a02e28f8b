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
import type { ObjectStore, StoredObject } from "./objectStore.ts";

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
  const inventory = { published: new Map<string, FileRecord>(), damaged: [] as string[], foreign: [] as string[] };
  for await (const object of store.list(prefix)) classify(object.name.slice(prefix.length), object, inventory);
  return inventory;
}

/** The inventory with other findings for some paths (`undefined`: not there). */
export function updateInventory(before: Inventory, changed: ReadonlyMap<string, StoredObject | undefined>): Inventory {
  const others = (paths: readonly string[]) => paths.filter((path) => !changed.has(path));
  const after = {
    published: new Map(before.published),
    damaged: others(before.damaged),
    foreign: others(before.foreign),
  };
  for (const [path, object] of changed) {
    after.published.delete(path);
    if (object) classify(path, object, after);
  }
  return after;
}

function classify(
  path: string,
  { size, record }: StoredObject,
  { published, damaged, foreign }: { published: Map<string, FileRecord>; damaged: string[]; foreign: string[] },
): void {
  if (!record) foreign.push(path);
  else if (size !== storedSize(record)) damaged.push(path);
  else published.set(path, record);
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
