import { AwsError } from "../../errors.ts";
import { CHECKSUM_ALGORITHMS, type Checksum } from "../checksums.ts";
import type { Call, Received, Reply } from "../call.ts";
import type { ObjectVersion } from "../catalogue.ts";
import type { Segment } from "../data-files.ts";
import { listOf, malformedXml, parseXml, textOf, xmlDocument } from "../xml.ts";
import type { Operation } from "./operation.ts";
import { requireAes256 } from "./settings.ts";

const LONGEST_KEY = 1024;
const LARGEST_METADATA = 2048;
const MOST_DELETIONS = 1000;
const KEPT_HEADERS = ["content-type", "content-disposition", "content-language", "cache-control", "expires"];

export const objectOperations: readonly Operation[] = [
  {
    name: "PutObject",
    method: "PUT",
    on: "object",
    action: "PutObject",
    async run(call) {
      const headers = objectHeaders(call);
      checkWriteConditions(call);
      const { segment, received } = await receiveSegment(call);
      checkWriteConditions(call);
      const etag = received.md5.toString("hex");
      const content = { size: segment.size, etag, headers, segments: [segment], ...checksumOf(received) };
      const versionId = await call.store.putObject(call.bucketName, call.key, content);
      return {
        status: 200,
        headers: {
          etag: `"${etag}"`,
          ...encryptionHeaders,
          ...checksumHeaders(content),
          "x-amz-version-id": versionId,
        },
      };
    },
  },
  {
    name: "CopyObject",
    method: "PUT",
    on: "object",
    header: "x-amz-copy-source",
    action: "PutObject",
    run: copyObject,
  },
  { name: "GetObject", method: "GET", on: "object", run: readObject },
  { name: "HeadObject", method: "HEAD", on: "object", run: readObject },
  {
    name: "DeleteObject",
    method: "DELETE",
    on: "object",
    async run(call) {
      const versionId = call.query.get("versionId");
      call.require(versionId === undefined ? "DeleteObject" : "DeleteObjectVersion");
      const deleted = await call.store.deleteObject(call.bucketName, call.key, versionId);
      return {
        status: 204,
        headers: {
          "x-amz-version-id": deleted.versionId,
          "x-amz-delete-marker": deleted.deleteMarker ? "true" : undefined,
        },
      };
    },
  },
  { name: "DeleteObjects", method: "POST", on: "bucket", query: ["delete"], run: deleteObjects },
];

/** Everything is encrypted with a key of S3's own, whether asked for or not. */
export const encryptionHeaders = { "x-amz-server-side-encryption": "AES256" };

