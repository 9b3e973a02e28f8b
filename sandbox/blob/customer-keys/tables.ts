import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { openDocument } from "../../host.ts";
import type { SealedBlock } from "./cipher.ts";

export interface NamedBlock extends SealedBlock {
  /** Block id as the client gave it; empty for a blob put in one piece. */
  readonly id: string;
}

/** How a committed blob is encrypted. */
export interface BlobTable {
  readonly keySha256: string;
  readonly blocks: readonly NamedBlock[];
  /** Over `blocks`, see `macOf`. */
  readonly mac: string;
  /** Base64 MD5 of the plaintext, where it is known. */
  readonly md5?: string;
}

export interface StagedBlock {
  readonly keySha256: string;
  readonly block: NamedBlock;
}

/**
 * Integrity data of encrypted blobs, one file each, and of blocks waiting to be committed. A blob's metadata names its
 * table, so that both change in one step: a table is written before the blob that names it.
 */
export class TableStore {
  private readonly tables: string;
  private readonly staged: string;

  constructor(dir: string) {
    this.tables = path.join(dir, "tables");
    this.staged = path.join(dir, "staged");
  }

  write(id: string, table: BlobTable): void {
    writeJson(this.tableFile(id), table);
  }

  /** @throws when there is none. */
  read(id: string): BlobTable {
    return JSON.parse(fs.readFileSync(this.tableFile(id), "utf8")) as BlobTable;
  }

  remove(id: string): void {
    fs.rmSync(this.tableFile(id), { force: true });
  }

  /** Removes what no blob refers to any more. */
  sweep(isUsed: (id: string) => boolean): void {
    if (!fs.existsSync(this.tables)) return;
    const ids = fs.readdirSync(this.tables).map((file) => path.parse(file).name);
    for (const id of ids.filter((id) => !isUsed(id))) this.remove(id);
  }

  /** @param blob `/account/container/blob` */
  stage(blob: string, block: StagedBlock): void {
    writeJson(this.stagedFile(blob, block.block.id), block);
  }

  findStaged(blob: string, blockId: string): StagedBlock | undefined {
    const file = this.stagedFile(blob, blockId);
    return fs.existsSync(file) ? (JSON.parse(fs.readFileSync(file, "utf8")) as StagedBlock) : undefined;
  }

  unstage(blob: string, blockId: string): void {
    fs.rmSync(this.stagedFile(blob, blockId), { force: true });
  }

  unstageAll(blob: string): void {
    fs.rmSync(path.join(this.staged, nameOf(blob)), { recursive: true, force: true });
  }

  private tableFile(id: string): string {
    if (!/^[0-9a-f-]{36}$/.test(id)) throw new Error("Not the id of a table.");
    return path.join(this.tables, `${id}.json`);
  }

  private stagedFile(blob: string, blockId: string): string {
    return path.join(this.staged, nameOf(blob), `${nameOf(blockId)}.json`);
  }
}

function nameOf(text: string): string {
  return crypto.createHash("sha256").update(text).digest("hex");
}

function writeJson<T extends object>(file: string, value: T): void {
  const document = openDocument<T>(file, () => value);
  Object.assign(document.value, value);
  document.save();
}
