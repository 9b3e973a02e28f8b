import { changeCleanRoomPolicy } from "../../domain/governance/actions.ts";
import { cleanRoomClaims } from "../../domain/confidential/agent.ts";
import { measurementOf } from "../../domain/confidential/policy.ts";
import { DEFAULT_ATTESTATION_AUTHORITY as AUTHORITY, releasePolicy } from "../../domain/keys.ts";
import { provider } from "../../dynamic-providers/keyEncryptionKey.ts";
import { PERSONAS } from "../../sandbox/entra/directory.ts";
import { Resource, UNKNOWN } from "../support/engine.ts";
import { CONTRACT, Lab } from "../support/lab.ts";
import { vaultId, Vaults } from "../support/vaults.ts";

const MEASUREMENT = measurementOf("a clean room");
const NEXT = measurementOf("its next release");

let lab: Lab;
let vaults: Vaults;
let log: jest.SpyInstance;
beforeAll(async () => {
  log = jest.spyOn(console, "log").mockImplementation(() => undefined);
  lab = await Lab.start();
  vaults = await Vaults.start(lab, "northwind", "woodgrove");
  await lab.agree(changeCleanRoomPolicy(CONTRACT, "add", cleanRoomClaims(MEASUREMENT)));
});
afterAll(async () => {
  await vaults?.service.stop();
  await lab?.stop();
});

let count = 0;
const inputs = (change: object = {}) => ({
  vaultUri: vaults.uri("northwind"),
  keyName: `kek-${++count}`,
  authority: AUTHORITY,
  measurement: MEASUREMENT,
  consortium: lab.access,
  contractId: CONTRACT,
  ...change,
});
const resource = (): Resource => new Resource(provider, lab.config("northwind"));
const versions = (name: string) => vaults.enabled("keys", "northwind", name);
const inVault = (name: string) => vaults.keys("northwind").getKey(name);
/** The contract agrees to other measurements while something is done. */
async function whileAgreed(measurements: string[], act: () => Promise<void>): Promise<void> {
  const hostData = (values: string[]) => ({ "x-ms-sevsnpvm-hostdata": values });
  await lab.agree(
    changeCleanRoomPolicy(CONTRACT, "remove", hostData([MEASUREMENT])),
    changeCleanRoomPolicy(CONTRACT, "add", hostData(measurements)),
  );
  try {
    await act();
  } finally {
    await lab.agree(
      changeCleanRoomPolicy(CONTRACT, "remove", hostData(measurements)),
      changeCleanRoomPolicy(CONTRACT, "add", hostData([MEASUREMENT])),
    );
  }
}

describe("a key encryption key", () => {
  test("is made in the vault under the contract's measurement; then nothing changes any more", async () => {
    const key = resource();
    const wanted = inputs();
    expect(await key.up(wanted)).toBe("create");
    const { id, properties } = await inVault(wanted.keyName);
    expect(key.outputs).toMatchObject({ keyId: id, publicKey: { kty: "RSA" } });
    expect(JSON.parse(Buffer.from(properties.releasePolicy!.encodedPolicy!).toString())).toEqual(
      releasePolicy(AUTHORITY, MEASUREMENT),
    );
    expect(log).toHaveBeenLastCalledWith(
      `key ${wanted.keyName}: released only to code with measurement ${MEASUREMENT.slice(0, 12)}…`,
    );
    expect(await key.up(wanted)).toBe("same");
    expect(await key.refresh()).toBe("same");
    expect(await key.up(wanted)).toBe("same");
    expect(await versions(wanted.keyName)).toEqual([true]);
  });

  test("that was made before a crash is adopted, not made again", async () => {
    const key = resource();
    const wanted = inputs();
    await key.up(wanted);
    const { keyId } = key.outputs;
    await key.upAfterCrash(wanted);
    expect(key.outputs).toMatchObject({ keyId });
    expect(await versions(wanted.keyName)).toEqual([true]);
  });

  test("gets a new version when the contract agrees to a new measurement; the old one works until wrapped anew", async () => {
    const key = resource();
    const wanted = inputs();
    await key.up(wanted);
    const { keyId, publicKey } = key.outputs;
    await whileAgreed([NEXT], async () => {
      expect(await key.preview({ ...wanted, measurement: NEXT })).toBe("update");
      expect(await key.up({ ...wanted, measurement: NEXT })).toBe("update");
    });
    expect(key.outputs["keyId"]).not.toBe(keyId);
    expect(key.outputs["publicKey"]).not.toEqual(publicKey);
    expect(await versions(wanted.keyName)).toEqual([true, true]);
    expect(await key.refresh()).toBe("same");
  });

  test("gets a new version for another authority", async () => {
    const key = resource();
    const wanted = inputs();
    await key.up(wanted);
    const { keyId } = key.outputs;
    expect(await key.up({ ...wanted, authority: "https://other.attest.azure.net" })).toBe("update");
    expect(key.outputs["keyId"]).not.toBe(keyId);
  });

  test("only stores another way to reach the consortium", async () => {
    const key = resource();
    const wanted = inputs();
    await key.up(wanted);
    const { keyId } = key.outputs;
    expect(await key.up({ ...wanted, consortium: { ...lab.access, endpoint: "https://localhost:1" } })).toBe("update");
    expect(key.outputs).toMatchObject({ keyId, consortium: { endpoint: "https://localhost:1" } });
  });

  test("in another vault, or under another name, is another key; the old one is deleted", async () => {
    const key = resource();
    const wanted = inputs();
    await key.up(wanted);
    expect(await key.preview({ ...wanted, vaultUri: vaults.uri("woodgrove") })).toBe("replace");
    const next = inputs();
    expect(await key.up(next)).toBe("replace");
    expect(key.id).toBe(`${next.vaultUri}keys/${next.keyName}`);
    await expect(inVault(wanted.keyName)).rejects.toMatchObject({ statusCode: 404 });
  });

  test("is planned while measurement, vault or consortium are not known yet", async () => {
    const unknown = { vaultUri: UNKNOWN, measurement: UNKNOWN, consortium: UNKNOWN };
    const key = resource();
    expect(await key.preview(inputs(unknown))).toBe("create");
    const wanted = inputs();
    await key.up(wanted);
    expect(await key.preview({ ...wanted, measurement: UNKNOWN })).toBe("update");
    expect(await key.preview({ ...wanted, vaultUri: UNKNOWN })).toBe("replace");
  });

  test("is soft-deleted, as often as one likes, and recovered by the next create", async () => {
    const key = resource();
    const wanted = inputs();
    await key.up(wanted);
    const { keyId } = key.outputs;
    await key.destroy();
    await key.destroy();
    expect(await key.refresh()).toBe("gone");
    expect(await key.up(wanted)).toBe("create");
    expect(key.outputs["keyId"]).not.toBe(keyId);
    expect(await versions(wanted.keyName)).toHaveLength(2);
  });
});