/** What is kept of the request's headers. @throws {AwsError} for what S3 would refuse and what is not simulated. */
export function objectHeaders(call: Call): Record<string, string> {
  if (Buffer.byteLength(call.key) > LONGEST_KEY) throw new AwsError(400, "KeyTooLongError", "Your key is too long");
  const names = call.headerNames();
  if (names.some((name) => name.startsWith("x-amz-server-side-encryption-customer-"))) {
    throw new AwsError(501, "NotImplemented", "The sandbox does not simulate customer-provided keys of S3 (SSE-C).");
  }
  const asked = call.header("x-amz-server-side-encryption");
  if (asked !== undefined) requireAes256(asked);
  const acl = call.header("x-amz-acl");
  if (acl !== undefined && acl !== "bucket-owner-full-control" && acl !== "private") {
    throw new AwsError(400, "AccessControlListNotSupported", "The bucket does not allow ACLs");
  }
  for (const name of ["x-amz-tagging", "x-amz-object-lock-mode", "x-amz-website-redirect-location"]) {
    if (call.header(name) !== undefined)
      throw new AwsError(501, "NotImplemented", `The sandbox does not simulate ${name}.`);
  }
  const metadata = names.filter((name) => name.startsWith("x-amz-meta-"));
  const kept = [...KEPT_HEADERS, ...metadata].flatMap((name) => {
    const value = call.header(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  const size = kept.reduce(
    (sum, [name, value]) => sum + (name.startsWith("x-amz-meta-") ? name.length - 11 + value.length : 0),
    0,
  );
  if (size > LARGEST_METADATA) {
    throw new AwsError(400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size");
  }
  // The transfer encoding of the upload is none of the object's.
  const encoding = (call.header("content-encoding") ?? "").split(",").map((item) => item.trim());
  const others = encoding.filter((item) => item !== "" && item !== "aws-chunked").join(",");
  return {
    "content-type": "binary/octet-stream",
    ...(others && { "content-encoding": others }),
    ...Object.fromEntries(kept),
  };
}

/** Writes the request's body to a file of its own; nothing stays when it is not what was announced. */
export async function receiveSegment(call: Call): Promise<{ segment: Segment; received: Received }> {
  const writer = await call.store.files.create();
  try {
    const received = await call.receive((data) => writer.write(data));
    return { segment: await writer.finish(), received };
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

export function checksumOf({ checksum }: { checksum?: Checksum }): { checksum?: Checksum } {
  return checksum ? { checksum } : {};
}

export function checksumHeaders({ checksum }: { checksum?: Checksum }): Record<string, string> {
  if (!checksum) return {};
  return {
    [`x-amz-checksum-${checksum.algorithm}`]: checksum.value,
    "x-amz-checksum-type": checksum.value.includes("-") ? "COMPOSITE" : "FULL_OBJECT",
  };
}

/** Conditional writes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html */
export function checkWriteConditions(call: Call): void {
  const [match, noneMatch] = [call.header("if-match"), call.header("if-none-match")];
  if (match === undefined && noneMatch === undefined) return;
  const latest = call.store.latest(call.bucketName, call.key);
  const present = latest && !latest.deleteMarker ? latest : undefined;
  if (noneMatch !== undefined && noneMatch !== "*") {
    throw new AwsError(
      501,
      "NotImplemented",
      "A header you provided implies functionality that is not implemented: If-None-Match",
    );
  }
  if (match !== undefined && !present) throw new AwsError(404, "NoSuchKey", "The specified key does not exist.");
  if ((noneMatch !== undefined && present) || (match !== undefined && unquoted(match) !== present?.etag)) {
    throw new AwsError(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
  }
}

/** @throws {AwsError} `NoSuchKey`; `AccessDenied` instead for those who may not list what is there. */
export function findVersion(
  call: Call,
  place: { bucketName: string; key: string },
  versionId: string | undefined,
): ObjectVersion {
  call.require(versionId === undefined ? "GetObject" : "GetObjectVersion", place);
  const { bucketName, key } = place;
  call.store.bucket(bucketName);
  const version =
    versionId === undefined ? call.store.latest(bucketName, key) : call.store.version(bucketName, key, versionId);
  if (version && !version.deleteMarker) return version;
  if (versionId !== undefined && version) {
    throw new AwsError(405, "MethodNotAllowed", "The specified method is not allowed against this resource.", {
      headers: { "x-amz-delete-marker": "true" },
    });
  }
  call.require("ListBucket", { bucketName });
  if (versionId !== undefined)
    throw new AwsError(404, "NoSuchVersion", "The specified version does not exist.", { details: { Key: key } });
  throw new AwsError(404, "NoSuchKey", "The specified key does not exist.", {
    details: { Key: key },
    ...(version && { headers: { "x-amz-delete-marker": "true" } }),
  });
}

function readObject(call: Call): Reply {
  const version = findVersion(call, call, call.query.get("versionId"));
  const isVersioned = call.bucket.versioning !== undefined;
  const common = {
    etag: `"${version.etag}"`,
    "last-modified": new Date(version.modified).toUTCString(),
    "accept-ranges": "bytes",
    "x-amz-version-id": isVersioned ? version.versionId : undefined,
    ...encryptionHeaders,
  };
  if (isUnchanged(call, version)) return { status: 304, headers: common };
  const range = requestedRange(call.header("range"), version.size);
  const { from, to } = range ?? { from: 0, to: version.size };
  return {
    status: range ? 206 : 200,
    headers: {
      ...version.headers,
      ...common,
      "content-length": String(to - from),
      "content-range": range ? `bytes ${from}-${to - 1}/${version.size}` : undefined,
      ...(!range && call.header("x-amz-checksum-mode")?.toUpperCase() === "ENABLED" ? checksumHeaders(version) : {}),
    },
    ...(call.method === "GET" && { body: call.store.files.read(version.segments, from, to) }),
  };
}

/** @returns whether the answer is 304. @throws {AwsError} 412 `PreconditionFailed`. */
function isUnchanged(call: Call, version: ObjectVersion): boolean {
  const [match, noneMatch] = [call.header("if-match"), call.header("if-none-match")];
  const [since, notSince] = [call.header("if-modified-since"), call.header("if-unmodified-since")];
  const modified = Math.floor(Date.parse(version.modified) / 1000) * 1000;
  const holds = (tags: string): boolean =>
    tags.split(",").some((tag) => tag.trim() === "*" || unquoted(tag.trim()) === version.etag);
  const failed = match !== undefined ? !holds(match) : notSince !== undefined && modified > Date.parse(notSince);
  if (failed)
    throw new AwsError(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold");
  return noneMatch !== undefined ? holds(noneMatch) : since !== undefined && modified <= Date.parse(since);
}

function unquoted(etag: string): string {
  return etag.replaceAll('"', "");
}

/** @returns undefined for the whole object; `to` is exclusive. @throws {AwsError} 416 `InvalidRange`. */
function requestedRange(header: string | undefined, size: number): { from: number; to: number } | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return undefined;
  const [first, last] = [match[1]!, match[2]!];
  const from = first === "" ? Math.max(size - Number(last), 0) : Number(first);
  const to = first === "" || last === "" ? size : Math.min(Number(last) + 1, size);
  if (from < to) return { from, to };
  throw new AwsError(416, "InvalidRange", "The requested range is not satisfiable", {
    details: { RangeRequested: header!, ActualObjectSize: String(size) },
  });
}

async function copyObject(call: Call): Promise<Reply> {
  const [address = "", search] = call.header("x-amz-copy-source")!.replace(/^\//, "").split("?");
  const source = decodeURIComponent(address);
  const slash = source.indexOf("/");
  if (slash < 1 || slash === source.length - 1) {
    throw new AwsError(
      400,
      "InvalidArgument",
      "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
    );
  }
  const place = { bucketName: source.slice(0, slash), key: source.slice(slash + 1) };
  const version = findVersion(call, place, new URLSearchParams(search).get("versionId") ?? undefined);
  const isReplaced = call.header("x-amz-metadata-directive") === "REPLACE";
  if (!isReplaced && place.bucketName === call.bucketName && place.key === call.key) {
    throw new AwsError(
      400,
      "InvalidRequest",
      "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    );
  }
  const headers = isReplaced ? objectHeaders(call) : version.headers;
  const writer = await call.store.files.create();
  try {
    for await (const piece of call.store.files.read(version.segments, 0, version.size)) await writer.write(piece);
  } catch (error) {
    await writer.discard();
    throw error;
  }
  const segments = [await writer.finish()];
  const content = { size: version.size, etag: version.etag, headers, segments, ...checksumOf(version) };
  const versionId = await call.store.putObject(call.bucketName, call.key, content);
  const { modified } = call.store.latest(call.bucketName, call.key)!;
  return {
    status: 200,
    headers: { ...encryptionHeaders, "x-amz-version-id": versionId },
    text: xmlDocument("CopyObjectResult", { ETag: `"${version.etag}"`, LastModified: modified }),
  };
}

async function deleteObjects(call: Call): Promise<Reply> {
  const checksum = ["content-md5", ...CHECKSUM_ALGORITHMS.map((name) => `x-amz-checksum-${name}`), "x-amz-trailer"];
  if (!checksum.some((name) => call.header(name) !== undefined)) {
    throw new AwsError(
      400,
      "InvalidRequest",
      "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
    );
  }
  const content = parseXml(await call.document(), "Delete");
  const objects = listOf(content.Object);
  if (objects.length === 0 || objects.length > MOST_DELETIONS) throw malformedXml();
  const [deleted, errors]: [object[], object[]] = [[], []];
  for (const object of objects) {
    const [key, versionId] = [textOf(object.Key), textOf(object.VersionId)];
    if (!key) throw malformedXml();
    try {
      call.require(versionId === undefined ? "DeleteObject" : "DeleteObjectVersion", {
        bucketName: call.bucketName,
        key,
      });
      const result = await call.store.deleteObject(call.bucketName, key, versionId);
      deleted.push({
        Key: key,
        ...(versionId !== undefined && { VersionId: versionId }),
        ...(result.deleteMarker && { DeleteMarker: "true", DeleteMarkerVersionId: result.versionId }),
      });
    } catch (error) {
      if (!(error instanceof AwsError)) throw error;
      errors.push({ Key: key, Code: error.code, Message: error.message });
    }
  }
  const shown = textOf(content.Quiet) === "true" ? [] : deleted;
  return { status: 200, text: xmlDocument("DeleteResult", { Deleted: shown, Error: errors }) };
}
