import crypto from "node:crypto";
import { requireAttestedCaller, wrap } from "../attestation.ts";
import { CcfError, ok, type CcfReply } from "../errors.ts";
import type { Table } from "../kv.ts";
import {
  memberInfos,
  memberTenantIssuers,
  oidcIssuer,
  oidcKeys,
  SETTING,
  signing,
  signingKeys,
  userInfos,
  userTenantIssuers,
  type KeySwitch,
  type SigningKey,
} from "../tables.ts";
import { idOf, param, read, write, type AppContext, type AppRoute } from "./route.ts";

const REQUIRED_TOKEN_PARAMETERS = ["exp", "iat", "jti", "sub", "tid", "aud"];
const PSS = { padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };

export const oidcRoutes: readonly AppRoute[] = [
  read("GET", "/oidc/.well-known/openid-configuration", "", discovery),
  read("GET", "/oidc/keys", "", publicKeys),
  write("POST", "/oidc/generateSigningKey", "M", (context) =>
    generateKey(context, oidcIssuer, oidcKeys, "OidcIssuerNotEnabled"),
  ),
  write("POST", "/oidc/setIssuerUrl", "MUJ", setIssuerUrl),
  read("POST", "/oidc/issuerInfo", "MUJ", issuerInfo, { forwarding: "always" }),
  read("POST", "/contracts/{contractId}/oauth/token", "", issueToken),
];

export const signingRoutes: readonly AppRoute[] = [
  write("POST", "/signing/generateSigningKey", "M", (context) =>
    generateKey(context, signing, signingKeys, "SigningNotEnabled"),
  ),
  read(
    "POST",
    "/signing/info",
    "MUJ",
    ({ tx }) =>
      ok({ enabled: tx.has(signing, SETTING), publicKeyPem: tx.get(signingKeys, SETTING)?.publicKeyPem ?? "" }),
    { forwarding: "always" },
  ),
  read("POST", "/contracts/{contractId}/signing/sign", "", signPayload),
];

function discovery({ tx }: AppContext): CcfReply {
  const issuer = tx.get(oidcIssuer, SETTING)?.issuerUrl ?? "{placeholder}";
  return ok({
    issuer,
    jwks_uri: `${issuer}/keys`,
    response_types_supported: ["id_token"],
    id_token_signing_alg_values_supported: ["RS256"],
  });
}

function publicKeys(context: AppContext): CcfReply {
  const { kid, publicKeyPem } = requireKey(context, oidcKeys);
  const { e, n } = crypto.createPublicKey(publicKeyPem).export({ format: "jwk" });
  return ok({ keys: [{ alg: "RS256", use: "sig", kty: "RSA", kid, e, n }] });
}

