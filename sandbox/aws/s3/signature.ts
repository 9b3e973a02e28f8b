import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { AwsError } from "../errors.ts";
import type { AccessKeyRecord } from "../iam.ts";
import { encode, encodePath, type Address } from "./uri.ts";

/**
 * AWS Signature Version 4 as S3 verifies it, in the header or in the query ("presigned").
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html and sigv4-query-string-auth.html
 */
export interface SignedRequest {
  readonly method: string;
  readonly address: Address;
  readonly headers: IncomingHttpHeaders;
}

export interface Verified {
  readonly key: AccessKeyRecord;
  /** Region of the credential scope: the regional endpoint the client believes to talk to. */
  readonly region: string;
  /** What signs the chunks of a streamed body. */
  readonly chain: { readonly signingKey: Buffer; readonly scope: string; readonly date: string; readonly seed: string };
  /** `x-amz-content-sha256`, or `UNSIGNED-PAYLOAD` for presigned requests. */
  readonly payload: string;
}

interface Claim {
  readonly accessKeyId: string;
  readonly day: string;
  readonly region: string;
  readonly service: string;
  readonly terminator: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  /** `yyyymmddThhmmssZ` */
  readonly date: string;
  readonly payload: string;
  /** Presigned only: seconds it is valid for. */
  readonly expires?: number;
}

const ALGORITHM = "AWS4-HMAC-SHA256";
const LARGEST_SKEW_MS = 15 * 60_000;
const LONGEST_VALIDITY_S = 7 * 86_400;
export const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";

/**
 * @returns undefined for a request that carries no signature at all.
 * @throws {AwsError} in S3's words for everything that does not fit.
 */
export function verifySignature(
  request: SignedRequest,
  findKey: (id: string) => AccessKeyRecord | undefined,
  now: number,
): Verified | undefined {
  const claim = claimOf(request);
  if (!claim) return undefined;
  checkScope(claim);
  checkTime(claim, now);
  checkHeaders(request, claim);
  const key = findKey(claim.accessKeyId);
  if (!key || key.status !== "Active") {
    throw new AwsError(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", {
      details: { AWSAccessKeyId: claim.accessKeyId },
    });
  }
  const scope = `${claim.day}/${claim.region}/s3/aws4_request`;
  const canonical = canonicalRequest(request, claim);
  const text = [ALGORITHM, claim.date, scope, sha256Hex(canonical)].join("\n");
  const signingKey = signingKeyOf(key.secret, claim.day, claim.region);
  if (!sameText(hmac(signingKey, text).toString("hex"), claim.signature)) {
    throw new AwsError(
      403,
      "SignatureDoesNotMatch",
      "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
      { details: { AWSAccessKeyId: key.id, StringToSign: text, CanonicalRequest: canonical } },
    );
  }
  const chain = { signingKey, scope, date: claim.date, seed: claim.signature };
  return { key, region: claim.region, chain, payload: claim.payload };
}

function claimOf({ address, headers }: SignedRequest): Claim | undefined {
  const query = new Map(address.query);
  const inQuery = query.has("X-Amz-Algorithm");
  if (headers.authorization === undefined && !inQuery) return undefined;
  if (headers.authorization !== undefined && inQuery) {
    throw new AwsError(400, "InvalidArgument", "Only one auth mechanism allowed.");
  }
  return inQuery ? presignedClaim(query) : headerClaim(headers);
}

function headerClaim(headers: IncomingHttpHeaders): Claim {
  const malformed = (reason: string): AwsError => new AwsError(400, "AuthorizationHeaderMalformed", reason);
  const text = headers.authorization!;
  const match = /^AWS4-HMAC-SHA256\s+Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})$/.exec(
    text,
  );
  if (!match) {
    if (!text.startsWith(ALGORITHM)) {
      throw new AwsError(
        400,
        "InvalidRequest",
        `The authorization mechanism you have provided is not supported. Please use ${ALGORITHM}.`,
      );
    }
    throw malformed("The authorization header is malformed; it needs Credential, SignedHeaders and Signature.");
  }
  const payload = single(headers, "x-amz-content-sha256");
  if (payload === undefined) {
    throw new AwsError(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
  }
  const date = single(headers, "x-amz-date");
  if (date === undefined || !/^\d{8}T\d{6}Z$/.test(date)) {
    throw new AwsError(403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header");
  }
  return {
    ...credentialOf(match[1]!, malformed),
    signedHeaders: match[2]!.split(";"),
    signature: match[3]!,
    date,
    payload,
  };
}

function presignedClaim(query: ReadonlyMap<string, string>): Claim {
  const malformed = (reason: string): AwsError => new AwsError(400, "AuthorizationQueryParametersError", reason);
  const value = (name: string): string => {
    const found = query.get(name);
    if (found) return found;
    throw malformed(
      "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
    );
  };
  if (value("X-Amz-Algorithm") !== ALGORITHM) throw malformed(`X-Amz-Algorithm only supports "${ALGORITHM}".`);
  const expires = Number(value("X-Amz-Expires"));
  if (!Number.isInteger(expires) || expires < 1)
    throw malformed("X-Amz-Expires should be a positive number of seconds.");
  if (expires > LONGEST_VALIDITY_S) {
    throw malformed(
      "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds",
    );
  }
  const date = value("X-Amz-Date");
  if (!/^\d{8}T\d{6}Z$/.test(date))
    throw malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"");
  return {
    ...credentialOf(value("X-Amz-Credential"), malformed),
    signedHeaders: value("X-Amz-SignedHeaders").split(";"),
    signature: value("X-Amz-Signature"),
    date,
    payload: query.get("X-Amz-Content-Sha256") ?? UNSIGNED_PAYLOAD,
    expires,
  };
}

