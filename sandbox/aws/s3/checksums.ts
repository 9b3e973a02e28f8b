import { Crc32c, Crc64Nvme } from "@aws-sdk/checksums/crc";
import { createHash, type Hash } from "node:crypto";
import zlib from "node:zlib";
import { AwsError } from "../errors.ts";

/** Checksums a client may send along; S3 refuses an object that does not fit and gives the checksum back with it. */
export const CHECKSUM_ALGORITHMS = ["crc32", "crc32c", "crc64nvme", "sha1", "sha256"] as const;
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number];

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Base64; of a multipart object `<base64>-<number of parts>`. */
  readonly value: string;
}

interface Running {
  update(data: Buffer): void;
  digest(): Promise<Buffer>;
}

function start(algorithm: ChecksumAlgorithm): Running {
  if (algorithm === "crc32") {
    let value = 0;
    return {
      update: (data) => void (value = zlib.crc32(data, value)),
      async digest() {
        const bytes = Buffer.alloc(4);
        bytes.writeUInt32BE(value);
        return bytes;
      },
    };
  }
  if (algorithm === "sha1" || algorithm === "sha256") {
    const hash = createHash(algorithm);
    return { update: (data) => void hash.update(data), digest: async () => hash.digest() };
  }
  const crc = algorithm === "crc32c" ? new Crc32c() : new Crc64Nvme();
  return { update: (data) => crc.update(data), digest: async () => Buffer.from(await crc.digest()) };
}

/** Everything that is computed over the bytes of an upload while they pass. */
export class UploadDigests {
  readonly #md5: Hash = createHash("md5");
  readonly #sha256: Hash | undefined;
  readonly #checksum: { algorithm: ChecksumAlgorithm; running: Running } | undefined;
  length = 0;

  constructor(options: { sha256: boolean; checksum: ChecksumAlgorithm | undefined }) {
    if (options.sha256) this.#sha256 = createHash("sha256");
    if (options.checksum) this.#checksum = { algorithm: options.checksum, running: start(options.checksum) };
  }

  update(data: Buffer): void {
    this.length += data.length;
    this.#md5.update(data);
    this.#sha256?.update(data);
    this.#checksum?.running.update(data);
  }

  async finish(): Promise<{ md5: Buffer; sha256?: string; checksum?: Checksum }> {
    const sha256 = this.#sha256?.digest("hex");
    const checksum = this.#checksum && {
      algorithm: this.#checksum.algorithm,
      value: (await this.#checksum.running.digest()).toString("base64"),
    };
    return { md5: this.#md5.digest(), ...(sha256 && { sha256 }), ...(checksum && { checksum }) };
  }
}

/** The checksum of a multipart object: that of its parts' checksums. */
export async function compositeChecksum(parts: readonly Checksum[]): Promise<Checksum> {
  const { algorithm } = parts[0]!;
  const running = start(algorithm);
  for (const { value } of parts) running.update(Buffer.from(value, "base64"));
  return { algorithm, value: `${(await running.digest()).toString("base64")}-${parts.length}` };
}

/** The checksum a request announces, in a header (with its value) or in a trailer. @throws {AwsError} for more than one, or one unknown. */
export function announcedChecksum(
  header: (name: string) => string | undefined,
): { algorithm: ChecksumAlgorithm; value?: string } | undefined {
  const inHeaders = CHECKSUM_ALGORITHMS.filter((algorithm) => header(`x-amz-checksum-${algorithm}`) !== undefined);
  if (inHeaders.length > 1) {
    throw new AwsError(
      400,
      "InvalidRequest",
      "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    );
  }
  if (inHeaders[0]) return { algorithm: inHeaders[0], value: header(`x-amz-checksum-${inHeaders[0]}`)! };
  const trailer = header("x-amz-trailer");
  if (trailer === undefined) return undefined;
  const algorithm = CHECKSUM_ALGORITHMS.find((name) => trailer.toLowerCase() === `x-amz-checksum-${name}`);
  if (!algorithm)
    throw new AwsError(400, "InvalidRequest", "The value specified in the x-amz-trailer header is not supported");
  return { algorithm };
}
