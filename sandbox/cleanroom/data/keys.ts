import crypto from "node:crypto";
import { json, send, type HttpResponse } from "../http.ts";
import type { EncryptionKeys } from "../documents.ts";
import { decryptOaep, type WorkloadIdentity } from "../workload-identity.ts";

const API_VERSION = "7.4";
const ENVELOPE = "RSA_AES_KEY_WRAP_256";

/**
 * Unwraps a dataset's encryption key: the vault releases the KEK to this attested workload, the wrapped DEK is a secret.
 * @param token access token for the vault.
 * @returns 32 bytes.
 * @see https://learn.microsoft.com/rest/api/keyvault/keys/release
 */
export async function unwrapDek(
  keys: EncryptionKeys,
  workload: WorkloadIdentity,
  token: string,
  ca: string,
): Promise<Buffer> {
  const kek = await releaseKek(keys.kek, workload, token, ca);
  const wrapped = await request(keys.wrappedDek.vaultUrl, "GET", `secrets/${keys.wrappedDek.name}`, token, ca);
  const { value } = json(wrapped) as { value: string };
  const dek = unwrap(kek, value, keys);
  if (dek.length !== 32)
    throw new Error(`Secret ${keys.wrappedDek.name} holds a key of ${dek.length} bytes, 32 are needed.`);
  return dek;
}

function unwrap(kek: crypto.KeyObject, wrapped: string, { wrappedDek, kek: { name } }: EncryptionKeys): Buffer {
  try {
    return decryptOaep(kek, Buffer.from(wrapped, "base64"));
  } catch (error) {
    const reason = `Secret ${wrappedDek.name} does not open with key ${name}: it was wrapped for another version, or is no wrapped key.`;
    throw new Error(reason, { cause: error });
  }
}

async function releaseKek(
  kek: EncryptionKeys["kek"],
  workload: WorkloadIdentity,
  token: string,
  ca: string,
): Promise<crypto.KeyObject> {
  const body = { target: await workload.attest(kek.authority), enc: ENVELOPE };
  const released = await request(kek.vaultUrl, "POST", `keys/${kek.name}/release`, token, ca, body);
  const { value } = json(released) as { value: string };
  const payload = decodeJson(value.split(".")[1] ?? "") as { response: { key: { key: { key_hsm: string } } } };
  const envelope = decodeJson(payload.response.key.key.key_hsm) as { ciphertext: string };
  return crypto.createPrivateKey({
    key: workload.unwrap(Buffer.from(envelope.ciphertext, "base64url")),
    format: "der",
    type: "pkcs8",
  });
}

async function request(
  vaultUrl: string,
  method: string,
  path: string,
  token: string,
  ca: string,
  body?: unknown,
): Promise<HttpResponse> {
  const response = await send(`${vaultUrl.replace(/\/+$/, "")}/${path}?api-version=${API_VERSION}`, {
    method,
    ca,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  if (response.status === 200) return response;
  const { error } = json(response) as { error?: { code?: string; message?: string } };
  throw new Error(
    `${path}: the vault answered ${error?.code ?? response.status}: ${error?.message ?? "no explanation"}`,
  );
}

const decodeJson = (part: string): unknown => JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
