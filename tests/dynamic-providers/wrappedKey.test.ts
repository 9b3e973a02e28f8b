import { randomBytes } from "node:crypto";
import { inspect } from "node:util";
import { azureCredential } from "../../clients/azure/credential.ts";
import { Vault } from "../../clients/keyvault/vault.ts";
import { measurementOf } from "../../domain/confidential/policy.ts";
import { DEFAULT_ATTESTATION_AUTHORITY, releasePolicy } from "../../domain/keys.ts";
import { provider } from "../../dynamic-providers/wrappedKey.ts";
import { PERSONAS } from "../../sandbox/entra/directory.ts";
import { Resource, UNKNOWN } from "../support/engine.ts";
import { Lab } from "../support/lab.ts";
import { Vaults } from "../support/vaults.ts";

const CLEAN_ROOM = "a clean room";
const NEXT_CLEAN_ROOM = "its next release";

let lab: Lab;
let vaults: Vaults;
let vault: Vault;
let log: jest.SpyInstance;
beforeAll(async () => {
  log = jest.spyOn(console, "log").mockImplementation(() => undefined);
  lab = await Lab.signedIn();
  vaults = await Vaults.start(lab, "northwind", "woodgrove");
  vault = new Vault(vaults.uri("northwind"), azureCredential(PERSONAS.northwind));
});
afterAll(async () => {
  await vaults?.service.stop();
  await lab?.stop();
});

interface Wanted {
  vaultUri: string;
  secretName: string;
  key: string;
  keyEncryptionKey: { keyName: string; keyId: string; publicKey: object };
  stored: true;
}

let count = 0;
async function keyEncryptionKey(keyName: string, cleanRoom = CLEAN_ROOM): Promise<Wanted["keyEncryptionKey"]> {
  const policy = releasePolicy(DEFAULT_ATTESTATION_AUTHORITY, measurementOf(cleanRoom));
  const { id, publicKey } = await vault.ensureReleaseKey(keyName, policy);
  return { keyName, keyId: id, publicKey };
}
async function inputs(change: Partial<Wanted> = {}): Promise<Wanted> {
  const keyName = `kek-${++count}`;
  return {
    vaultUri: vaults.uri("northwind"),
    secretName: `wrapped-${keyName}`,
    key: newKey(),
    keyEncryptionKey: await keyEncryptionKey(keyName),
    stored: true,
    ...change,
  };
}
const newKey = (): string => randomBytes(32).toString("base64");
const resource = (): Resource => new Resource(provider, lab.config("northwind"), ["key"]);
const inVault = (name: string) => vaults.secrets("northwind").getSecret(name);
const unwrapped = async ({ secretName, keyEncryptionKey: { keyName } }: Wanted, cleanRoom = CLEAN_ROOM) =>
  (await vaults.unwrap("northwind", { key: keyName, secret: secretName }, cleanRoom)).toString("base64");
const versionsOf = async ({ secretName, keyEncryptionKey: { keyName } }: Wanted) => ({
  secrets: await vaults.enabled("secrets", "northwind", secretName),
  keys: await vaults.enabled("keys", "northwind", keyName),
});

describe("a wrapped key", () => {
  test("is stored as the clean room can unwrap it; then nothing changes any more", async () => {
    const wrapped = resource();
    const wanted = await inputs();
    expect(await wrapped.up(wanted)).toBe("create");
    expect(await unwrapped(wanted)).toBe(wanted.key);
    const { value, properties } = await inVault(wanted.secretName);
    expect(value).toMatch(/^[A-Za-z0-9+/]{342}==$/);
    expect(properties.contentType).toBeUndefined();
    expect(wrapped.outputs).toMatchObject({ version: properties.version });
    expect(await wrapped.up(wanted)).toBe("same");
    expect(await wrapped.refresh()).toBe("same");
    expect(await wrapped.up(wanted)).toBe("same");
  });

  test("is given to no other clean room", async () => {
    const wanted = await inputs();
    await resource().up(wanted);
    await expect(unwrapped(wanted, "another clean room")).rejects.toThrow(/does not meet the key release policy/);
  });

  test("is stored again after a crash; only the newest version is good", async () => {
    const wrapped = resource();
    const wanted = await inputs();
    await wrapped.up(wanted);
    await wrapped.upAfterCrash(wanted);
    expect(await unwrapped(wanted)).toBe(wanted.key);
    expect(await versionsOf(wanted)).toEqual({ secrets: [false, true], keys: [true] });
  });

  test("follows a new data key", async () => {
    const wrapped = resource();
    const wanted = await inputs();
    await wrapped.up(wanted);
    const next = { ...wanted, key: newKey() };
    expect(await wrapped.preview(next)).toBe("update");
    expect(await wrapped.up(next)).toBe("update");
    expect(await unwrapped(wanted)).toBe(next.key);
    expect(await versionsOf(wanted)).toEqual({ secrets: [false, true], keys: [true] });
  });

  test("is wrapped again for a clean room's next release; until then the present one works, afterwards only the next", async () => {
    const wrapped = resource();
    const wanted = await inputs();
    await wrapped.up(wanted);
    const rebound = await keyEncryptionKey(wanted.keyEncryptionKey.keyName, NEXT_CLEAN_ROOM);
    expect(await versionsOf(wanted)).toEqual({ secrets: [true], keys: [true, true] });

    expect(await wrapped.up({ ...wanted, keyEncryptionKey: rebound })).toBe("update");
    expect(await versionsOf(wanted)).toEqual({ secrets: [false, true], keys: [false, true] });
    expect(await unwrapped(wanted, NEXT_CLEAN_ROOM)).toBe(wanted.key);
    await expect(unwrapped(wanted)).rejects.toThrow(/does not meet the key release policy/);
  });

  test("in another vault, or under another name, is another secret; the old one is deleted", async () => {
    const wrapped = resource();
    const wanted = await inputs();
    await wrapped.up(wanted);
    expect(await wrapped.preview({ ...wanted, vaultUri: vaults.uri("woodgrove") })).toBe("replace");
    expect(await wrapped.up({ ...wanted, secretName: `${wanted.secretName}-b` })).toBe("replace");
    await expect(inVault(wanted.secretName)).rejects.toMatchObject({ statusCode: 404 });
    expect(await unwrapped({ ...wanted, secretName: `${wanted.secretName}-b` })).toBe(wanted.key);
  });

  test("is planned while the keys are not known yet", async () => {
    const wanted = await inputs();
    const unknown = { ...wanted, key: UNKNOWN, keyEncryptionKey: UNKNOWN };
    const wrapped = resource();
    expect(await wrapped.preview(unknown)).toBe("create");
    await wrapped.up(wanted);
    expect(await wrapped.preview(unknown)).toBe("update");
    expect(await wrapped.preview({ ...wanted, vaultUri: UNKNOWN })).toBe("replace");
  });

  test("is soft-deleted, as often as one likes, and recovered by the next create", async () => {
    const wrapped = resource();
    const wanted = await inputs();
    await wrapped.up(wanted);
    await wrapped.destroy();
    await wrapped.destroy();
    expect(await wrapped.refresh()).toBe("gone");
    expect(await wrapped.up(wanted)).toBe("create");
    expect(await unwrapped(wanted)).toBe(wanted.key);
    expect((await versionsOf(wanted)).secrets).toEqual([false, true]);
  });
});

