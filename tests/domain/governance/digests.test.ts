import { createHash } from "node:crypto";
import fc from "fast-check";
import type { ApplicationBundle } from "../../../domain/governance/actions.ts";
import { applicationDigest, constitutionDigest, isInstalled } from "../../../domain/governance/digests.ts";

const sha256 = (text: string): string => `sha256:${createHash("sha256").update(text, "utf8").digest("hex")}`;

const bundle: ApplicationBundle = {
  metadata: {
    endpoints: {
      "/contracts": { get: { js_module: "/a.js", js_function: "list", mode: "readonly", authn_policies: ["jwt"] } },
      "/b": { put: { js_module: "/a.js", js_function: "put", mode: "readwrite" } },
    },
  },
  modules: [
    { name: "/b.js", module: 'export const text = "größer <&>";' },
    { name: "a.js", module: "export {}" },
  ],
};

it("digests a constitution as its text", () => {
  expect(constitutionDigest("export function validate() {}\n")).toBe(sha256("export function validate() {}\n"));
});

it("digests a bundle in the form of the attestation report", () => {
  const canonical = [
    "{",
    '  "metadata": {',
    '    "endpoints": {',
    '      "/b": {',
    '        "put": {',
    '          "js_function": "put",',
    '          "js_module": "/a.js",',
    '          "mode": "readwrite"',
    "        }",
    "      },",
    '      "/contracts": {',
    '        "get": {',
    '          "authn_policies": [',
    '            "jwt"',
    "          ],",
    '          "js_function": "list",',
    '          "js_module": "/a.js",',
    '          "mode": "readonly"',
    "        }",
    "      }",
    "    }",
    "  },",
    '  "modules": [',
    "    {",
    '      "module": "export {}",',
    '      "name": "a.js"',
    "    },",
    "    {",
    '      "module": "export const text = \\"größer <&>\\";",',
    '      "name": "b.js"',
    "    }",
    "  ]",
    "}",
  ].join("\n");
  expect(applicationDigest(bundle)).toBe(sha256(canonical));
});

it("does not depend on the order of modules, keys or a leading slash", () => {
  const modules = fc.uniqueArray(fc.record({ name: fc.stringMatching(/^[a-z]{1,8}\.js$/), module: fc.string() }), {
    selector: ({ name }) => name,
    maxLength: 8,
  });
  fc.assert(
    fc.property(modules, (list) => {
      const reordered = [...list].reverse().map(({ name, module }) => ({ module, name: `/${name}` }));
      expect(applicationDigest({ ...bundle, modules: reordered })).toBe(
        applicationDigest({ ...bundle, modules: list }),
      );
    }),
  );
});

describe("an installed application", () => {
  const installed = (change: (copy: any) => void): ApplicationBundle => {
    const copy = structuredClone(bundle);
    change(copy);
    return copy;
  };

  it("may have defaults that were not asked for", () => {
    const reported = installed((copy) => {
      copy.metadata.endpoints["/contracts"].get.openapi_hidden = false;
      copy.modules.reverse();
    });
    expect(isInstalled(bundle, reported)).toBe(true);
    expect(isInstalled(reported, bundle)).toBe(false);
  });

  it.each<[string, (copy: any) => void]>([
    ["a module's text", (copy) => (copy.modules[0].module += " ")],
    ["one module more", (copy) => copy.modules.push({ name: "x.js", module: "" })],
    ["one path less", (copy) => delete copy.metadata.endpoints["/b"]],
    ["one path more", (copy) => (copy.metadata.endpoints["/x"] = {})],
    ["one method more", (copy) => (copy.metadata.endpoints["/b"].get = {})],
    ["an authentication policy", (copy) => (copy.metadata.endpoints["/contracts"].get.authn_policies = [])],
  ])("is another one when it differs in %s", (_what, change) => {
    expect(isInstalled(bundle, installed(change))).toBe(false);
  });
});
