import crypto from "node:crypto";
import fs from "node:fs";
import { SandboxAttestation, runtimeReportData } from "../../../sandbox/attestation/index.ts";
import type { VaultSpec } from "../../../sandbox/contracts.ts";
import { PERSONAS } from "../../../sandbox/entra/directory.ts";
import { SandboxEntra } from "../../../sandbox/entra/index.ts";
import { SandboxKeyVault } from "../../../sandbox/keyvault/index.ts";
import { AccessTable, bytesBelow } from "../blob/support.ts";
import { request, runScript, temporaryHost, userEnvironment, userToken } from "../entra/support.ts";
import type { OpenHost } from "../entra/support.ts";

const VAULT_SCOPE = "https://vault.azure.net/.default";
const VERSION = "api-version=2025-07-01";
const AUTHORITY = "https://attest.example";
const owner = PERSONAS.northwind.objectId;
const hostData = crypto.createHash("sha256").update("policy").digest("hex");

const spec: VaultSpec = {
  id: "/subscriptions/0/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/northwindkv",
  name: "northwindkv",
  tenantId: PERSONAS.northwind.tenantId,
  sku: "premium",
  enableRbacAuthorization: true,
  enablePurgeProtection: false,
  softDeleteRetentionInDays: 90,
};

let host: OpenHost;
let entra: SandboxEntra;
let attestation: SandboxAttestation;
let access: AccessTable;
let vaults: SandboxKeyVault;
let vaultUri: string;
let token: string;

beforeAll(async () => {
  host = await temporaryHost();
  entra = new SandboxEntra(host);
  attestation = new SandboxAttestation(host);
  access = new AccessTable();
  vaults = new SandboxKeyVault(host, entra, access, attestation);
  await Promise.all([entra.start(), vaults.start()]);
  access.grant(owner, spec.id);
  ({ vaultUri } = await vaults.putVault(spec));
  token = await userToken(host, entra, "northwind", VAULT_SCOPE);
});
afterAll(async () => {
  await vaults.stop();
  await entra.stop();
  host.close();
});

interface VaultAnswer {
  status: number;
  // The shapes differ by operation; tests state what they expect.

  json: any;
  headers: Record<string, string | undefined>;
}

