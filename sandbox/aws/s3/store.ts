import { randomBytes } from "node:crypto";
import { AwsError } from "../errors.ts";
import type { BucketRecord, Catalogue, ObjectVersion, PublicAccessBlock } from "./catalogue.ts";
import type { DataFiles } from "./data-files.ts";

/** New buckets block all public access. */
const ALL_BLOCKED: PublicAccessBlock = {
  blockPublicAcls: true,
  blockPublicPolicy: true,
  ignorePublicAcls: true,
  restrictPublicBuckets: true,
};
/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
const BUCKET_NAME =
  /^(?!xn--|sthree-|amzn-s3-demo-)(?!.*(?:-s3alias|--ol-s3|--x-s3)$)(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

export function isBucketName(name: string): boolean {
  return BUCKET_NAME.test(name);
}

/** What buckets do, whoever asks: rights are checked before. */
export class Store {
  readonly catalogue: Catalogue;
  readonly files: DataFiles;

  constructor(catalogue: Catalogue, files: DataFiles) {
    this.catalogue = catalogue;
    this.files = files;
  }

  /** @throws {AwsError} `NoSuchBucket`. */
  bucket(name: string): BucketRecord {
    const record = this.catalogue.bucket(name);
    if (record) return record;
    throw new AwsError(404, "NoSuchBucket", "The specified bucket does not exist", { details: { BucketName: name } });
  }

  /** @throws {AwsError} `InvalidBucketName`, `BucketAlreadyExists` or `BucketAlreadyOwnedByYou`. */
  createBucket(name: string, region: string, accountId: string): BucketRecord {
    if (!isBucketName(name)) {
      throw new AwsError(400, "InvalidBucketName", "The specified bucket is not valid.", {
        details: { BucketName: name },
      });
    }
    const taken = this.catalogue.bucket(name);
    if (taken && taken.accountId === accountId) {
      throw new AwsError(
        409,
        "BucketAlreadyOwnedByYou",
        "Your previous request to create the named bucket succeeded and you already own it.",
        {
          details: { BucketName: name },
        },
      );
    }
    if (taken) {
      throw new AwsError(
        409,
        "BucketAlreadyExists",
        "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.",
        { details: { BucketName: name } },
      );
    }
    const record: BucketRecord = {
      name,
      region,
      accountId,
      created: new Date().toISOString(),
      tags: {},
      bucketKeyEnabled: false,
      publicAccessBlock: ALL_BLOCKED,
    };
    this.catalogue.putBucket(record);
    return record;
  }

  changeBucket(name: string, change: Partial<Omit<BucketRecord, "name" | "region" | "accountId" | "created">>): void {
    this.catalogue.putBucket({ ...this.bucket(name), ...change });
  }

  /** @throws {AwsError} `BucketNotEmpty`: objects, old versions and delete markers count. */
  async deleteBucket(name: string): Promise<void> {
    this.bucket(name);
    if (this.catalogue.keys(name).length > 0) {
      throw new AwsError(409, "BucketNotEmpty", "The bucket you tried to delete is not empty", {
        details: { BucketName: name },
      });
    }
    for (const upload of this.catalogue.uploads(name)) {
      this.catalogue.removeUpload(upload.id);
      await this.files.remove(upload.parts.map(({ segment }) => segment));
    }
    this.catalogue.removeBucket(name);
  }

  /** Every version of every object. */
  async emptyBucket(name: string): Promise<void> {
    for (const key of this.catalogue.keys(name)) await this.#setVersions(name, key, []);
  }

  latest(bucket: string, key: string): ObjectVersion | undefined {
    return this.catalogue.versions(bucket, key).at(-1);
  }

  version(bucket: string, key: string, versionId: string): ObjectVersion | undefined {
    return this.catalogue.versions(bucket, key).find((version) => version.versionId === versionId);
  }

  /** Becomes the latest version. @returns its version id, when the bucket has versions. */
  async putObject(
    bucket: string,
    key: string,
    content: Omit<ObjectVersion, "versionId" | "modified" | "deleteMarker">,
  ): Promise<string | undefined> {
    return this.#addVersion(bucket, key, { ...content, modified: new Date().toISOString(), deleteMarker: false });
  }

  /** @returns what S3 says about it: the version concerned, and whether that is or was a delete marker. */
  async deleteObject(
    bucket: string,
    key: string,
    versionId: string | undefined,
  ): Promise<{ versionId?: string; deleteMarker: boolean }> {
    const versions = this.catalogue.versions(bucket, key);
    if (versionId !== undefined) {
      const removed = versions.find((version) => version.versionId === versionId);
      await this.#setVersions(
        bucket,
        key,
        versions.filter((version) => version !== removed),
      );
      return { versionId, deleteMarker: removed?.deleteMarker ?? false };
    }
    if (!this.bucket(bucket).versioning) {
      await this.#setVersions(bucket, key, []);
      return { deleteMarker: false };
    }
    const marker = {
      modified: new Date().toISOString(),
      deleteMarker: true,
      size: 0,
      etag: "",
      headers: {},
      segments: [],
    };
    const markerId = await this.#addVersion(bucket, key, marker);
    return { ...(markerId !== undefined && { versionId: markerId }), deleteMarker: true };
  }

  async #addVersion(
    bucket: string,
    key: string,
    version: Omit<ObjectVersion, "versionId">,
  ): Promise<string | undefined> {
    const { versioning } = this.bucket(bucket);
    const versionId = versioning === "Enabled" ? randomBytes(16).toString("hex") : "null";
    const kept = this.catalogue.versions(bucket, key).filter((old) => old.versionId !== versionId);
    await this.#setVersions(bucket, key, [...kept, { ...version, versionId }]);
    return versioning ? versionId : undefined;
  }

  async #setVersions(bucket: string, key: string, versions: readonly ObjectVersion[]): Promise<void> {
    const kept = new Set(versions.flatMap(({ segments }) => segments.map(({ file }) => file)));
    const before = this.catalogue.versions(bucket, key).flatMap(({ segments }) => segments);
    this.catalogue.setVersions(bucket, key, versions);
    await this.files.remove(before.filter(({ file }) => !kept.has(file)));
  }
}
