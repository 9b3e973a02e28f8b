import { detailedDiff } from "../../../sandbox/azure/diff.ts";
import { UNKNOWN, hasUnknown, plain, secret, withSecretsOf } from "../../../sandbox/azure/values.ts";

describe("detailed differences", () => {
  test("paths and kinds", () => {
    const olds = { sku: { name: "a" }, list: [1, { x: 1 }], gone: true, same: "s" };
    const news = { sku: { name: "b" }, list: [1, { x: 2 }, 3], added: 1, same: "s" };
    expect(detailedDiff(olds, news, [])).toEqual({
      "sku.name": { kind: "update", replace: false },
      "list[1].x": { kind: "update", replace: false },
      "list[2]": { kind: "add", replace: false },
      gone: { kind: "delete", replace: false },
      added: { kind: "add", replace: false },
    });
  });

  test("a change at or below a fixed property forces replacement, one beside it does not", () => {
    const olds = { containers: [{ image: "a", name: "n" }], properties: { tenantId: "t", tenantIdHint: "h" } };
    const news = { containers: [{ image: "b", name: "m" }], properties: { tenantId: "u", tenantIdHint: "i" } };
    const changes = detailedDiff(olds, news, ["containers[].image", "properties.tenantId"]);
    expect(Object.keys(changes).filter((path) => changes[path]!.replace)).toEqual([
      "containers[0].image",
      "properties.tenantId",
    ]);
  });

  test("the style of a location and secrecy are no differences, unknown is one", () => {
    expect(detailedDiff({ location: "West Europe" }, { location: "westeurope" }, ["location"])).toEqual({});
    expect(detailedDiff({ key: "k" }, { key: secret("k") }, [])).toEqual({});
    expect(detailedDiff({ a: null }, {}, [])).toEqual({});
    expect(detailedDiff({ key: "k" }, { key: UNKNOWN }, ["key"])).toEqual({ key: { kind: "update", replace: true } });
  });

  test("keys that are no identifiers are quoted", () => {
    expect(Object.keys(detailedDiff({ tags: {} }, { tags: { "ccf-network:type": "node" } }, []))).toEqual([
      'tags["ccf-network:type"]',
    ]);
  });
});

describe("values", () => {
  test("secrecy is carried from inputs to the same place in outputs, and dropped where plain text is needed", () => {
    const inputs = { a: secret("x"), list: [{ key: secret("y"), name: "n" }] };
    const outputs = { a: "x", list: [{ key: "y", name: "n" }], other: 1 };
    expect(withSecretsOf(outputs, inputs)).toEqual({ ...inputs, other: 1 });
    expect(plain(inputs)).toEqual({ a: "x", list: [{ key: "y", name: "n" }] });
    expect(hasUnknown({ list: [{ key: UNKNOWN }] })).toBe(true);
    expect(hasUnknown(inputs)).toBe(false);
  });
});
