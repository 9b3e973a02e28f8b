import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import type { SandboxHost } from "../../contracts.ts";

/** A stretch of an object in a file of its own. */
export interface Segment {
  readonly file: string;
  /** The file's key under the sandbox's master key: `nonce[12] ‖ ciphertext[32] ‖ tag[16]`, base64. */
  readonly wrappedKey: string;
  /** Bytes of plaintext. */
  readonly size: number;
}

export interface SegmentWriter {
  write(data: Buffer): Promise<void>;
  finish(): Promise<Segment>;
  /** Takes back what was written. */
  discard(): Promise<void>;
}

const CHUNK_BYTES = 256 * 1024;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const SEALED_BYTES = CHUNK_BYTES + TAG_BYTES;

/**
 * Object data at rest, encrypted as S3 does by default (envelope encryption with AES-256-GCM): a key for every file, wrapped by
 * one key of this sandbox. A file is a row of `ciphertext ‖ tag[16]`, a chunk of 256 KiB each, the nonce is its index.
 */
export class DataFiles {
  readonly #directory: string;
  readonly #masterKey: Buffer;

  constructor(host: SandboxHost) {
    this.#directory = path.join(host.stateDir, "s3", "data");
    fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const document = host.document("s3-master-key", () => ({ key: crypto.randomBytes(32).toString("base64") }));
    document.save();
    this.#masterKey = Buffer.from(document.value.key, "base64");
  }

  async create(): Promise<SegmentWriter> {
    const file = crypto.randomUUID();
    const key = crypto.randomBytes(32);
    const handle = await fs.promises.open(this.#path(file), "wx", 0o600);
    let size = 0;
    let index = 0;
    let pending: Buffer[] = [];
    let pendingBytes = 0;
    const seal = async (chunk: Buffer): Promise<void> => {
      const cipher = crypto.createCipheriv("aes-256-gcm", key, nonceOf(index++));
      await handle.writev([cipher.update(chunk), cipher.final(), cipher.getAuthTag()]);
    };
    return {
      async write(data) {
        size += data.length;
        pending.push(data);
        pendingBytes += data.length;
        if (pendingBytes < CHUNK_BYTES) return;
        let bytes = Buffer.concat(pending);
        for (; bytes.length >= CHUNK_BYTES; bytes = bytes.subarray(CHUNK_BYTES))
          await seal(bytes.subarray(0, CHUNK_BYTES));
        pending = [bytes];
        pendingBytes = bytes.length;
      },
      finish: async () => {
        if (pendingBytes > 0) await seal(Buffer.concat(pending));
        await handle.close();
        return { file, wrappedKey: this.#wrap(key), size };
      },
      discard: async () => {
        await handle.close();
        await this.remove([{ file }]);
      },
    };
  }

  /** Bytes `from` (inclusive) to `to` (exclusive) of the segments put together. @throws when a file was changed. */
  async *read(segments: readonly Segment[], from: number, to: number): AsyncGenerator<Buffer> {
    let start = 0;
    for (const segment of segments) {
      const [first, last] = [Math.max(from - start, 0), Math.min(to - start, segment.size)];
      if (first < last) yield* this.#readSegment(segment, first, last);
      start += segment.size;
    }
  }

  async remove(segments: readonly Pick<Segment, "file">[]): Promise<void> {
    for (const { file } of segments) await fs.promises.rm(this.#path(file), { force: true });
  }

  /** Deletes files that nothing refers to: of uploads that were under way when the sandbox was killed. */
  removeOthers(known: ReadonlySet<string>): void {
    for (const file of fs.readdirSync(this.#directory)) {
      if (!known.has(file)) fs.rmSync(this.#path(file), { force: true });
    }
  }

  async *#readSegment(segment: Segment, from: number, to: number): AsyncGenerator<Buffer> {
    const key = this.#unwrap(segment.wrappedKey);
    const handle = await fs.promises.open(this.#path(segment.file), "r");
    try {
      for (let index = Math.floor(from / CHUNK_BYTES); index * CHUNK_BYTES < to; index++) {
        const start = index * CHUNK_BYTES;
        const length = Math.min(CHUNK_BYTES, segment.size - start);
        const sealed = Buffer.alloc(length + TAG_BYTES);
        await handle.read(sealed, 0, sealed.length, index * SEALED_BYTES);
        const decipher = crypto.createDecipheriv("aes-256-gcm", key, nonceOf(index));
        decipher.setAuthTag(sealed.subarray(length));
        const plain = Buffer.concat([decipher.update(sealed.subarray(0, length)), decipher.final()]);
        yield plain.subarray(Math.max(from - start, 0), to - start);
      }
    } finally {
      await handle.close();
    }
  }

  #wrap(key: Buffer): string {
    const nonce = crypto.randomBytes(NONCE_BYTES);
    const cipher = crypto.createCipheriv("aes-256-gcm", this.#masterKey, nonce);
    return Buffer.concat([nonce, cipher.update(key), cipher.final(), cipher.getAuthTag()]).toString("base64");
  }

  #unwrap(wrapped: string): Buffer {
    const bytes = Buffer.from(wrapped, "base64");
    const decipher = crypto.createDecipheriv("aes-256-gcm", this.#masterKey, bytes.subarray(0, NONCE_BYTES));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  }

  #path(file: string): string {
    return path.join(this.#directory, file);
  }
}

function nonceOf(index: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUInt32BE(index, NONCE_BYTES - 4);
  return nonce;
}
