/** What this program reads in an Entra token; the names are the token's own. */
export interface TokenClaims {
  readonly oid: string;
  readonly tid: string;
  readonly preferred_username?: string;
  /** Instead of `preferred_username` in version 1.0 tokens. */
  readonly upn?: string;
  readonly appid?: string;
  readonly exp?: number;
}

/**
 * Reads a token's claims WITHOUT verifying it: good for asking who one is oneself, never for deciding about others.
 * @throws when it is not a JWT with `oid` and `tid`.
 */
export function decodeClaims(token: string): TokenClaims {
  const claims = parsePayload(token);
  if (typeof claims?.oid !== "string" || typeof claims.tid !== "string") {
    throw new Error(
      "The access token does not say who it is for (claims oid and tid): sign in with a work, school or Microsoft account.",
    );
  }
  return claims as unknown as TokenClaims;
}

function parsePayload(token: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8")) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
