/** A public key as the governance service lists it (RFC 7517). */
export interface SigningKey {
  readonly kid: string;
}

/**
 * The documents by which a relying party finds the keys of an issuer (OpenID Connect Discovery 1.0).
 * @param issuerUrl without a trailing slash.
 * @returns path below the issuer URL → JSON text.
 */
export function discoveryDocuments(issuerUrl: string, keys: readonly SigningKey[]): Record<string, string> {
  const jwksPath = "openid/v1/jwks";
  return {
    ".well-known/openid-configuration": JSON.stringify({
      issuer: issuerUrl,
      jwks_uri: `${issuerUrl}/${jwksPath}`,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      // The service signs with PS256 and announces RS256, as relying parties expect; they accept both.
      id_token_signing_alg_values_supported: ["RS256"],
    }),
    [jwksPath]: JSON.stringify({ keys }),
  };
}
