import fs from "node:fs";
import { formatRecord, parseRecord, type FileRecord } from "../../domain/data/publishedFile.ts";
import { readJsonLines, writeJsonLines } from "../files/lineFile.ts";
import { inventoryDigest, type Inventory } from "./inventory.ts";

/**
 * What this machine remembers of the last publication, so that the next one can do without a listing of the store: a
 * listing costs a tenth of uploading everything again.
 */
export interface LastPublication {
  /** E.g. `.cleanroom/index/<dataset>.published`. */
  readonly file: string;
  /**
   * Digest of what the store is known to hold: from the last publication, or from `readPublished` after it. The file is
   * trusted only when it has the same, so that drift found in between leads to a listing and is mended.
   */
  readonly contentDigest?: string;
}

/** `null`: an object of somebody else. */
type Row = readonly [path: string, record: string | null];

/** @param store names container and prefix; what is remembered of another one does not count. */
export async function recall(last: LastPublication, store: string): Promise<Inventory | undefined> {
  if (last.contentDigest === undefined) return undefined;
  const published = new Map<string, FileRecord>();
  const foreign: string[] = [];
  for (const [path, text] of await readJsonLines<Row>(last.file, headerOf(store))) {
    const record = text === null ? undefined : parseRecord(text);
    if (record) published.set(path, record);
    else foreign.push(path);
  }
  const inventory = { published, foreign, damaged: [] };
  return published.size > 0 && inventoryDigest(inventory) === last.contentDigest ? inventory : undefined;
}

/** Before anything is changed: an interrupted publication continues from a listing. */
export async function forget({ file }: LastPublication): Promise<void> {
  await fs.promises.rm(file, { force: true });
}

export async function remember(
  { file }: LastPublication,
  store: string,
  { published, foreign }: Inventory,
): Promise<void> {
  const rows: Row[] = [...published].map(([path, record]) => [path, formatRecord(record)]);
  await writeJsonLines(file, headerOf(store), [...rows, ...foreign.map((path): Row => [path, null])]);
}

function headerOf(store: string): string {
  return JSON.stringify({ cleanroom: "last publication", version: 1, store });
}
