import { AwsError } from "../errors.ts";
import type { RequestContext } from "../policy/conditions.ts";
import { parsePolicy, type Policy } from "../policy/document.ts";
import { evaluate, isPublic, type Identity } from "../policy/evaluate.ts";
import type { BucketRecord } from "./catalogue.ts";

/** One thing somebody wants to do in S3. */
export interface Attempt {
  readonly identity: Identity;
  /** Without the prefix `s3:`. */
  readonly action: string;
  /** Undefined for what is about no bucket, or one that is yet to be made. */
  readonly bucket?: BucketRecord;
  /** Name of the bucket; `*` for none. */
  readonly bucketName: string;
  readonly key?: string;
  readonly context: RequestContext;
}

/** The bucket policy and the caller's own policies together. */
export function isAllowed({ identity, action, bucket, bucketName, key, context }: Attempt): boolean {
  const ownerAccountId = bucket?.accountId ?? (identity.kind === "user" ? identity.accountId : "");
  const resourcePolicy = bucket && effectivePolicy(bucket, identity);
  const resource = `arn:aws:s3:::${bucketName}${key === undefined ? "" : `/${key}`}`;
  const request = { identity, action: `s3:${action}`, resource, context, ownerAccountId };
  return evaluate({ ...request, ...(resourcePolicy && { resourcePolicy }) }) === "allowed";
}

/** @throws {AwsError} 403 `AccessDenied`, which names the right that is missing. */
export function requireAllowed(attempt: Attempt): void {
  if (isAllowed(attempt)) return;
  const { identity, action, bucketName, key } = attempt;
  if (identity.kind === "anonymous") throw new AwsError(403, "AccessDenied", "Access Denied");
  const resource = `arn:aws:s3:::${bucketName}${key === undefined ? "" : `/${key}`}`;
  throw new AwsError(
    403,
    "AccessDenied",
    `User: ${identity.arn} is not authorized to perform: s3:${action} on resource: "${resource}" because no policy allows the s3:${action} action or a policy denies it`,
  );
}

/** With RestrictPublicBuckets, a public policy gives nothing to strangers. */
function effectivePolicy(bucket: BucketRecord, identity: Identity): Policy | undefined {
  if (bucket.policy === undefined) return undefined;
  const policy = parsePolicy(bucket.policy, "bucket");
  const isStranger = identity.kind === "anonymous" || identity.accountId !== bucket.accountId;
  if (!isStranger || !bucket.publicAccessBlock?.restrictPublicBuckets || !isPublic(policy)) return policy;
  return policy.filter(({ effect }) => effect === "Deny");
}
