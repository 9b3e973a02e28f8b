import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { SignatureV4 } from "@smithy/signature-v4";
import { createHash, createHmac, type Hash, type Hmac } from "node:crypto";
import { text } from "node:stream/consumers";
import { Readable } from "node:stream";
import { decodeChunks } from "../../../sandbox/aws/s3/chunked.ts";
import { verifySignature, type Verified } from "../../../sandbox/aws/s3/signature.ts";
import { parseAddress } from "../../../sandbox/aws/s3/uri.ts";
import type { AccessKeyRecord } from "../../../sandbox/aws/iam.ts";
import { request, temporaryHost, type OpenHost } from "../entra/support.ts";
import { Lab, REGION } from "./support.ts";

/* Examples of AWS's own documentation, and what a client gets when something is wrong. */

const KEY: AccessKeyRecord = {
  id: "AKIAIOSFODNN7EXAMPLE",
  secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  createDate: "",
  owner: "",
  status: "Active",
};
const NOW = Date.UTC(2013, 4, 24);
const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const CREDENTIAL = `${KEY.id}/20130524/us-east-1/s3/aws4_request`;
const findKey = (id: string) => (id === KEY.id ? KEY : undefined);

function verify(method: string, target: string, headers: Record<string, string>, now = NOW): Verified | undefined {
  return verifySignature({ method, address: parseAddress(target), headers }, findKey, now);
}
const authorization = (signedHeaders: string, signature: string) =>
  `AWS4-HMAC-SHA256 Credential=${CREDENTIAL},SignedHeaders=${signedHeaders},Signature=${signature}`;

