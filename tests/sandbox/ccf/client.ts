/** An independent client of a CCF network: HTTPS, certificates, COSE Sign1. Shares no code with the sandbox. */
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import crypto, { webcrypto } from "node:crypto";
import https from "node:https";
import zlib from "node:zlib";
import { buffer } from "node:stream/consumers";
import tar from "tar-stream";

export const VOTE_YES = "export function vote (proposal, proposerId) { return true }";
export const VOTE_NO = "export function vote (proposal, proposerId) { return false }";
const API = "api-version=2024-07-01";

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
  // Tests read whatever the endpoint answers.
  json: any;
}

export interface CallOptions {
  member?: Identity;
  token?: string;
  body?: unknown;
  raw?: Buffer | string;
  contentType?: string;
}

export interface Identity {
  id: string;
  key: string;
  cert: string;
}

export async function createIdentity(name: string): Promise<Identity> {
  x509.cryptoProvider.set(webcrypto as Crypto);
  const algorithm = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" };
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 86_400_000),
    signingAlgorithm: algorithm,
  });
  return {
    id: crypto.createHash("sha256").update(Buffer.from(certificate.rawData)).digest("hex"),
    key: x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY"),
    cert: certificate.toString("pem"),
  };
}

export class CcfClient {
  readonly port: number;
  readonly ca: string;
  /** Proposals must not be older than recent ones; strictly ascending keeps every request unique. */
  readonly #agents = new Map<string | undefined, https.Agent>();
  createdAt = Math.floor(Date.now() / 1000);

  constructor(port: number, ca: string) {
    this.port = port;
    this.ca = ca;
  }

  call(method: string, path: string, { member, token, body, raw, contentType }: CallOptions = {}): Promise<Answer> {
    const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    return new Promise((resolve, reject) => {
      const request = https.request(
        {
          host: "localhost",
          port: this.port,
          method,
          path,
          agent: this.#agent(member),
          headers: {
            ...(token && { authorization: `Bearer ${token}` }),
            ...(payload !== undefined && { "content-type": contentType ?? "application/json" }),
            "content-length": payload === undefined ? 0 : Buffer.byteLength(payload),
          },
        },
        (response) => {
          buffer(response).then((bytes) => {
            const text = bytes.toString("utf8");
            const isJson = response.headers["content-type"]?.startsWith("application/json");
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text,
              json: isJson ? JSON.parse(text) : undefined,
            });
          }, reject);
        },
      );
      request.on("error", reject);
      request.end(payload);
    });
  }

  /** One connection pool a certificate. */
  #agent(member: Identity | undefined): https.Agent {
    let agent = this.#agents.get(member?.id);
    if (!agent) {
      agent = new https.Agent({ ca: this.ca, keepAlive: true, ...(member && { key: member.key, cert: member.cert }) });
      this.#agents.set(member?.id, agent);
    }
    return agent;
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  signed(path: string, signer: Identity, type: string, payload: unknown, proposalId?: string): Promise<Answer> {
    const raw = coseSign1(
      signer,
      { type, createdAt: ++this.createdAt, proposalId },
      payload === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(payload)),
    );
    return this.call("POST", `${path}?${API}`, { raw, contentType: "application/cose" });
  }

  gov(path: string): Promise<Answer> {
    return this.call("GET", `/gov/${path}?${API}`);
  }

  propose(signer: Identity, ...actions: { name: string; args?: object }[]): Promise<Answer> {
    return this.signed("/gov/members/proposals:create", signer, "proposal", {
      actions: actions.map(({ name, args }) => ({ name, args: args ?? {} })),
    });
  }

  vote(signer: Identity, proposalId: string, ballot: string = VOTE_YES): Promise<Answer> {
    return this.signed(
      `/gov/members/proposals/${proposalId}/ballots/${signer.id}:submit`,
      signer,
      "ballot",
      { ballot },
      proposalId,
    );
  }

  withdraw(signer: Identity, proposalId: string): Promise<Answer> {
    return this.signed(`/gov/members/proposals/${proposalId}:withdraw`, signer, "withdrawal", undefined, proposalId);
  }

  async activate(member: Identity): Promise<Answer> {
    const update = await this.signed(
      `/gov/members/state-digests/${member.id}:update`,
      member,
      "state_digest",
      undefined,
    );
    return this.signed(`/gov/members/state-digests/${member.id}:ack`, member, "ack", update.json);
  }

  /** Proposes and lets the voters accept. */
  async pass(voters: Identity[], ...actions: { name: string; args?: object }[]): Promise<Answer> {
    let answer = await this.propose(voters[0] as Identity, ...actions);
    for (const voter of voters) {
      if (answer.json?.proposalState !== "Open") break;
      answer = await this.vote(voter, answer.json.proposalId);
    }
    if (answer.json?.proposalState !== "Accepted") throw new Error(`Not accepted: ${answer.status} ${answer.text}`);
    return answer;
  }
}

