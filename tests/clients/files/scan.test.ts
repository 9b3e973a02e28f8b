import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { scanDirectory } from "../../../clients/files/scan.ts";
import { makeFolder } from "./folder.ts";

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

let folder: ReturnType<typeof makeFolder>;
let indexFile: string;

beforeEach(() => {
  folder = makeFolder({
    "2025-09-02/b.csv": "2",
    "2025-09-01/a.csv": "1",
    "z.csv": "",
    ".hidden.csv": "x",
    "_SUCCESS.csv": "x",
    "readme.txt": "x",
    ".git/c.csv": "x",
  });
  indexFile = path.join(folder.directory, ".cleanroom/index/files");
});
afterEach(() => {
  jest.restoreAllMocks();
  folder.remove();
});

const scan = () => scanDirectory(folder.directory, { format: "csv", indexFile });
/** Digests of files that changed within the clock's resolution are not remembered. */
const letTimePass = (ms = 60_000) => {
  const later = Date.now() + ms;
  jest.spyOn(Date, "now").mockImplementation(() => later);
};

test("finds the format's files in one order, with size and digest, and leaves out what Spark would", async () => {
  const { files, count, bytes } = await scan();
  expect(files.map(({ path, size, sha256 }) => ({ path, size, sha256 }))).toEqual([
    { path: "2025-09-01/a.csv", size: 1, sha256: sha256("1") },
    { path: "2025-09-02/b.csv", size: 1, sha256: sha256("2") },
    { path: "z.csv", size: 0, sha256: sha256("") },
  ]);
  expect({ count, bytes }).toEqual({ count: 3, bytes: 2 });
});

test("the content digest follows from paths and content alone", async () => {
  const first = await scan();
  const copy = makeFolder({ "z.csv": "", "2025-09-01/a.csv": "1", "2025-09-02/b.csv": "2" });
  expect((await scanDirectory(copy.directory, { format: "csv" })).contentDigest).toBe(first.contentDigest);
  fs.renameSync(path.join(copy.directory, "z.csv"), path.join(copy.directory, "y.csv"));
  expect((await scanDirectory(copy.directory, { format: "csv" })).contentDigest).not.toBe(first.contentDigest);
  copy.remove();
});

test("reads nothing when nothing changed, and only what changed otherwise", async () => {
  letTimePass();
  const first = await scan();
  expect(first.filesRead).toBe(3);
  const open = jest.spyOn(fs.promises, "open");
  const second = await scan();
  expect(second).toEqual({ ...first, filesRead: 0 });
  expect(open).not.toHaveBeenCalled();

  folder.write("2025-09-01/a.csv", "3");
  fs.rmSync(path.join(folder.directory, "z.csv"));
  const third = await scan();
  expect(third.filesRead).toBe(1);
  expect(third.files.map((file) => file.sha256)).toEqual([sha256("3"), sha256("2")]);
});

test("notices a change that keeps size and modification time", async () => {
  letTimePass();
  await scan();
  const file = path.join(folder.directory, "2025-09-01/a.csv");
  const { atime, mtime } = fs.statSync(file);
  fs.writeFileSync(file, "9");
  fs.utimesSync(file, atime, mtime);
  expect((await scan()).files[0]!.sha256).toBe(sha256("9"));
});

test("does not trust the time stamp of a file that has only just changed", async () => {
  expect((await scan()).filesRead).toBe(3);
  expect((await scan()).filesRead).toBe(3);
});

test("a damaged index costs time, not correctness", async () => {
  letTimePass();
  const first = await scan();
  for (const damage of [
    "",
    "{",
    `${fs.readFileSync(indexFile, "utf8").split("\n")[0]}\n["half`,
    '{"version":0}\n[]\n',
  ]) {
    fs.writeFileSync(indexFile, damage);
    expect(await scan()).toEqual(first);
  }
});

test.each([
  ["missing", "nowhere", /nowhere does not exist/],
  ["not a directory", "readme.txt", /readme.txt is not a directory/],
])("a directory that is %s is named", async (_, name, message) => {
  await expect(scanDirectory(path.join(folder.directory, name), { format: "csv" })).rejects.toThrow(message);
});

test("a directory without the format's files says what it has instead", async () => {
  await expect(scanDirectory(folder.directory, { format: "parquet" })).rejects.toThrow(
    /no file named \*\.parquet \(found: 3 × \.csv, 1 × \.txt\)/,
  );
});

test("symbolic links are not followed", async () => {
  fs.symlinkSync(path.join(folder.directory, "readme.txt"), path.join(folder.directory, "link.csv"));
  expect((await scan()).count).toBe(3);
});
