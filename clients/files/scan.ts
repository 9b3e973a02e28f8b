import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import { UserError } from "../../domain/errors.ts";
import type { DatasetFormat } from "../../domain/dataset.ts";
import { comparePaths, contentDigest, type DataFile } from "../../domain/data/publishedFile.ts";
import { concurrently } from "./concurrently.ts";
import { readJsonLines, writeJsonLines } from "./lineFile.ts";

/** A file as it was when its digest was taken. */
export interface ScannedFile extends DataFile {
  /** Modification time, milliseconds since 1970; publishing refuses a file that no longer has it. */
  readonly modified: number;
}

export interface Scan {
  /** Sorted by path. */
  readonly files: readonly ScannedFile[];
  readonly count: number;
  /** Sum of the sizes. */
  readonly bytes: number;
  /** `sha256:<hex>` over path, size and SHA-256 of every file. */
  readonly contentDigest: string;
  /** Files whose content had to be read; 0 when nothing changed since the last scan. */
  readonly filesRead: number;
}

export interface ScanOptions {
  readonly format: DatasetFormat;
  /** Where to remember digests between runs, e.g. `.cleanroom/index/<dataset>.files`. Without it every file is read. */
  readonly indexFile?: string;
  readonly signal?: AbortSignal;
}

/** size, mtime, ctime (milliseconds), inode: equal values mean an unchanged file. */
type Stamp = readonly [size: number, modified: number, changed: number, inode: number];
type IndexRow = readonly [path: string, ...stamp: Stamp, sha256: string];

interface Found {
  readonly path: string;
  readonly stamp: Stamp;
}

const INDEX_HEADER = '{"cleanroom":"file digests","version":1}';
/** A file changed so recently may change again without a new time stamp; its digest is not remembered. */
const STAMP_RESOLUTION_MS = 2000;
const READ_SIZE = 1024 * 1024;
const PARALLEL_READS = 4;
const STATS_BETWEEN_BREATHS = 500;

/**
 * Finds a dataset's files (`*.<format>`, recursively) and takes their digests, reading only what changed since the
 * last scan. Left out, as Spark does when it reads: names that start with `.` or `_`. Symbolic links are not followed.
 * @throws UserError when the directory is missing, not a directory, or has no such file.
 */
export async function scanDirectory(directory: string, options: ScanOptions): Promise<Scan> {
  const started = Date.now();
  const { found, others } = await findFiles(directory, `.${options.format}`);
  if (found.length === 0) throw noFiles(directory, options.format, others);

  const known = new Map<string, IndexRow>();
  if (options.indexFile)
    for (const row of await readJsonLines<IndexRow>(options.indexFile, INDEX_HEADER)) known.set(row[0], row);
  const files = new Array<ScannedFile>(found.length);
  const changed: number[] = [];
  found.forEach(({ path: name, stamp }, i) => {
    const row = known.get(name);
    if (row && stamp.every((value, j) => value === row[j + 1]))
      files[i] = { path: name, size: stamp[0], sha256: row[5], modified: stamp[1] };
    else changed.push(i);
  });
  const gone = known.size !== found.length - changed.length;

  await digestFiles(directory, changed, found, files, options.signal);
  if (options.indexFile && (changed.length > 0 || gone)) {
    await writeJsonLines(options.indexFile, INDEX_HEADER, indexRows(found, files, started - STAMP_RESOLUTION_MS));
  }
  return {
    files,
    count: files.length,
    bytes: files.reduce((sum, file) => sum + file.size, 0),
    contentDigest: contentDigest(files.map((file) => ({ path: file.path, size: file.size, digest: file.sha256 }))),
    filesRead: changed.length,
  };
}

