import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  AbortMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketEncryptionCommand,
  GetBucketLocationCommand,
  GetBucketPolicyCommand,
  GetBucketTaggingCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetPublicAccessBlockCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  ListPartsCommand,
  PutBucketEncryptionCommand,
  PutBucketPolicyCommand,
  PutBucketTaggingCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutPublicAccessBlockCommand,
  UploadPartCommand,
  paginateListObjectsV2,
  type S3Client,
} from "@aws-sdk/client-s3";
import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { Readable } from "node:stream";
import { temporaryHost, type OpenHost } from "../entra/support.ts";
import { bytesBelow, Lab, policyText, REGION } from "./support.ts";

/* The official SDK against the endpoint. */

let host: OpenHost;
let lab: Lab;
let s3: S3Client;
let buckets = 0;

beforeAll(async () => {
  host = await temporaryHost();
  lab = await Lab.start(host);
  s3 = lab.administrator();
});
afterAll(async () => {
  await lab.stop();
  host.close();
});

async function newBucket(): Promise<string> {
  const Bucket = `woodgrove-${++buckets}`;
  await s3.send(new CreateBucketCommand({ Bucket, CreateBucketConfiguration: { LocationConstraint: REGION } }));
  return Bucket;
}
const put = (Bucket: string, Key: string, Body: string | Buffer = Key) =>
  s3.send(new PutObjectCommand({ Bucket, Key, Body }));
const text = async (Bucket: string, Key: string, more: object = {}) =>
  (await s3.send(new GetObjectCommand({ Bucket, Key, ...more }))).Body!.transformToString();
const listing = async (Bucket: string, options: object = {}) => {
  const pages: { keys: string[]; prefixes: string[] }[] = [];
  for await (const page of paginateListObjectsV2({ client: s3 }, { Bucket, ...options })) {
    pages.push({
      keys: (page.Contents ?? []).map(({ Key }) => Key!),
      prefixes: (page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix!),
    });
  }
  return pages;
};

