import { execFileSync } from "node:child_process";
import path from "node:path";

const root = path.join(__dirname, "..", "..");

interface Snippet {
  file: string;
  code: string;
}

/** The names of the rules that each snippet breaks. */
function lint(snippets: Snippet[]): string[][] {
  const output = execFileSync(process.execPath, ["tests/tools/lint-snippets.mjs"], {
    cwd: root,
    input: JSON.stringify(snippets),
    encoding: "utf8",
  });
  return JSON.parse(output);
}

const boundaries = "house/module-boundaries";
const syntax = "no-restricted-syntax";
const imports = "no-restricted-imports";

const wrong: [string, Snippet, string][] = [
  ["domain imports a client", { file: "domain/a.ts", code: `import "../clients/ccf/transport.ts";` }, boundaries],
  [
    "a nested domain file imports a client",
    { file: "domain/x/a.ts", code: `import "../../clients/a.ts";` },
    boundaries,
  ],
  ["domain imports the settings", { file: "domain/a.ts", code: `export * from "../settings.ts";` }, boundaries],
  ["a client imports a provider", { file: "clients/a.ts", code: `import "../dynamic-providers/a.ts";` }, boundaries],
  [
    "a provider imports a component",
    { file: "dynamic-providers/a.ts", code: `import "../components/a.ts";` },
    boundaries,
  ],
  [
    "a component imports a client",
    { file: "components/a.ts", code: `export { b } from "../clients/b.ts";` },
    boundaries,
  ],
  [
    "a component imports a client's type",
    { file: "components/a.ts", code: `export type A = import("../clients/b.ts").B;` },
    boundaries,
  ],
  [
    "a component imports the sandbox",
    { file: "components/a.ts", code: `await import("../sandbox/host.ts");` },
    boundaries,
  ],
  ["a persona imports a client", { file: "personas/a.ts", code: `import "../clients/a.ts";` }, boundaries],
  ["the program imports the sandbox", { file: "index.ts", code: `import "./sandbox/host.ts";` }, boundaries],
  ["a benchmark imports the sandbox", { file: "bench/a.ts", code: `import "../sandbox/host.ts";` }, boundaries],
  [
    "the sandbox imports a client",
    { file: "sandbox/ccf/a.ts", code: `import "../../clients/ccf/cose.ts";` },
    boundaries,
  ],
  ["the sandbox imports a component", { file: "sandbox/a.ts", code: `import "../components/a.ts";` }, boundaries],
  ["domain reads a file", { file: "domain/a.ts", code: `import "node:fs/promises";` }, imports],
  ["domain asks the clock", { file: "domain/a.ts", code: `export const now = Date.now();` }, syntax],
  ["domain draws a number", { file: "domain/a.ts", code: `export const dice = Math.random();` }, syntax],
  ["all of azure-native", { file: "components/a.ts", code: `import "@pulumi/azure-native";` }, imports],
  ["all of aws", { file: "personas/a.ts", code: `import "@pulumi/aws";` }, imports],
  ["all of aws, later", { file: "personas/a.ts", code: `await import("@pulumi/aws");` }, syntax],
  [
    "a module of a cloud",
    { file: "components/a.ts", code: `import "@pulumi/aws/s3/index.js";` },
    `@typescript-eslint/${imports}`,
  ],
  ["unverified TLS", { file: "clients/a.ts", code: `export const options = { rejectUnauthorized: false };` }, syntax],
  ["unverified TLS in a test", { file: "tests/a.ts", code: `process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";` }, syntax],
  [
    "an output as a plain class field",
    { file: "components/a.ts", code: `export class A extends B { readonly id: pulumi.Output<string>; }` },
    syntax,
  ],
  [
    "an output without its namespace",
    { file: "dynamic-providers/a.ts", code: `export class A extends B { readonly id: Output<string>; }` },
    syntax,
  ],
  [
    "two exported classes",
    { file: "dynamic-providers/a.ts", code: `export class A {}\nexport default class B {}` },
    "house/one-exported-class",
  ],
];

const right: [string, Snippet][] = [
  ["a client imports domain", { file: "clients/ccf/a.ts", code: `import "../../domain/a.ts";\nimport "./b.ts";` }],
  ["a provider imports a client", { file: "dynamic-providers/a.ts", code: `import "../clients/a.ts";` }],
  ["a persona imports a component", { file: "personas/a.ts", code: `import "../components/a.ts";` }],
  ["the command line imports the sandbox", { file: "cli/a.ts", code: `import "../sandbox/host.ts";` }],
  [
    "a test imports everything",
    { file: "tests/x/a.ts", code: `import "../../sandbox/host.ts";\nimport "../../clients/a.ts";` },
  ],
  ["one resource of a cloud", { file: "components/a.ts", code: `import "@pulumi/azure-native/storage/blob.js";` }],
  [
    "the types of a module",
    { file: "components/a.ts", code: `export type * from "@pulumi/azure-native/storage/index.js";` },
  ],
  ["time that was passed in", { file: "domain/a.ts", code: `export const at = (time: number) => new Date(time);` }],
  [
    "a declared output",
    { file: "components/a.ts", code: `export class A extends B { declare readonly id: Output<string>; }` },
  ],
  [
    "a private output",
    {
      file: "components/a.ts",
      code: `export class A extends B { readonly #id: Output<string>; get id() { return this.#id; } }`,
    },
  ],
  ["a class and its error", { file: "clients/a.ts", code: `export class A {}\nexport class AError extends Error {}` }],
  [
    "a server that judges client certificates itself",
    { file: "sandbox/a.ts", code: `export const options = { requestCert: true, rejectUnauthorized: false };` },
  ],
];

describe("the lint rules", () => {
  let broken: string[][];
  beforeAll(() => {
    broken = lint([...wrong.map(([, snippet]) => snippet), ...right.map(([, snippet]) => snippet)]);
  }, 60_000);

  test.each(wrong.map(([name, , rule], index) => ({ name, rule, index })))("refuse: $name", ({ rule, index }) => {
    expect(broken[index]).toEqual([rule]);
  });

  test.each(right.map(([name], index) => ({ name, index })))("allow: $name", ({ index }) => {
    expect(broken[wrong.length + index]).toEqual([]);
  });
});
