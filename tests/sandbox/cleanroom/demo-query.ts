import fs from "node:fs";
import path from "node:path";
import { parse } from "csv-parse/sync";
import { parse as parseYaml } from "yaml";
import type { DemoFile } from "../../../demos/generate.ts";
import type { Field, InputDataset, OutputDataset, QuerySegment } from "../../../sandbox/cleanroom/engine/contracts.ts";

export const inputFields: readonly Field[] = [
  { name: "date", type: "date" },
  { name: "time", type: "string" },
  { name: "author", type: "string" },
  { name: "mentions", type: "string" },
];

export const demoOutput: OutputDataset = {
  name: "woodgrove-output",
  format: "csv",
  fields: [
    { name: "author", type: "string" },
    { name: "Number_Of_Mentions", type: "long" },
    { name: "Restricted_Sum", type: "number" },
  ],
  allowedFields: ["author", "Number_Of_Mentions"],
};

export function demoSegments(): QuerySegment[] {
  const file = path.join(__dirname, "../../../demos/query/mentions.yaml");
  return (parseYaml(fs.readFileSync(file, "utf8")) as { segments: QuerySegment[] }).segments;
}

export function demoInput(
  persona: DemoFile["persona"],
  files: readonly DemoFile[],
  days?: readonly string[],
): InputDataset {
  return {
    name: `${persona}-input`,
    view: persona === "northwind" ? "publisher_data" : "consumer_data",
    format: "csv",
    fields: inputFields,
    allowedFields: ["date", "author", "mentions"],
    files: files
      .filter((file) => file.persona === persona && (!days || days.includes(file.day)))
      .map((file) => ({ path: `${file.day}/${path.basename(file.path)}`, content: fs.readFileSync(file.path) })),
  };
}

/** Reads a result as a Spark-aware reader would. */
export function readResult(content: Buffer): Record<string, string>[] {
  return parse(content, { columns: true, escape: "\\" }) as Record<string, string>[];
}