describe("a key encryption key that somebody changed by hand", () => {
  const release = (policy: object) => ({ releasePolicy: { encodedPolicy: Buffer.from(JSON.stringify(policy)) } });
  const wider = { version: "1.0.0", anyOf: [{ authority: AUTHORITY, allOf: [{ claim: "x-ms-ver", equals: "1.0" }] }] };

  test.each([
    ["its release policy", release(wider)],
    ["the measurement in it", release(releasePolicy(AUTHORITY, NEXT))],
    ["what it may do", { keyOps: ["wrapKey", "unwrapKey"] }],
    ["that it is enabled", { enabled: false }],
    ["when it expires, to a time gone by", { expiresOn: new Date(Date.now() - 60_000) }],
  ])("(%s) drifts, stays so, and gets a new version as agreed", async (_, change) => {
    const key = resource();
    const wanted = inputs();
    await key.up(wanted);
    const { keyId } = key.outputs;
    await vaults.keys("northwind").updateKeyProperties(wanted.keyName, change);
    expect(await key.refresh()).toBe("drifted");
    expect(await key.refresh()).toBe("same");
    expect(await key.preview(wanted)).toBe("update");
    await key.up(wanted);
    expect(key.outputs["keyId"]).not.toBe(keyId);
    expect(await key.refresh()).toBe("same");
    expect(await key.preview(wanted)).toBe("same");
  });

  test("and back again needs no new version", async () => {
    const key = resource();
    const wanted = inputs();
    await key.up(wanted);
    const { keyId } = key.outputs;
    await vaults.keys("northwind").updateKeyProperties(wanted.keyName, { enabled: false });
    await key.refresh();
    await vaults.keys("northwind").updateKeyProperties(wanted.keyName, { enabled: true });
    await key.refresh();
    await key.up(wanted);
    expect(key.outputs["keyId"]).toBe(keyId);
  });

  test("of which there is a version by somebody else, is noticed by its id: what is wrapped for it is wrapped anew", async () => {
    const key = resource();
    const wanted = inputs();
    await key.up(wanted);
    const { id } = await vaults.keys("northwind").createKey(wanted.keyName, "RSA-HSM", {
      exportable: true,
      keyOps: ["wrapKey"],
      ...release(releasePolicy(AUTHORITY, MEASUREMENT)),
    });
    await key.refresh();
    expect(key.outputs["keyId"]).toBe(id);
  });
});

describe("no key is made", () => {
  const refused = async (change: object, message: string | RegExp): Promise<void> => {
    const wanted = inputs(change);
    await expect(resource().up(wanted)).rejects.toThrow(message);
    await expect(inVault(wanted.keyName)).rejects.toMatchObject({ statusCode: 404 });
  };

  test("for a measurement the contract has not agreed to", () =>
    refused(
      { measurement: NEXT },
      new RegExp(`is not bound to measurement ${NEXT}: contract ${CONTRACT} agreed to ${MEASUREMENT}\\.`),
    ));

  test("while the contract has agreed to another measurement as well", () =>
    whileAgreed([MEASUREMENT, NEXT], () => refused({}, `agreed to ${MEASUREMENT}, ${NEXT}`)));

  test("for a contract that has agreed to none", () =>
    refused({ contractId: "no-such-contract" }, /contract no-such-contract agreed to none/));

  test("while the consortium cannot be asked", () =>
    refused({ consortium: { ...lab.access, endpoint: "https://localhost:1" } }, /cannot be reached/));

  test("on behalf of somebody who is not its user", async () => {
    const key = new Resource(provider, lab.config("fabrikam"));
    await expect(key.up(inputs())).rejects.toThrow(/40[13]/);
  });
});

test("an existing key is not bound to what the contract has not agreed to", async () => {
  const key = resource();
  const wanted = inputs();
  await key.up(wanted);
  await expect(key.up({ ...wanted, measurement: NEXT })).rejects.toThrow(/is not bound to measurement/);
  expect(await versions(wanted.keyName)).toEqual([true]);
});

test("a role that arrives late is waited for", async () => {
  const wanted = inputs();
  const rows = vaults.access.rows;
  vaults.access.rows = [];
  setTimeout(() => (vaults.access.rows = rows), 300);
  await resource().up(wanted);
  expect(vaults.access.isAllowed(PERSONAS.northwind.objectId, { dataAction: "any" }, vaultId("northwind"))).toBe(true);
});