function credentialOf(
  credential: string,
  malformed: (reason: string) => AwsError,
): Pick<Claim, "accessKeyId" | "day" | "region" | "service" | "terminator"> {
  const parts = credential.split("/");
  if (parts.length !== 5) {
    throw malformed('The Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".');
  }
  const [accessKeyId, day, region, service, terminator] = parts as [string, string, string, string, string];
  return { accessKeyId, day, region, service, terminator };
}

function checkScope({ day, date, region, service, terminator, expires }: Claim): void {
  const problem =
    service !== "s3"
      ? `incorrect service "${service}". This endpoint belongs to "s3".`
      : terminator !== "aws4_request"
        ? `incorrect terminal "${terminator}". This endpoint uses "aws4_request".`
        : !/^[a-z]{2}(-[a-z]+)+-\d$/.test(region)
          ? `the region '${region}' is wrong; expecting the code of a region, e.g. 'us-west-1'`
          : day !== date.slice(0, 8)
            ? `Invalid credential date "${day}". This date is not the same as X-Amz-Date: "${date.slice(0, 8)}".`
            : undefined;
  if (!problem) return;
  if (expires !== undefined)
    throw new AwsError(
      400,
      "AuthorizationQueryParametersError",
      `Error parsing the X-Amz-Credential parameter; ${problem}`,
    );
  throw new AwsError(400, "AuthorizationHeaderMalformed", `The authorization header is malformed; ${problem}`);
}

function checkTime({ date, expires }: Claim, now: number): void {
  const signed = Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  const serverTime = new Date(now).toISOString();
  if (expires !== undefined) {
    if (now > signed + expires * 1000) {
      const details = { Expires: new Date(signed + expires * 1000).toISOString(), ServerTime: serverTime };
      throw new AwsError(403, "AccessDenied", "Request has expired", { details });
    }
    if (signed > now + LARGEST_SKEW_MS) throw new AwsError(403, "AccessDenied", "Request is not yet valid");
    return;
  }
  if (!(Math.abs(now - signed) <= LARGEST_SKEW_MS)) {
    throw new AwsError(
      403,
      "RequestTimeTooSkewed",
      "The difference between the request time and the current time is too large.",
      {
        details: { RequestTime: date, ServerTime: serverTime, MaxAllowedSkewMilliseconds: String(LARGEST_SKEW_MS) },
      },
    );
  }
}

/** What S3 acts on must be signed: the host and every `x-amz-` header. */
function checkHeaders({ headers }: SignedRequest, { signedHeaders }: Claim): void {
  const unsigned = Object.keys(headers).filter(
    (name) => (name === "host" || name.startsWith("x-amz-")) && !signedHeaders.includes(name),
  );
  if (unsigned.length > 0) {
    throw new AwsError(403, "AccessDenied", "There were headers present in the request which were not signed", {
      details: { HeadersNotSigned: unsigned.join(", ") },
    });
  }
}

function canonicalRequest({ method, address, headers }: SignedRequest, claim: Claim): string {
  const query = address.query
    .filter(([name]) => name !== "X-Amz-Signature")
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([a, x], [b, y]) => compare(a, b) || compare(x, y))
    .map(([name, value]) => `${name}=${value}`);
  const signed = claim.signedHeaders.map(
    (name) => `${name}:${(single(headers, name) ?? "").trim().replaceAll(/ +/g, " ")}\n`,
  );
  return [
    method,
    encodePath(address.path),
    query.join("&"),
    signed.join(""),
    claim.signedHeaders.join(";"),
    claim.payload,
  ].join("\n");
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function single(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(",") : value;
}

function signingKeyOf(secret: string, day: string, region: string): Buffer {
  return [day, region, "s3", "aws4_request"].reduce<Buffer>(hmac, Buffer.from(`AWS4${secret}`));
}

export function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

export function sha256Hex(data: string | Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}

export function sameText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
