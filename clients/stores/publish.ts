import { KEY_LENGTH } from "../../domain/data/blockFormat.ts";
import type { Encryption } from "../../domain/data/publishedFile.ts";
import { UserError } from "../../domain/errors.ts";
import { concurrently } from "../files/concurrently.ts";
import type { Scan } from "../files/scan.ts";
import {
  inventoryDigest,
  missingFiles,
  normalPrefix,
  takeInventory,
  updateInventory,
  type Inventory,
} from "./inventory.ts";
import { forget, recall, remember, type LastPublication } from "./lastPublication.ts";
import type { ObjectStore, StoredObject } from "./objectStore.ts";
import { ProgressMeter, type Progress } from "./progress.ts";
import { openStore, type StoreTarget } from "./target.ts";
import { uploadFiles } from "./upload.ts";

export interface PublishOptions {
  readonly directory: string;
  readonly scan: Scan;
  readonly target: StoreTarget;
  readonly encryption: Encryption;
  /** Folder in the container. Default: its root. */
  readonly prefix?: string;
  /** At most every two seconds, and once at the end. */
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
  /** Small files under way at a time. Default 32. Large ones are bound by memory. */
  readonly concurrency?: number;
  /** Without it the store is always listed first. */
  readonly last?: LastPublication;
}

export interface PublishResult {
  /** Files of the dataset in the store. */
  readonly count: number;
  /** Of plaintext. */
  readonly bytes: number;
  /** `sha256:<hex>` over the store's records; what `readPublished` finds as long as nobody changes anything. */
  readonly contentDigest: string;
  readonly uploaded: { readonly count: number; readonly bytes: number };
  /** Objects of earlier publications that are no longer in the dataset. */
  readonly deleted: number;
  /** Objects of others under the prefix (as of the last listing), which the clean room will read as part of the dataset. */
  readonly foreign: readonly string[];
}

const LARGEST_BLOCK = 64 * 1024 * 1024;
const REQUESTS_AT_A_TIME = 16;
/** A page of a listing takes as long as some dozens of single requests. */
const MOST_SINGLE_CHECKS = 64;
const NAMES_SHOWN = 5;

/**
 * Makes the store hold exactly these files. Uploads what is not there yet (an interrupted run continues with the next
 * file), deletes what an earlier run wrote and the dataset no longer has, and then asks the store again: every object must
 * be there with the right length and digest.
 * @throws UserError when a file changed after the scan or a name is not possible; StoreAccessError when access is refused.
 */
export async function publishFiles(options: PublishOptions): Promise<PublishResult> {
  const { directory, scan, encryption, signal } = options;
  validateEncryption(encryption);
  validateNames(scan);
  const prefix = normalPrefix(options.prefix);
  const store = openStore(options.target, encryption, signal);
  const place = `${store.description}, ${prefix}`;
  const before = (options.last && (await recall(options.last, place))) ?? (await takeInventory(store, prefix));
  const files = missingFiles(before, encryption, scan.files);
  const obsolete = obsoletePaths(before, scan);
  const uploaded = { count: files.length, bytes: files.reduce((sum, { size }) => sum + size, 0) };

  if (options.last) await forget(options.last);
  const meter = new ProgressMeter({ files: uploaded.count, bytes: uploaded.bytes }, options.onProgress);
  const nameOf = (path: string) => prefix + path;
  await uploadFiles({ directory, files, store, encryption, nameOf, meter, concurrency: options.concurrency, signal });
  await concurrently(obsolete, REQUESTS_AT_A_TIME, (path) => store.delete(nameOf(path)), signal);
  meter.finish();

  const after = await inventoryAfter(before, [...files.map(({ path }) => path), ...obsolete], store, prefix);
  assertPublished(after, encryption, scan, store);
  if (options.last) await remember(options.last, place, after);
  return {
    count: scan.count,
    bytes: scan.bytes,
    contentDigest: inventoryDigest(after),
    uploaded,
    deleted: obsolete.length,
    foreign: after.foreign,
  };
}

/** Asks the store again: for the few objects that changed one by one, otherwise for all of them. */
async function inventoryAfter(
  before: Inventory,
  changed: readonly string[],
  store: ObjectStore,
  prefix: string,
): Promise<Inventory> {
  if (changed.length > MOST_SINGLE_CHECKS) return takeInventory(store, prefix);
  const entries = new Map<string, StoredObject | undefined>();
  await concurrently(
    changed,
    REQUESTS_AT_A_TIME,
    async (path) => void entries.set(path, await store.head(prefix + path)),
  );
  return updateInventory(before, entries);
}

function assertPublished(after: Inventory, encryption: Encryption, scan: Scan, store: ObjectStore): void {
  const wrong = [...missingFiles(after, encryption, scan.files).map(({ path }) => path), ...obsoletePaths(after, scan)];
  if (wrong.length === 0) return;
  throw new Error(
    `The ${store.description} does not hold what was just published: ${wrong.length} objects are missing, differ or are too many ` +
      `(${wrong.slice(0, NAMES_SHOWN).join(", ")}). Somebody else writes to it; run the command again when they have stopped.`,
  );
}

/** What we wrote, whole or not, and the dataset does not have. */
function obsoletePaths({ published, damaged }: Inventory, scan: Scan): string[] {
  const wanted = new Set(scan.files.map(({ path }) => path));
  return [...published.keys(), ...damaged].filter((path) => !wanted.has(path));
}

function validateEncryption(encryption: Encryption): void {
  if (encryption.mode === "SSE") return;
  if (encryption.key.length !== KEY_LENGTH)
    throw new UserError(`The data encryption key must have ${KEY_LENGTH} bytes.`);
  if (encryption.mode !== "CSE" || encryption.blockSize === undefined) return;
  const { blockSize } = encryption;
  if (!Number.isInteger(blockSize) || blockSize < 1 || blockSize > LARGEST_BLOCK) {
    throw new UserError(
      `The block size must be a number of bytes from 1 to ${LARGEST_BLOCK} (64 MiB), not ${blockSize}.`,
    );
  }
}

/** Rules for blob names: learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata */
function validateNames({ files }: Scan): void {
  for (const { path } of files) {
    const bad =
      path.length > 900 ||
      /[\u0000-\u001f\u007f\\]/.test(path) ||
      path.split("/").some((segment) => segment.endsWith("."));
    if (bad)
      throw new UserError(
        `${JSON.stringify(path)} cannot be the name of a blob: no control character, no backslash, no folder that ends with a dot, at most 900 characters. Rename it.`,
      );
  }
}
