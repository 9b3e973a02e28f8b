import { createHash } from "node:crypto";
import { DamagedCiphertextError } from "../../domain/data/blockFormat.ts";
import { fileDigest, type Encryption } from "../../domain/data/publishedFile.ts";
import { concurrently } from "../files/concurrently.ts";
import type { Scan } from "../files/scan.ts";
import { openObject } from "./download.ts";
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

const DOWNLOADS_AT_A_TIME = 2;

/**
 * Downloads everything published, decrypts it, and compares it with the digest each object carries. The only check that
 * finds content exchanged together with its length: with CSE, blocks that were swapped or repeated (the block format does
 * not authenticate their order); with SSE, anything.
 * @returns paths of the objects whose content is not what was published.
 */
export async function verifyContent(
  target: StoreTarget,
  encryption: Encryption,
  options: ReadOptions = {},
): Promise<string[]> {
  const store = openStore(target, encryption, options.signal);
  const prefix = normalPrefix(options.prefix);
  const wrong: string[] = [];
  const { published, damaged } = await takeInventory(store, prefix);
  await concurrently(
    published,
    DOWNLOADS_AT_A_TIME,
    async ([path, { size, digest }]) => {
      const sha256 = await plaintextDigest(openObject(store, prefix + path, encryption));
      if (sha256 === undefined || fileDigest(encryption, { path, size, sha256 }) !== digest) wrong.push(path);
    },
    options.signal,
  );
  return [...wrong, ...damaged].sort();
}

/** `undefined` when the content does not decrypt. */
async function plaintextDigest(content: Promise<AsyncIterable<Buffer>>): Promise<string | undefined> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of await content) hash.update(chunk);
  } catch (error) {
    if (error instanceof DamagedCiphertextError) return undefined;
    throw error;
  }
  return hash.digest("hex");
}

async function inventoryOf(target: StoreTarget, { prefix, signal }: ReadOptions): Promise<Inventory | undefined> {
  try {
    return await takeInventory(openStore(target, { mode: "SSE" }, signal), normalPrefix(prefix));
  } catch (error) {
    if (error instanceof StoreMissingError) return undefined;
    throw error;
  }
}
