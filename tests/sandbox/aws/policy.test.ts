import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketPolicyCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketLocationCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutBucketPolicyCommand,
  PutObjectCommand,
  PutPublicAccessBlockCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { accountOf } from "../../../sandbox/aws/iam.ts";
import { conditionsHold, matchesWildcard } from "../../../sandbox/aws/policy/conditions.ts";
import { canonicalPolicy, parsePolicy } from "../../../sandbox/aws/policy/document.ts";
import { request, temporaryHost, type OpenHost } from "../entra/support.ts";
import { Lab, policyText, REGION } from "./support.ts";

const Bucket = "policies";
const ARN = `arn:aws:s3:::${Bucket}`;

let host: OpenHost;
let lab: Lab;
let owner: S3Client;
let users = 0;

beforeAll(async () => {
  host = await temporaryHost();
  lab = await Lab.start(host);
  owner = lab.administrator();
  await owner.send(new CreateBucketCommand({ Bucket, CreateBucketConfiguration: { LocationConstraint: REGION } }));
  await owner.send(new PutObjectCommand({ Bucket, Key: "in/a", Body: "content" }));
});
afterAll(async () => {
  await lab.stop();
  host.close();
});
afterEach(() => owner.send(new DeleteBucketPolicyCommand({ Bucket })));

const user = (...statements: object[]) => lab.client(lab.user(`user-${++users}`, ...statements));
const setPolicy = (...statements: object[]) =>
  owner.send(new PutBucketPolicyCommand({ Bucket, Policy: policyText(...statements) }));
const denied = { name: "AccessDenied", $metadata: { httpStatusCode: 403 } };

const CALLS: Record<string, (client: S3Client) => Promise<unknown>> = {
  "s3:ListAllMyBuckets": (client) => client.send(new ListBucketsCommand({})),
  "s3:GetBucketLocation": (client) => client.send(new GetBucketLocationCommand({ Bucket })),
  "s3:ListBucket": (client) => client.send(new ListObjectsV2Command({ Bucket })),
  "s3:GetObject": (client) => client.send(new GetObjectCommand({ Bucket, Key: "in/a" })),
  "s3:PutObject": (client) => client.send(new PutObjectCommand({ Bucket, Key: "out", Body: "x" })),
  "s3:DeleteObject": (client) => client.send(new DeleteObjectCommand({ Bucket, Key: "out" })),
  "s3:AbortMultipartUpload": async (client) => {
    const { UploadId } = await owner.send(new CreateMultipartUploadCommand({ Bucket, Key: "parts" }));
    return client.send(new AbortMultipartUploadCommand({ Bucket, Key: "parts", UploadId }));
  },
};

test.each(Object.keys(CALLS))("%s is all that its call needs, and nothing else will do", async (action) => {
  const others = Object.keys(CALLS).filter((other) => other !== action);
  const only = user({ Effect: "Allow", Action: action, Resource: ["*"] });
  await expect(CALLS[action]!(only)).resolves.toBeDefined();
  const allOthers = user({ Effect: "Allow", Action: others, Resource: "*" });
  await expect(CALLS[action]!(allOthers)).rejects.toMatchObject({
    ...denied,
    message: expect.stringContaining(`perform: ${action} on`),
  });
});

test("nothing is allowed by default, a deny is final, actions and resources may have wildcards", async () => {
  await expect(CALLS["s3:GetObject"]!(user())).rejects.toMatchObject(denied);
  await CALLS["s3:GetObject"]!(user({ Effect: "Allow", Action: "S3:get*", Resource: `${ARN}/in/*` }));
  await expect(
    CALLS["s3:GetObject"]!(user({ Effect: "Allow", Action: "s3:*", Resource: `${ARN}/out/*` })),
  ).rejects.toMatchObject(denied);
  const both = user(
    { Effect: "Allow", Action: "*", Resource: "*" },
    { Effect: "Deny", NotAction: "s3:ListBucket", Resource: "*" },
  );
  await CALLS["s3:ListBucket"]!(both);
  await expect(CALLS["s3:GetObject"]!(both)).rejects.toMatchObject(denied);
});

