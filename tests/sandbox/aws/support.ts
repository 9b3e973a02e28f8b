import { S3Client, type S3ClientConfig } from "@aws-sdk/client-s3";
import fs from "node:fs";
import https from "node:https";
import path from "node:path";
import { accountOf, Iam, type AccessKeyRecord } from "../../../sandbox/aws/iam.ts";
import { SandboxS3 } from "../../../sandbox/aws/s3/index.ts";
import type { SandboxHost } from "../../../sandbox/contracts.ts";
import type { PersonaName } from "../../../sandbox/entra/directory.ts";

export const REGION = "us-west-1";

/** S3 and IAM of one sandbox, and official clients for them. */
export class Lab {
  readonly host: SandboxHost;
  readonly iam: Iam;
  readonly s3: SandboxS3;
  /** Milliseconds that S3's clock is ahead of ours. */
  readonly clock = { ahead: 0 };
  readonly #clients: S3Client[] = [];

  constructor(host: SandboxHost) {
    this.host = host;
    this.iam = new Iam(host);
    this.s3 = new SandboxS3(host, this.iam, () => Date.now() + this.clock.ahead);
  }

  static async start(host: SandboxHost): Promise<Lab> {
    const lab = new Lab(host);
    await lab.s3.start();
    return lab;
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    await this.s3.stop();
  }

  /** The SDK as a program uses it: it knows region, endpoint, keys and the sandbox's root certificate. */
  client(key: Pick<AccessKeyRecord, "id" | "secret">, config: S3ClientConfig = {}): S3Client {
    const client = new S3Client({
      region: REGION,
      endpoint: this.s3.endpoint,
      forcePathStyle: true,
      credentials: { accessKeyId: key.id, secretAccessKey: key.secret },
      requestHandler: { httpsAgent: new https.Agent({ ca: this.host.caCertificate, keepAlive: true }) },
      maxAttempts: 1,
      ...config,
    });
    this.#clients.push(client);
    return client;
  }

  administrator(persona: PersonaName = "woodgrove", config: S3ClientConfig = {}): S3Client {
    return this.client(this.iam.administrator(persona).key, config);
  }

  /** A user of woodgrove with one inline policy. */
  user(name: string, ...statements: object[]): AccessKeyRecord {
    const user = this.iam.createUser(accountOf("woodgrove"), { name, path: "/", tags: {} });
    if (statements.length > 0) this.iam.putUserPolicy(user, "rights", policyText(...statements));
    return this.iam.createAccessKey(user);
  }
}

export function policyText(...statements: object[]): string {
  return JSON.stringify({ Version: "2012-10-17", Statement: statements });
}

/** Every byte of every file of the sandbox. */
export function bytesBelow(directory: string): Buffer {
  const entries = fs.readdirSync(directory, { recursive: true, withFileTypes: true });
  return Buffer.concat(
    entries.filter((entry) => entry.isFile()).map((entry) => fs.readFileSync(path.join(entry.parentPath, entry.name))),
  );
}
