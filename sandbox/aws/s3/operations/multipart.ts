import { createHash, randomBytes } from "node:crypto";
import { AwsError } from "../../errors.ts";
import { compositeChecksum, CHECKSUM_ALGORITHMS, type ChecksumAlgorithm } from "../checksums.ts";
import type { Call, Reply } from "../call.ts";
import type { MultipartUpload, UploadedPart } from "../catalogue.ts";
import { listOf, malformedXml, parseXml, textOf, xmlDocument } from "../xml.ts";
import type { Operation } from "./operation.ts";
import {
  checkWriteConditions,
  checksumHeaders,
  checksumOf,
  encryptionHeaders,
  objectHeaders,
  receiveSegment,
} from "./objects.ts";

const MOST_PARTS = 10_000;
const SMALLEST_PART = 5 * 1024 * 1024;
const PAGE = 1000;

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html */
export const multipartOperations: readonly Operation[] = [
  { name: "CreateMultipartUpload", method: "POST", on: "object", query: ["uploads"], action: "PutObject", run: create },
  {
    name: "UploadPart",
    method: "PUT",
    on: "object",
    query: ["partNumber", "uploadId"],
    action: "PutObject",
    run: uploadPart,
  },
  {
    name: "CompleteMultipartUpload",
    method: "POST",
    on: "object",
    query: ["uploadId"],
    action: "PutObject",
    run: complete,
  },
  {
    name: "AbortMultipartUpload",
    method: "DELETE",
    on: "object",
    query: ["uploadId"],
    action: "AbortMultipartUpload",
    run: abort,
  },
  {
    name: "ListParts",
    method: "GET",
    on: "object",
    query: ["uploadId"],
    action: "ListMultipartUploadParts",
    run: listParts,
  },
  {
    name: "ListMultipartUploads",
    method: "GET",
    on: "bucket",
    query: ["uploads"],
    action: "ListBucketMultipartUploads",
    run: listUploads,
  },
];

function create(call: Call): Reply {
  const headers = objectHeaders(call);
  const named = call.header("x-amz-checksum-algorithm")?.toLowerCase();
  const checksumAlgorithm = CHECKSUM_ALGORITHMS.find((algorithm) => algorithm === named);
  if (named !== undefined && !checksumAlgorithm) {
    throw new AwsError(
      400,
      "InvalidRequest",
      "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
    );
  }
  const upload: MultipartUpload = {
    id: randomBytes(24).toString("base64url"),
    bucket: call.bucketName,
    key: call.key,
    initiated: new Date().toISOString(),
    headers,
    ...(checksumAlgorithm && { checksumAlgorithm }),
    parts: [],
  };
  call.store.catalogue.putUpload(upload);
  return {
    status: 200,
    headers: { ...encryptionHeaders, "x-amz-checksum-algorithm": checksumAlgorithm?.toUpperCase() },
    text: xmlDocument("InitiateMultipartUploadResult", { Bucket: upload.bucket, Key: upload.key, UploadId: upload.id }),
  };
}

async function uploadPart(call: Call): Promise<Reply> {
  if (call.header("x-amz-copy-source") !== undefined)
    throw new AwsError(501, "NotImplemented", "The sandbox does not simulate UploadPartCopy.");
  const number = Number(call.query.get("partNumber"));
  if (!Number.isInteger(number) || number < 1 || number > MOST_PARTS) {
    throw new AwsError(400, "InvalidArgument", `Part number must be an integer between 1 and ${MOST_PARTS}, inclusive`);
  }
  uploadOf(call);
  const { segment, received } = await receiveSegment(call);
  // Other parts may have arrived in the meantime, or the upload may be gone.
  const upload = call.store.catalogue.upload(call.query.get("uploadId")!);
  if (!upload) {
    await call.store.files.remove([segment]);
    throw noSuchUpload();
  }
  const part: UploadedPart = {
    number,
    modified: new Date().toISOString(),
    etag: received.md5.toString("hex"),
    segment,
    ...checksumOf(received),
  };
  const replaced = upload.parts.filter((other) => other.number === number);
  const parts = [...upload.parts.filter((other) => other.number !== number), part].sort((a, b) => a.number - b.number);
  call.store.catalogue.putUpload({ ...upload, parts });
  await call.store.files.remove(replaced.map((other) => other.segment));
  return { status: 200, headers: { etag: `"${part.etag}"`, ...encryptionHeaders, ...partChecksum(part) } };
}

