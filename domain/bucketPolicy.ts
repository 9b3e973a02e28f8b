/** What the clean room may do with a bucket. */
export type BucketUse = "read" | "write";

interface Statement {
  readonly Sid: string;
  readonly Effect: "Allow" | "Deny";
  readonly Principal?: "*";
  readonly Action: readonly string[] | string;
  readonly Resource: readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface PolicyDocument {
  readonly Version: "2012-10-17";
  readonly Statement: readonly Statement[];
}

/** Nobody reaches a bucket without TLS. */
export function tlsOnlyPolicy(bucketArn: string): PolicyDocument {
  return {
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "TlsOnly",
        Effect: "Deny",
        Principal: "*",
        Action: "s3:*",
        Resource: [bucketArn, `${bucketArn}/*`],
        Condition: { Bool: { "aws:SecureTransport": "false" } },
      },
    ],
  };
}

/** The least a clean room needs: list and read sources; list, read and write sinks; nothing else anywhere. */
export function cleanRoomPolicy(buckets: readonly { readonly arn: string; readonly use: BucketUse }[]): PolicyDocument {
  const writable = buckets.filter(({ use }) => use === "write");
  const objects = (entries: typeof buckets): string[] => entries.map(({ arn }) => `${arn}/*`);
  return {
    Version: "2012-10-17",
    Statement: [
      { Sid: "List", Effect: "Allow", Action: ["s3:ListBucket"], Resource: buckets.map(({ arn }) => arn) },
      { Sid: "Read", Effect: "Allow", Action: ["s3:GetObject"], Resource: objects(buckets) },
      ...(writable.length > 0
        ? [{ Sid: "Write", Effect: "Allow" as const, Action: ["s3:PutObject"], Resource: objects(writable) }]
        : []),
    ],
  };
}

/** The secret of the contract from which the clean room takes its access key: base64 of JSON. */
export function accessKeySecret(key: { readonly accessKeyId: string; readonly secretAccessKey: string }): string {
  const content = { awsAccessKeyId: key.accessKeyId, awsSecretAccessKey: key.secretAccessKey };
  return Buffer.from(JSON.stringify(content), "utf8").toString("base64");
}
