import { CryptographyClient } from "@azure/keyvault-keys";
import { createPublicKey } from "node:crypto";
import tls from "node:tls";
import { azureCredential } from "../../clients/azure/credential.ts";
import { Vault } from "../../clients/keyvault/vault.ts";
import { measurementOf } from "../../domain/confidential/policy.ts";
import { DEFAULT_ATTESTATION_AUTHORITY, releasePolicy } from "../../domain/keys.ts";
import { SandboxAttestation } from "../../sandbox/attestation/index.ts";
import { PERSONAS } from "../../sandbox/entra/directory.ts";
import { SandboxEntra } from "../../sandbox/entra/index.ts";
import { temporaryHost, type OpenHost } from "../sandbox/entra/support.ts";
import { vaultId, Vaults, vaultSpec } from "../support/vaults.ts";

/* Against the sandbox's Key Vault, through the official SDKs as they are. */

const owner = PERSONAS.northwind;
const policyOf = (text: string) => releasePolicy(DEFAULT_ATTESTATION_AUTHORITY, measurementOf(text));
const POLICY = policyOf("a clean room");
const OTHER = policyOf("another clean room");
const READ_KEY = "Microsoft.KeyVault/vaults/keys/read";

let host: OpenHost;
let entra: SandboxEntra;
let vaults: Vaults;
let vault: Vault;
const trusted = tls.getCACertificates("default");

beforeAll(async () => {
  host = await temporaryHost();
  entra = new SandboxEntra(host);
  await entra.start();
  tls.setDefaultCACertificates([...trusted, host.caCertificate]);
  process.env["AZURE_AUTHORITY_HOST"] = entra.authority;
  process.env["AZURE_FEDERATED_TOKEN_FILE"] = entra.federatedTokenFile;
  vaults = await Vaults.start({ host, entra, attestation: new SandboxAttestation(host) }, "northwind");
  vault = new Vault(vaults.uri("northwind"), azureCredential(owner));
});
afterAll(async () => {
  await vaults?.service.stop();
  await entra?.stop();
  host?.close();
  tls.setDefaultCACertificates(trusted);
});

let count = 0;
const newName = (): string => `name-${++count}`;
const keyVersions = (name: string) => vaults.enabled("keys", "northwind", name);
const secretVersions = (name: string) => vaults.enabled("secrets", "northwind", name);

describe("a release key", () => {
  test("is an HSM key made in the vault: exportable under its policy, and good for wrapping only", async () => {
    const name = newName();
    const key = await vault.ensureReleaseKey(name, POLICY);
    expect(key).toMatchObject({ policy: POLICY, isIntact: true });
    expect(key.id).toMatch(new RegExp(`^${vaults.uri("northwind")}keys/${name}/[0-9a-f]{32}$`));
    expect(Object.keys(key.publicKey).sort()).toEqual(["e", "kty", "n"]);
    expect(createPublicKey({ key: key.publicKey, format: "jwk" }).asymmetricKeyDetails).toMatchObject({
      modulusLength: 2048,
    });
    const stored = await vaults.keys("northwind").getKey(name);
    expect(stored).toMatchObject({ keyType: "RSA-HSM", keyOperations: ["wrapKey"] });
    expect(stored.properties).toMatchObject({ exportable: true, releasePolicy: { immutable: false } });
    const cryptography = new CryptographyClient(stored.id!, azureCredential(owner), {
      disableChallengeResourceVerification: true,
    });
    const something = Buffer.alloc(256);
    await expect(cryptography.unwrapKey("RSA-OAEP-256", something)).rejects.toThrow("unwrapKey is not supported");
    await expect(cryptography.decrypt("RSA-OAEP-256", something)).rejects.toThrow("decrypt is not supported");
  });

  test("is adopted when it is there already", async () => {
    const name = newName();
    const { id } = await vault.ensureReleaseKey(name, POLICY);
    expect((await vault.ensureReleaseKey(name, POLICY)).id).toBe(id);
    expect((await vault.releaseKey(name))?.id).toBe(id);
    expect(await keyVersions(name)).toEqual([true]);
  });

  test("gets a new version for another policy; the old one works until it is switched off", async () => {
    const name = newName();
    const first = await vault.ensureReleaseKey(name, POLICY);
    const second = await vault.ensureReleaseKey(name, OTHER);
    expect(second.id).not.toBe(first.id);
    expect(second.publicKey).not.toEqual(first.publicKey);
    expect(await vault.releaseKey(name)).toEqual({ ...second, policy: OTHER });
    expect(await keyVersions(name)).toEqual([true, true]);
    await vault.disableOtherKeyVersions(name, second.id);
    await vault.disableOtherKeyVersions(name, second.id);
    expect(await keyVersions(name)).toEqual([false, true]);
  });

  test.each([
    ["is disabled", { enabled: false }],
    ["has expired", { expiresOn: new Date(Date.now() - 60_000) }],
    ["may do more than wrap", { keyOps: ["wrapKey", "unwrapKey"] }],
  ])("that %s is not intact, and is not adopted", async (_, change) => {
    const name = newName();
    const first = await vault.ensureReleaseKey(name, POLICY);
    await vaults.keys("northwind").updateKeyProperties(name, change);
    expect(await vault.releaseKey(name)).toMatchObject({ id: first.id, isIntact: false });
    const second = await vault.ensureReleaseKey(name, POLICY);
    expect(second.isIntact).toBe(true);
    expect(second.id).not.toBe(first.id);
  });

  test("of which somebody made a version without a policy gets one with it", async () => {
    const name = newName();
    await vaults.keys("northwind").createKey(name, "RSA");
    expect(await vault.releaseKey(name)).toMatchObject({ policy: {}, isIntact: false });
    expect(await vault.ensureReleaseKey(name, POLICY)).toMatchObject({ policy: POLICY, isIntact: true });
  });

  test("that was deleted is recovered, not an error; its old version is not trusted", async () => {
    const name = newName();
    const first = await vault.ensureReleaseKey(name, POLICY);
    await vault.deleteKey(name);
    expect(await vault.releaseKey(name)).toBeUndefined();
    const second = await vault.ensureReleaseKey(name, POLICY);
    expect(second.id).not.toBe(first.id);
    expect(await keyVersions(name)).toHaveLength(2);
  });

  test("can be deleted when it is gone", async () => {
    await vault.deleteKey(newName());
  });

  test("cannot be made in a vault that has no hardware: the service's reason is told", async () => {
    const { vaultUri } = await vaults.service.putVault(
      vaultSpec("northwind", { id: `${vaultId("northwind")}/plain`, name: "plain", sku: "standard" }),
    );
    await expect(new Vault(vaultUri, azureCredential(owner)).ensureReleaseKey("key", POLICY)).rejects.toThrow(
      /premium/,
    );
  });
});