async function call(
  method: string,
  target: string,
  body?: unknown,
  bearer: string | undefined = token,
): Promise<VaultAnswer> {
  const separator = target.includes("?") ? "&" : "?";
  const answer = await request(
    host,
    target.startsWith("https:") ? target : `${vaultUri}${target}${separator}${VERSION}`,
    {
      method,
      headers: {
        ...(bearer !== "" && { authorization: `Bearer ${bearer}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    },
  );
  const text = answer.body.toString();
  return { status: answer.status, json: text === "" ? undefined : JSON.parse(text), headers: answer.headers };
}

function releasePolicy(claims: Record<string, unknown> = { "x-ms-sevsnpvm-hostdata": hostData }, immutable = false) {
  const allOf = Object.entries(claims).map(([claim, equals]) => ({ claim, equals }));
  const policy = { version: "1.0.0", anyOf: [{ authority: AUTHORITY, allOf }] };
  return { data: Buffer.from(JSON.stringify(policy)).toString("base64url"), immutable };
}

const exportableKey = (policy = releasePolicy()) => ({
  kty: "RSA-HSM",
  key_size: 2048,
  key_ops: ["encrypt", "wrapKey"],
  attributes: { exportable: true },
  release_policy: policy,
});

test("the unmodified SDKs, signed in by the default credential chain, manage keys and secrets", async () => {
  const script = `
    import { DefaultAzureCredential } from "@azure/identity";
    import { KeyClient, CryptographyClient } from "@azure/keyvault-keys";
    import { SecretClient } from "@azure/keyvault-secrets";
    import crypto from "node:crypto";
    const credential = new DefaultAzureCredential({ disableInstanceDiscovery: true });
    const options = { disableChallengeResourceVerification: true };
    const keys = new KeyClient(process.env.vaultUri, credential, options);
    const secrets = new SecretClient(process.env.vaultUri, credential, options);
    const result = {};
    const policy = { version: "1.0.0", anyOf: [{ authority: "https://a.example", allOf: [{ claim: "c", equals: "v" }] }] };
    const key = await keys.createRsaKey("sdk-kek", { hsm: true, keySize: 2048, exportable: true, keyOps: ["encrypt", "wrapKey"],
      releasePolicy: { encodedPolicy: Buffer.from(JSON.stringify(policy)) }, tags: { dataset: "d" } });
    result.kek = [key.keyType, key.properties.exportable, JSON.parse(Buffer.from(key.properties.releasePolicy.encodedPolicy)).version, key.properties.tags];
    const ec = await keys.createEcKey("sdk-member", { curve: "P-384" });
    const digest = crypto.createHash("sha384").update("message").digest();
    const { result: signature } = await new CryptographyClient(ec, credential, options).sign("ES384", digest);
    const publicKey = crypto.createPublicKey({ key: { kty: "EC", crv: ec.key.crv, x: Buffer.from(ec.key.x).toString("base64url"), y: Buffer.from(ec.key.y).toString("base64url") }, format: "jwk" });
    result.signed = crypto.verify("sha384", Buffer.from("message"), { key: publicKey, dsaEncoding: "ieee-p1363" }, signature);
    const rsa = await keys.createKey("sdk-rsa", "RSA");
    const rsaCrypto = new CryptographyClient(rsa, credential, options);
    const wrapped = await rsaCrypto.wrapKey("RSA-OAEP-256", Buffer.from("dek"));
    result.unwrapped = Buffer.from((await rsaCrypto.unwrapKey("RSA-OAEP-256", wrapped.result)).result).toString();
    const signedByRsa = await rsaCrypto.sign("RS256", crypto.createHash("sha256").update("m").digest());
    result.rsaVerified = (await rsaCrypto.verify("RS256", crypto.createHash("sha256").update("m").digest(), signedByRsa.result)).result;
    const imported = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
    const jwk = Object.fromEntries(Object.entries(imported).map(([k, v]) => [k, k === "kty" ? v : Buffer.from(v, "base64url")]));
    result.imported = (await keys.importKey("sdk-imported", { ...jwk, kty: "RSA-HSM", keyOps: ["wrapKey"] }, { exportable: true,
      releasePolicy: { encodedPolicy: Buffer.from(JSON.stringify(policy)) } })).keyOperations;
    await keys.updateKeyProperties("sdk-rsa", "", { enabled: false });
    result.disabled = (await keys.getKey("sdk-rsa")).properties.enabled;
    await (await keys.beginDeleteKey("sdk-rsa")).pollUntilDone();
    await (await keys.beginRecoverDeletedKey("sdk-rsa")).pollUntilDone();
    await (await keys.beginDeleteKey("sdk-rsa")).pollUntilDone();
    await keys.purgeDeletedKey("sdk-rsa");
    result.purged = await keys.getKey("sdk-rsa").catch((error) => error.code);
    await secrets.setSecret("wrapped-dek", "one", { contentType: "text/plain", tags: { a: "b" } });
    await secrets.setSecret("wrapped-dek", "two");
    result.secret = (await secrets.getSecret("wrapped-dek")).value;
    const versions = [];
    for await (const version of secrets.listPropertiesOfSecretVersions("wrapped-dek")) versions.push(version);
    result.first = (await secrets.getSecret("wrapped-dek", { version: versions[0].version })).value;
    await secrets.updateSecretProperties("wrapped-dek", versions[1].version, { enabled: false });
    result.disabledSecret = await secrets.getSecret("wrapped-dek").catch((error) => [error.statusCode, error.code]);
    for (let index = 0; index < 30; index++) await secrets.setSecret("many-" + index, "x");
    let count = 0;
    for await (const _ of secrets.listPropertiesOfSecrets()) count++;
    result.count = count;
    await (await secrets.beginDeleteSecret("wrapped-dek")).pollUntilDone();
    result.reuse = await secrets.setSecret("wrapped-dek", "x").catch((error) => [error.statusCode, error.code]);
    await (await secrets.beginRecoverDeletedSecret("wrapped-dek")).pollUntilDone();
    result.recovered = (await secrets.getSecret("wrapped-dek", { version: versions[0].version })).value;
    console.log(JSON.stringify(result));`;
  expect(await runScript(host, script, { ...userEnvironment(entra, "northwind"), vaultUri })).toEqual({
    kek: ["RSA-HSM", true, "1.0.0", { dataset: "d" }],
    signed: true,
    unwrapped: "dek",
    rsaVerified: true,
    imported: ["wrapKey"],
    disabled: false,
    purged: "KeyNotFound",
    secret: "two",
    first: "one",
    disabledSecret: [403, "Forbidden"],
    count: 31,
    reuse: [409, "Conflict"],
    recovered: "one",
  });
}, 20_000);

describe("a token", () => {
  test("is asked for with the tenant and the resource", async () => {
    const { status, headers } = await call("GET", "keys", undefined, "");
    expect(status).toBe(401);
    expect(headers["www-authenticate"]).toBe(
      `Bearer authorization="${entra.authority}/${spec.tenantId}", resource="https://vault.azure.net"`,
    );
  });

  test("of another audience, tenant or signer is refused", async () => {
    const [header, payload] = token.split(".");
    const { privateKey } = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
    const forged = crypto.sign("sha256", Buffer.from(`${header}.${payload}`), privateKey).toString("base64url");
    const tokens = [
      await userToken(host, entra, "northwind", "https://storage.azure.com/.default"),
      await userToken(host, entra, "woodgrove", VAULT_SCOPE),
      `${header}.${payload}.${forged}`,
    ];
    for (const bearer of tokens) expect((await call("GET", "keys", undefined, bearer)).status).toBe(401);
  });
});

describe("role assignments decide", () => {
  test("by operation and by single key or secret", async () => {
    await call("POST", "keys/one/create", { kty: "RSA" });
    await call("POST", "keys/two/create", { kty: "RSA" });
    await call("PUT", "secrets/one", { value: "v" });
    const before = access.rows;
    access.rows = [
      { objectId: owner, operation: "Microsoft.KeyVault/vaults/keys/read", scope: `${spec.id}/keys/one` },
      {
        objectId: owner,
        operation: "Microsoft.KeyVault/vaults/secrets/getSecret/action",
        scope: `${spec.id}/secrets/one`,
      },
    ];
    const answers = await Promise.all([
      call("GET", "keys/one"),
      call("GET", "keys/two"),
      call("GET", "keys"),
      call("DELETE", "keys/one"),
      call("GET", "secrets/one"),
      call("PUT", "secrets/one", { value: "w" }),
    ]);
    access.rows = before;
    expect(answers.map(({ status }) => status)).toEqual([200, 403, 403, 403, 200, 403]);
    expect(answers[1]?.json.error).toMatchObject({ code: "Forbidden", innererror: { code: "ForbiddenByRbac" } });
    expect(answers[1]?.json.error.message).toContain(`oid=${owner}`);
  });

  test("and nothing else does: without RBAC the vault lets nobody in", async () => {
    await vaults.putVault({ ...spec, enableRbacAuthorization: false });
    const { status, json } = await call("GET", "keys/one");
    await vaults.putVault(spec);
    expect([status, json.error.innererror.code]).toEqual([403, "ForbiddenByPolicy"]);
  });
});

describe("keys", () => {
  test("do only what their key_ops name, and nothing while disabled or out of time", async () => {
    await call("POST", "keys/ops/create", { kty: "RSA", key_ops: ["wrapKey"] });
    const { key } = (await call("GET", "keys/ops")).json;
    const version = key.kid.split("/").at(-1);
    const value = Buffer.alloc(32, 7).toString("base64url");
    const use = (operation: string, alg: string) => call("POST", `keys/ops/${version}/${operation}`, { alg, value });
    const inner = async (answer: Promise<VaultAnswer>) => {
      const { status, json } = await answer;
      return [status, json.error?.innererror?.code];
    };
    expect((await use("wrapkey", "RSA-OAEP-256")).status).toBe(200);
    expect(await inner(use("sign", "RS256"))).toEqual([403, "KeyOperationForbidden"]);
    await call("PATCH", `keys/ops/${version}`, { attributes: { enabled: false } });
    expect(await inner(use("wrapkey", "RSA-OAEP-256"))).toEqual([403, "KeyDisabled"]);
    await call("PATCH", `keys/ops/${version}`, { attributes: { enabled: true, exp: 1000 } });
    expect(await inner(use("wrapkey", "RSA-OAEP-256"))).toEqual([403, "KeyExpired"]);
  });

  test("are exportable only with a release policy, protected by HSM, in a premium vault", async () => {
    const message = async (body: unknown) => {
      const { status, json } = await call("POST", "keys/refused/create", body);
      return [status, json.error.code, json.error.message].join(" ");
    };
    expect(await message({ ...exportableKey(), release_policy: undefined })).toMatch(
      /400 BadParameter.*release policy/,
    );
    expect(await message({ ...exportableKey(), attributes: {} })).toMatch(/exportable if and only if/);
    expect(await message({ ...exportableKey(), kty: "RSA" })).toMatch(/HSM protected/);
    expect(await message({ ...exportableKey(), release_policy: { data: "e30" } })).toMatch(/version must be "1.0.0"/);
    expect(await message({ kty: "RSA", key_size: 1024 })).toMatch(/2048, 3072, 4096/);
    expect(await message({ kty: "oct" })).toMatch(/invalid value 'oct'/);
    await vaults.putVault({ ...spec, sku: "standard" });
    const standard = await message(exportableKey());
    await vaults.putVault(spec);
    expect(standard).toMatch(/premium SKU/);
    expect((await call("GET", "keys/refused")).json.error.code).toBe("KeyNotFound");
  });

  test("never show their private half", async () => {
    await call("POST", "keys/private/create", { kty: "RSA" });
    expect(Object.keys((await call("GET", "keys/private")).json.key).sort()).toEqual([
      "e",
      "key_ops",
      "kid",
      "kty",
      "n",
    ]);
  });

  test("keep an immutable release policy, and let a mutable one change", async () => {
    await call("POST", "keys/fixed/create", exportableKey(releasePolicy(undefined, true)));
    await call("POST", "keys/free/create", exportableKey());
    const changed = { release_policy: releasePolicy({ "x-ms-sevsnpvm-hostdata": "0".repeat(64) }) };
    expect((await call("PATCH", "keys/fixed/", changed)).status).toBe(400);
    const free = await call("PATCH", "keys/free/", changed);
    expect([free.status, free.json.release_policy.data]).toEqual([200, changed.release_policy.data]);
  });

  test("rotate to a new version under the same rules", async () => {
    const first = (await call("POST", "keys/turn/create", exportableKey())).json;
    const second = (await call("POST", "keys/turn/rotate", {})).json;
    expect(second.key.kid).not.toBe(first.key.kid);
    expect(second.key.n).not.toBe(first.key.n);
    expect(second.release_policy.data).toBe(first.release_policy.data);
    expect((await call("GET", "keys/turn/versions")).json.value).toHaveLength(2);
  });
});

describe("release", () => {
  const runtime = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
  const runtimeKey = runtime.publicKey.export({ format: "jwk" }) as JsonWebKey;

  const attest = (measured = hostData, authority = AUTHORITY) =>
    attestation.attest(
      attestation.quote({ hostData: measured, reportData: runtimeReportData(runtimeKey) }),
      runtimeKey,
      authority,
    );

  function unwrap(jws: string, oaepHash: string): crypto.KeyObject {
    const payload = JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString());
    const envelope = JSON.parse(Buffer.from(payload.response.key.key.key_hsm, "base64url").toString());
    const ciphertext = Buffer.from(envelope.ciphertext, "base64url");
    const padding = crypto.constants.RSA_PKCS1_OAEP_PADDING;
    const aes = crypto.privateDecrypt({ key: runtime.privateKey, padding, oaepHash }, ciphertext.subarray(0, 256));
    const unwrapper = crypto.createDecipheriv("id-aes256-wrap-pad", aes, Buffer.from("A65959A6", "hex"));
    const pkcs8 = Buffer.concat([unwrapper.update(ciphertext.subarray(256)), unwrapper.final()]);
    return crypto.createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  }

  test.each([
    [undefined, "sha1"],
    ["RSA_AES_KEY_WRAP_256", "sha256"],
  ])("gives the key to the environment the policy names (envelope %s)", async (enc, hash) => {
    await call("POST", "keys/kek/create", exportableKey());
    const { n } = (await call("GET", "keys/kek")).json.key;
    const { status, json } = await call("POST", "keys/kek/release", { target: await attest(), nonce: "42", enc });
    expect(status).toBe(200);
    expect(unwrap(json.value, hash).export({ format: "jwk" }).n).toBe(n);
    const payload = JSON.parse(Buffer.from(json.value.split(".")[1], "base64url").toString());
    expect(payload.request).toMatchObject({ nonce: "42" });
  });

  test.each([
    ["other host data", async () => attest("f".repeat(64)), "ReleasePolicyNotMet"],
    ["another authority", async () => attest(hostData, "https://other.example"), "ReleasePolicyNotMet"],
    ["a broken token", async () => (await attest()).slice(0, -4), "AttestationInvalid"],
    ["no token", async () => undefined, "AttestationInvalid"],
  ])("is refused with %s", async (_name, target, code) => {
    await call("POST", "keys/guarded/create", exportableKey());
    const { status, json } = await call("POST", "keys/guarded/release", { target: await target() });
    expect([status, json.error.innererror.code]).toEqual([403, code]);
    expect(json).not.toHaveProperty("value");
  });

  test("evaluates nested claims, booleans written as text, and alternatives", async () => {
    const condition = (claim: string, equals: unknown) => ({ claim, equals });
    const policy = {
      version: "1.0.0",
      anyOf: [
        { authority: "https://nobody.example", allOf: [condition("x-ms-ver", "1.0")] },
        {
          authority: `${AUTHORITY}/`,
          allOf: [
            condition("x-ms-sevsnpvm-is-debuggable", "false"),
            {
              anyOf: [
                condition("x-ms-runtime.absent", "x"),
                condition("x-ms-compliance-status", "azure-compliant-uvm"),
              ],
            },
          ],
        },
      ],
    };
    const data = Buffer.from(JSON.stringify(policy)).toString("base64url");
    await call("POST", "keys/nested/create", exportableKey({ data, immutable: false }));
    expect((await call("POST", "keys/nested/release", { target: await attest() })).status).toBe(200);
  });

  test("needs an exportable, enabled key and the permission", async () => {
    await call("POST", "keys/plain/create", { kty: "RSA" });
    expect((await call("POST", "keys/plain/release", { target: await attest() })).json.error.innererror.code).toBe(
      "KeyNotExportable",
    );
    await call("POST", "keys/off/create", exportableKey());
    await call("PATCH", "keys/off/", { attributes: { enabled: false } });
    expect((await call("POST", "keys/off/release", { target: await attest() })).json.error.innererror.code).toBe(
      "KeyDisabled",
    );
    const before = access.rows;
    access.rows = [{ objectId: owner, operation: "Microsoft.KeyVault/vaults/keys/read", scope: spec.id }];
    const denied = await call("POST", "keys/kek/release", { target: await attest() });
    access.rows = before;
    expect(denied.json.error.innererror.code).toBe("ForbiddenByRbac");
  });
});

describe("deletion", () => {
  test("can be undone but, under purge protection, not made final; nor can the protection be switched off", async () => {
    const protectedSpec = {
      ...spec,
      id: `${spec.id}2`,
      name: "protected",
      enablePurgeProtection: true,
      softDeleteRetentionInDays: 7,
    };
    access.grant(owner, protectedSpec.id);
    const { vaultUri: uri } = await vaults.putVault(protectedSpec);
    const at = (method: string, path: string, body?: unknown) => call(method, `${uri}${path}?${VERSION}`, body);
    const created = await at("PUT", "secrets/s", { value: "v" });
    expect(created.json.attributes).toMatchObject({ recoveryLevel: "CustomizedRecoverable", recoverableDays: 7 });
    await at("DELETE", "secrets/s");
    expect((await at("GET", "secrets/s/")).json.error.code).toBe("SecretNotFound");
    expect((await at("DELETE", "deletedsecrets/s")).status).toBe(403);
    expect((await at("POST", "deletedsecrets/s/recover")).status).toBe(200);
    await expect(vaults.putVault({ ...protectedSpec, enablePurgeProtection: false })).rejects.toThrow(
      /cannot be disabled/,
    );
  });

  test("of a vault closes it and keeps its content", async () => {
    await call("PUT", "secrets/kept", { value: "still here" });
    await vaults.deleteVault(spec.name);
    await expect(call("GET", "secrets/kept/")).rejects.toThrow(/ECONNREFUSED/);
    expect((await vaults.putVault(spec)).vaultUri).toBe(vaultUri);
    expect((await call("GET", "secrets/kept/")).json.value).toBe("still here");
  });
});

test("content survives a restart; the state folder shows neither private keys nor secrets", async () => {
  await call("PUT", "secrets/hidden", { value: "plain-text-of-a-secret" });
  const { n } = (await call("POST", "keys/durable/create", { kty: "RSA" })).json.key;
  await vaults.stop();
  vaults = new SandboxKeyVault(host, entra, access, attestation);
  await vaults.start();
  expect((await call("GET", "keys/durable")).json.key.n).toBe(n);
  expect((await call("GET", "secrets/hidden/")).json.value).toBe("plain-text-of-a-secret");
  const folder = `${host.stateDir}/vaults`;
  expect(bytesBelow(folder).includes("plain-text-of-a-secret")).toBe(false);
  expect(bytesBelow(folder).toString()).not.toMatch(/PRIVATE KEY|"d":/);
  for (const file of fs.readdirSync(folder)) expect(fs.statSync(`${folder}/${file}`).mode & 0o777).toBe(0o600);
});