async function digestFiles(
  directory: string,
  changed: readonly number[],
  found: readonly Found[],
  files: ScannedFile[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const buffers = Array.from({ length: Math.min(PARALLEL_READS, changed.length) }, () =>
    Buffer.allocUnsafeSlow(READ_SIZE),
  );
  await concurrently(
    changed,
    buffers.length,
    async (i) => {
      const { path: name, stamp } = found[i]!;
      const buffer = buffers.pop()!;
      try {
        files[i] = {
          path: name,
          size: stamp[0],
          sha256: await digestFile(directory, name, stamp[0], buffer, signal),
          modified: stamp[1],
        };
      } finally {
        buffers.push(buffer);
      }
    },
    signal,
  );
}

async function digestFile(
  directory: string,
  name: string,
  size: number,
  buffer: Buffer,
  signal?: AbortSignal,
): Promise<string> {
  const hash = createHash("sha256");
  const handle = await openToRead(directory, name);
  let read = 0;
  try {
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, read);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      read += bytesRead;
    }
  } finally {
    await handle.close();
  }
  if (read !== size)
    throw new UserError(
      `${name}: the file changed while it was read. Run the command again when nothing writes to ${directory}.`,
    );
  return hash.digest("hex");
}

/** @throws UserError naming the file when it cannot be opened. */
export async function openToRead(directory: string, name: string): Promise<fs.promises.FileHandle> {
  try {
    return await fs.promises.open(path.join(directory, name), "r");
  } catch (error) {
    throw new UserError(
      `${name}: the file cannot be read (${(error as NodeJS.ErrnoException).code}). Check its permissions in ${directory}.`,
      {
        cause: error,
      },
    );
  }
}

function* indexRows(found: readonly Found[], files: readonly ScannedFile[], stableBefore: number): Generator<IndexRow> {
  for (let i = 0; i < found.length; i++) {
    const { path: name, stamp } = found[i]!;
    if (Math.max(stamp[1], stamp[2]) < stableBefore) yield [name, ...stamp, files[i]!.sha256];
  }
}

async function findFiles(
  directory: string,
  extension: string,
): Promise<{ found: Found[]; others: Map<string, number> }> {
  const found: Found[] = [];
  const others = new Map<string, number>();
  const pending = [""];
  let visited = 0;
  while (pending.length > 0) {
    const folder = pending.pop()!;
    for (const entry of await listFolder(directory, folder)) {
      if (isHidden(entry.name)) continue;
      const name = folder + entry.name;
      if (entry.isDirectory()) pending.push(`${name}/`);
      if (!entry.isFile()) continue;
      if (!entry.name.endsWith(extension)) {
        const other = path.extname(entry.name) || "no extension";
        others.set(other, (others.get(other) ?? 0) + 1);
        continue;
      }
      // One system call is quicker than a round through the thread pool; breathe now and then.
      const stat = fs.lstatSync(path.join(directory, name));
      found.push({ path: name, stamp: [stat.size, stat.mtimeMs, stat.ctimeMs, stat.ino] });
      if (++visited % STATS_BETWEEN_BREATHS === 0) await setImmediate();
    }
  }
  return { found: found.sort(comparePaths), others };
}

async function listFolder(directory: string, folder: string): Promise<fs.Dirent[]> {
  try {
    return await fs.promises.readdir(path.join(directory, folder), { withFileTypes: true });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const reason =
      code === "ENOENT" ? "does not exist" : code === "ENOTDIR" ? "is not a directory" : `cannot be read (${code})`;
    throw new UserError(
      `The dataset's directory ${path.join(directory, folder)} ${reason}. Give the directory that holds the dataset's files.`,
      {
        cause: error,
      },
    );
  }
}

function isHidden(name: string): boolean {
  return name.startsWith(".") || (name.startsWith("_") && !name.includes("="));
}

function noFiles(directory: string, format: DatasetFormat, others: ReadonlyMap<string, number>): UserError {
  const found = [...others].sort(([a], [b]) => (a < b ? -1 : 1)).map(([extension, count]) => `${count} × ${extension}`);
  return new UserError(
    `The dataset's directory ${directory} has no file named *.${format} (${found.length > 0 ? `found: ${found.join(", ")}` : "it is empty"}). ` +
      `Put the files there, or set the dataset's format to what they are.`,
  );
}
