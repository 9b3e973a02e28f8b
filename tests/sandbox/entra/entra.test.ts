import fs from "node:fs";
import crypto from "node:crypto";
import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from "jose";
import type { CryptoKey as JoseKey } from "jose";
import type { Principal } from "../../../sandbox/contracts.ts";
import { PERSONAS } from "../../../sandbox/entra/directory.ts";
import { SandboxEntra } from "../../../sandbox/entra/index.ts";
import { listen, sendJson } from "../../../sandbox/listener.ts";
import type { Listener } from "../../../sandbox/listener.ts";
import { exchange, request, runScript, temporaryHost, userEnvironment, userToken } from "./support.ts";
import type { OpenHost } from "./support.ts";

const STORAGE = "https://storage.azure.com/.default";
const AUDIENCE = "api://AzureADTokenExchange";

const identity: Principal = {
  objectId: crypto.randomUUID(),
  clientId: crypto.randomUUID(),
  tenantId: PERSONAS.northwind.tenantId,
  kind: "managedIdentity",
  name: "clean-room",
};

let host: OpenHost;
let entra: SandboxEntra;

beforeAll(async () => {
  host = await temporaryHost();
  entra = new SandboxEntra(host);
  await entra.start();
});
afterAll(async () => {
  await entra.stop();
  host.close();
});

describe("metadata", () => {
  test.each(["common", "organizations", PERSONAS.woodgrove.tenantId])("of %s leads to the key set", async (tenant) => {
    const metadata = await getJson(`${entra.authority}/${tenant}/v2.0/.well-known/openid-configuration`);
    const { keys } = (await getJson(String(metadata.jwks_uri))) as { keys: Record<string, unknown>[] };
    expect(keys).toHaveLength(1);
    expect(keys[0]).toMatchObject({ kty: "RSA", use: "sig" });
    expect(keys[0]).not.toHaveProperty("issuer");
    const certificate = new crypto.X509Certificate(Buffer.from(String((keys[0]?.x5c as string[])[0]), "base64"));
    expect(certificate.publicKey.export({ format: "jwk" }).n).toBe(keys[0]?.n);
  });

  test("of an unknown tenant is refused", async () => {
    const answer = await request(
      host,
      `${entra.authority}/${crypto.randomUUID()}/v2.0/.well-known/openid-configuration`,
    );
    expect(answer.status).toBe(400);
    expect(answer.body.toString()).toMatch(/AADSTS90002/);
  });
});

describe("users", () => {
  test("get a token with the claims of Entra", async () => {
    const claims = decodeJwt(await userToken(host, entra, "woodgrove", STORAGE));
    const { tenantId, clientId, objectId, email, displayName } = PERSONAS.woodgrove;
    expect(claims).toMatchObject({
      iss: `${entra.authority}/${tenantId}/v2.0`,
      aud: "https://storage.azure.com",
      ver: "2.0",
      oid: objectId,
      tid: tenantId,
      azp: clientId,
      preferred_username: email,
      name: displayName,
    });
    expect(claims.exp! - claims.iat!).toBe(3600);
  });

  test("are proven by a file only its owner can read", () => {
    expect(fs.statSync(entra.federatedTokenFile).mode & 0o777).toBe(0o600);
  });

  test("cannot sign in with a forged proof, nor with an access token as proof", async () => {
    const genuine = fs.readFileSync(entra.federatedTokenFile, "utf8");
    const forged = `${genuine.slice(0, genuine.lastIndexOf("."))}.${Buffer.alloc(256, 1).toString("base64url")}`;
    for (const proof of [forged, await userToken(host, entra, "operator", STORAGE)]) {
      const { status, json } = await exchange(host, entra, PERSONAS.operator, proof, STORAGE);
      expect([status, json.error, json.error_codes]).toEqual([401, "invalid_client", [70021]]);
    }
  });

  test("of one tenant are unknown in another; unknown resources and scopes are refused", async () => {
    const proof = fs.readFileSync(entra.federatedTokenFile, "utf8");
    const elsewhere = { tenantId: PERSONAS.northwind.tenantId, clientId: PERSONAS.operator.clientId };
    expect((await exchange(host, entra, elsewhere, proof, STORAGE)).json.error_codes).toEqual([700016]);
    const resource = await exchange(host, entra, PERSONAS.operator, proof, "https://nobody.example/.default");
    expect([resource.json.error, resource.json.error_codes]).toEqual(["invalid_resource", [500011]]);
    const scope = await exchange(host, entra, PERSONAS.operator, proof, "https://storage.azure.com/user_impersonation");
    expect(scope.json.error).toBe("invalid_scope");
  });

  test("are signed in by the unmodified default credential chain", async () => {
    const script = `
      import { DefaultAzureCredential } from "@azure/identity";
      const credential = new DefaultAzureCredential({
        tenantId: process.env.AZURE_TENANT_ID, workloadIdentityClientId: process.env.AZURE_CLIENT_ID, disableInstanceDiscovery: true });
      console.log(JSON.stringify(await credential.getToken("https://management.azure.com/.default")));`;
    const token = (await runScript(host, script, userEnvironment(entra, "operator"))) as { token: string };
    expect(decodeJwt(token.token)).toMatchObject({
      oid: PERSONAS.operator.objectId,
      aud: "https://management.azure.com",
    });
  });
});

