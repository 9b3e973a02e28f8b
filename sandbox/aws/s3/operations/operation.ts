import type { Call, Reply } from "../call.ts";

/** One operation of the S3 API, as https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html lists them. */
export interface Operation {
  readonly name: string;
  readonly method: string;
  readonly on: "service" | "bucket" | "object";
  /** Query parameters and headers that tell it from others on the same address; those with more of them are tried first. */
  readonly query?: readonly string[];
  readonly header?: string;
  /** IAM action without `s3:`; operations that need several, or depend on more, check in `run`. */
  readonly action?: string;
  /** Whether the bucket must exist. Default: true. */
  readonly needsBucket?: boolean;
  run(call: Call): Promise<Reply> | Reply;
}
