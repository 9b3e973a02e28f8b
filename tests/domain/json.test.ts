import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { canonicalJson, digestOf, sameJson, sha256Hex } from "../../domain/json.ts";

/** The same value with every object's members in the opposite order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  );
}

describe("canonical JSON", () => {
  test("does not depend on the order of members", () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => canonicalJson(reversed(value)) === canonicalJson(value)));
  });

  test("says what JSON says", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test("is a fixed point: parsing and writing it again changes nothing", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => canonicalJson(JSON.parse(canonicalJson(value))) === canonicalJson(value)),
    );
  });

  test("tells different values apart", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        const areEqual = isDeepStrictEqual(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)));
        expect(sameJson(a, b)).toBe(areEqual);
      }),
    );
  });

  test("sorts by UTF-16 code units and writes numbers and strings as ECMAScript does (RFC 8785, 3.2)", () => {
    // The RFC's own sorting example: the last key begins with a surrogate and so comes before U+FB33.
    const keys = { "\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\u{1f600}": 5, "\u0080": 6, "\u00f6": 7 };
    expect(canonicalJson(keys)).toBe('{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\u{1f600}":5,"\ufb33":3}');
    expect(canonicalJson([333333333.33333329, 1e30, 4.5, 2e-3, 0.000000000000000000000000001, -0])).toBe(
      "[333333333.3333333,1e+30,4.5,0.002,1e-27,0]",
    );
    expect(canonicalJson('\u20ac$\u000f\nA\'B"\\\\"/')).toBe('"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"');
  });

  test("leaves undefined members out, like absent ones", () => {
    expect(canonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}');
    expect(sameJson({ a: undefined, b: 1 }, { b: 1 })).toBe(true);
  });

  test.each([
    ["a function", () => 1],
    ["a big integer", 1n],
    ["NaN", NaN],
    ["infinity", Infinity],
    ["undefined in a list", [undefined]],
    ["a date", new Date(0)],
    ["a buffer", Buffer.from("x")],
    ["a map", new Map()],
  ])("refuses %s", (_what, value) => {
    expect(() => canonicalJson(value)).toThrow(TypeError);
  });
});

describe("digests", () => {
  test("are SHA-256, lower-case hex", () => {
    // FIPS 180-4 example.
    expect(sha256Hex("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(digestOf("abc")).toBe(`sha256:${sha256Hex('"abc"')}`);
  });

  test("compare whole values; what is not there equals only what is not there", () => {
    expect(sameJson(undefined, undefined)).toBe(true);
    expect(sameJson(undefined, null)).toBe(false);
    expect(sameJson({ a: [1, 2] }, { a: [2, 1] })).toBe(false);
  });
});