export interface CoseHeaders {
  type: string;
  createdAt: number | string;
  proposalId?: string;
}

export function coseSign1(signer: Identity, headers: CoseHeaders, payload: Buffer, tagged = true): Buffer {
  const entries: [number | string, number | string | Buffer][] = [
    [1, -35],
    [4, Buffer.from(signer.id, "ascii")],
    ["ccf.gov.msg.type", headers.type],
    ["ccf.gov.msg.created_at", headers.createdAt],
  ];
  if (headers.proposalId !== undefined) entries.push(["ccf.gov.msg.proposal_id", headers.proposalId]);
  const protectedHeader = Buffer.concat([
    head(5, entries.length),
    ...entries.flatMap(([key, value]) => [item(key), item(value)]),
  ]);
  const toBeSigned = Buffer.concat([
    head(4, 4),
    item("Signature1"),
    item(protectedHeader),
    item(Buffer.alloc(0)),
    item(payload),
  ]);
  const signature = crypto.sign("sha384", toBeSigned, { key: signer.key, dsaEncoding: "ieee-p1363" });
  return Buffer.concat([
    tagged ? head(6, 18) : Buffer.alloc(0),
    head(4, 4),
    item(protectedHeader),
    head(5, 0),
    item(payload),
    item(signature),
  ]);
}

function item(value: number | string | Buffer): Buffer {
  if (typeof value === "number") return value < 0 ? head(1, -1 - value) : head(0, value);
  const bytes = Buffer.from(value);
  return Buffer.concat([head(typeof value === "string" ? 3 : 2, bytes.length), bytes]);
}

/** CBOR initial byte and argument (RFC 8949, 3). */
function head(major: number, argument: number): Buffer {
  if (argument < 24) return Buffer.from([(major << 5) | argument]);
  if (argument < 256) return Buffer.from([(major << 5) | 24, argument]);
  if (argument < 65536) return Buffer.from([(major << 5) | 25, argument >> 8, argument & 255]);
  const bytes = Buffer.alloc(5, (major << 5) | 26);
  bytes.writeUInt32BE(argument, 1);
  return bytes;
}

export async function archive(files: Record<string, string>): Promise<Buffer> {
  const pack = tar.pack();
  for (const [name, content] of Object.entries(files)) pack.entry({ name, mtime: new Date(0) }, content);
  pack.finalize();
  return zlib.gzipSync(await buffer(pack));
}

/** `{"value": wrapped}` back to plain text: RSA-OAEP-AES-KWP. */
export function unwrap(privateKeyPem: string, value: string): string {
  const bytes = Buffer.from(value, "base64");
  const key = crypto.privateDecrypt(
    { key: privateKeyPem, padding: crypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
    bytes.subarray(0, 256),
  );
  const decipher = crypto.createDecipheriv("id-aes256-wrap-pad", key, Buffer.from("A65959A6", "hex"));
  return Buffer.concat([decipher.update(bytes.subarray(256)), decipher.final()]).toString("utf8");
}
