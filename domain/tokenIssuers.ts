/** Where Entra signs people in when nothing else is said. */
export const PUBLIC_AUTHORITY = "https://login.microsoftonline.com";

/**
 * Issuers of the tokens users come with: the multi-tenant one of the sign-in authority and, in the public cloud, the
 * older form in which tokens for Azure itself are issued, which names the tenant.
 * @param authority sign-in authority, e.g. from `AZURE_AUTHORITY_HOST`.
 * @param tenants of the people who take part.
 */
export function tokenIssuers(authority: string, tenants: Iterable<string>): string[] {
  const host = authority.replace(/\/+$/, "");
  const common = `${host}/common/v2.0`;
  if (host !== PUBLIC_AUTHORITY) return [common];
  return [common, ...[...new Set(tenants)].sort().map((tenant) => `https://sts.windows.net/${tenant}/`)];
}

/** Roots Entra's sign-in endpoints chain to, by common name. */
export const ENTRA_ROOTS: readonly string[] = [
  "DigiCert Global Root CA",
  "DigiCert Global Root G2",
  "DigiCert Global Root G3",
  "Entrust Root Certification Authority - G2",
  "Microsoft ECC Root Certificate Authority 2017",
  "Microsoft RSA Root Certificate Authority 2017",
];
