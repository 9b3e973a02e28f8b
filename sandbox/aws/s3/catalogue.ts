import fs from "node:fs";
import path from "node:path";
import type { SandboxHost } from "../../contracts.ts";
import type { Checksum, ChecksumAlgorithm } from "./checksums.ts";
import type { Segment } from "./data-files.ts";

export interface PublicAccessBlock {
  readonly blockPublicAcls: boolean;
  readonly blockPublicPolicy: boolean;
  readonly ignorePublicAcls: boolean;
  readonly restrictPublicBuckets: boolean;
}

export interface BucketRecord {
  readonly name: string;
  readonly region: string;
  readonly accountId: string;
  /** ISO 8601 */
  readonly created: string;
  tags: Record<string, string>;
  versioning?: "Enabled" | "Suspended";
  bucketKeyEnabled: boolean;
  publicAccessBlock?: PublicAccessBlock;
  policy?: string;
}

export interface ObjectVersion {
  /** `null` in buckets without versioning. */
  readonly versionId: string;
  /** ISO 8601 */
  readonly modified: string;
  readonly deleteMarker: boolean;
  readonly size: number;
  /** Without quotes. */
  readonly etag: string;
  /** `content-type` and the other headers that come back as they were sent, and `x-amz-meta-…`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly checksum?: Checksum;
  readonly segments: readonly Segment[];
}

export interface UploadedPart {
  readonly number: number;
  readonly modified: string;
  readonly etag: string;
  readonly checksum?: Checksum;
  readonly segment: Segment;
}

export interface MultipartUpload {
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
  readonly initiated: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly checksumAlgorithm?: ChecksumAlgorithm;
  readonly parts: readonly UploadedPart[];
}

type Entry =
  | { readonly bucket: BucketRecord }
  | { readonly noBucket: string }
  | { readonly in: string; readonly key: string; readonly versions: readonly ObjectVersion[] }
  | { readonly upload: MultipartUpload }
  | { readonly noUpload: string };

interface Contents {
  readonly record: BucketRecord;
  /** Oldest version first. */
  readonly objects: Map<string, readonly ObjectVersion[]>;
  /** Keys in the order of their UTF-8 bytes; undefined after a change. */
  sorted: string[] | undefined;
}

/**
 * What buckets there are and what is in them: in memory, and as a log of changes on disk, so that writing an object costs the
 * same however many there are. The log is rewritten when it is opened.
 */
export class Catalogue {
  readonly #file: string;
  readonly #buckets = new Map<string, Contents>();
  readonly #uploads = new Map<string, MultipartUpload>();
  #log: number;

  constructor(host: SandboxHost) {
    this.#file = path.join(host.stateDir, "s3", "catalogue.jsonl");
    fs.mkdirSync(path.dirname(this.#file), { recursive: true, mode: 0o700 });
    if (fs.existsSync(this.#file)) this.#load();
    this.#log = this.#rewrite();
  }

  close(): void {
    fs.closeSync(this.#log);
  }

  buckets(): BucketRecord[] {
    return [...this.#buckets.values()].map(({ record }) => record).sort((a, b) => compareKeys(a.name, b.name));
  }

  bucket(name: string): BucketRecord | undefined {
    return this.#buckets.get(name)?.record;
  }

  putBucket(record: BucketRecord): void {
    this.#change({ bucket: record });
  }

  removeBucket(name: string): void {
    this.#change({ noBucket: name });
  }

  /** Keys with any version, sorted. */
  keys(bucket: string): readonly string[] {
    const contents = this.#buckets.get(bucket)!;
    contents.sorted ??= [...contents.objects.keys()].sort(compareKeys);
    return contents.sorted;
  }

  versions(bucket: string, key: string): readonly ObjectVersion[] {
    return this.#buckets.get(bucket)?.objects.get(key) ?? [];
  }

  /** @param versions none: the key is gone. */
  setVersions(bucket: string, key: string, versions: readonly ObjectVersion[]): void {
    this.#change({ in: bucket, key, versions });
  }

  uploads(bucket: string): MultipartUpload[] {
    return [...this.#uploads.values()].filter((upload) => upload.bucket === bucket);
  }

  upload(id: string): MultipartUpload | undefined {
    return this.#uploads.get(id);
  }

  putUpload(upload: MultipartUpload): void {
    this.#change({ upload });
  }

  removeUpload(id: string): void {
    this.#change({ noUpload: id });
  }

  /** Every data file in use. */
  files(): Set<string> {
    const files = new Set<string>();
    for (const { objects } of this.#buckets.values()) {
      for (const versions of objects.values()) {
        for (const { segments } of versions) for (const { file } of segments) files.add(file);
      }
    }
    for (const { parts } of this.#uploads.values()) for (const { segment } of parts) files.add(segment.file);
    return files;
  }

  #change(entry: Entry): void {
    this.#apply(entry);
    fs.writeSync(this.#log, `${JSON.stringify(entry)}\n`);
  }

  #apply(entry: Entry): void {
    if ("bucket" in entry) {
      const known = this.#buckets.get(entry.bucket.name);
      this.#buckets.set(entry.bucket.name, {
        record: entry.bucket,
        objects: known?.objects ?? new Map<string, readonly ObjectVersion[]>(),
        sorted: known?.sorted,
      });
    } else if ("noBucket" in entry) this.#buckets.delete(entry.noBucket);
    else if ("upload" in entry) this.#uploads.set(entry.upload.id, entry.upload);
    else if ("noUpload" in entry) this.#uploads.delete(entry.noUpload);
    else this.#setObject(entry);
  }

  #setObject({ in: bucket, key, versions }: Extract<Entry, { key: string }>): void {
    const contents = this.#buckets.get(bucket);
    if (!contents) return;
    if (contents.objects.has(key) !== versions.length > 0) contents.sorted = undefined;
    if (versions.length > 0) contents.objects.set(key, versions);
    else contents.objects.delete(key);
  }

  #load(): void {
    for (const line of fs.readFileSync(this.#file, "utf8").split("\n")) {
      if (line === "") continue;
      try {
        this.#apply(JSON.parse(line) as Entry);
      } catch {
        return; // The last line may be cut short by a crash: its change was never acknowledged.
      }
    }
  }

  #rewrite(): number {
    const temporary = `${this.#file}.tmp`;
    const log = fs.openSync(temporary, "w", 0o600);
    const write = (entry: Entry): void => void fs.writeSync(log, `${JSON.stringify(entry)}\n`);
    for (const { record, objects } of this.#buckets.values()) {
      write({ bucket: record });
      for (const [key, versions] of objects) write({ in: record.name, key, versions });
    }
    for (const upload of this.#uploads.values()) write({ upload });
    fs.fsyncSync(log);
    fs.renameSync(temporary, this.#file);
    return log;
  }
}

/** S3 lists in the order of UTF-8 bytes. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
