import { generateKeyPair, webcrypto } from "node:crypto";
import { promisify } from "node:util";
import { memberIdOf } from "./member-id.ts";
import type { MemberSigner } from "./transport.ts";

export { memberIdOf };

/** All texts are PEM. */
export interface MemberIdentity extends MemberSigner {
  readonly memberId: string;
  /** Present when asked for: with it the member holds a share of the key that recovers the network. */
  readonly encryptionPublicKey?: string;
  readonly encryptionPrivateKey?: string;
}

const DAY_MS = 86_400_000;
/** Clocks of the parties may differ a little. */
const CLOCK_SKEW_MS = 60_000;
const SIGNATURE = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" };

/**
 * Makes a new consortium member: a P-384 key with a self-signed certificate and, if asked, the RSA-2048 pair that
 * recovery shares are encrypted to. Nothing is stored.
 * @param member.name becomes the certificate's common name.
 */
export async function createMemberIdentity(member: {
  name: string;
  validityDays: number;
  encryptionKey?: boolean;
}): Promise<MemberIdentity> {
  const signer = await selfSigned(member.name, member.validityDays);
  const encryption = member.encryptionKey ? await encryptionPair() : {};
  return { ...signer, memberId: memberIdOf(signer.certificate), ...encryption };
}

async function selfSigned(name: string, validityDays: number): Promise<MemberSigner> {
  // Costs a quarter of a second to load, and only who makes a certificate needs it.
  await import("reflect-metadata");
  const x509 = await import("@peculiar/x509");
  x509.cryptoProvider.set(webcrypto as Crypto);

  const keys = (await webcrypto.subtle.generateKey(SIGNATURE, true, ["sign", "verify"])) as CryptoKeyPair;
  const notBefore = new Date(Date.now() - CLOCK_SKEW_MS);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [name] }],
    keys,
    notBefore,
    notAfter: new Date(notBefore.getTime() + validityDays * DAY_MS),
    signingAlgorithm: SIGNATURE,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
  });
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { certificate: certificate.toString("pem"), privateKey: x509.PemConverter.encode(pkcs8, "PRIVATE KEY") };
}

async function encryptionPair(): Promise<{ encryptionPublicKey: string; encryptionPrivateKey: string }> {
  const pair = await promisify(generateKeyPair)("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  return { encryptionPublicKey: pair.publicKey, encryptionPrivateKey: pair.privateKey };
}
