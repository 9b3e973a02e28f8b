import { RESOURCE_TYPES } from "../../sandbox/azure/resources/index.ts";
import { check } from "./support/cloud.ts";
import { deploy, type Declared } from "./support/program.ts";
import { tell, type Story } from "./support/story.ts";
import { copy, isObject, plain, type Values } from "./support/values.ts";

let story: Story;
beforeAll(async () => (story = await tell()));

/** One of each azure-native type that the program declares. */
function azureTypes(): Declared[] {
  const resources = story.all.flatMap((deployment) => deployment.resources);
  const azure = resources.filter(({ type }) => type.startsWith("azure-native:"));
  return [...new Map(azure.map((resource) => [resource.type, resource])).values()];
}

test("every azure-native input, in every state of the stacks, is what Azure's published models allow", async () => {
  for (const { failures } of story.all) expect(failures).toEqual([]);
  const prepared = await deploy("operator", {
    config: { resourceGroup: "prepared", oidcStorageAccount: "prepared", tags: { a: "b" } },
  });
  expect(prepared.failures).toEqual([]);
});

test("the sandbox knows every type the program declares", () => {
  const types = azureTypes().map(({ type }) => type);
  expect(types.length).toBeGreaterThan(10);
  expect(types.filter((type) => !RESOURCE_TYPES.some(({ token }) => token === type))).toEqual([]);
});

test("a property that the models do not have is refused, wherever there is an object", async () => {
  let checked = 0;
  for (const { type, name, inputs } of azureTypes()) {
    const { model } = RESOURCE_TYPES.find(({ token }) => token === type)!;
    // A type without a model is known to azure-native alone: there is nothing to hold it against.
    if (!model) continue;
    for (const path of objects(plain(inputs))) {
      const changed = copy(plain(inputs));
      (at(changed, path) as Values).notAProperty = 1;
      const { failures } = await check(type, name, changed);
      expect([`${type} ${path.join(".")}`, failures]).toEqual([
        `${type} ${path.join(".")}`,
        expect.arrayContaining([expect.stringContaining("notAProperty")]),
      ]);
      checked++;
    }
  }
  expect(checked).toBeGreaterThan(40);
});

test("a value of the wrong type is refused", async () => {
  const vault = azureTypes().find(({ type }) => type.endsWith(":Vault"))!;
  const properties = { ...(vault.inputs.properties as Values), enableRbacAuthorization: "yes" };
  const { failures } = await check(vault.type, vault.name, { ...vault.inputs, properties });
  expect(failures).toContainEqual(expect.stringMatching(/enableRbacAuthorization' must be true or false, not "yes"/));
});

/** Names and values that are free by definition. */
const FREE = ["tags", "emptyDir"];

/** Where objects are in a value, the value itself included. */
function objects(value: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (Array.isArray(value)) return value.flatMap((item, index) => objects(item, [...path, index]));
  if (!isObject(value)) return [];
  const below = Object.entries(value).filter(([key]) => !FREE.includes(key));
  return [path, ...below.flatMap(([key, item]) => objects(item, [...path, key]))];
}

function at(value: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce((current, key) => (current as Record<string | number, unknown>)[key], value);
}