describe("a wrapped key that somebody changed by hand", () => {
  test("drifts, also at the second look, and is stored again", async () => {
    const wrapped = resource();
    const wanted = await inputs();
    await wrapped.up(wanted);
    await vaults.secrets("northwind").setSecret(wanted.secretName, "something else");
    expect(await wrapped.refresh()).toBe("drifted");
    expect(await wrapped.refresh()).toBe("same");
    expect(await wrapped.preview(wanted)).toBe("update");
    await wrapped.up(wanted);
    expect(await unwrapped(wanted)).toBe(wanted.key);
    expect((await versionsOf(wanted)).secrets).toEqual([false, false, true]);
    expect(await wrapped.refresh()).toBe("same");
    expect(await wrapped.preview(wanted)).toBe("same");
  });

  test("and back again is as wanted", async () => {
    const wrapped = resource();
    const wanted = await inputs();
    await wrapped.up(wanted);
    const { value } = await inVault(wanted.secretName);
    await vaults.secrets("northwind").setSecret(wanted.secretName, "something else");
    await wrapped.refresh();
    await vaults.secrets("northwind").setSecret(wanted.secretName, value!);
    await wrapped.refresh();
    expect(await wrapped.preview(wanted)).toBe("same");
  });

  test.each([
    ["disabled", { enabled: false }],
    ["expired", { expiresOn: new Date(Date.now() - 60_000) }],
  ])("is gone when it is %s, and comes back", async (_, change) => {
    const wrapped = resource();
    const wanted = await inputs();
    await wrapped.up(wanted);
    await vaults.secrets("northwind").updateSecretProperties(wanted.secretName, "", change);
    expect(await wrapped.refresh()).toBe("gone");
    expect(await wrapped.up(wanted)).toBe("create");
    expect(await unwrapped(wanted)).toBe(wanted.key);
  });
});

describe("the data key is told to nobody", () => {
  const forms = (key: string): string[] => {
    const bytes = Buffer.from(key, "base64");
    return [key, bytes.toString("hex"), bytes.toString("base64url"), bytes.toString("latin1")];
  };

  test("in outputs, progress or the vault", async () => {
    const wrapped = resource();
    const wanted = await inputs();
    await wrapped.up(wanted);
    const { key: _, ...outputs } = wrapped.outputs;
    const { value } = await inVault(wanted.secretName);
    const seen = inspect([outputs, wrapped.id, log.mock.calls, value], { depth: 9, maxStringLength: null });
    for (const form of forms(wanted.key)) expect(seen).not.toContain(form);
    expect(log).toHaveBeenLastCalledWith(`secret ${wanted.secretName}: holds the data encryption key, wrapped`);
  });

  test.each([
    ["the vault refuses the name", { secretName: "not a name" }],
    [
      "the wrapping key is none",
      { keyEncryptionKey: { keyName: "k", keyId: "k", publicKey: { kty: "RSA", n: "", e: "" } } },
    ],
    [
      "the wrapping key is too short",
      { keyEncryptionKey: { keyName: "k", keyId: "k", publicKey: { kty: "RSA", n: "AQAB", e: "AQAB" } } },
    ],
  ])("in an error, when %s", async (_, change) => {
    const wanted = await inputs(change);
    const error = await resource()
      .up(wanted)
      .then(
        () => undefined,
        (reason: unknown) => reason,
      );
    expect(error).toHaveProperty("message");
    const text = inspect(error, { depth: 9, showHidden: true, maxStringLength: null });
    for (const form of forms(wanted.key)) expect(text).not.toContain(form);
  });
});