test("a right may end at a prefix", async () => {
  const limited = user({
    Effect: "Allow",
    Action: "s3:ListBucket",
    Resource: ARN,
    Condition: { StringLike: { "s3:prefix": ["in/*", "in"] } },
  });
  await limited.send(new ListObjectsV2Command({ Bucket, Prefix: "in/" }));
  await expect(limited.send(new ListObjectsV2Command({ Bucket, Prefix: "out/" }))).rejects.toMatchObject(denied);
  await expect(limited.send(new ListObjectsV2Command({ Bucket }))).rejects.toMatchObject(denied);
});

test("whether a key exists is told only to those who may list", async () => {
  const reader = user({ Effect: "Allow", Action: "s3:GetObject", Resource: `${ARN}/*` });
  await expect(reader.send(new GetObjectCommand({ Bucket, Key: "none" }))).rejects.toMatchObject(denied);
  const lister = user({ Effect: "Allow", Action: ["s3:GetObject", "s3:ListBucket"], Resource: [ARN, `${ARN}/*`] });
  await expect(lister.send(new GetObjectCommand({ Bucket, Key: "none" }))).rejects.toMatchObject({ name: "NoSuchKey" });
  await expect(lister.send(new HeadObjectCommand({ Bucket, Key: "none" }))).rejects.toMatchObject({ name: "NotFound" });
});

test("DeleteObjects judges every key by itself", async () => {
  const limited = user({ Effect: "Allow", Action: "s3:DeleteObject", Resource: `${ARN}/out/*` });
  const answer = await limited.send(
    new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: "out/x" }, { Key: "in/a" }] } }),
  );
  expect(answer.Deleted).toMatchObject([{ Key: "out/x" }]);
  expect(answer.Errors).toMatchObject([{ Key: "in/a", Code: "AccessDenied" }]);
});

test("a bucket policy denies even the owner's administrator, and allows users of the account by name", async () => {
  const key = lab.user("guest");
  const guest = lab.client(key);
  const principal = { AWS: `arn:aws:iam::${accountOf("woodgrove")}:user/guest` };
  await setPolicy(
    {
      Sid: "TlsOnly",
      Effect: "Deny",
      Principal: "*",
      Action: "s3:*",
      Resource: [ARN, `${ARN}/*`],
      Condition: { Bool: { "aws:SecureTransport": "false" } },
    },
    { Effect: "Allow", Principal: principal, Action: "s3:GetObject", Resource: `${ARN}/*` },
  );
  await CALLS["s3:GetObject"]!(guest);
  await CALLS["s3:GetObject"]!(owner);
  await expect(CALLS["s3:PutObject"]!(guest)).rejects.toMatchObject(denied);
  await setPolicy({
    Effect: "Deny",
    Principal: "*",
    Action: "s3:GetObject",
    Resource: `${ARN}/*`,
    Condition: { Bool: { "aws:SecureTransport": "true" } },
  });
  await expect(CALLS["s3:GetObject"]!(owner)).rejects.toMatchObject(denied);
});

test("another account needs both sides; naming the account lets it decide for its users", async () => {
  const northwind = lab.administrator("northwind");
  await expect(CALLS["s3:GetObject"]!(northwind)).rejects.toMatchObject(denied);
  await setPolicy({
    Effect: "Allow",
    Principal: { AWS: `arn:aws:iam::${accountOf("northwind")}:root` },
    Action: "s3:GetObject",
    Resource: `${ARN}/*`,
  });
  await CALLS["s3:GetObject"]!(northwind);
  const powerless = lab.iam.createUser(accountOf("northwind"), { name: "powerless", path: "/", tags: {} });
  await expect(CALLS["s3:GetObject"]!(lab.client(lab.iam.createAccessKey(powerless)))).rejects.toMatchObject(denied);
});

test("a public policy is refused, and useless, while public access is blocked", async () => {
  const open = { Effect: "Allow", Principal: "*", Action: "s3:GetObject", Resource: `${ARN}/*` };
  const anonymous = async () => (await request(host, `${lab.s3.endpoint}/${Bucket}/in/a`)).status;
  await expect(setPolicy(open)).rejects.toMatchObject({
    name: "AccessDenied",
    message: expect.stringContaining("Block Public Access"),
  });
  const block = (BlockPublicPolicy: boolean, RestrictPublicBuckets: boolean) =>
    owner.send(
      new PutPublicAccessBlockCommand({
        Bucket,
        PublicAccessBlockConfiguration: { BlockPublicPolicy, RestrictPublicBuckets },
      }),
    );
  await block(false, false);
  await setPolicy(open);
  expect(await anonymous()).toBe(200);
  await block(false, true);
  expect(await anonymous()).toBe(403);
  await CALLS["s3:GetObject"]!(owner);
  await block(true, true);
});