describe("verify", () => {
  test("accepts the sandbox's own tokens, with or without a trailing slash in the audience", async () => {
    const token = await userToken(host, entra, "northwind", STORAGE);
    const { objectId, tenantId, clientId } = PERSONAS.northwind;
    await expect(entra.verify(token, ["https://storage.azure.com/"])).resolves.toEqual({
      oid: objectId,
      tid: tenantId,
      appid: clientId,
      aud: "https://storage.azure.com",
    });
  });

  test("refuses another audience, another signer and an expired token", async () => {
    const token = await userToken(host, entra, "northwind", STORAGE);
    await expect(entra.verify(token, ["https://vault.azure.net"])).rejects.toThrow(/aud/);
    const stranger = await generateKeyPair("RS256");
    const forged = await new SignJWT(decodeJwt(token)).setProtectedHeader({ alg: "RS256" }).sign(stranger.privateKey);
    await expect(entra.verify(forged, ["https://storage.azure.com"])).rejects.toThrow(/signature/);
    jest.useFakeTimers({
      now: Date.now() + 3_601_000,
      doNotFake: ["setImmediate", "nextTick", "queueMicrotask", "setTimeout"],
    });
    try {
      await expect(entra.verify(token, ["https://storage.azure.com"])).rejects.toThrow(/exp/);
    } finally {
      jest.useRealTimers();
    }
  });
});