describe("buckets", () => {
  test("are created, found, located, listed and deleted", async () => {
    const Bucket = await newBucket();
    await expect(s3.send(new HeadBucketCommand({ Bucket }))).resolves.toMatchObject({ BucketRegion: REGION });
    expect((await s3.send(new GetBucketLocationCommand({ Bucket }))).LocationConstraint).toBe(REGION);
    expect((await s3.send(new ListBucketsCommand({}))).Buckets!.map(({ Name }) => Name)).toContain(Bucket);
    expect((await lab.administrator("northwind").send(new ListBucketsCommand({}))).Buckets ?? []).toEqual([]);
    await put(Bucket, "a");
    await expect(s3.send(new DeleteBucketCommand({ Bucket }))).rejects.toMatchObject({ name: "BucketNotEmpty" });
    await s3.send(new DeleteObjectCommand({ Bucket, Key: "a" }));
    await s3.send(new DeleteBucketCommand({ Bucket }));
    await expect(s3.send(new HeadBucketCommand({ Bucket }))).rejects.toMatchObject({ name: "NotFound" });
    await expect(put(Bucket, "a")).rejects.toMatchObject({ name: "NoSuchBucket" });
  });

  test.each(["ab", "Upper", "under_score", "192.168.1.1", "two..dots", "-dash"])(
    "cannot be named %s",
    async (Bucket) => {
      const creation = s3.send(
        new CreateBucketCommand({ Bucket, CreateBucketConfiguration: { LocationConstraint: REGION } }),
      );
      await expect(creation).rejects.toMatchObject({ name: "InvalidBucketName" });
    },
  );

  test("have names that are unique in the world, and say whose they are", async () => {
    const Bucket = await newBucket();
    const again = new CreateBucketCommand({ Bucket, CreateBucketConfiguration: { LocationConstraint: REGION } });
    await expect(s3.send(again)).rejects.toMatchObject({ name: "BucketAlreadyOwnedByYou" });
    await expect(lab.administrator("northwind").send(again)).rejects.toMatchObject({ name: "BucketAlreadyExists" });
    await expect(lab.administrator("northwind").send(new HeadBucketCommand({ Bucket }))).rejects.toMatchObject({
      $metadata: { httpStatusCode: 403 },
    });
  });

  test("answer in their own region only; the SDK can follow", async () => {
    const Bucket = await newBucket();
    await put(Bucket, "a");
    const elsewhere = lab.administrator("woodgrove", { region: "eu-west-1" });
    await expect(elsewhere.send(new GetObjectCommand({ Bucket, Key: "a" }))).rejects.toMatchObject({
      name: "PermanentRedirect",
    });
    const following = lab.administrator("woodgrove", { region: "us-east-1", followRegionRedirects: true });
    expect(await (await following.send(new GetObjectCommand({ Bucket, Key: "a" }))).Body!.transformToString()).toBe(
      "a",
    );
    await expect(elsewhere.send(new CreateBucketCommand({ Bucket: "far-away" }))).resolves.toBeDefined();
    const creation = new CreateBucketCommand({
      Bucket: "farther",
      CreateBucketConfiguration: { LocationConstraint: "ap-south-1" },
    });
    await expect(elsewhere.send(creation)).rejects.toMatchObject({ name: "IllegalLocationConstraintException" });
  });

  test("keep encryption, versioning, public access block, tags and policy", async () => {
    const Bucket = await newBucket();
    expect(
      (await s3.send(new GetBucketEncryptionCommand({ Bucket }))).ServerSideEncryptionConfiguration!.Rules![0],
    ).toMatchObject({
      ApplyServerSideEncryptionByDefault: { SSEAlgorithm: "AES256" },
    });
    const kms = { Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: "aws:kms" as const } }] };
    await expect(
      s3.send(new PutBucketEncryptionCommand({ Bucket, ServerSideEncryptionConfiguration: kms })),
    ).rejects.toMatchObject({
      name: "NotImplemented",
    });
    expect((await s3.send(new GetBucketVersioningCommand({ Bucket }))).Status).toBeUndefined();
    expect((await s3.send(new GetPublicAccessBlockCommand({ Bucket }))).PublicAccessBlockConfiguration).toEqual({
      BlockPublicAcls: true,
      IgnorePublicAcls: true,
      BlockPublicPolicy: true,
      RestrictPublicBuckets: true,
    });
    await expect(s3.send(new GetBucketTaggingCommand({ Bucket }))).rejects.toMatchObject({ name: "NoSuchTagSet" });
    await s3.send(new PutBucketTaggingCommand({ Bucket, Tagging: { TagSet: [{ Key: "demo", Value: "<a&b>" }] } }));
    expect((await s3.send(new GetBucketTaggingCommand({ Bucket }))).TagSet).toEqual([{ Key: "demo", Value: "<a&b>" }]);
    await expect(s3.send(new GetBucketPolicyCommand({ Bucket }))).rejects.toMatchObject({ name: "NoSuchBucketPolicy" });
  });
});