describe("a secret", () => {
  test("is stored; a new version switches the older ones off", async () => {
    const name = newName();
    const first = await vault.putSecret(name, "one");
    const second = await vault.putSecret(name, "two");
    expect(second).not.toBe(first);
    expect(await vault.secret(name)).toEqual({ version: second, value: "two" });
    expect(await secretVersions(name)).toEqual([false, true]);
  });

  test("that was deleted is recovered, not an error", async () => {
    const name = newName();
    await vault.putSecret(name, "one");
    await vault.deleteSecret(name);
    await vault.deleteSecret(name);
    expect(await vault.secret(name)).toBeUndefined();
    await vault.putSecret(name, "two");
    expect((await vault.secret(name))?.value).toBe("two");
    expect(await secretVersions(name)).toEqual([false, true]);
  });

  test.each([
    ["disabled", { enabled: false }],
    ["expired", { expiresOn: new Date(Date.now() - 60_000) }],
    ["not yet valid", { notBefore: new Date(Date.now() + 3_600_000) }],
  ])("that is %s counts as missing, and is stored again", async (_, change) => {
    const name = newName();
    const version = await vault.putSecret(name, "one");
    await vaults.secrets("northwind").updateSecretProperties(name, version, change);
    expect(await vault.secret(name)).toBeUndefined();
    await vault.putSecret(name, "one");
    expect((await vault.secret(name))?.value).toBe("one");
  });
});

describe("roles", () => {
  const rowsOf = () => vaults.access.rows.filter(({ objectId }) => objectId === owner.objectId);
  /** Takes the owner's roles away and gives back what puts them there again. */
  function withoutRoles(): () => void {
    const rows = rowsOf();
    vaults.access.rows = vaults.access.rows.filter((row) => !rows.includes(row));
    return () => void vaults.access.rows.push(...rows);
  }

  test("that arrive late are waited for", async () => {
    const giveBack = withoutRoles();
    const ensured = vault.ensureReleaseKey(newName(), POLICY);
    setTimeout(giveBack, 500);
    await expect(ensured).resolves.toMatchObject({ isIntact: true });
  }, 15_000);

  test("that never arrive end in an error that names who lacks what", async () => {
    const giveBack = withoutRoles();
    const impatient = new Vault(vaults.uri("northwind"), azureCredential(owner), { roleDeadlineMs: 0 });
    const name = newName();
    await expect(impatient.ensureReleaseKey(name, POLICY).finally(giveBack)).rejects.toThrow(
      new RegExp(`not authorized.*oid=${owner.objectId}.*${READ_KEY}`, "s"),
    );
  });
});

test("a vault that is gone holds nothing and needs no deleting; one that does not answer stays an error", async () => {
  const gone = new Vault("https://no-such-vault.invalid/", { getToken: async () => null });
  const closed = new Vault(`https://localhost:${await host.port("nobody")}/`, azureCredential(owner));
  // Together: the SDK tries each of them for some seconds.
  await Promise.all([
    expect(gone.releaseKey("key")).resolves.toBeUndefined(),
    expect(gone.secret("secret")).resolves.toBeUndefined(),
    expect(gone.deleteKey("key")).resolves.toBeUndefined(),
    expect(gone.deleteSecret("secret")).resolves.toBeUndefined(),
    expect(closed.releaseKey("key")).rejects.toThrow(/ECONNREFUSED/),
    expect(closed.deleteSecret("secret")).rejects.toThrow(/ECONNREFUSED/),
  ]);
});
