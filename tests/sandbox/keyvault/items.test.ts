import { ItemStore, newVersion } from "../../../sandbox/keyvault/items.ts";
import type { ItemVersion, StoredItem } from "../../../sandbox/keyvault/items.ts";

const DAY_MS = 86_400_000;

const spec = () => ({
  id: "/vaults/v",
  name: "v",
  tenantId: "t",
  sku: "standard" as const,
  enableRbacAuthorization: true,
  enablePurgeProtection: true,
  softDeleteRetentionInDays: 7,
});

afterEach(() => jest.useRealTimers());

test("what was deleted is recoverable for as long as the vault retains it, then its name is free", () => {
  const start = Date.now();
  jest.useFakeTimers({ now: start });
  const items: Record<string, StoredItem<ItemVersion>> = {};
  const store = new ItemStore("secret", items, spec);
  store.add("name", newVersion());
  store.delete("name");
  jest.setSystemTime(start + 6 * DAY_MS);
  expect(() => store.add("name", newVersion())).toThrow(/deleted but recoverable/);
  expect(store.deleted()).toHaveLength(1);
  jest.setSystemTime(start + 8 * DAY_MS);
  expect(store.deleted()).toEqual([]);
  expect(() => store.recover("name")).toThrow(/was not found/);
  store.add("name", newVersion());
  expect(store.versions("name")).toHaveLength(1);
});

test("names are those Key Vault allows", () => {
  const store = new ItemStore("key", {}, spec);
  for (const name of ["a_b", "a/b", "", "a".repeat(128), "__proto__"]) {
    expect(() => store.add(name, newVersion())).toThrow(/invalid name/);
  }
});
