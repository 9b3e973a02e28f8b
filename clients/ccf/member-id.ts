import { createHash, X509Certificate } from "node:crypto";

/** A member's id: lower-case hex SHA-256 of the certificate's DER form. */
export function memberIdOf(certificatePem: string): string {
  return createHash("sha256").update(new X509Certificate(certificatePem).raw).digest("hex");
}
