import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { defineProvider, type Kind } from "../../dynamic-providers/framework/provider.ts";
import { providerText } from "../../dynamic-providers/framework/resource.ts";
import { hasUnknown, toWire } from "../../dynamic-providers/framework/wire.ts";

const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
const config = { get: (): undefined => undefined };

interface Inputs {
  name: string;
  size?: number;
  tags?: readonly string[];
  endpoint?: string;
}

interface Outputs {
  address: string;
}

/** A kind that remembers what it was asked to do. */
function recorded(changes: Partial<Kind<Inputs, Outputs>> = {}): {
  provider: ReturnType<typeof defineProvider>;
  calls: string[];
} {
  const calls: string[] = [];
  const provider = defineProvider<Inputs, Outputs>({
    name: "Thing",
    inputs: ["name", "size", "tags", "endpoint"],
    replaceOn: ["name"],
    access: ["endpoint"],
    async create(inputs) {
      calls.push(`create ${JSON.stringify(inputs)}`);
      return { id: inputs.name, outputs: { address: "a" } };
    },
    async update(_id, _olds, news) {
      calls.push(`update ${JSON.stringify(news)}`);
      return { outputs: { address: "b" } };
    },
    async delete(id) {
      calls.push(`delete ${id}`);
    },
    ...changes,
  });
  return { provider, calls };
}

describe("values on their way to the engine", () => {
  test("are what JSON can say; absent members stay away", () => {
    // The engine's numbers are doubles: an integer that is not exact is refused below.
    const exact = (_key: string, value: unknown): unknown =>
      typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER ? 0 : value;
    const properties = fc
      .dictionary(fc.string(), fc.jsonValue())
      .map((value) => JSON.parse(JSON.stringify(value), exact) as object);
    fc.assert(fc.property(properties, (value) => expect(toWire(value)).toEqual(value)));
    expect(toWire({ a: undefined, b: { c: undefined, d: [null, "x", true, 1.5] } })).toStrictEqual({
      b: { d: [null, "x", true, 1.5] },
    });
  });

  test.each<[string, unknown, string]>([
    ["undefined in a list", [1, undefined], "a.b[1] holds a undefined"],
    ["a hole in a list", Array(2).fill(1, 1), "a.b[0] holds a undefined"],
    ["a buffer", Buffer.from("key"), "a.b holds a Buffer"],
    ["bytes", new Uint8Array(1), "a.b holds a Uint8Array"],
    ["a date", new Date(0), "a.b holds a Date"],
    ["a map", new Map(), "a.b holds a Map"],
    ["a big integer", 1n, "a.b holds a bigint"],
    ["a function", () => 1, "a.b holds a function"],
    ["a symbol", Symbol("s"), "a.b holds a symbol"],
    ["NaN", NaN, "a.b holds a number NaN"],
    ["infinity", -Infinity, "a.b holds a number -Infinity"],
    ["an integer beyond 2^53", 2 ** 53, "a.b holds a number 9007199254740992"],
    ["an error", new TypeError("x"), "a.b holds a TypeError"],
  ])("are refused where protobuf would refuse or change them: %s", (_what, value, message) => {
    expect(() => toWire({ a: { b: value } })).toThrow(new TypeError(`${message}, which cannot be stored in the state`));
  });

  test("are refused before the engine loses the resource they belong to, and say nothing of their content", async () => {
    const { provider } = recorded({
      create: async () => ({ id: "x", outputs: { address: Buffer.from("secret") as unknown as string } }),
    });
    await expect(provider.create(config, { name: "n" })).rejects.toThrow("address holds a Buffer");
    await expect(provider.create(config, { name: "n" })).rejects.not.toThrow("secret");
  });
});

describe("unknown values", () => {
  test("are found wherever they hide", () => {
    for (const value of [UNKNOWN, [UNKNOWN], { a: { b: [1, { c: UNKNOWN }] } }]) expect(hasUnknown(value)).toBe(true);
    for (const value of [undefined, null, 1, "x", `${UNKNOWN} `, [], {}]) expect(hasUnknown(value)).toBe(false);
  });
});