describe("the documentation's examples", () => {
  const get = {
    host: "examplebucket.s3.amazonaws.com",
    range: "bytes=0-9",
    "x-amz-content-sha256": EMPTY,
    "x-amz-date": "20130524T000000Z",
    authorization: authorization(
      "host;range;x-amz-content-sha256;x-amz-date",
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
  };

  test("signature in the header", () => {
    expect(verify("GET", "/test.txt", get)).toMatchObject({ key: KEY, region: "us-east-1" });
    expect(() => verify("GET", "/other.txt", get)).toThrow(/does not match/);
    expect(() => verify("DELETE", "/test.txt", get)).toThrow(/does not match/);
    expect(() => verify("GET", "/test.txt?versionId=1", get)).toThrow(/does not match/);
    expect(() => verify("GET", "/test.txt", { ...get, range: "bytes=0-10" })).toThrow(/does not match/);
    expect(() => verify("GET", "/test.txt", { ...get, "x-amz-acl": "public-read" })).toThrow(/not signed/);
  });

  test("fifteen minutes of skew, not more", () => {
    expect(verify("GET", "/test.txt", get, NOW + 15 * 60_000)).toBeDefined();
    for (const skew of [-1, 1]) {
      expect(() => verify("GET", "/test.txt", get, NOW + skew * (15 * 60_000 + 1))).toThrow(
        expect.objectContaining({ code: "RequestTimeTooSkewed" }),
      );
    }
  });

  test("presigned, for as long as it says", () => {
    const parameters = {
      "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
      "X-Amz-Credential": CREDENTIAL,
      "X-Amz-Date": "20130524T000000Z",
      "X-Amz-Expires": "86400",
      "X-Amz-SignedHeaders": "host",
      "X-Amz-Signature": "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    };
    const target = (change: object = {}) => `/test.txt?${new URLSearchParams({ ...parameters, ...change })}`;
    const headers = { host: "examplebucket.s3.amazonaws.com" };
    expect(verify("GET", target(), headers, NOW + 86_000_000)).toBeDefined();
    expect(() => verify("GET", target(), headers, NOW + 86_401_000)).toThrow("Request has expired");
    expect(() => verify("GET", target({ "X-Amz-Expires": "86401" }), headers)).toThrow(/does not match/);
    expect(() => verify("GET", target({ "X-Amz-Expires": "604801" }), headers)).toThrow(/less than a week/);
    expect(() => verify("PUT", target(), headers)).toThrow(/does not match/);
  });

  const body = (chunks: string[], trailer = "") => Readable.from([Buffer.from(chunks.join("") + trailer)]);
  const chunk = (data: string, signature: string) =>
    `${data.length.toString(16)};chunk-signature=${signature}\r\n${data}${data && "\r\n"}`;
  const chunked = (payload: string, signature: string, more: Record<string, string>) => {
    const headers: Record<string, string> = {
      host: "s3.amazonaws.com",
      "content-encoding": "aws-chunked",
      "x-amz-content-sha256": payload,
      "x-amz-date": "20130524T000000Z",
      "x-amz-decoded-content-length": "66560",
      "x-amz-storage-class": "REDUCED_REDUNDANCY",
      ...more,
    };
    const signed = Object.keys(headers).sort().join(";");
    return verify("PUT", "/examplebucket/chunkObject.txt", {
      ...headers,
      authorization: authorization(signed, signature),
    })!;
  };

  test("signed chunks", async () => {
    const verified = chunked(
      "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
      "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
      { "content-length": "66824" },
    );
    const chunks = [
      chunk("a".repeat(65536), "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
      chunk("a".repeat(1024), "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
      chunk("", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
    ];
    const decode = (parts: string[]) => text(decodeChunks(body(parts, "\r\n"), verified, new Map()));
    expect(await decode(chunks)).toBe("a".repeat(66560));
    await expect(decode([chunks[1]!, chunks[0]!, chunks[2]!])).rejects.toMatchObject({ code: "SignatureDoesNotMatch" });
    await expect(decode([chunks[0]!, chunks[2]!])).rejects.toMatchObject({ code: "SignatureDoesNotMatch" });
    await expect(decode([chunks[0]!.replace("aaa", "aab")])).rejects.toMatchObject({ code: "SignatureDoesNotMatch" });
    await expect(decode(["400\r\nunsigned"])).rejects.toMatchObject({ code: "IncompleteBody" });
  });

  test("signed chunks with a signed trailer", async () => {
    const verified = chunked(
      "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
      "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
      { "x-amz-trailer": "x-amz-checksum-crc32c" },
    );
    const chunks = [
      chunk("a".repeat(65536), "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
      chunk("a".repeat(1024), "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
      chunk("", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"),
    ];
    const trailer = (checksum: string) =>
      `x-amz-checksum-crc32c:${checksum}\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n`;
    const trailers = new Map<string, string>();
    expect(await text(decodeChunks(body(chunks, trailer("sOO8/Q==")), verified, trailers))).toBe("a".repeat(66560));
    expect(trailers.get("x-amz-checksum-crc32c")).toBe("sOO8/Q==");
    const forged = text(decodeChunks(body(chunks, trailer("AAAAAA==")), verified, new Map()));
    await expect(forged).rejects.toMatchObject({ code: "SignatureDoesNotMatch" });
  });
});

describe("a client", () => {
  const Bucket = "signed";
  let host: OpenHost;
  let lab: Lab;
  let s3: S3Client;

  beforeAll(async () => {
    host = await temporaryHost();
    lab = await Lab.start(host);
    s3 = lab.administrator();
    await s3.send(new CreateBucketCommand({ Bucket, CreateBucketConfiguration: { LocationConstraint: REGION } }));
    await s3.send(new PutObjectCommand({ Bucket, Key: "a", Body: "content" }));
  });
  afterAll(async () => {
    await lab.stop();
    host.close();
  });
  const get = new GetObjectCommand({ Bucket, Key: "a" });

  test("with a wrong secret, an unknown, an inactive or a deleted key", async () => {
    const { key } = lab.iam.administrator("woodgrove");
    await expect(lab.client({ id: key.id, secret: "guess" }).send(get)).rejects.toMatchObject({
      name: "SignatureDoesNotMatch",
    });
    await expect(lab.client({ id: "AKIAAAAAAAAAAAAAAAAA", secret: key.secret }).send(get)).rejects.toMatchObject({
      name: "InvalidAccessKeyId",
    });
    const own = lab.user("rotating", { Effect: "Allow", Action: "s3:*", Resource: "*" });
    await lab.client(own).send(get);
    lab.iam.setAccessKeyStatus(own, "Inactive");
    await expect(lab.client(own).send(get)).rejects.toMatchObject({ name: "InvalidAccessKeyId" });
    lab.iam.setAccessKeyStatus(own, "Active");
    await lab.client(own).send(get);
    lab.iam.deleteAccessKey(own);
    await expect(lab.client(own).send(get)).rejects.toMatchObject({ name: "InvalidAccessKeyId" });
  });

  test("whose clock is an hour off is told so, and can correct itself", async () => {
    lab.clock.ahead = 3_600_000;
    try {
      await expect(lab.administrator().send(get)).rejects.toMatchObject({ name: "RequestTimeTooSkewed" });
      await lab.administrator("woodgrove", { maxAttempts: 2 }).send(get);
    } finally {
      lab.clock.ahead = 0;
    }
  });

  test("with a presigned address", async () => {
    const { key } = lab.iam.administrator("woodgrove");
    const signer = new SignatureV4({
      credentials: { accessKeyId: key.id, secretAccessKey: key.secret },
      region: REGION,
      service: "s3",
      sha256: NodeSha256,
      uriEscapePath: false,
      applyChecksum: false,
    });
    const { host: address, hostname, port } = new URL(lab.s3.endpoint);
    const presign = async (method: string, expiresIn: number, signingDate = new Date()) => {
      const unsigned = {
        method,
        protocol: "https:",
        hostname,
        port: Number(port),
        path: `/${Bucket}/a`,
        headers: { host: address },
        query: {},
      };
      const signed = await signer.presign(
        { ...unsigned, headers: { ...unsigned.headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD" } } as never,
        {
          expiresIn,
          signingDate,
          unhoistableHeaders: new Set(),
          unsignableHeaders: new Set(["x-amz-content-sha256"]),
        },
      );
      return `${lab.s3.endpoint}/${Bucket}/a?${new URLSearchParams(signed.query as Record<string, string>)}`;
    };
    const found = await request(host, await presign("GET", 60));
    expect([found.status, found.body.toString()]).toEqual([200, "content"]);
    const expired = await request(host, await presign("GET", 60, new Date(Date.now() - 120_000)));
    expect([expired.status, expired.body.toString()]).toEqual([403, expect.stringContaining("Request has expired")]);
    const put = await request(host, await presign("PUT", 60), { method: "PUT", body: "new content" });
    expect(put.status).toBe(200);
    expect((await request(host, await presign("GET", 60), { method: "DELETE" })).status).toBe(403);
    expect((await request(host, await presign("GET", 60))).body.toString()).toBe("new content");
  });

  test("without a signature, or with one of another kind", async () => {
    const plain = await request(host, `${lab.s3.endpoint}/${Bucket}/a`);
    expect([plain.status, plain.body.toString()]).toEqual([403, expect.stringContaining("<Code>AccessDenied</Code>")]);
    const old = await request(host, `${lab.s3.endpoint}/${Bucket}/a`, { headers: { authorization: "AWS AKIA:abc" } });
    expect([old.status, old.body.toString()]).toEqual([400, expect.stringContaining("<Code>InvalidRequest</Code>")]);
    const cut = await request(host, `${lab.s3.endpoint}/${Bucket}/a`, {
      headers: { authorization: "AWS4-HMAC-SHA256 Credential=x" },
    });
    expect(cut.body.toString()).toContain("<Code>AuthorizationHeaderMalformed</Code>");
    const nowhere = lab.administrator("woodgrove", { region: "nowhere" });
    await expect(nowhere.send(get)).rejects.toMatchObject({ name: "AuthorizationHeaderMalformed" });
  });

  test("whose body is changed on the way", async () => {
    const tampering = lab.administrator();
    tampering.middlewareStack.add(
      (next) => (args) => {
        (args.request as { body: unknown }).body = "tampered";
        return next(args);
      },
      { step: "finalizeRequest", priority: "low" },
    );
    const put = tampering.send(new PutObjectCommand({ Bucket, Key: "b", Body: "original" }));
    await expect(put).rejects.toMatchObject({ name: "XAmzContentSHA256Mismatch" });
    await expect(s3.send(new GetObjectCommand({ Bucket, Key: "b" }))).rejects.toMatchObject({ name: "NoSuchKey" });
  });
});

class NodeSha256 {
  readonly #hash: Hash | Hmac;
  constructor(secret?: unknown) {
    this.#hash = secret ? createHmac("sha256", secret as Buffer) : createHash("sha256");
  }
  update(data: Uint8Array): void {
    this.#hash.update(data);
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
}
