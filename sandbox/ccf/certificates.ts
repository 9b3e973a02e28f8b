import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import crypto, { webcrypto } from "node:crypto";
import net from "node:net";

/** Key pairs of CCF and of the contract CA are on P-384. */
const P384 = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" } as const;
const DAY_MS = 86_400_000;

export interface KeyedCertificate {
  readonly privateKeyPem: string;
  readonly certificatePem: string;
}

/** @returns a self-signed certificate authority, e.g. the service identity of a network or the CA of a contract. */
export async function createAuthority(commonName: string, validityDays: number): Promise<KeyedCertificate> {
  x509.cryptoProvider.set(webcrypto as Crypto);
  const keys = (await webcrypto.subtle.generateKey(P384, true, ["sign", "verify"])) as CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [commonName] }],
    keys,
    ...validity(validityDays),
    signingAlgorithm: P384,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { privateKeyPem: await exportPrivateKey(keys.privateKey), certificatePem: certificate.toString("pem") };
}

export interface CertificateRequest {
  readonly publicKeyPem: string;
  readonly commonName: string;
  /** DNS names or IP addresses. */
  readonly alternativeNames: readonly string[];
  readonly validityDays: number;
}

/** @returns PEM of an end-entity certificate for TLS servers and clients, signed by the authority. */
export async function endorse(authority: KeyedCertificate, request: CertificateRequest): Promise<string> {
  x509.cryptoProvider.set(webcrypto as Crypto);
  const issuer = new x509.X509Certificate(authority.certificatePem);
  const signingKey = await webcrypto.subtle.importKey(
    "pkcs8",
    derOf(crypto.createPrivateKey(authority.privateKeyPem)),
    P384,
    false,
    ["sign"],
  );
  const alternativeNames = request.alternativeNames.map((value): x509.JsonGeneralName => ({
    type: net.isIP(value) ? "ip" : "dns",
    value,
  }));
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ CN: [request.commonName] }],
    issuer: issuer.subjectName.toJSON(),
    publicKey: new x509.PublicKey(crypto.createPublicKey(request.publicKeyPem).export({ type: "spki", format: "der" })),
    signingKey: signingKey as CryptoKey,
    ...validity(request.validityDays),
    signingAlgorithm: P384,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      ...(alternativeNames.length > 0 ? [new x509.SubjectAlternativeNameExtension(alternativeNames)] : []),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return certificate.toString("pem");
}

/** A P-384 key pair in PEM (PKCS#8, SPKI). */
export function generateP384(): { privateKeyPem: string; publicKeyPem: string } {
  const { privateKey, publicKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-384" });
  return {
    privateKeyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicKeyPem: publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const notBefore = new Date(Date.now() - 60_000);
  return { notBefore, notAfter: new Date(notBefore.getTime() + days * DAY_MS) };
}

async function exportPrivateKey(key: CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}

function derOf(key: crypto.KeyObject): Buffer<ArrayBuffer> {
  return Buffer.from(key.export({ type: "pkcs8", format: "der" }));
}
