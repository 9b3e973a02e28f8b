import type { Encryption } from "../../domain/data/publishedFile.ts";
import type { Scan } from "../files/scan.ts";
import { inventoryDigest, missingFiles, normalPrefix, takeInventory, type Inventory } from "./inventory.ts";
import { StoreMissingError } from "./objectStore.ts";
import { openStore, type StoreTarget } from "./target.ts";

export interface ReadOptions {
  readonly prefix?: string;
  readonly signal?: AbortSignal;
}

/** The truth about the store. */
export interface PublishedState {
  /** Whole objects that we wrote. */
  readonly count: number;
  /** Their bytes of plaintext. */
  readonly bytes: number;
  /** Differs from `PublishResult.contentDigest` as soon as an object was deleted, replaced or damaged. */
  readonly contentDigest: string;
  /** Objects that somebody else wrote, or wrote over ours. */
  readonly foreign: readonly string[];
  /** Ours by their record, but of another length than it says. */
  readonly damaged: readonly string[];
}

export interface Differences extends Pick<PublishedState, "foreign" | "damaged"> {
  /** Deleted, replaced, or never uploaded. */
  readonly missing: readonly string[];
  /** Written by us, no longer in the dataset. */
  readonly obsolete: readonly string[];
}

/** What is published, from one listing: no key, no content. `undefined` when there is no such container. */
export async function readPublished(
  target: StoreTarget,
  options: ReadOptions = {},
): Promise<PublishedState | undefined> {
  const inventory = await inventoryOf(target, options);
  if (!inventory) return undefined;
  let bytes = 0;
  for (const { size } of inventory.published.values()) bytes += size;
  const { published, foreign, damaged } = inventory;
  return { count: published.size, bytes, contentDigest: inventoryDigest(inventory), foreign, damaged };
}

/** Where the store differs from the dataset, by path; `undefined` when there is no such container. */
export async function comparePublished(
  target: StoreTarget,
  scan: Scan,
  encryption: Encryption,
  options: ReadOptions = {},
): Promise<Differences | undefined> {
  const inventory = await inventoryOf(target, options);
  if (!inventory) return undefined;
  const wanted = new Set(scan.files.map(({ path }) => path));
  return {
    missing: missingFiles(inventory, encryption, scan.files).map(({ path }) => path),
    obsolete: [...inventory.published.keys()].filter((path) => !wanted.has(path)),
    foreign: inventory.foreign,
    damaged: inventory.damaged,
  };
}

async function inventoryOf(target: StoreTarget, { prefix, signal }: ReadOptions): Promise<Inventory | undefined> {
  try {
    return await takeInventory(openStore(target, { mode: "SSE" }, signal), normalPrefix(prefix));
  } catch (error) {
    if (error instanceof StoreMissingError) return undefined;
    throw error;
  }
}
