/**
 * What the engine itself costs, for stacks of trivial resources: the floor against which everything else is measured.
 *
 *     npm run bench -- engine-floor [--resources 0,10,50] [--rounds 3]
 *
 *     --resources  numbers of resources to measure; ratios are to the first
 *     --rounds     repetitions of create, preview, no-op up, update, refresh, destroy; shown: median (smallest – largest) in seconds
 */
import { parseArgs } from "node:util";
import { engineFloor, operations, ratio, spread, table, type Times } from "./lib.ts";

const { values } = parseArgs({
  options: { resources: { type: "string", default: "0,10,50" }, rounds: { type: "string", default: "3" } },
});
const sizes = values.resources.split(",").map((text) => positive("--resources", text, 0));
const rounds = positive("--rounds", values.rounds, 1);

function positive(option: string, text: string, minimum: number): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= minimum && text.trim() !== "") return number;
  console.error(`${option}: expected whole numbers of at least ${minimum}, got ${JSON.stringify(text)}`);
  process.exit(2);
}

const results: Times[] = [];
for (const size of sizes) {
  console.error(`${size} resources ...`);
  results.push(await engineFloor(size, rounds));
}
const [base] = results;
const rows = operations.map((operation) => [
  operation,
  ...results.flatMap((times, index) =>
    index === 0 ? [spread(times[operation])] : [spread(times[operation]), ratio(times[operation], base![operation])],
  ),
]);
const head = sizes.flatMap((size, index) => (index === 0 ? [`${size}: s`] : [`${size}: s`, "ratio"]));
console.log(table(["operation", ...head], rows));
