import { createHash, createHmac } from "node:crypto";
import { ENCRYPTION_MODES, type EncryptionMode } from "../dataset.ts";
import { DEFAULT_BLOCK_SIZE, encryptedSize } from "./blockFormat.ts";

/** How the files of a dataset are protected in the store. `key` is the dataset's data encryption key, 32 bytes. */
export type Encryption =
  | { readonly mode: "SSE" }
  | { readonly mode: "CPK"; readonly key: Uint8Array }
  | { readonly mode: "CSE"; readonly key: Uint8Array; readonly blockSize?: number };

/** A file of a dataset. */
export interface DataFile {
  /** Relative to the dataset's directory, with `/`. */
  readonly path: string;
  readonly size: number;
  /** Of the plaintext, lower-case hex. */
  readonly sha256: string;
}

/** What a published object says about itself; marks it as written by us. */
export interface FileRecord {
  readonly mode: EncryptionMode;
  /** 0 unless the mode is CSE. */
  readonly blockSize: number;
  /** Of the plaintext. */
  readonly size: number;
  /** {@link fileDigest} */
  readonly digest: string;
}

/**
 * The digest a published file carries in the open. With a key it is keyed, and differs from path to path, so that a
 * reader of the store cannot test guesses about the content nor see which files are equal. SSE stores plaintext anyway.
 */
export function fileDigest(encryption: Encryption, file: DataFile): string {
  if (encryption.mode === "SSE") return file.sha256;
  return createHmac("sha256", encryption.key)
    .update(`cleanroom published file 1\0${file.path}\0${file.sha256}`)
    .digest("hex");
}

export function recordOf(encryption: Encryption, file: DataFile): FileRecord {
  return {
    mode: encryption.mode,
    blockSize: blockSizeOf(encryption),
    size: file.size,
    digest: fileDigest(encryption, file),
  };
}

/** Bytes the object has in the store. */
export function storedSize(record: Pick<FileRecord, "mode" | "blockSize" | "size">): number {
  return record.mode === "CSE" ? encryptedSize(record.size, record.blockSize) : record.size;
}

export function sameRecord(a: FileRecord, b: FileRecord): boolean {
  return formatRecord(a) === formatRecord(b);
}

/** `1/<mode>/<block size>/<plain size>/<digest>` */
export function formatRecord(record: FileRecord): string {
  return `1/${record.mode}/${record.blockSize}/${record.size}/${record.digest}`;
}

/** `undefined` for anything {@link formatRecord} did not write. */
export function parseRecord(text: string): FileRecord | undefined {
  const match = /^1\/([A-Z]+)\/(\d{1,15})\/(\d{1,15})\/([0-9a-f]{64})$/.exec(text);
  const mode = ENCRYPTION_MODES.find((candidate) => candidate === match?.[1]);
  if (!match || !mode) return undefined;
  return { mode, blockSize: Number(match[2]), size: Number(match[3]), digest: match[4]! };
}

/** Order of paths in every list and digest: UTF-16 code units, whatever the locale. */
export function comparePaths(a: { readonly path: string }, b: { readonly path: string }): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
}

/**
 * One digest for a whole set of files, `sha256:<hex>`, over path, size and digest of each. 100,000 files cost no more
 * state than one.
 * @param files sorted by {@link comparePaths}; a path has no NUL, so the text is unambiguous.
 */
export function contentDigest(
  files: Iterable<{ readonly path: string; readonly size: number; readonly digest: string }>,
): string {
  const hash = createHash("sha256");
  for (const { path, size, digest } of files) hash.update(`${path}\0${size}\0${digest}\0`);
  return `sha256:${hash.digest("hex")}`;
}

/** What {@link contentDigest} of the store must be once these files are published with this encryption. */
export function publishedDigest(encryption: Encryption, files: readonly DataFile[]): string {
  return contentDigest(
    (function* () {
      for (const file of files) yield { path: file.path, size: file.size, digest: fileDigest(encryption, file) };
    })(),
  );
}

function blockSizeOf(encryption: Encryption): number {
  return encryption.mode === "CSE" ? (encryption.blockSize ?? DEFAULT_BLOCK_SIZE) : 0;
}
