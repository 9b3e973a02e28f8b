import type { JWTPayload } from "jose";
import { CcfError } from "./errors.ts";
import type { Transaction } from "./kv.ts";
import { sha256 } from "./artifacts.ts";
import type { IssuerKeys } from "./jwt.ts";
import { memberCertificates, userCertificates, userIdentities } from "./tables.ts";

export type AuthPolicy = "member_cert" | "user_cert" | "jwt" | "no_auth";

/** Who calls an application endpoint, by the first policy that succeeded; `none` where the endpoint has no policy. */
export type Caller =
  | { readonly policy: "member_cert" | "user_cert"; readonly id: string }
  | { readonly policy: "jwt"; readonly payload: JWTPayload }
  | { readonly policy: "no_auth" | "none" };

export interface Credentials {
  /** DER of the TLS client certificate. */
  readonly clientCertificate: Buffer | undefined;
  readonly authorization: string | undefined;
}

/** Tries the policies in their order; 401 with one detail a policy when none succeeds. */
export async function authenticate(
  policies: readonly AuthPolicy[],
  credentials: Credentials,
  tx: Transaction,
  issuers: IssuerKeys,
): Promise<Caller> {
  if (policies.length === 0) return { policy: "none" };
  const failures: { auth_policy: AuthPolicy; code: string; message: string }[] = [];
  for (const policy of policies) {
    try {
      return await attempt(policy, credentials, tx, issuers);
    } catch (error) {
      failures.push({ auth_policy: policy, code: "InvalidAuthenticationInfo", message: (error as Error).message });
    }
  }
  throw new CcfError(401, "InvalidAuthenticationInfo", "Invalid authentication credentials.", {
    details: failures,
    ...(policies.at(-1) === "jwt" && {
      headers: { "www-authenticate": 'Bearer realm="JWT bearer token access", error="invalid_token"' },
    }),
  });
}

async function attempt(
  policy: AuthPolicy,
  credentials: Credentials,
  tx: Transaction,
  issuers: IssuerKeys,
): Promise<Caller> {
  switch (policy) {
    case "no_auth":
      return { policy };
    case "jwt": {
      const token = /^Bearer (\S+)$/i.exec(credentials.authorization ?? "")?.[1];
      if (!token)
        throw new Error(
          credentials.authorization ? "Authorization header is not a bearer token" : "Missing Authorization header",
        );
      return { policy, payload: await issuers.verify(token) };
    }
    case "member_cert":
    case "user_cert": {
      const kind = policy === "member_cert" ? "member" : "user";
      if (!credentials.clientCertificate) throw new Error(`No caller ${kind} certificate`);
      const id = sha256(credentials.clientCertificate);
      if (!tx.has(policy === "member_cert" ? memberCertificates : userCertificates, id)) {
        throw new Error(`Could not find matching ${kind} certificate`);
      }
      return { policy, id };
    }
  }
}

/** Id under which CGS knows the caller. @throws when a token has no `oid` (500 on the wire). */
export function callerId(caller: Caller): string {
  if (caller.policy === "member_cert" || caller.policy === "user_cert") return caller.id;
  if (caller.policy === "jwt" && typeof caller.payload["oid"] === "string") return caller.payload["oid"];
  throw new Error("Caller ID is not available: the token has no oid claim");
}

/** CGS's `validateCallerAuthorized`: a token's user must be registered, and of the registered tenant. */
export function requireAuthorizedCaller(caller: Caller, tx: Transaction): void {
  if (caller.policy === "member_cert" || caller.policy === "user_cert") return;
  if (caller.policy !== "jwt") {
    throw new CcfError(400, "UnknownAuthenticationPolicy", `Unknown auth policy '${caller.policy}' for the caller.`);
  }
  const identity = tx.get(userIdentities, callerId(caller));
  if (!identity) throw new CcfError(403, "CallerNotAuthorized", "Caller is not authorized to invoke this endpoint.");
  if (caller.payload["tid"] !== identity.data.tenantId) {
    throw new CcfError(
      403,
      "CallerTenantNotAuthorized",
      "Caller's tenant ID is not authorized to invoke this endpoint.",
    );
  }
}
