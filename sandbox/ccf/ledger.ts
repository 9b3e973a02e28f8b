import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { isPrivate, type Commit, type Write } from "./kv.ts";

/** AES-256-GCM, 12 byte nonce and 16 byte tag before the cipher text, base64. */
const sealedPrefix = "sealed:";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * The ledger on disk: one JSON line a transaction, synced before it counts. A last line that a crash left
 * incomplete was never acknowledged to anybody and is cut off when the ledger is opened.
 */
export class Ledger {
  readonly file: string;
  #handle: number;
  #size: number;
  #root: Buffer;

  private constructor(file: string, handle: number, size: number, root: Buffer) {
    this.file = file;
    this.#handle = handle;
    this.#size = size;
    this.#root = root;
  }

  static exists(directory: string): boolean {
    const file = ledgerFile(directory);
    return fs.existsSync(file) && fs.statSync(file).size > 0;
  }

  /**
   * Opens and replays.
   * @param secret 32 bytes, or `undefined` in a recovery: private values then stay sealed.
   * @throws when a line other than the last is damaged.
   */
  static open(directory: string, secret: Buffer | undefined): { ledger: Ledger; commits: Commit[] } {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    const file = ledgerFile(directory);
    const bytes = fs.existsSync(file) ? fs.readFileSync(file) : Buffer.alloc(0);
    const commits: Commit[] = [];
    let root: Buffer = Buffer.alloc(32);
    let offset = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, offset)) {
      const line = bytes.subarray(offset, end);
      commits.push(parseLine(line, commits.length + 1, file, secret));
      root = chain(root, line);
      offset = end + 1;
    }
    const handle = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    fs.ftruncateSync(handle, offset);
    return { ledger: new Ledger(file, handle, offset, root), commits };
  }

  /** Hash over everything written so far: stands in for the root of CCF's Merkle tree. */
  get root(): string {
    return this.#root.toString("hex");
  }

  append(commit: Commit, secret: Buffer | undefined): void {
    const writes = commit.writes.map(([name, key, text]): Write => [
      name,
      key,
      isPrivate(name) ? seal(text, secret) : text,
    ]);
    const line = Buffer.from(JSON.stringify({ ...commit, writes }));
    try {
      fs.writeSync(this.#handle, Buffer.concat([line, Buffer.from("\n")]), 0, line.length + 1, this.#size);
      fs.fsyncSync(this.#handle);
    } catch (error) {
      fs.ftruncateSync(this.#handle, this.#size);
      throw error;
    }
    this.#size += line.length + 1;
    this.#root = chain(this.#root, line);
  }

  close(): void {
    fs.closeSync(this.#handle);
  }
}

function parseLine(line: Buffer, seqno: number, file: string, secret: Buffer | undefined): Commit {
  let commit: Commit;
  try {
    commit = JSON.parse(line.toString("utf8")) as Commit;
  } catch (error) {
    throw new Error(`Ledger ${path.basename(file)} is damaged at line ${seqno}: it is not a transaction.`, {
      cause: error,
    });
  }
  if (commit.seqno !== seqno) {
    throw new Error(`Ledger ${path.basename(file)} is damaged at line ${seqno}: it holds transaction ${commit.seqno}.`);
  }
  if (!secret) return commit;
  return {
    ...commit,
    writes: commit.writes.map(([name, key, text]): Write => [name, key, isPrivate(name) ? unseal(text, secret) : text]),
  };
}

function seal(text: string | null, secret: Buffer | undefined): string | null {
  if (text === null) return null;
  if (!secret) throw new Error("Private tables cannot be written before the ledger secret is recovered.");
  const nonce = crypto.randomBytes(NONCE_BYTES);
  const cipher = crypto.createCipheriv("aes-256-gcm", secret, nonce);
  const sealed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
  return sealedPrefix + Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString("base64");
}

function unseal(text: string | null, secret: Buffer): string | null {
  if (text === null || !text.startsWith(sealedPrefix)) return text;
  const bytes = Buffer.from(text.slice(sealedPrefix.length), "base64");
  const decipher = crypto.createDecipheriv("aes-256-gcm", secret, bytes.subarray(0, NONCE_BYTES));
  decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]).toString("utf8");
}

const ledgerFile = (directory: string): string => path.join(directory, "ledger.jsonl");

const chain = (root: Buffer, line: Buffer): Buffer =>
  crypto.createHash("sha256").update(root).update(crypto.createHash("sha256").update(line).digest()).digest();
