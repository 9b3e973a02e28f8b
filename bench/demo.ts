/**
 * What the demo costs, step by step, and what looking at its stacks again costs when nothing has changed, each beside the
 * engine's own floor for as many resources that do nothing, in the same run.
 *
 *     npm run bench -- demo [--demo analytics] [--rounds 3]
 *
 *     --demo    which demo (see npm run demo -- --help)
 *     --rounds  repetitions of the floors and of the previews, taken in turn; shown: median (smallest – largest) in seconds
 *
 * Budgets: the preview of an unchanged stack at most 1.5 times its floor; all three stacks together under 20 s. Ratios are
 * the thing to watch: absolute figures depend on the machine and on what else it does, told in the first line.
 */
import os from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { Collaboration, type Step } from "../cli/collaboration.ts";
import { createDemoProject, type DemoProject } from "../cli/demoProject.ts";
import { spawnSandbox } from "../cli/sandboxProcess.ts";
import { DEFAULT_DEMO, DEMOS, PERSONAS, type PersonaName } from "../demos/demos.ts";
import { generateDemoData } from "../demos/generate.ts";
import { median, pulumi, ratio, spread, table, withFloor, withTemporaryFolder } from "./lib.ts";

const PREVIEW_BUDGET = 1.5;
const SUM_BUDGET_SECONDS = 20;

const { values } = parseArgs({
  options: { demo: { type: "string", default: DEFAULT_DEMO }, rounds: { type: "string", default: "3" } },
});
const demo = DEMOS[values.demo];
const rounds = Number(values.rounds);
if (!demo || !Number.isInteger(rounds) || rounds < 1) {
  console.error(`--demo: one of ${Object.keys(DEMOS).join(", ")}; --rounds: a whole number of at least 1`);
  process.exit(2);
}

const say = (text: string): void => console.error(text);
const load = (): string =>
  os
    .loadavg()
    .map((value) => value.toFixed(1))
    .join(", ");

await withTemporaryFolder("demo", async (folder) => {
  console.log(
    `${os.cpus().length} × ${os.cpus()[0]!.model.trim()}, Node.js ${process.versions.node}, load before: ${load()}`,
  );
  const data = path.join(folder, "data");
  generateDemoData(data);
  const project = createDemoProject(folder, { name: values.demo, demo: demo!, data });
  const sandbox = await spawnSandbox(path.join(folder, "sandbox"), false);
  try {
    const environment = { ...sandbox.environment, ...project.environment };
    const steps = await collaborate(project, sandbox.environment);
    console.log(`\nSteps\n${await stepTable(steps)}`);
    console.log(`\nPreview of an unchanged stack\n${await previewTable(project, environment, steps)}`);
    console.log(`load after: ${load()}`);
  } finally {
    await sandbox.stop();
  }
});

async function collaborate(
  project: DemoProject,
  environment: Readonly<Record<string, string>>,
): Promise<readonly Step[]> {
  const collaboration = new Collaboration(project, environment, new AbortController().signal, () => undefined);
  say("the demo ...");
  await collaboration.create();
  await collaboration.settle(undefined, (pending) => pending.every(({ what }) => what.startsWith("run ")));
  const { reference, query, names } = await collaboration.query();
  await collaboration.settle(await collaboration.pin(reference, query, names));
  return collaboration.steps;
}

/** A step changes some of its stack's resources: its floor is the engine's price for creating as many. */
async function stepTable(steps: readonly Step[]): Promise<string> {
  const floors = new Map<number, number[]>();
  for (const changes of new Set(steps.map((step) => step.changes))) {
    say(`floor of ${changes} changes ...`);
    const times: number[] = [];
    await withFloor(changes, async (measure) => {
      for (let round = 0; round < rounds; round++) {
        times.push(await measure("create"));
        await measure("destroy");
      }
    });
    floors.set(changes, times);
  }
  return table(
    ["step", "changes", "s", "floor s", "ratio"],
    steps.map((step) => {
      const floor = floors.get(step.changes)!;
      const name = `${step.stack} ${step.what}`;
      return [name, String(step.changes), step.seconds.toFixed(1), spread(floor), ratio([step.seconds], floor)];
    }),
  );
}

async function previewTable(
  project: DemoProject,
  environment: Readonly<Record<string, string>>,
  steps: readonly Step[],
): Promise<string> {
  const rows: string[][] = [];
  let sum = 0;
  for (const stack of PERSONAS) {
    say(`previews of ${stack} ...`);
    const resources = steps.findLast((step) => step.stack === stack)!.resources;
    const { own, floor } = await previews(stack, resources, project, environment);
    const isWithin = median(own) <= PREVIEW_BUDGET * median(floor);
    sum += median(own);
    rows.push([stack, String(resources), spread(own), spread(floor), ratio(own, floor), verdict(isWithin)]);
  }
  rows.push(["all three", "", sum.toFixed(2), "", "", verdict(sum < SUM_BUDGET_SECONDS)]);
  return table(["stack", "resources", "s", "floor s", "ratio", "budget"], rows);
}

/** In turn, so that what else the machine does meets both alike. The first of each only warms up. */
async function previews(
  stack: PersonaName,
  resources: number,
  project: DemoProject,
  environment: Readonly<Record<string, string>>,
): Promise<{ own: number[]; floor: number[] }> {
  const own: number[] = [];
  const floor: number[] = [];
  const preview = (): Promise<number> =>
    pulumi(["preview", "--expect-no-changes", "--stack", stack], project.folder, { ...process.env, ...environment });
  await withFloor(resources, async (measure) => {
    await measure("create");
    await preview();
    await measure("preview");
    for (let round = 0; round < rounds; round++) {
      own.push(await preview());
      floor.push(await measure("preview"));
    }
  });
  return { own, floor };
}

function verdict(isWithin: boolean): string {
  return isWithin ? "kept" : "OVER";
}
