import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { parseDocument } from "yaml";
import { PERSONAS, type Demo } from "../demos/demos.ts";

export interface DemoProject {
  /** Folder with Pulumi.yaml and the stack configurations. */
  readonly folder: string;
  /** Backend and passphrase, so that the user's own Pulumi login is not touched. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface DemoChoices {
  readonly name: string;
  readonly demo: Demo;
  /** Absolute: `<data>/<persona>/input`. */
  readonly data: string;
  /** Absolute. */
  readonly query?: string | undefined;
}

/**
 * Makes a Pulumi project that runs the checkout's program with the checked-in stack configurations, changed as the
 * demo says. It lives in a folder of its own: no tracked file changes.
 */
export function createDemoProject(folder: string, choices: DemoChoices): DemoProject {
  const checkout = path.dirname(import.meta.dirname);
  const project = path.join(folder, "project");
  const state = path.join(folder, "state");
  const home = path.join(folder, "pulumi");
  for (const directory of [project, state, home]) fs.mkdirSync(directory, { recursive: true });
  const definition = parseDocument(fs.readFileSync(path.join(checkout, "Pulumi.yaml"), "utf8"));
  definition.set("main", checkout);
  fs.writeFileSync(path.join(project, "Pulumi.yaml"), definition.toString());
  for (const persona of PERSONAS) {
    const base = fs.readFileSync(path.join(checkout, `Pulumi.${persona}.yaml`), "utf8");
    fs.writeFileSync(path.join(project, `Pulumi.${persona}.yaml`), stackConfiguration(base, persona, choices));
  }
  const passphrase = path.join(folder, "passphrase");
  fs.writeFileSync(passphrase, randomBytes(24).toString("base64url"), { mode: 0o600 });
  return {
    folder: project,
    environment: {
      PULUMI_BACKEND_URL: `file://${state}`,
      PULUMI_CONFIG_PASSPHRASE_FILE: passphrase,
      PULUMI_HOME: home,
    },
  };
}

function stackConfiguration(base: string, persona: string, { name, demo, data, query }: DemoChoices): string {
  const document = parseDocument(base);
  const datasets = document.getIn(["config", "cleanroom:datasets"]) as { items: unknown[] } | undefined;
  if (document.hasIn(["config", "cleanroom:collaboration"]))
    document.setIn(["config", "cleanroom:collaboration"], name);
  datasets?.items.forEach((_, index) => {
    const at = ["config", "cleanroom:datasets", index];
    document.setIn([...at, "encryption"], demo.encryption);
    if (document.hasIn([...at, "path"])) document.setIn([...at, "path"], path.join(data, persona, "input"));
  });
  if (query !== undefined && document.hasIn(["config", "cleanroom:queries"])) {
    document.setIn(["config", "cleanroom:queries", 0, "file"], query);
  }
  return document.toString();
}