test.each([
  ["no JSON", "nonsense", /not valid JSON/],
  ["no statement", policyText(), /Statement/],
  [
    "an unknown element",
    policyText({ Effect: "Allow", Principal: "*", Action: "s3:*", Resource: ARN, Colour: "red" }),
    /Colour/,
  ],
  ["no principal", policyText({ Effect: "Allow", Action: "s3:*", Resource: ARN }), /Principal/],
  [
    "a principal that does not exist",
    policyText({
      Effect: "Allow",
      Principal: { AWS: "arn:aws:iam::123456789012:user/x" },
      Action: "s3:*",
      Resource: ARN,
    }),
    /Invalid principal/,
  ],
  [
    "another bucket",
    policyText({ Effect: "Deny", Principal: "*", Action: "s3:*", Resource: "arn:aws:s3:::other" }),
    /invalid resource/,
  ],
  [
    "an action of another service",
    policyText({ Effect: "Deny", Principal: "*", Action: "ec2:*", Resource: ARN }),
    /invalid resource/,
  ],
  [
    "an operator that is not evaluated",
    policyText({
      Effect: "Deny",
      Principal: "*",
      Action: "s3:*",
      Resource: ARN,
      Condition: { DateLessThan: { "aws:CurrentTime": "x" } },
    }),
    /DateLessThan/,
  ],
])("a bucket policy with %s is malformed", async (_, Policy, reason) => {
  await expect(owner.send(new PutBucketPolicyCommand({ Bucket, Policy }))).rejects.toMatchObject({
    name: "MalformedPolicy",
    message: expect.stringMatching(reason),
  });
});

test("an identity policy names no principal", () => {
  const text = policyText({ Effect: "Allow", Principal: "*", Action: "s3:*", Resource: "*" });
  expect(() => parsePolicy(text, "identity")).toThrow(expect.objectContaining({ code: "MalformedPolicyDocument" }));
});

test("policies are the same whatever order, case of flags and lists of one they are written with", () => {
  const one =
    '{"Statement":[{"Effect":"Allow","Action":["s3:b","s3:a"],"Condition":{"Bool":{"k":"true"}}}],"Version":"2012-10-17"}';
  const other =
    '{"Version":"2012-10-17","Statement":{"Action":["s3:a","s3:b"],"Condition":{"Bool":{"k":true}},"Effect":"Allow"}}';
  expect(canonicalPolicy(one)).toBe(canonicalPolicy(other));
  expect(canonicalPolicy(one)).not.toBe(canonicalPolicy(other.replace("s3:a", "s3:c")));
});

test.each([
  ["abc", "a*c", true],
  ["abc", "a?c", true],
  ["abc", "a?", false],
  ["a/b/c", "a/*", true],
  ["abc", "*b", false],
  ["", "*", true],
  ["a.c", "abc", false],
])("%j matches %j: %s", (text, pattern, expected) => expect(matchesWildcard(text, pattern)).toBe(expected));

test.each([
  [{ StringEquals: { k: ["a", "b"] } }, "b", true],
  [{ StringNotEquals: { k: ["a", "b"] } }, "b", false],
  [{ StringNotEquals: { k: ["a"] } }, undefined, true],
  [{ StringEquals: { k: ["a"] } }, undefined, false],
  [{ StringEqualsIfExists: { k: ["a"] } }, undefined, true],
  [{ StringEqualsIgnoreCase: { K: ["A"] } }, "a", true],
  [{ Null: { k: ["true"] } }, undefined, true],
  [{ Null: { k: ["false"] } }, undefined, false],
  [{ NumericLessThanEquals: { k: ["10"] } }, "9", true],
  [{ NumericGreaterThan: { k: ["10"] } }, "9", false],
  [{ ArnLike: { k: ["arn:aws:iam::*:user/x"] } }, "arn:aws:iam::1:user/x", true],
])("%j with %j: %s", (conditions, value, expected) => expect(conditionsHold(conditions, { k: value })).toBe(expected));
