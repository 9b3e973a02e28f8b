import { AwsError } from "../../errors.ts";
import { canonicalPolicy, parsePolicy } from "../../policy/document.ts";
import { isPublic } from "../../policy/evaluate.ts";
import type { Iam } from "../../iam.ts";
import type { BucketRecord, PublicAccessBlock } from "../catalogue.ts";
import { listOf, malformedXml, parseXml, textOf, xmlDocument } from "../xml.ts";
import type { Operation } from "./operation.ts";

const BLOCK_ELEMENTS = {
  BlockPublicAcls: "blockPublicAcls",
  IgnorePublicAcls: "ignorePublicAcls",
  BlockPublicPolicy: "blockPublicPolicy",
  RestrictPublicBuckets: "restrictPublicBuckets",
} as const satisfies Record<string, keyof PublicAccessBlock>;

/** Encryption, versioning, public access block, policy and tags of a bucket. */
export function settingsOperations(iam: Iam): readonly Operation[] {
  return [...encryption, ...versioning, ...publicAccessBlock, ...policy(iam), ...tagging];
}

const encryption: readonly Operation[] = [
  {
    name: "GetBucketEncryption",
    method: "GET",
    on: "bucket",
    query: ["encryption"],
    action: "GetEncryptionConfiguration",
    run: (call) => ({
      status: 200,
      text: xmlDocument("ServerSideEncryptionConfiguration", {
        Rule: {
          ApplyServerSideEncryptionByDefault: { SSEAlgorithm: "AES256" },
          BucketKeyEnabled: String(call.bucket.bucketKeyEnabled),
        },
      }),
    }),
  },
  {
    name: "PutBucketEncryption",
    method: "PUT",
    on: "bucket",
    query: ["encryption"],
    action: "PutEncryptionConfiguration",
    async run(call) {
      const rules = listOf(parseXml(await call.document(), "ServerSideEncryptionConfiguration").Rule);
      if (rules.length !== 1) throw malformedXml();
      const byDefault = listOf(rules[0]!.ApplyServerSideEncryptionByDefault)[0];
      requireAes256(textOf(byDefault?.SSEAlgorithm));
      call.store.changeBucket(call.bucketName, { bucketKeyEnabled: textOf(rules[0]!.BucketKeyEnabled) === "true" });
      return { status: 200 };
    },
  },
  {
    name: "DeleteBucketEncryption",
    method: "DELETE",
    on: "bucket",
    query: ["encryption"],
    action: "PutEncryptionConfiguration",
    run(call) {
      call.store.changeBucket(call.bucketName, { bucketKeyEnabled: false });
      return { status: 204 };
    },
  },
];

/** @throws {AwsError} for KMS keys, which are not simulated. */
export function requireAes256(algorithm: string | undefined): void {
  if (algorithm === "AES256") return;
  if (algorithm?.startsWith("aws:kms")) {
    throw new AwsError(
      501,
      "NotImplemented",
      `The sandbox does not simulate AWS KMS: use AES256 instead of ${algorithm}.`,
    );
  }
  throw new AwsError(
    400,
    "InvalidEncryptionAlgorithmError",
    "The encryption request you specified is not valid. Supported value: AES256.",
  );
}

const versioning: readonly Operation[] = [
  {
    name: "GetBucketVersioning",
    method: "GET",
    on: "bucket",
    query: ["versioning"],
    action: "GetBucketVersioning",
    run: ({ bucket }) => ({
      status: 200,
      text: xmlDocument("VersioningConfiguration", bucket.versioning ? { Status: bucket.versioning } : {}),
    }),
  },
  {
    name: "PutBucketVersioning",
    method: "PUT",
    on: "bucket",
    query: ["versioning"],
    action: "PutBucketVersioning",
    async run(call) {
      const content = parseXml(await call.document(), "VersioningConfiguration");
      const status = textOf(content.Status);
      if (status !== "Enabled" && status !== "Suspended") {
        throw new AwsError(400, "IllegalVersioningConfigurationException", "The Versioning element must be specified");
      }
      if (content.MfaDelete === "Enabled")
        throw new AwsError(501, "NotImplemented", "The sandbox does not simulate MFA delete.");
      call.store.changeBucket(call.bucketName, { versioning: status });
      return { status: 200 };
    },
  },
];

const publicAccessBlock: readonly Operation[] = [
  {
    name: "GetPublicAccessBlock",
    method: "GET",
    on: "bucket",
    query: ["publicAccessBlock"],
    action: "GetBucketPublicAccessBlock",
    run({ bucket }) {
      const block = bucket.publicAccessBlock;
      if (!block) {
        throw new AwsError(
          404,
          "NoSuchPublicAccessBlockConfiguration",
          "The public access block configuration was not found",
        );
      }
      const content = Object.entries(BLOCK_ELEMENTS).map(([element, property]) => [element, String(block[property])]);
      return { status: 200, text: xmlDocument("PublicAccessBlockConfiguration", Object.fromEntries(content)) };
    },
  },
  {
    name: "PutPublicAccessBlock",
    method: "PUT",
    on: "bucket",
    query: ["publicAccessBlock"],
    action: "PutBucketPublicAccessBlock",
    async run(call) {
      const content = parseXml(await call.document(), "PublicAccessBlockConfiguration");
      const pairs = Object.entries(BLOCK_ELEMENTS).map(([element, property]) => [
        property,
        content[element] === "true",
      ]);
      call.store.changeBucket(call.bucketName, { publicAccessBlock: Object.fromEntries(pairs) as PublicAccessBlock });
      return { status: 200 };
    },
  },
  {
    name: "DeletePublicAccessBlock",
    method: "DELETE",
    on: "bucket",
    query: ["publicAccessBlock"],
    action: "PutBucketPublicAccessBlock",
    run(call) {
      call.store.changeBucket(call.bucketName, { publicAccessBlock: undefined });
      return { status: 204 };
    },
  },
];