describe("check", () => {
  test("keeps the kind's inputs and drops everything else", async () => {
    const { provider } = recorded();
    const news = { __provider: "text", name: "n", size: undefined, other: 1 };
    expect(await provider.check(config, {}, news)).toEqual({ inputs: { name: "n" }, failures: [] });
  });

  test("applies the rules only once everything is known", async () => {
    const validate = ({ size }: Inputs) => (size! > 3 ? [{ property: "size", reason: "at most 3" }] : []);
    const { provider } = recorded({ validate });
    expect((await provider.check(config, {}, { name: "n", size: 4 })).failures).toEqual([
      { property: "size", reason: "at most 3" },
    ]);
    expect((await provider.check(config, {}, { name: "n", size: 2 })).failures).toEqual([]);
    expect((await provider.check(config, {}, { name: UNKNOWN, size: 4 })).failures).toEqual([]);
  });

  test("completes inputs as soon as those it needs are known, and not when a rule is broken", async () => {
    const seen: unknown[] = [];
    const { provider } = recorded({
      validate: ({ name }) => (name === "bad" ? [{ property: "name", reason: "bad" }] : []),
      complete: {
        needs: ["name"],
        async run(inputs, olds) {
          seen.push(olds);
          return { inputs: { ...inputs, size: 7 }, failures: [{ property: "size", reason: "odd" }] };
        },
      },
    });
    expect(await provider.check(config, {}, { name: "n", endpoint: UNKNOWN })).toEqual({
      inputs: { name: "n", endpoint: UNKNOWN, size: 7 },
      failures: [{ property: "size", reason: "odd" }],
    });
    expect(await provider.check(config, { name: "n", size: 7, __provider: "x" }, { name: "m" })).toMatchObject({
      inputs: { name: "m", size: 7 },
    });
    expect(seen).toEqual([undefined, { name: "n", size: 7 }]);
    await provider.check(config, {}, { name: UNKNOWN });
    await provider.check(config, {}, { name: "bad" });
    expect(seen).toHaveLength(2);
  });
});

describe("diff", () => {
  const olds = { __provider: "an older text", name: "n", size: 1, tags: ["a"], endpoint: "e", address: "a" };

  test("sees no change in the same inputs, whatever the order of members, the provider's text or the outputs", async () => {
    const { provider } = recorded();
    const news = { tags: ["a"], endpoint: "e", size: 1, name: "n", __provider: "a newer text" };
    expect(await provider.diff(config, "n", olds, news)).toEqual({
      changes: false,
      replaces: [],
      deleteBeforeReplace: false,
    });
    const nested = defineProvider<{ x: unknown }, object>({
      name: "N",
      inputs: ["x"],
      create: async () => ({ id: "1", outputs: {} }),
    });
    expect(await nested.diff(config, "n", { x: { a: 1, b: 2 } }, { x: { b: 2, a: 1 } })).toMatchObject({
      changes: false,
    });
  });

  test.each<[string, object, string[]]>([
    ["another value", { size: 2 }, []],
    ["a value that is gone", { size: undefined }, []],
    ["another order of a list", { tags: ["b", "a"] }, []],
    ["a value nobody knows yet", { size: UNKNOWN }, []],
    ["another name", { name: "m" }, ["name"]],
    ["a name nobody knows yet", { name: UNKNOWN }, ["name"]],
  ])("sees %s", async (_what, change, replaces) => {
    const { provider } = recorded();
    expect(await provider.diff(config, "n", olds, { ...olds, ...change })).toEqual({
      changes: true,
      replaces,
      deleteBeforeReplace: false,
    });
  });

  test("lets a kind decide on values, once they are known, and names each property once", async () => {
    const { provider } = recorded({
      replaces: (before, { size }) => (size! < before.size! ? ["size", "name"] : []),
      deleteBeforeReplace: true,
    });
    expect(await provider.diff(config, "n", olds, { ...olds, size: 0, name: "m" })).toEqual({
      changes: true,
      replaces: ["name", "size"],
      deleteBeforeReplace: true,
    });
    expect(await provider.diff(config, "n", olds, { ...olds, size: 0, tags: UNKNOWN })).toMatchObject({ replaces: [] });
  });
});

describe("create, update and delete", () => {
  test("store inputs and outputs, without the provider's text", async () => {
    const { provider, calls } = recorded();
    expect(await provider.create(config, { __provider: "text", name: "n", size: 1 })).toEqual({
      id: "n",
      outs: { name: "n", size: 1, address: "a" },
    });
    expect(calls).toEqual(['create {"name":"n","size":1}']);
  });

  test("call the kind for a change of what should be there", async () => {
    const { provider, calls } = recorded();
    const { outs } = await provider.update(
      config,
      "n",
      { name: "n", size: 1, endpoint: "e", address: "a" },
      { name: "n", size: 2, endpoint: "f" },
    );
    expect(outs).toEqual({ name: "n", size: 2, endpoint: "f", address: "b" });
    expect(calls).toEqual(['update {"name":"n","size":2,"endpoint":"f"}']);
  });

  test("only store a change of how to reach it", async () => {
    const { provider, calls } = recorded();
    const { outs } = await provider.update(
      config,
      "n",
      { name: "n", endpoint: "e", address: "a", __provider: "t" },
      { name: "n", endpoint: "f" },
    );
    expect(outs).toEqual({ name: "n", endpoint: "f", address: "a" });
    expect(calls).toEqual([]);
  });

  test("delete does nothing for a kind that leaves nothing behind", async () => {
    const { provider } = recorded({ delete: undefined as never });
    await expect(provider.delete(config, "n", {})).resolves.toBeUndefined();
  });

  test("tell a failure without a stack trace", async () => {
    const { provider } = recorded({
      create: async () => {
        throw new Error("no such network");
      },
    });
    const error: Error = (await provider.create(config, { name: "n" }).catch((reason: Error) => reason)) as Error;
    expect(error.stack).toBe("no such network");
  });
});