async function complete(call: Call): Promise<Reply> {
  const upload = uploadOf(call);
  checkWriteConditions(call);
  const content = parseXml(await call.document(), "CompleteMultipartUpload");
  const parts = chosenParts(upload, listOf(content.Part));
  const md5s = parts.map(({ etag }) => Buffer.from(etag, "hex"));
  const etag = `${createHash("md5").update(Buffer.concat(md5s)).digest("hex")}-${parts.length}`;
  const checksums = parts.flatMap(({ checksum }) =>
    checksum && checksum.algorithm === upload.checksumAlgorithm ? [checksum] : [],
  );
  const checksum = checksums.length === parts.length ? await compositeChecksum(checksums) : undefined;
  call.store.catalogue.removeUpload(upload.id);
  const unused = upload.parts.filter((part) => !parts.includes(part));
  await call.store.files.remove(unused.map(({ segment }) => segment));
  const versionId = await call.store.putObject(call.bucketName, call.key, {
    size: parts.reduce((sum, { segment }) => sum + segment.size, 0),
    etag,
    headers: upload.headers,
    segments: parts.map(({ segment }) => segment),
    ...(checksum && { checksum }),
  });
  return {
    status: 200,
    headers: { ...encryptionHeaders, "x-amz-version-id": versionId },
    text: xmlDocument("CompleteMultipartUploadResult", {
      Location: `/${call.bucketName}/${call.key}`,
      Bucket: call.bucketName,
      Key: call.key,
      ETag: `"${etag}"`,
      ...(checksum && { [checksumElement(checksum.algorithm)]: checksum.value, ChecksumType: "COMPOSITE" }),
    }),
  };
}

/** The parts the caller names, in the order of their numbers. @throws {AwsError} for one that is unknown, too small or out of order. */
function chosenParts(upload: MultipartUpload, named: readonly Record<string, unknown>[]): UploadedPart[] {
  if (named.length === 0) throw malformedXml();
  const parts = named.map((item) => {
    const part = upload.parts.find(({ number }) => number === Number(textOf(item.PartNumber)));
    const isSame = part && textOf(item.ETag)?.replaceAll('"', "") === part.etag;
    const given = part?.checksum && textOf(item[checksumElement(part.checksum.algorithm)]);
    if (part && isSame && (given === undefined || given === part.checksum?.value)) return part;
    throw new AwsError(
      400,
      "InvalidPart",
      "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
    );
  });
  if (parts.some((part, index) => index > 0 && part.number <= parts[index - 1]!.number)) {
    throw new AwsError(
      400,
      "InvalidPartOrder",
      "The list of parts was not in ascending order. Parts must be ordered by part number.",
    );
  }
  const small = parts.slice(0, -1).find(({ segment }) => segment.size < SMALLEST_PART);
  if (small) {
    throw new AwsError(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", {
      details: {
        ProposedSize: String(small.segment.size),
        MinSizeAllowed: String(SMALLEST_PART),
        PartNumber: String(small.number),
      },
    });
  }
  return parts;
}

async function abort(call: Call): Promise<Reply> {
  const upload = uploadOf(call);
  call.store.catalogue.removeUpload(upload.id);
  await call.store.files.remove(upload.parts.map(({ segment }) => segment));
  return { status: 204 };
}

function listParts(call: Call): Reply {
  const upload = uploadOf(call);
  const marker = Number(call.query.get("part-number-marker") ?? 0);
  const most = Math.min(Number(call.query.get("max-parts") ?? PAGE), PAGE);
  const rest = upload.parts.filter(({ number }) => number > marker);
  const page = rest.slice(0, most);
  const isTruncated = rest.length > page.length;
  return {
    status: 200,
    text: xmlDocument("ListPartsResult", {
      Bucket: upload.bucket,
      Key: upload.key,
      UploadId: upload.id,
      PartNumberMarker: marker,
      ...(isTruncated && { NextPartNumberMarker: page.at(-1)!.number }),
      MaxParts: most,
      IsTruncated: String(isTruncated),
      Part: page.map(({ number, modified, etag, segment, checksum }) => ({
        PartNumber: number,
        LastModified: modified,
        ETag: `"${etag}"`,
        Size: segment.size,
        ...(checksum && { [checksumElement(checksum.algorithm)]: checksum.value }),
      })),
      StorageClass: "STANDARD",
    }),
  };
}

/** All on one page: a bucket of the sandbox does not have thousands. */
function listUploads(call: Call): Reply {
  const prefix = call.query.get("prefix") ?? "";
  const uploads = call.store.catalogue.uploads(call.bucketName).filter(({ key }) => key.startsWith(prefix));
  return {
    status: 200,
    text: xmlDocument("ListMultipartUploadsResult", {
      Bucket: call.bucketName,
      Prefix: prefix,
      IsTruncated: "false",
      Upload: uploads.map(({ key, id, initiated }) => ({
        Key: key,
        UploadId: id,
        Initiated: initiated,
        StorageClass: "STANDARD",
      })),
    }),
  };
}

function uploadOf(call: Call): MultipartUpload {
  const upload = call.store.catalogue.upload(call.query.get("uploadId") ?? "");
  if (upload && upload.bucket === call.bucketName && upload.key === call.key) return upload;
  throw noSuchUpload();
}

function noSuchUpload(): AwsError {
  return new AwsError(
    404,
    "NoSuchUpload",
    "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
  );
}

/** The type of a checksum is about whole objects; parts have none. */
function partChecksum(part: UploadedPart): Record<string, string> {
  const { "x-amz-checksum-type": _, ...headers } = checksumHeaders(part);
  return headers;
}

function checksumElement(algorithm: ChecksumAlgorithm): string {
  return `Checksum${algorithm.toUpperCase()}`;
}