describe("federated credentials", () => {
  let issuer: Listener;
  let signer: { publicKey: JoseKey; privateKey: JoseKey };
  let announced: string;

  beforeAll(async () => {
    signer = await generateKeyPair("PS256", { modulusLength: 2048 });
    const jwk = { ...(await exportJWK(signer.publicKey)), kid: "k1", use: "sig", alg: "RS256" };
    issuer = await listen(host, "test-issuer", (incoming, response) => {
      if (incoming.url === "/site/.well-known/openid-configuration") {
        return sendJson(response, 200, { issuer: announced, jwks_uri: `${issuer.url}/site/openid/v1/jwks` });
      }
      return sendJson(response, incoming.url === "/site/openid/v1/jwks" ? 200 : 404, { keys: [jwk] });
    });
    announced = `${issuer.url}/site`;
    entra.addManagedIdentity(identity);
    entra.setFederatedCredentials(identity.objectId, [
      { name: "federation", issuer: announced, subject: "contract-owner", audiences: [AUDIENCE] },
    ]);
  });
  afterAll(() => issuer.close());

  const now = () => Math.floor(Date.now() / 1000);

  /** As CGS makes them: PS256, and every claim a string. */
  function assertion(claims: Record<string, unknown> = {}, key = signer.privateKey): Promise<string> {
    const all = {
      iss: announced,
      sub: "contract-owner",
      aud: AUDIENCE,
      iat: `${now()}`,
      nbf: `${now()}`,
      exp: `${now() + 300}`,
      ...claims,
    };
    return new SignJWT(all as never).setProtectedHeader({ alg: "PS256", typ: "JWT", kid: "k1" }).sign(key);
  }

  test("let a foreign token be exchanged for the identity's own", async () => {
    const { status, json } = await exchange(host, entra, identity, await assertion(), STORAGE);
    expect(status).toBe(200);
    expect(decodeJwt(String(json.access_token))).toMatchObject({
      oid: identity.objectId,
      tid: identity.tenantId,
      idtyp: "app",
    });
    expect(decodeJwt(String(json.access_token))).not.toHaveProperty("preferred_username");
  });

  test.each([
    ["issuer", { iss: "https://other.example" }, 700211],
    ["subject", { sub: "contract-somebody-else" }, 700213],
    ["audience", { aud: "api://other" }, 700212],
    ["time", { exp: "1000" }, 700024],
    ["start", { nbf: String(Math.floor(Date.now() / 1000) + 3600) }, 700024],
    ["expiry format", { exp: "soon" }, 50027],
  ])("refuse another %s", async (_name, claims, code) => {
    const { status, json } = await exchange(host, entra, identity, await assertion(claims), STORAGE);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(json.error_codes).toEqual([code]);
    expect(json).not.toHaveProperty("access_token");
  });

  test("refuse a signature by another key", async () => {
    const other = await generateKeyPair("PS256");
    const { json } = await exchange(host, entra, identity, await assertion({}, other.privateKey), STORAGE);
    expect(json.error_codes).toEqual([700027]);
  });

  test("refuse metadata that names another issuer", async () => {
    announced = `${issuer.url}/elsewhere`;
    const { json } = await exchange(host, entra, identity, await assertion({ iss: `${issuer.url}/site` }), STORAGE);
    announced = `${issuer.url}/site`;
    expect(json.error_codes).toEqual([50166]);
  });

  test("refuse an issuer that is not https, cannot be reached, or answers without end", async () => {
    const endless = await listen(host, "endless-issuer", (_incoming, response) => {
      response.writeHead(200);
      for (let index = 0; index < 3; index++) response.write("x".repeat(60 * 1024));
    });
    const closed = `https://127.0.0.1:${await host.port("nobody")}`;
    const other: Principal = { ...identity, objectId: crypto.randomUUID(), clientId: crypto.randomUUID() };
    entra.addManagedIdentity(other);
    for (const [url, reason] of [
      ["http://127.0.0.1:1/x", /is not https/],
      [closed, /ECONNREFUSED/],
      [endless.url, /larger than/],
    ] as const) {
      const credential = { name: "f", issuer: url, subject: "contract-owner", audiences: [AUDIENCE] };
      entra.setFederatedCredentials(other.objectId, [credential]);
      const { json } = await exchange(host, entra, other, await assertion({ iss: url }), STORAGE);
      expect([json.error_codes, json.error_description]).toEqual([[50166], expect.stringMatching(reason)]);
    }
    await endless.close();
  });

  test("do not let the users' proof in", async () => {
    const proof = fs.readFileSync(entra.federatedTokenFile, "utf8");
    expect((await exchange(host, entra, identity, proof, STORAGE)).json.error_codes).toEqual([700211]);
  });

  test("work with the unmodified client assertion credential, whose error names the code", async () => {
    const script = `
      import { ClientAssertionCredential } from "@azure/identity";
      const { tenantId, clientId, AZURE_AUTHORITY_HOST, good, bad } = process.env;
      const get = (assertion) => new ClientAssertionCredential(tenantId, clientId, async () => assertion,
        { authorityHost: AZURE_AUTHORITY_HOST, disableInstanceDiscovery: true }).getToken("https://vault.azure.net/.default");
      const refused = await get(bad).catch((error) => error.message);
      console.log(JSON.stringify({ token: (await get(good)).token, refused }));`;
    const result = (await runScript(host, script, {
      AZURE_AUTHORITY_HOST: entra.authority,
      tenantId: identity.tenantId,
      clientId: identity.clientId,
      good: await assertion(),
      bad: await assertion({ sub: "x" }),
    })) as { token: string; refused: string };
    expect(decodeJwt(result.token)).toMatchObject({ aud: "https://vault.azure.net", oid: identity.objectId });
    expect(result.refused).toMatch(/AADSTS700213/);
  });

  test("and the signing key survive a restart; a removed identity is gone", async () => {
    const before = await userToken(host, entra, "northwind", STORAGE);
    await entra.stop();
    entra = new SandboxEntra(host);
    await entra.start();
    await expect(entra.verify(before, ["https://storage.azure.com"])).resolves.toHaveProperty("oid");
    expect((await exchange(host, entra, identity, await assertion(), STORAGE)).status).toBe(200);
    entra.removeManagedIdentity(identity.objectId);
    expect((await exchange(host, entra, identity, await assertion(), STORAGE)).json.error_codes).toEqual([700016]);
    expect(entra.findByObjectId(identity.objectId)).toBeUndefined();
  });
});

async function getJson(url: string): Promise<Record<string, unknown>> {
  const answer = await request(host, url);
  expect(answer.status).toBe(200);
  return JSON.parse(answer.body.toString()) as Record<string, unknown>;
}