describe("read", () => {
  const olds = { __provider: "text", name: "n", size: 1, address: "a" };

  test("tells what drifted, in inputs and state, so that a preview shows it", async () => {
    const { provider } = recorded({ read: async () => ({ inputs: { size: 5 }, outputs: { address: "moved" } }) });
    expect(await provider.read(config, "n", olds)).toEqual({
      id: "n",
      props: { name: "n", size: 5, address: "moved" },
      inputs: { name: "n", size: 5 },
    });
    expect(
      await provider.diff(config, "n", { name: "n", size: 5, address: "moved" }, { name: "n", size: 1 }),
    ).toMatchObject({ changes: true });
  });

  test("tells that nothing drifted by the same inputs", async () => {
    const { provider } = recorded({ read: async () => ({ outputs: { address: "a" } }) });
    expect(await provider.read(config, "n", olds)).toEqual({
      id: "n",
      props: { name: "n", size: 1, address: "a" },
      inputs: { name: "n", size: 1 },
    });
  });

  test("tells that it is gone", async () => {
    const { provider } = recorded({ read: async () => undefined });
    expect(await provider.read(config, "n", olds)).toEqual({});
  });

  test("is what was stored for a kind that cannot look", async () => {
    const { provider } = recorded();
    expect(await provider.read(config, "n", olds)).toEqual({
      id: "n",
      props: { name: "n", size: 1, address: "a" },
      inputs: { name: "n", size: 1 },
    });
  });
});

describe("the text that Pulumi keeps", () => {
  test("depends on the kind only, and is small", () => {
    expect(providerText("contract")).toBe(providerText("contract"));
    expect(providerText("userIdentity").replaceAll("userIdentity", "contract")).toBe(providerText("contract"));
    expect(providerText("contract")).not.toContain(path.join(__dirname, "..", ".."));
    expect(providerText("contract").length).toBeLessThan(1000);
  });

  test("is CommonJS whose handler has the seven methods", () => {
    const exported: { handler?: () => Record<string, unknown> } = {};
    new Function("exports", "require", providerText("contract"))(exported, require);
    const methods = exported.handler!();
    expect(Object.keys(methods).sort()).toEqual(["check", "configure", "create", "delete", "diff", "read", "update"]);
    for (const method of Object.values(methods)) expect(typeof method).toBe("function");
  });

  test("runs the provider of the checkout it is called in, as the engine's host does", async () => {
    // The host evaluates the text as a module of its own, with the project folder as working directory.
    const script = `
      const Module = require("node:module");
      const host = new Module("provider");
      host._compile(process.env.PROVIDER_TEXT, "provider");
      const provider = host.exports.handler();
      (async () => {
        await provider.configure({ config: { get: () => undefined } });
        const { inputs } = await provider.check({}, { memberName: "m", validityDays: 1, encryptionKey: false, other: 1 });
        const diff = await provider.diff("id", inputs, { ...inputs, memberName: "n" });
        const { id, outs } = await provider.create(inputs);
        console.log(JSON.stringify({ inputs, diff, id, certificate: outs.certificate }));
      })();`;
    const { stdout } = await promisify(execFile)(process.execPath, ["-e", script], {
      cwd: path.join(__dirname, "..", ".."),
      env: { ...process.env, PROVIDER_TEXT: providerText("memberKey") },
    });
    expect(JSON.parse(stdout)).toEqual({
      inputs: { memberName: "m", validityDays: 1, encryptionKey: false },
      diff: { changes: true, replaces: ["memberName"], deleteBeforeReplace: false },
      id: expect.stringMatching(/^[0-9a-f]{64}$/),
      certificate: expect.stringContaining("BEGIN CERTIFICATE"),
    });
  });
});
