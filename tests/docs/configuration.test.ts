import fs from "node:fs";
import path from "node:path";
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { collaboratorSchema, operatorSchema, parseSettings } from "../../settings.ts";

const root = path.join(__dirname, "..", "..");
const text = fs.readFileSync(path.join(root, "docs", "configuration.md"), "utf8");

/** Section title → what it says, up to the next one. */
const sections = Object.fromEntries(
  text
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf("\n")), section]),
);
const documented = (...titles: string[]): string[] =>
  titles.flatMap((title) => [...sections[title]!.matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1]!)).sort();

/** `a`, `a.b` for objects, `a[].b` for lists of objects. */
function keysOf(schema: z.ZodType, prefix = ""): string[] {
  const type = unwrapped(schema);
  if (type instanceof z.ZodArray) return keysOf(type.element as z.ZodType, `${prefix}[]`);
  if (!(type instanceof z.ZodObject)) return [];
  return Object.entries(type.shape as Record<string, z.ZodType>).flatMap(([name, member]) => {
    const key = prefix ? `${prefix}.${name}` : name;
    return [key, ...keysOf(member, key)];
  });
}

function unwrapped(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return unwrapped(schema.unwrap() as z.ZodType);
  return schema;
}

describe("docs/configuration.md", () => {
  test.each([
    ["Operator", operatorSchema],
    ["Collaborator", collaboratorSchema],
  ])("lists every key of a stack of role %s, and no other", (role, schema) => {
    expect(documented("Every stack", role)).toEqual(keysOf(schema).sort());
  });

  test.each(["Operator", "Collaborator"])("has an example for role %s that is accepted", (role) => {
    const [, example] = /```yaml\n(.*?)```/s.exec(sections[role]!)!;
    const values = Object.entries(parseYaml(example!) as Record<string, unknown>);
    const config = values.map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]);
    const contents: Readonly<Record<string, string>> = {
      "artifacts/constitution.js": "export function validate() {}",
      "artifacts/app.json": JSON.stringify({ metadata: { endpoints: {} }, modules: [] }),
      "demos/query/mentions.yaml": "segments: [{ executionSequence: 1, data: SELECT 1 }]",
      "woodgrove.json": "{}",
    };
    const read = (file: string): string => contents[file] ?? fs.readFileSync(path.join(root, file), "utf8");
    expect(() => parseSettings(Object.fromEntries(config) as Record<string, string>, { read })).not.toThrow();
  });
});