describe("objects", () => {
  test("come back with what was sent along, encrypted at rest", async () => {
    const Bucket = await newBucket();
    const Body = Buffer.from("a secret sentence\n".repeat(50_000));
    const answer = await s3.send(
      new PutObjectCommand({ Bucket, Key: "dir/ä b+c.csv", Body, ContentType: "text/csv", Metadata: { note: "kept" } }),
    );
    expect(answer).toMatchObject({
      ServerSideEncryption: "AES256",
      ETag: `"${createHash("md5").update(Body).digest("hex")}"`,
    });
    const found = await s3.send(new GetObjectCommand({ Bucket, Key: "dir/ä b+c.csv" }));
    expect(found).toMatchObject({
      ContentType: "text/csv",
      Metadata: { note: "kept" },
      ServerSideEncryption: "AES256",
      ContentLength: Body.length,
    });
    expect(Buffer.from(await found.Body!.transformToByteArray()).equals(Body)).toBe(true);
    expect(bytesBelow(host.stateDir).includes("a secret sentence")).toBe(false);
    expect(await s3.send(new HeadObjectCommand({ Bucket, Key: "dir/ä b+c.csv" }))).toMatchObject({
      ContentLength: Body.length,
    });
  });

  test("are read in ranges and on conditions", async () => {
    const Bucket = await newBucket();
    const Body = randomBytes(600_000);
    const { ETag } = await put(Bucket, "a", Body);
    const range = async (Range: string) =>
      Buffer.from(
        await (await s3.send(new GetObjectCommand({ Bucket, Key: "a", Range }))).Body!.transformToByteArray(),
      );
    expect((await range("bytes=0-0")).equals(Body.subarray(0, 1))).toBe(true);
    expect((await range("bytes=262100-262200")).equals(Body.subarray(262_100, 262_201))).toBe(true);
    expect((await range("bytes=-10")).equals(Body.subarray(-10))).toBe(true);
    expect((await range("bytes=599999-700000")).equals(Body.subarray(599_999))).toBe(true);
    await expect(range("bytes=600000-")).rejects.toMatchObject({ name: "InvalidRange" });
    await expect(text(Bucket, "a", { IfMatch: '"other"' })).rejects.toMatchObject({ name: "PreconditionFailed" });
    await expect(text(Bucket, "a", { IfNoneMatch: ETag })).rejects.toMatchObject({
      $metadata: { httpStatusCode: 304 },
    });
    await expect(text(Bucket, "b")).rejects.toMatchObject({ name: "NoSuchKey" });
    const onlyNew = new PutObjectCommand({ Bucket, Key: "a", Body: "x", IfNoneMatch: "*" });
    await expect(s3.send(onlyNew)).rejects.toMatchObject({ name: "PreconditionFailed" });
  });

  test("arrive as streams, in signed chunks and with every checksum", async () => {
    const Bucket = await newBucket();
    const Body = randomBytes(700_000);
    for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] as const) {
      await s3.send(
        new PutObjectCommand({
          Bucket,
          Key: ChecksumAlgorithm,
          Body: Readable.from([Body]),
          ContentLength: Body.length,
          ChecksumAlgorithm,
        }),
      );
      const found = await s3.send(new GetObjectCommand({ Bucket, Key: ChecksumAlgorithm, ChecksumMode: "ENABLED" }));
      expect(Buffer.from(await found.Body!.transformToByteArray()).equals(Body)).toBe(true);
      await s3.send(new PutObjectCommand({ Bucket, Key: ChecksumAlgorithm, Body, ChecksumAlgorithm }));
    }
    const wrong = new PutObjectCommand({ Bucket, Key: "wrong", Body, ChecksumCRC32: "AAAAAA==" });
    await expect(s3.send(wrong)).rejects.toMatchObject({ name: "BadDigest" });
    await expect(text(Bucket, "wrong")).rejects.toMatchObject({ name: "NoSuchKey" });
  });

  test("are copied and deleted, one by one and together", async () => {
    const Bucket = await newBucket();
    await s3.send(new PutObjectCommand({ Bucket, Key: "a b", Body: "content", Metadata: { note: "1" } }));
    await s3.send(new CopyObjectCommand({ Bucket, Key: "c", CopySource: `${Bucket}/${encodeURIComponent("a b")}` }));
    expect(await text(Bucket, "c")).toBe("content");
    expect((await s3.send(new HeadObjectCommand({ Bucket, Key: "c" }))).Metadata).toEqual({ note: "1" });
    await s3.send(new DeleteObjectCommand({ Bucket, Key: "never there" }));
    const Objects = [{ Key: "a b" }, { Key: "c" }, { Key: "d" }];
    expect((await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }))).Deleted).toHaveLength(3);
    expect(await listing(Bucket)).toEqual([{ keys: [], prefixes: [] }]);
  });

  test("have versions where the bucket says so", async () => {
    const Bucket = await newBucket();
    await put(Bucket, "a", "old");
    await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Enabled" } }));
    const { VersionId } = await put(Bucket, "a", "new");
    expect(VersionId).toMatch(/./);
    expect(await text(Bucket, "a", { VersionId: "null" })).toBe("old");
    expect((await s3.send(new DeleteObjectCommand({ Bucket, Key: "a" }))).DeleteMarker).toBe(true);
    await expect(text(Bucket, "a")).rejects.toMatchObject({ name: "NoSuchKey" });
    expect(await text(Bucket, "a", { VersionId })).toBe("new");
    expect(await listing(Bucket)).toEqual([{ keys: [], prefixes: [] }]);
    const all = await s3.send(new ListObjectVersionsCommand({ Bucket }));
    expect([all.Versions!.length, all.DeleteMarkers!.length]).toEqual([2, 1]);
    await expect(s3.send(new DeleteBucketCommand({ Bucket }))).rejects.toMatchObject({ name: "BucketNotEmpty" });
    for (const { Key, VersionId: id } of [...all.Versions!, ...all.DeleteMarkers!])
      await s3.send(new DeleteObjectCommand({ Bucket, Key, VersionId: id }));
    await s3.send(new DeleteBucketCommand({ Bucket }));
  });

  test("are listed page by page, by prefix and by folder, in the order of their bytes", async () => {
    const Bucket = await newBucket();
    const keys = ["Z", "a/1", "a/2", "a/sub/3", "b", "b/1", "c<&>", "é", "\u{1F600}", "\uFFFD"];
    for (const key of keys) await put(Bucket, key);
    const inOrder = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    for (const MaxKeys of [1, 3, 1000]) {
      const pages = await listing(Bucket, { MaxKeys });
      expect(pages.flatMap((page) => page.keys)).toEqual(inOrder);
      expect(pages).toHaveLength(Math.ceil(keys.length / MaxKeys));
      const folders = await listing(Bucket, { MaxKeys, Delimiter: "/" });
      expect(folders.flatMap((page) => page.prefixes)).toEqual(["a/", "b/"]);
      expect(folders.flatMap((page) => page.keys)).toEqual(inOrder.filter((key) => !key.includes("/")));
    }
    expect(await listing(Bucket, { Prefix: "a/", Delimiter: "/" })).toEqual([
      { keys: ["a/1", "a/2"], prefixes: ["a/sub/"] },
    ]);
    expect(await listing(Bucket, { StartAfter: "b" })).toEqual([
      { keys: inOrder.slice(inOrder.indexOf("b") + 1), prefixes: [] },
    ]);
  });

  test("are uploaded in parts, which can be listed, replaced and abandoned", async () => {
    const Bucket = await newBucket();
    const parts = [randomBytes(5 * 1024 * 1024), randomBytes(100)];
    const { UploadId } = await s3.send(
      new CreateMultipartUploadCommand({ Bucket, Key: "big", Metadata: { note: "2" } }),
    );
    const upload = async (PartNumber: number, Body: Buffer) => {
      const { ETag, ChecksumCRC32 } = await s3.send(
        new UploadPartCommand({ Bucket, Key: "big", UploadId, PartNumber, Body }),
      );
      return { PartNumber, ETag, ChecksumCRC32 };
    };
    await upload(2, randomBytes(7));
    const [second, first] = await Promise.all([upload(2, parts[1]!), upload(1, parts[0]!)]);
    await expect(text(Bucket, "big")).rejects.toMatchObject({ name: "NoSuchKey" });
    expect(
      (await s3.send(new ListPartsCommand({ Bucket, Key: "big", UploadId }))).Parts!.map(({ Size }) => Size),
    ).toEqual([5 * 1024 * 1024, 100]);
    const complete = (Parts: object[]) =>
      s3.send(new CompleteMultipartUploadCommand({ Bucket, Key: "big", UploadId, MultipartUpload: { Parts } }));
    await expect(complete([second, first])).rejects.toMatchObject({ name: "InvalidPartOrder" });
    await expect(complete([first, { ...second, ETag: '"0"' }])).rejects.toMatchObject({ name: "InvalidPart" });
    expect((await complete([first, second])).ETag).toMatch(/-2"$/);
    const found = await s3.send(new GetObjectCommand({ Bucket, Key: "big" }));
    expect(found.Metadata).toEqual({ note: "2" });
    expect(Buffer.from(await found.Body!.transformToByteArray()).equals(Buffer.concat(parts))).toBe(true);
    await expect(complete([first, second])).rejects.toMatchObject({ name: "NoSuchUpload" });

    const other = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: "gone" }));
    expect((await s3.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads).toHaveLength(1);
    await s3.send(new AbortMultipartUploadCommand({ Bucket, Key: "gone", UploadId: other.UploadId }));
    expect((await s3.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads ?? []).toHaveLength(0);
  });

  test("fail to complete from parts that are too small", async () => {
    const Bucket = await newBucket();
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: "a" }));
    const Parts = [];
    for (const PartNumber of [1, 2]) {
      const { ETag } = await s3.send(new UploadPartCommand({ Bucket, Key: "a", UploadId, PartNumber, Body: "small" }));
      Parts.push({ PartNumber, ETag });
    }
    const completion = s3.send(
      new CompleteMultipartUploadCommand({ Bucket, Key: "a", UploadId, MultipartUpload: { Parts } }),
    );
    await expect(completion).rejects.toMatchObject({ name: "EntityTooSmall" });
  });
});