/** Makes an RSA-2048 key once for every request id that governance hands out. */
function generateKey(context: AppContext, of: Table<KeySwitch>, into: Table<SigningKey>, notEnabled: string): CcfReply {
  const settings = context.tx.get(of, SETTING);
  if (!settings)
    throw new CcfError(405, notEnabled, "Signing key cannot be generated as it has not been enabled by a proposal.");
  const { reqId } = settings;
  const kid = `${settings.kid}-${reqId}`;
  if (context.tx.get(into, SETTING)?.reqId !== reqId) {
    const pair = crypto.generateKeyPairSync("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    context.tx.put(into, SETTING, { reqId, kid, privateKeyPem: pair.privateKey, publicKeyPem: pair.publicKey });
  }
  return ok({ reqId, kid });
}

function setIssuerUrl(context: AppContext): CcfReply {
  const { url } = context.body();
  const parsed = typeof url === "string" ? URL.parse(url) : null;
  if (!parsed || !["http:", "https:"].includes(parsed.protocol))
    throw new CcfError(400, "InvalidUrl", "Url must be a valid http(s) URL.");
  const tenantId = tenantOf(context);
  if (!tenantId) throw new CcfError(400, "NoTenantId", "Tenant ID has not been set for the caller.");
  context.tx.put(tenantIssuers(context), tenantId, { issuerUrl: url as string });
  return ok();
}

function issuerInfo(context: AppContext): CcfReply {
  const settings = context.tx.get(oidcIssuer, SETTING);
  const tenantId = tenantOf(context);
  const tenant = tenantId === undefined ? undefined : context.tx.get(tenantIssuers(context), tenantId);
  return ok({
    enabled: settings !== undefined,
    ...(settings?.issuerUrl && { issuerUrl: settings.issuerUrl }),
    ...(tenant && { tenantData: { tenantId, issuerUrl: tenant.issuerUrl } }),
  });
}

const tenantIssuers = ({ caller }: AppContext) =>
  caller.policy === "member_cert" ? memberTenantIssuers : userTenantIssuers;

function tenantOf(context: AppContext): string | undefined {
  const { caller, tx } = context;
  if (caller.policy === "jwt") return caller.payload["tid"] as string | undefined;
  const data =
    caller.policy === "member_cert"
      ? tx.get(memberInfos, idOf(context))?.member_data
      : tx.get(userInfos, idOf(context))?.user_data;
  return data?.["tenantId"] as string | undefined;
}

/** A token for a federated credential. All its claims are strings, because they come from the query. */
function issueToken(context: AppContext): CcfReply {
  const { tx, query } = context;
  const publicKey = requireAttestedCaller(context, param(context, "contractId"), context.body(), [
    { delegateType: "oauth-federation-subjects", delegateId: query.get("sub") ?? "" },
  ]);
  for (const name of REQUIRED_TOKEN_PARAMETERS) {
    if (!query.get(name))
      throw new CcfError(400, "InvalidInput", `Value for ${name} '${query.get(name) ?? "undefined"}' is invalid.`);
  }
  const tid = query.get("tid") as string;
  const iss =
    query.get("iss") ||
    tx.get(memberTenantIssuers, tid)?.issuerUrl ||
    tx.get(userTenantIssuers, tid)?.issuerUrl ||
    tx.get(oidcIssuer, SETTING)?.issuerUrl;
  if (!iss) throw new CcfError(405, "IssuerUrlNotSet", "Issuer url has not been configured.");
  const key = requireKey(context, oidcKeys);
  const text = (name: string) => query.get(name) ?? undefined;
  const claims = {
    aud: text("aud"),
    exp: text("exp"),
    iss,
    jti: text("jti"),
    nbf: text("nbf"),
    sub: text("sub"),
    iat: text("iat"),
  };
  return ok({ value: wrap(publicKey, ps256(key, claims)) });
}

function ps256(key: SigningKey, claims: object): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const signed = `${encode({ alg: "PS256", typ: "JWT", kid: key.kid })}.${encode(claims)}`;
  return `${signed}.${crypto.sign("sha256", Buffer.from(signed), { key: key.privateKeyPem, ...PSS }).toString("base64url")}`;
}

function signPayload(context: AppContext): CcfReply {
  const body = context.body();
  const publicKey = requireAttestedCaller(context, param(context, "contractId"), body, [
    { delegateType: "podpolicies", delegateId: "admin" },
  ]);
  const { payload } = body;
  if (!payload) throw new CcfError(400, "PayloadMissing", "Payload must be supplied.");
  if (typeof payload !== "string" || !/^[A-Za-z0-9+/]+={0,2}$/.test(payload))
    throw new CcfError(400, "PayloadInvalid", "Payload must be base64.");
  const key = requireKey(context, signingKeys);
  const signature = crypto.sign("sha256", Buffer.from(payload, "base64"), { key: key.privateKeyPem, ...PSS });
  return ok({ value: wrap(publicKey, signature.toString("base64")) });
}

function requireKey({ tx }: AppContext, from: Table<SigningKey>): SigningKey {
  const key = tx.get(from, SETTING);
  if (!key)
    throw new CcfError(
      405,
      "SigningKeyNotAvailable",
      "Propose enable action and generate signing key before attempting to fetch it.",
    );
  return key;
}
