import crypto from "node:crypto";
import https from "node:https";
import { createIdentity, type Answer } from "./client.ts";
import { acceptContract, deployCgs, startNetwork, TestIssuer, type Network } from "./fixture.ts";
import { openSandboxHost } from "../../../sandbox/host.ts";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const code = (answer: Answer) => [answer.status, answer.json?.error?.code];

describe("users with tokens", () => {
  let network: Network;
  let issuer: TestIssuer;
  const claims = { oid: "oid-north", tid: "tenant-n", preferred_username: "north@example.com" };

  const registerIssuer = (bundleName: string, certBundle: string) =>
    network.client.pass(
      [network.operator],
      { name: "set_ca_cert_bundle", args: { name: bundleName, cert_bundle: certBundle } },
      { name: "set_jwt_issuer", args: { issuer: issuer.url, auto_refresh: true, ca_cert_bundle_name: bundleName } },
    );

  beforeAll(async () => {
    network = await startNetwork(1);
    issuer = new TestIssuer(network.host.tls);
    await Promise.all([deployCgs(network), issuer.start()]);
    await acceptContract(network, "c1");
  });
  afterAll(async () => {
    await issuer.stop();
    await network.close();
  });

  test("are unknown while the issuer's certificate is not signed by the registered bundle", async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "other "));
    const other = await openSandboxHost(folder);
    await registerIssuer("roots", other.caCertificate);
    other.close();
    fs.rmSync(folder, { recursive: true, force: true });
    expect(code(await network.client.call("GET", "/app/contracts", { token: await issuer.token(claims) }))).toEqual([
      401,
      "InvalidAuthenticationInfo",
    ]);
  });

  test("are recognised with keys fetched from the issuer, and then need an identity", async () => {
    const { client } = network;
    await registerIssuer("roots", network.host.caCertificate);
    const call = async (token: string) => code(await client.call("GET", "/app/contracts", { token }));
    expect(await call(await issuer.token(claims))).toEqual([403, "CallerNotAuthorized"]);
    expect(await call(await issuer.token(claims, { expiresIn: -5 }))).toEqual([401, "InvalidAuthenticationInfo"]);
    const [header, , signature] = (await issuer.token(claims)).split(".");
    const forged = [
      header,
      Buffer.from(JSON.stringify({ ...claims, iss: issuer.url, exp: 9e9 })).toString("base64url"),
      signature,
    ].join(".");
    expect(await call(forged)).toEqual([401, "InvalidAuthenticationInfo"]);
    expect(await call(await issuer.token({ tid: "tenant-n" }))).toEqual([500, "InternalError"]);
    const status = await client.call("POST", "/app/contracts/c1/ca/status", { token: await issuer.token(claims) });
    expect(status.json).toEqual({ enabled: false, proposalIds: [] });
  });

  test("are invited by claims, accept, and are finalised by the members", async () => {
    const { client, members } = network;
    const member = members[0]!;
    const path = "/app/users/invitations/inv1";
    await client.pass(members, {
      name: "set_user_invitation_by_jwt_claims",
      args: {
        invitationId: "inv1",
        type: "add",
        accountType: "microsoft",
        claims: { preferred_username: ["north@example.com"] },
      },
    });
    expect(
      code(await client.call("POST", "/app/users/invitations/nope/accept", { token: await issuer.token(claims) })),
    ).toEqual([404, "InvitationNotFound"]);
    expect(
      code(await client.call("POST", `${path}/accept`, { token: await issuer.token({ ...claims, oid: undefined }) })),
    ).toEqual([404, "OidClaimMissing"]);
    expect(
      code(await client.call("POST", `${path}/accept`, { token: await issuer.token({ oid: "x", tid: "t" }) })),
    ).toEqual([403, "TokenClaimMissing"]);
    const capital = await issuer.token({ ...claims, preferred_username: "North@example.com" });
    expect(code(await client.call("POST", `${path}/accept`, { token: capital }))).toEqual([403, "TokenClaimMismatch"]);
    expect((await client.call("POST", path, { member })).json).toEqual({
      invitationId: "inv1",
      accountType: "microsoft",
      claims: { preferred_username: ["north@example.com"] },
      status: "Open",
    });
    const token = await issuer.token(claims);
    expect(await client.call("POST", `${path}/accept`, { token })).toMatchObject({ status: 200, text: "" });
    expect(code(await client.call("POST", `${path}/accept`, { token }))).toEqual([409, "InvitationNotOpen"]);
    expect((await client.call("POST", path, { token })).json).toMatchObject({
      status: "Accepted",
      userInfo: { userId: "oid-north", data: { tenantId: "tenant-n" } },
    });

    await client.pass(members, {
      name: "set_user_identity",
      args: {
        id: "oid-north",
        accountType: "microsoft",
        invitationId: "inv1",
        data: { tenantId: "tenant-n", identifier: "north@example.com" },
      },
    });
    expect((await client.call("GET", "/app/users/invitations", { member })).json.value[0].status).toBe("Finalized");
    expect((await client.call("POST", "/app/users/identities/self/status", { token })).json).toEqual({ active: true });
    expect((await client.call("POST", "/app/users/identities/oid-north", { token })).json).toEqual({
      id: "oid-north",
      accountType: "microsoft",
      invitationId: "inv1",
      data: { tenantId: "tenant-n", identifier: "north@example.com" },
    });
    expect(code(await client.call("POST", "/app/users/identities/nobody", { member }))).toEqual([
      404,
      "UserIdentityNotFound",
    ]);
    const foreignTenant = await issuer.token({ ...claims, tid: "tenant-w" });
    expect(code(await client.call("GET", "/app/contracts", { token: foreignTenant }))).toEqual([
      403,
      "CallerTenantNotAuthorized",
    ]);
  });

  test("set the issuer of their tenant", async () => {
    const { client, members } = network;
    const token = await issuer.token(claims);
    expect(code(await client.call("POST", "/app/oidc/setIssuerUrl", { token, body: { url: "ftp://x" } }))).toEqual([
      400,
      "InvalidUrl",
    ]);
    expect(
      (await client.call("POST", "/app/oidc/setIssuerUrl", { token, body: { url: "https://north.example/oidc" } }))
        .status,
    ).toBe(200);
    expect((await client.call("POST", "/app/oidc/issuerInfo", { token })).json).toEqual({
      enabled: false,
      tenantData: { tenantId: "tenant-n", issuerUrl: "https://north.example/oidc" },
    });
    expect((await client.call("POST", "/app/oidc/issuerInfo", { member: members[0]! })).json).toEqual({
      enabled: false,
    });
  });

  test("may also be known by certificate", async () => {
    const { client, members } = network;
    const user = await createIdentity("user");
    expect((await client.call("GET", "/app/contracts", { member: user })).status).toBe(401);
    await client.pass(members, { name: "set_user", args: { cert: user.cert } });
    expect((await client.call("GET", "/app/contracts", { member: user })).json.value).toEqual([{ id: "c1" }]);
    expect(code(await client.call("PUT", "/app/contracts/c9", { member: user, body: { data: "x" } }))).toEqual([
      401,
      "InvalidAuthenticationInfo",
    ]);
    expect(
      code(await client.call("POST", "/app/oidc/setIssuerUrl", { member: user, body: { url: "https://x" } })),
    ).toEqual([400, "NoTenantId"]);
  });

  test("a certificate counts on a resumed TLS session too", async () => {
    const { client, members } = network;
    const { key, cert } = members[0]!;
    const agent = new https.Agent({ ca: client.ca, key, cert });
    const status = () =>
      new Promise((resolve, reject) => {
        https
          .get({ host: "localhost", port: client.port, path: "/app/contracts", agent }, (response) =>
            resolve(response.resume().statusCode),
          )
          .on("error", reject);
      });
    for (let call = 0; call < 3; call++) expect(await status()).toBe(200);
    agent.destroy();
  });

  test("a rotated key is fetched when a token names it", async () => {
    const { client } = network;
    await new Promise((resolve) => setTimeout(resolve, 2100));
    issuer.rotate("key-2");
    expect((await client.call("GET", "/app/contracts", { token: await issuer.token(claims) })).status).toBe(200);
  });

  test("keys bound to an issuer refuse tokens that name a tenant, unless the issuer is Entra", async () => {
    const { client, operator, members } = network;
    issuer.rotate("key-3");
    issuer.extra = { issuer: issuer.url };
    await client.pass([operator], {
      name: "set_jwt_issuer",
      args: { issuer: issuer.url, auto_refresh: true, ca_cert_bundle_name: "roots" },
    });
    const outcome = async (token: string) => code(await client.call("GET", "/app/contracts", { token }));
    expect(await outcome(await issuer.token(claims))).toEqual([401, "InvalidAuthenticationInfo"]);
    expect(await outcome(await issuer.token({ oid: "oid-north" }))).toEqual([403, "CallerTenantNotAuthorized"]);
    await client.pass(members, { name: "remove_user_identity", args: { id: "oid-north" } });
    expect(await outcome(await issuer.token({ oid: "oid-north" }))).toEqual([403, "CallerNotAuthorized"]);
  });

  test("keys can be registered by hand, as certificates", async () => {
    const { client, operator, members } = network;
    const { privateKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
    const der = (await selfSigned(privateKey)).toString("base64");
    const jwks = { keys: [{ kty: "EC", kid: "by-hand", x5c: [der] }] };
    await client.pass([operator], { name: "set_jwt_issuer", args: { issuer: "https://by-hand" } });
    await client.pass(members, { name: "set_jwt_public_signing_keys", args: { issuer: "https://by-hand", jwks } });
    await client.pass(members, {
      name: "set_user_identity",
      args: { id: "oid-w", accountType: "microsoft", data: { tenantId: "t-w" } },
    });
    const token = es256(privateKey, {
      iss: "anything",
      exp: Math.floor(Date.now() / 1000) + 60,
      oid: "oid-w",
      tid: "t-w",
    });
    expect((await client.call("POST", "/app/users/identities/self/status", { token })).json).toEqual({ active: true });
    await client.pass([operator], { name: "remove_jwt_issuer", args: { issuer: "https://by-hand" } });
    expect((await client.call("POST", "/app/users/identities/self/status", { token })).status).toBe(401);
  });
});

function es256(key: crypto.KeyObject, payload: object): string {
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
  const signed = `${encode({ alg: "ES256", kid: "by-hand" })}.${encode(payload)}`;
  return `${signed}.${crypto.sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

async function selfSigned(key: crypto.KeyObject): Promise<Buffer> {
  const x509 = await import("@peculiar/x509");
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const pkcs8 = Buffer.from(key.export({ type: "pkcs8", format: "der" }));
  const spki = Buffer.from(
    crypto.createPublicKey(key as unknown as crypto.KeyLike).export({ type: "spki", format: "der" }),
  );
  const { subtle } = crypto.webcrypto;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=issuer",
    keys: {
      privateKey: (await subtle.importKey("pkcs8", pkcs8, algorithm, true, ["sign"])) as CryptoKey,
      publicKey: (await subtle.importKey("spki", spki, algorithm, true, ["verify"])) as CryptoKey,
    },
    signingAlgorithm: algorithm,
  });
  return Buffer.from(certificate.rawData);
}