test("survives a restart, at the same address; what a killed sandbox left behind goes, a changed file is noticed", async () => {
  const own = await temporaryHost();
  const first = await Lab.start(own);
  const client = first.administrator();
  await client.send(
    new CreateBucketCommand({ Bucket: "kept", CreateBucketConfiguration: { LocationConstraint: REGION } }),
  );
  const policy = policyText({
    Effect: "Deny",
    Principal: "*",
    Action: "s3:DeleteBucket",
    Resource: "arn:aws:s3:::kept",
  });
  await client.send(new PutBucketPolicyCommand({ Bucket: "kept", Policy: policy }));
  await client.send(new PutObjectCommand({ Bucket: "kept", Key: "a", Body: "still here" }));
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket: "kept", Key: "b" }));
  const endpoint = first.s3.endpoint;
  await first.stop();
  const data = path.join(own.stateDir, "s3", "data");
  fs.writeFileSync(path.join(data, "left-behind"), "x");
  fs.appendFileSync(path.join(own.stateDir, "s3", "catalogue.jsonl"), '{"in":"kept","key":"cut');

  const second = await Lab.start(own);
  expect(second.s3.endpoint).toBe(endpoint);
  expect(fs.existsSync(path.join(data, "left-behind"))).toBe(false);
  const again = second.administrator();
  const read = () =>
    again.send(new GetObjectCommand({ Bucket: "kept", Key: "a" })).then(({ Body }) => Body!.transformToString());
  expect(await read()).toBe("still here");
  expect((await again.send(new GetBucketPolicyCommand({ Bucket: "kept" }))).Policy).toBe(policy);
  await again.send(new UploadPartCommand({ Bucket: "kept", Key: "b", UploadId, PartNumber: 1, Body: "x" }));
  const { segments } = second.s3.store.latest("kept", "a")!;
  const file = path.join(data, segments[0]!.file);
  const bytes = fs.readFileSync(file);
  bytes[0]! ^= 1;
  fs.writeFileSync(file, bytes);
  await expect(read()).rejects.toThrow();
  await second.stop();
  own.close();
});

test("PutPublicAccessBlock can be lifted and set again", async () => {
  const Bucket = await newBucket();
  const open = {
    BlockPublicAcls: true,
    IgnorePublicAcls: true,
    BlockPublicPolicy: false,
    RestrictPublicBuckets: false,
  };
  await s3.send(new PutPublicAccessBlockCommand({ Bucket, PublicAccessBlockConfiguration: open }));
  expect((await s3.send(new GetPublicAccessBlockCommand({ Bucket }))).PublicAccessBlockConfiguration).toEqual(open);
});
