import { createHash } from "node:crypto";
import { AwsError } from "../errors.ts";
import { hmac, sameText, sha256Hex, type Verified } from "./signature.ts";

/**
 * The `aws-chunked` encoding: `<hex size>[;chunk-signature=<hex>]CRLF <bytes> CRLF … 0…CRLF [<trailer>CRLF…] CRLF`.
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html
 */
export const STREAMING_PAYLOADS = [
  "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
  "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
  "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
];

const LONGEST_LINE = 4096;
const EMPTY_SHA256 = sha256Hex("");

/**
 * Yields the bytes inside. A chunk is handed on before its signature is known: nothing may be done with it that
 * cannot be undone until the generator has ended.
 * @param trailers filled at the end, names in lower case.
 * @throws {AwsError} `SignatureDoesNotMatch`, `IncompleteBody` or `InvalidRequest`.
 */
export async function* decodeChunks(
  source: AsyncIterable<Buffer>,
  { payload, chain }: Pick<Verified, "payload" | "chain">,
  trailers: Map<string, string>,
): AsyncGenerator<Buffer> {
  const reader = new ByteReader(source);
  const signed = payload.startsWith("STREAMING-AWS4");
  let previous = chain.seed;
  const expectSignature = (prefix: string, hashes: string, given: string | undefined): void => {
    const text = [`AWS4-HMAC-SHA256-${prefix}`, chain.date, chain.scope, previous, hashes].join("\n");
    const expected = hmac(chain.signingKey, text).toString("hex");
    if (!sameText(expected, given ?? "")) {
      throw new AwsError(
        403,
        "SignatureDoesNotMatch",
        "The chunk signature we calculated does not match the one you provided.",
      );
    }
    previous = expected;
  };
  for (;;) {
    const header = /^([0-9a-fA-F]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?$/.exec(await reader.line());
    if (!header) throw new AwsError(400, "InvalidRequest", "The body is not in the aws-chunked encoding.");
    const size = parseInt(header[1]!, 16);
    const hash = createHash("sha256");
    for await (const piece of reader.take(size)) {
      if (signed) hash.update(piece);
      yield piece;
    }
    if (signed) expectSignature("PAYLOAD", `${EMPTY_SHA256}\n${hash.digest("hex")}`, header[2]);
    if (size === 0) break;
    await reader.line();
  }
  const lines: string[] = [];
  for (let line = await reader.line(); line !== ""; line = await reader.line()) lines.push(line);
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) trailers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  if (payload === "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER") {
    const signature = trailers.get("x-amz-trailer-signature");
    trailers.delete("x-amz-trailer-signature");
    const text = [...trailers].map(([name, value]) => `${name}:${value}\n`).join("");
    expectSignature("TRAILER", sha256Hex(text), signature);
  }
}

/** Lines and lengths out of a stream of buffers. */
class ByteReader {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Up to the next CRLF, which is left out; what is there at the end of the stream. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf("\r\n");
      if (end >= 0) {
        const line = this.#rest.toString("latin1", 0, end);
        this.#rest = this.#rest.subarray(end + 2);
        return line;
      }
      if (this.#rest.length > LONGEST_LINE)
        throw new AwsError(400, "InvalidRequest", "The body is not in the aws-chunked encoding.");
      if (!(await this.#more())) {
        const line = this.#rest.toString("latin1");
        this.#rest = Buffer.alloc(0);
        return line;
      }
    }
  }

  async *take(length: number): AsyncGenerator<Buffer> {
    for (let left = length; left > 0;) {
      if (this.#rest.length === 0 && !(await this.#more())) throw incompleteBody();
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#source.next();
    if (done) return false;
    this.#rest = this.#rest.length === 0 ? value : Buffer.concat([this.#rest, value]);
    return true;
  }
}

export function incompleteBody(): AwsError {
  return new AwsError(
    400,
    "IncompleteBody",
    "You did not provide the number of bytes specified by the Content-Length HTTP header",
  );
}
