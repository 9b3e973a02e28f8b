import { provider } from "../../dynamic-providers/dataEncryptionKey.ts";
import { Resource } from "../support/engine.ts";

let said: jest.SpyInstance;
beforeEach(() => {
  said = jest.spyOn(console, "log").mockImplementation(() => undefined);
});
afterEach(() => {
  expect(said).not.toHaveBeenCalled();
  said.mockRestore();
});

const INPUTS = { dataset: "northwind-input", generation: 0 };
const resource = (): Resource => new Resource(provider, { get: () => undefined }, ["key"]);
const keyOf = (made: Resource): Buffer => Buffer.from(String(made.outputs["key"]), "base64");

describe("a data encryption key", () => {
  test("is 256 random bits; then nothing changes any more", async () => {
    const key = resource();
    expect(await key.up(INPUTS)).toBe("create");
    expect(keyOf(key)).toHaveLength(32);
    expect(key.id).toBe("northwind-input/0");
    const before = key.outputs["key"];
    expect(await key.up(INPUTS)).toBe("same");
    expect(await key.refresh()).toBe("same");
    expect(await key.up(INPUTS)).toBe("same");
    expect(key.outputs["key"]).toBe(before);
  });

  test("is another one each time: for another dataset, and after a crash", async () => {
    const [one, other, again] = [resource(), resource(), resource()];
    await one.up(INPUTS);
    await other.up({ ...INPUTS, dataset: "woodgrove-input" });
    await again.upAfterCrash(INPUTS);
    expect(new Set([one, other, again].map((key) => keyOf(key).toString("hex"))).size).toBe(3);
  });

  test.each([
    ["generation", { generation: 1 }],
    ["dataset", { dataset: "another" }],
  ])("is replaced by a new one for another %s", async (_, change) => {
    const key = resource();
    await key.up(INPUTS);
    const before = keyOf(key);
    expect(await key.preview({ ...INPUTS, ...change })).toBe("replace");
    expect(await key.up({ ...INPUTS, ...change })).toBe("replace");
    expect(keyOf(key)).toHaveLength(32);
    expect(keyOf(key).equals(before)).toBe(false);
  });

  test("exists nowhere but in the state: in no other property, and nothing is left to delete", async () => {
    const key = resource();
    await key.up(INPUTS);
    const { key: value, ...rest } = key.outputs;
    expect(JSON.stringify([rest, key.id, key.state!.inputs])).not.toContain(String(value));
    await key.destroy();
    await key.destroy();
  });
});