function policy(iam: Iam): readonly Operation[] {
  return [
    {
      name: "GetBucketPolicy",
      method: "GET",
      on: "bucket",
      query: ["policy"],
      action: "GetBucketPolicy",
      run({ bucket }) {
        if (bucket.policy === undefined) throw noSuchBucketPolicy(bucket.name);
        return { status: 200, headers: { "content-type": "application/json" }, text: bucket.policy };
      },
    },
    {
      name: "PutBucketPolicy",
      method: "PUT",
      on: "bucket",
      query: ["policy"],
      action: "PutBucketPolicy",
      async run(call) {
        const text = (await call.document()).toString("utf8");
        checkBucketPolicy(call.bucket, text, iam);
        call.store.changeBucket(call.bucketName, { policy: text });
        return { status: 204 };
      },
    },
    {
      name: "DeleteBucketPolicy",
      method: "DELETE",
      on: "bucket",
      query: ["policy"],
      action: "DeleteBucketPolicy",
      run(call) {
        call.store.changeBucket(call.bucketName, { policy: undefined });
        return { status: 204 };
      },
    },
  ];
}

export function noSuchBucketPolicy(bucket: string): AwsError {
  return new AwsError(404, "NoSuchBucketPolicy", "The bucket policy does not exist", {
    details: { BucketName: bucket },
  });
}

/** @throws {AwsError} `MalformedPolicy`, or `AccessDenied` for a public policy where those are blocked. */
export function checkBucketPolicy(bucket: BucketRecord, text: string, iam: Iam): void {
  const parsed = parsePolicy(text, "bucket");
  canonicalPolicy(text);
  const own = `arn:aws:s3:::${bucket.name}`;
  for (const { principals, resources, actions } of parsed) {
    const unknown = principals!.arns.find((arn) => !iam.isPrincipal(arn));
    if (unknown !== undefined) throw new AwsError(400, "MalformedPolicy", `Invalid principal in policy: ${unknown}`);
    const foreign = resources.patterns.find((arn) => arn !== own && !arn.startsWith(`${own}/`) && arn !== "*");
    if (foreign !== undefined || actions.patterns.some((action) => !/^(\*|s3:)/i.test(action))) {
      throw new AwsError(400, "MalformedPolicy", "Policy has invalid resource");
    }
  }
  if (bucket.publicAccessBlock?.blockPublicPolicy && isPublic(parsed)) {
    throw new AwsError(
      403,
      "AccessDenied",
      "s3:PutBucketPolicy was refused because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
    );
  }
}

const MOST_TAGS = 50;

const tagging: readonly Operation[] = [
  {
    name: "GetBucketTagging",
    method: "GET",
    on: "bucket",
    query: ["tagging"],
    action: "GetBucketTagging",
    run({ bucket }) {
      const tags = Object.entries(bucket.tags);
      if (tags.length === 0)
        throw new AwsError(404, "NoSuchTagSet", "The TagSet does not exist", { details: { BucketName: bucket.name } });
      return {
        status: 200,
        text: xmlDocument("Tagging", { TagSet: { Tag: tags.map(([Key, Value]) => ({ Key, Value })) } }),
      };
    },
  },
  {
    name: "PutBucketTagging",
    method: "PUT",
    on: "bucket",
    query: ["tagging"],
    action: "PutBucketTagging",
    async run(call) {
      const set = listOf(parseXml(await call.document(), "Tagging").TagSet)[0];
      const tags = listOf(set?.Tag).map(({ Key, Value }) => [textOf(Key) ?? "", textOf(Value) ?? ""] as const);
      call.store.changeBucket(call.bucketName, { tags: checkedTags(tags) });
      return { status: 204 };
    },
  },
  {
    name: "DeleteBucketTagging",
    method: "DELETE",
    on: "bucket",
    query: ["tagging"],
    action: "PutBucketTagging",
    run(call) {
      call.store.changeBucket(call.bucketName, { tags: {} });
      return { status: 204 };
    },
  },
];

/** @throws {AwsError} `InvalidTag`. */
export function checkedTags(tags: readonly (readonly [key: string, value: string])[]): Record<string, string> {
  const problem =
    tags.length > MOST_TAGS
      ? `Bucket tag count cannot be greater than ${MOST_TAGS}`
      : tags.some(([key, value]) => key.length < 1 || key.length > 128 || value.length > 256)
        ? "The TagKey or TagValue you have provided is too long or empty"
        : tags.some(([key]) => key.toLowerCase().startsWith("aws:"))
          ? "System tags cannot be added/updated by requester"
          : new Set(tags.map(([key]) => key)).size < tags.length
            ? "Cannot provide multiple Tags with the same key"
            : undefined;
  if (problem) throw new AwsError(400, "InvalidTag", problem);
  return Object.fromEntries(tags);
}
