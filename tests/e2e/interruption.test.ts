import fs from "node:fs";
import path from "node:path";
import {
  cleanroom,
  ended,
  exported,
  processesOf,
  requirePulumi,
  startCleanroom,
  temporaryFolder,
  until,
  type Ended,
  type Started,
} from "./support.ts";

// Two demos at once, each on a sandbox of its own, interrupted while Pulumi works.
jest.setTimeout(300_000);

const folder = temporaryFolder("interruption");
const ends = [
  { signal: "SIGINT", code: 130 },
  { signal: "SIGTERM", code: 143 },
] as const;
const folderOf = (signal: string): string => path.join(folder, signal);
let results: Ended[];
let ports: string[];

beforeAll(async () => {
  requirePulumi();
  const demos: Started[] = ends.map(({ signal }) => startCleanroom(["demo", "--folder", folderOf(signal)]));
  const endings = Promise.all(demos.map(ended));
  await until("both demos update their first stack", () => demos.every(({ stderr }) => /^ {2}create /m.test(stderr())));
  ports = ends.map(
    ({ signal }) => exported(path.join(folderOf(signal), "sandbox", "environment"))["PULUMI_DEBUG_PROVIDERS"]!,
  );
  demos.forEach(({ child }, index) => {
    const { signal } = ends[index]!;
    // A terminal sends its Ctrl-C to everything in the foreground, a supervisor its signal to the one process it started.
    process.kill(signal === "SIGINT" ? -child.pid! : child.pid!, signal);
  });
  results = await endings;
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

it("sandboxes run side by side", () => {
  const numbers = ports.flatMap((list) => list.match(/\d{2,}/g) ?? []);
  expect(numbers.length).toBeGreaterThan(2);
  expect(new Set(numbers).size).toBe(numbers.length);
});

describe.each(ends)("after $signal", ({ signal, code }) => {
  const result = (): Ended => results[ends.findIndex((end) => end.signal === signal)]!;

  it(`the demo ends with exit code ${code}, says so, and prints no result`, () => {
    expect(result().stderr).toContain("cleanroom: Interrupted.");
    expect({ code: result().code, stdout: result().stdout }).toEqual({ code, stdout: "" });
  });

  it("no process is left", () => until("everything ends", () => processesOf(folderOf(signal)).length === 0, 30));

  it("nothing hinders the next demo in the same folder", async () => {
    const next = await cleanroom(["sandbox", "stop", "--folder", path.join(folderOf(signal), "sandbox")]);
    expect(next.stderr).toContain("No sandbox runs");
  });
});
