import crypto from "node:crypto";
import { unwrap, type CcfClient } from "./client.ts";
import type { Network } from "./fixture.ts";

/** The test in the role of a clean room: keys, a quote over them, requests signed with them. */
export class TestCleanRoom {
  readonly hostData: string;
  readonly privateKey: string;
  readonly publicKey: string;
  readonly #network: Network;

  constructor(network: Network, policy: string) {
    this.#network = network;
    this.hostData = crypto.createHash("sha256").update(policy).digest("hex");
    const pair = crypto.generateKeyPairSync("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    this.privateKey = pair.privateKey;
    this.publicKey = pair.publicKey;
  }

  /** Attestation over the key; `data` is signed when given. */
  body(data?: unknown, extra: object = {}): Record<string, any> {
    const publicKey = Buffer.from(this.publicKey).toString("base64");
    const reportData = crypto.createHash("sha256").update(this.publicKey).digest("hex") + "00".repeat(32);
    const evidence = this.#network.attestation.quote({ hostData: this.hostData, reportData });
    const body = { platform: "virtual", attestation: { evidence }, encrypt: { publicKey }, ...extra };
    if (data === undefined) return body;
    const bytes = Buffer.from(JSON.stringify(data));
    const signature = crypto.sign("sha256", bytes, {
      key: this.privateKey,
      padding: crypto.constants.RSA_PKCS1_PSS_PADDING,
      saltLength: 32,
    });
    return { ...body, data: bytes.toString("base64"), sign: { signature: signature.toString("base64"), publicKey } };
  }

  get client(): CcfClient {
    return this.#network.client;
  }

  async unwrapped(path: string, body = this.body()): Promise<string> {
    const answer = await this.client.call("POST", path, { body });
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`);
    return unwrap(this.privateKey, answer.json.value);
  }
}
