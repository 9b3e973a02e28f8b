import * as x509 from "@peculiar/x509";
import crypto from "node:crypto";
import type { SandboxHost } from "../contracts.ts";

const ALGORITHM = {
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
};
const CERTIFICATE_DAYS = 3650;

interface StoredKey {
  kid?: string;
  privateKey?: crypto.JsonWebKey;
  certificate?: string;
}

/** The key all tenants' tokens are signed with. */
export interface SigningKey {
  readonly kid: string;
  readonly privateKey: crypto.KeyObject;
  /** As published; without `issuer`, which would make CCF constrain the token's issuer (and Entra's host name is not ours). */
  readonly publicJwk: { kty: string; use: "sig"; kid: string; n: string; e: string; x5c: [string] };
}

export async function openSigningKey(host: SandboxHost): Promise<SigningKey> {
  const stored = host.document<StoredKey>("entra-key", () => ({}));
  if (!stored.value.certificate) {
    Object.assign(stored.value, await generate());
    stored.save();
  }
  const { kid, privateKey, certificate } = stored.value as Required<StoredKey>;
  const { n, e } = privateKey as { n: string; e: string };
  return {
    kid,
    privateKey: crypto.createPrivateKey({ key: privateKey, format: "jwk" }),
    publicJwk: { kty: "RSA", use: "sig", kid, n, e, x5c: [certificate] },
  };
}

async function generate(): Promise<Required<StoredKey>> {
  const webcrypto = crypto.webcrypto as Crypto;
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const notBefore = new Date();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: "CN=Clean Room Sandbox token signing",
      keys,
      signingAlgorithm: ALGORITHM,
      notBefore,
      notAfter: new Date(notBefore.getTime() + CERTIFICATE_DAYS * 86_400_000),
    },
    webcrypto,
  );
  return {
    kid: Buffer.from(await certificate.getThumbprint("SHA-1", webcrypto)).toString("base64url"),
    privateKey: (await webcrypto.subtle.exportKey("jwk", keys.privateKey)) as crypto.JsonWebKey,
    certificate: Buffer.from(certificate.rawData).toString("base64"),
  };
}
