import { X509Certificate } from "node:crypto";
import tls from "node:tls";
import { ENTRA_ROOTS } from "../domain/tokenIssuers.ts";

/** PEM of the roots Entra's endpoints chain to, and of those this machine was told to trust (`NODE_EXTRA_CA_CERTS`). */
export function trustedRoots(): string {
  const known = tls.getCACertificates("bundled").filter((pem) => ENTRA_ROOTS.includes(commonName(pem)));
  return [...known, ...tls.getCACertificates("extra")]
    .map((pem) => pem.trim())
    .sort()
    .join("\n");
}

function commonName(pem: string): string {
  return /^CN=(.*)$/m.exec(new X509Certificate(pem).subject)?.[1] ?? "";
}
