import { AwsError } from "../../errors.ts";
import { hexId, type Call, type Reply } from "../call.ts";
import { compareKeys, type ObjectVersion } from "../catalogue.ts";
import { encodePath } from "../uri.ts";
import { xmlDocument } from "../xml.ts";
import type { Operation } from "./operation.ts";

const PAGE = 1000;

export const listingOperations: readonly Operation[] = [
  { name: "ListObjectsV2", method: "GET", on: "bucket", query: ["list-type"], action: "ListBucket", run: listObjects },
  {
    name: "ListObjectVersions",
    method: "GET",
    on: "bucket",
    query: ["versions"],
    action: "ListBucketVersions",
    run: listVersions,
  },
];

interface Page {
  readonly keys: readonly string[];
  readonly prefixes: readonly string[];
  /** Where the next page begins: after this key or group. Undefined on the last page. */
  readonly last: string | undefined;
}

function listObjects(call: Call): Reply {
  if (call.query.get("list-type") !== "2")
    throw new AwsError(400, "InvalidArgument", "Invalid List Type specified in Request");
  const { prefix, delimiter, maxKeys, encoding, text } = parameters(call);
  const token = call.query.get("continuation-token");
  const startAfter = call.query.get("start-after");
  const after = token === undefined ? (startAfter ?? "") : decodeToken(token);
  const { store, bucketName } = call;
  const isPresent = (key: string): boolean => !store.latest(bucketName, key)!.deleteMarker;
  const page = pageOf(store.catalogue.keys(bucketName), { prefix, delimiter, maxKeys, after, isPresent });
  const owner = call.query.get("fetch-owner") === "true" ? { Owner: { ID: hexId(call.bucket.accountId) } } : {};
  return {
    status: 200,
    text: xmlDocument("ListBucketResult", {
      Name: bucketName,
      Prefix: text(prefix),
      ...(delimiter && { Delimiter: text(delimiter) }),
      MaxKeys: maxKeys,
      ...encoding,
      ...(startAfter !== undefined && { StartAfter: text(startAfter) }),
      ...(token !== undefined && { ContinuationToken: token }),
      KeyCount: page.keys.length + page.prefixes.length,
      IsTruncated: String(page.last !== undefined),
      ...(page.last !== undefined && { NextContinuationToken: encodeToken(page.last) }),
      Contents: page.keys.map((key) => ({ Key: text(key), ...entry(store.latest(bucketName, key)!), ...owner })),
      CommonPrefixes: page.prefixes.map((name) => ({ Prefix: text(name) })),
    }),
  };
}

/** Pages end between keys, never inside the versions of one. */
function listVersions(call: Call): Reply {
  const { prefix, delimiter, maxKeys, encoding, text } = parameters(call);
  const { store, bucketName } = call;
  const after = call.query.get("key-marker") ?? "";
  const page = pageOf(store.catalogue.keys(bucketName), { prefix, delimiter, maxKeys, after, isPresent: () => true });
  const versions = page.keys.flatMap((key) =>
    [...store.catalogue.versions(bucketName, key)]
      .reverse()
      .map((version, index) => ({ key, version, isLatest: index === 0 })),
  );
  const common = ({ key, version, isLatest }: (typeof versions)[number]): object => ({
    Key: text(key),
    VersionId: version.versionId,
    IsLatest: String(isLatest),
  });
  return {
    status: 200,
    text: xmlDocument("ListVersionsResult", {
      Name: bucketName,
      Prefix: text(prefix),
      ...(delimiter && { Delimiter: text(delimiter) }),
      KeyMarker: text(after),
      MaxKeys: maxKeys,
      ...encoding,
      IsTruncated: String(page.last !== undefined),
      ...(page.last !== undefined && { NextKeyMarker: text(page.last) }),
      Version: versions
        .filter(({ version }) => !version.deleteMarker)
        .map((item) => ({ ...common(item), ...entry(item.version) })),
      DeleteMarker: versions
        .filter(({ version }) => version.deleteMarker)
        .map((item) => ({ ...common(item), LastModified: item.version.modified })),
      CommonPrefixes: page.prefixes.map((name) => ({ Prefix: text(name) })),
    }),
  };
}

function entry({ modified, etag, size, checksum }: ObjectVersion): object {
  return {
    LastModified: modified,
    ETag: `"${etag}"`,
    ...(checksum && { ChecksumAlgorithm: checksum.algorithm.toUpperCase() }),
    Size: size,
    StorageClass: "STANDARD",
  };
}

function parameters(call: Call) {
  const maxKeys = call.query.get("max-keys") ?? String(PAGE);
  if (!/^\d{1,9}$/.test(maxKeys))
    throw new AwsError(400, "InvalidArgument", "Provided max-keys not an integer or within integer range");
  const encoding = call.query.get("encoding-type");
  if (encoding !== undefined && encoding !== "url")
    throw new AwsError(400, "InvalidArgument", "Invalid Encoding Method specified in Request");
  return {
    prefix: call.query.get("prefix") ?? "",
    delimiter: call.query.get("delimiter") ?? "",
    maxKeys: Math.min(Number(maxKeys), PAGE),
    encoding: encoding === undefined ? {} : { EncodingType: encoding },
    text: (value: string): string => (encoding === undefined ? value : encodePath(value)),
  };
}

/** Keys that share what is between the prefix and the next delimiter count as one. */
function pageOf(
  keys: readonly string[],
  options: { prefix: string; delimiter: string; maxKeys: number; after: string; isPresent: (key: string) => boolean },
): Page {
  const { prefix, delimiter, maxKeys, after, isPresent } = options;
  const found: string[] = [];
  const prefixes: string[] = [];
  let last = "";
  for (let index = firstAfter(keys, compareKeys(prefix, after) > 0 ? prefix : after); index < keys.length; index++) {
    const key = keys[index]!;
    if (!key.startsWith(prefix)) {
      if (compareKeys(key, prefix) > 0) break;
      continue;
    }
    const end = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    const group = end < 0 ? undefined : key.slice(0, end + delimiter.length);
    const isDone = key === after || (group !== undefined && (group === prefixes.at(-1) || group === after));
    if (isDone || !isPresent(key)) continue;
    if (found.length + prefixes.length >= maxKeys)
      return { keys: found, prefixes, last: maxKeys === 0 ? undefined : last };
    if (group === undefined) found.push(key);
    else prefixes.push(group);
    last = group ?? key;
  }
  return { keys: found, prefixes, last: undefined };
}

/** Index of the first key that does not come before `start`. */
function firstAfter(keys: readonly string[], start: string): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareKeys(keys[middle]!, start) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function encodeToken(last: string): string {
  return Buffer.from(last).toString("base64url");
}

function decodeToken(token: string): string {
  const decoded = Buffer.from(token, "base64url").toString("utf8");
  if (token === "" || encodeToken(decoded) !== token) {
    throw new AwsError(400, "InvalidArgument", "The continuation token provided is incorrect");
  }
  return decoded;
}
