import { AwsError } from "../../errors.ts";
import { malformedXml, parseXml, textOf, xmlDocument } from "../xml.ts";
import { hexId, type Call } from "../call.ts";
import type { Operation } from "./operation.ts";

const DEFAULT_REGION = "us-east-1";

export const bucketOperations: readonly Operation[] = [
  {
    name: "ListBuckets",
    method: "GET",
    on: "service",
    action: "ListAllMyBuckets",
    run: (call) => {
      const own = call.store.catalogue.buckets().filter(({ accountId }) => accountId === call.accountId);
      return {
        status: 200,
        text: xmlDocument("ListAllMyBucketsResult", {
          Owner: { ID: hexId(call.accountId) },
          Buckets: {
            Bucket: own.map(({ name, created, region }) => ({
              Name: name,
              CreationDate: created,
              BucketRegion: region,
            })),
          },
        }),
      };
    },
  },
  {
    name: "CreateBucket",
    method: "PUT",
    on: "bucket",
    action: "CreateBucket",
    needsBucket: false,
    async run(call) {
      const region = await regionOf(call);
      call.store.createBucket(call.bucketName, region, call.accountId);
      return { status: 200, headers: { location: `/${call.bucketName}` } };
    },
  },
  {
    name: "HeadBucket",
    method: "HEAD",
    on: "bucket",
    action: "ListBucket",
    run: (call) => ({ status: 200, headers: { "x-amz-bucket-region": call.bucket.region } }),
  },
  {
    name: "DeleteBucket",
    method: "DELETE",
    on: "bucket",
    action: "DeleteBucket",
    async run(call) {
      await call.store.deleteBucket(call.bucketName);
      return { status: 204 };
    },
  },
  {
    name: "GetBucketLocation",
    method: "GET",
    on: "bucket",
    query: ["location"],
    action: "GetBucketLocation",
    run: (call) => {
      const { region } = call.bucket;
      return {
        status: 200,
        text: xmlDocument("LocationConstraint", { "#text": region === DEFAULT_REGION ? "" : region }),
      };
    },
  },
];

/** Only the endpoint of us-east-1 makes buckets elsewhere. */
async function regionOf(call: Call): Promise<string> {
  const body = await call.document();
  const content = body.length === 0 ? {} : parseXml(body, "CreateBucketConfiguration");
  const given = content.LocationConstraint;
  if (given !== undefined && textOf(given) === undefined) throw malformedXml();
  const region = textOf(given) || DEFAULT_REGION;
  if (call.region !== DEFAULT_REGION && region !== call.region) {
    throw new AwsError(
      400,
      "IllegalLocationConstraintException",
      given === undefined
        ? "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to."
        : `The ${region} location constraint is incompatible for the region specific endpoint this request was sent to.`,
    );
  }
  if (!/^[a-z]{2}(-[a-z]+)+-\d$/.test(region)) {
    throw new AwsError(400, "InvalidLocationConstraint", "The specified location-constraint is not valid");
  }
  return region;
}
