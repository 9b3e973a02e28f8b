import fs from "node:fs";
import path from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import type { Schema } from "../../../domain/data/schema.ts";
import { checkFiles, type CheckOptions } from "../../../clients/files/check.ts";
import { scanDirectory } from "../../../clients/files/scan.ts";
import { makeFolder } from "./folder.ts";

const FIELDS = [
  { name: "date", type: "date" },
  { name: "time", type: "string" },
  { name: "author", type: "string" },
  { name: "mentions", type: "string" },
] as const;

let folder: ReturnType<typeof makeFolder>;
afterEach(() => folder.remove());

async function check(
  files: Record<string, string | Buffer>,
  format: Schema["format"],
  options: CheckOptions & { fields?: Schema["fields"] } = {},
) {
  folder ??= makeFolder({});
  folder.remove();
  folder = makeFolder(files);
  return again(format, options);
}
async function again(
  format: Schema["format"],
  { fields = FIELDS, ...options }: CheckOptions & { fields?: Schema["fields"] } = {},
) {
  return checkFiles(folder.directory, await scanDirectory(folder.directory, { format }), { format, fields }, options);
}

describe("csv", () => {
  test("rows that fit: quotes, doubled quotes, Spark's backslash, any line end, a byte order mark, blank lines", async () => {
    const text =
      '\uFEFF2025-09-01,10:00,a,"b, c"\r\n2025-09-02,10:00,"a ""b"", c",d\n\n2025-09-03,1,a,"say \\"x, y\\""\r2025-09-04,1,é,""';
    expect(await check({ "a.csv": text }, "csv")).toEqual({ warnings: [], errors: [], rows: 4, filesRead: 1 });
  });

  test("values that will be NULL are one warning a field, with count and first place; an error when strict", async () => {
    const files = {
      "1/a.csv": "2025-09-01,1,a,b\n",
      "2/b.csv": "2025-09-01,1,a,b\n01/09/2025,1,a,b\n02/09/2025,1,a,b\n",
    };
    const warning =
      'field "date": 2 of 4 values do not parse as date and will be NULL in the clean room; the first is in 2/b.csv, line 2';
    expect(await check(files, "csv")).toMatchObject({ warnings: [warning], errors: [] });
    expect(await again("csv", { strict: true })).toMatchObject({ warnings: [], errors: [warning] });
  });

  test.each([
    [
      "too few columns",
      "2025-09-01,1,a,b\n2025-09-01,1,a\n",
      'a.csv, line 2, column 4 ("mentions") is missing: 3 columns, 4 expected',
    ],
    [
      "too many columns",
      "2025-09-01,1,a,b,c\n",
      "a.csv, line 1, column 5 is more than the schema has: 5 columns, 4 expected",
    ],
    [
      "a quote that stays open",
      '2025-09-01,1,a,"b\nc"\n',
      "a.csv, line 1, column 4: quotes do not match up (a value in quotes ends on the line it starts on)",
    ],
  ])("%s is an error with file, line and column", async (_, text, message) => {
    expect(await check({ "a.csv": text, "b.csv": "2025-09-01,1,a,b" }, "csv")).toMatchObject({
      errors: [message],
      rows: message.includes("line 2") ? 2 : 1,
    });
  });

  test("a file without an end of line is not taken into memory", async () => {
    const { errors } = await check({ "a.csv": Buffer.alloc(17 * 1024 * 1024, "x") }, "csv");
    expect(errors).toEqual(["a.csv, line 1, the line has no end: this is not a text file"]);
  });

  test("a line break on the border of two reads is one line break", async () => {
    const row = "2025-09-01,1,a,";
    const text = `${row}${"x".repeat(256 * 1024 - row.length - 1)}\r\n2025-09-02,1,a\r\n`;
    expect((await check({ "a.csv": text }, "csv")).errors).toEqual([
      expect.stringMatching(/^a\.csv, line 2, column 4/),
    ]);
  });

  test("a value of megabytes in quotes is one value", async () => {
    const text = `2025-09-01,1,a,"${'x, ""y"" '.repeat(1_000_000)}"\n`;
    expect(await check({ "a.csv": text }, "csv")).toMatchObject({ errors: [], rows: 1 });
  });

  test("a hundred bad files are not a hundred messages, and no message holds a value", async () => {
    const files = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`${i}.csv`, `secret${i}\n`]));
    const { errors } = await check(files, "csv");
    expect(errors).toHaveLength(21);
    expect(errors.at(-1)).toBe("80 more files cannot be read");
    expect(errors.join()).not.toContain("secret");
  });
});

describe("json lines", () => {
  const fields = [
    { name: "author", type: "string" },
    { name: "count", type: "long" },
  ] as const;

  test("members by name, absent ones allowed; numbers as they are written", async () => {
    const text =
      '{"author":"a","count":9223372036854775807}\n{"count":1.0,"more":{"count":1}}\n\n{"author":"c","count":"1"}\n{"author":"x"}\n';
    const warning =
      'field "count": 2 of 4 values do not parse as long and will be NULL in the clean room; the first is in a.json, line 2';
    expect(await check({ "a.json": text }, "json", { fields })).toEqual({
      warnings: [warning],
      errors: [],
      rows: 4,
      filesRead: 1,
    });
  });

  test.each([
    ['{"author":"a"}\n{"author":"a", count:1}\n', "a.json, line 2, column 16: not JSON"],
    ['{"author":}\n', "a.json, line 1, not JSON"],
    ["[1]\n", "a.json, line 1, not a JSON object"],
  ])("%j is an error with file, line and, where the parser tells, column", async (text, message) => {
    expect((await check({ "a.json": text }, "json", { fields })).errors).toEqual([message]);
  });
});

describe("parquet", () => {
  const fields = [
    { name: "author", type: "string" },
    { name: "count", type: "long" },
    { name: "day", type: "date" },
  ] as const;
  const content = Buffer.from(
    parquetWriteBuffer({
      columnData: [
        { name: "author", data: ["a", "b"], type: "STRING" },
        { name: "count", data: [1n, 2n], type: "INT64" },
      ],
    }),
  );

  test("the footer's types are compared with the schema", async () => {
    expect(await check({ "a.parquet": content }, "parquet", { fields: fields.slice(0, 2) })).toEqual({
      warnings: [],
      errors: [],
      rows: 2,
      filesRead: 1,
    });
    expect((await again("parquet", { fields })).errors).toEqual(['a.parquet, column 3 ("day") is missing']);
    expect((await again("parquet", { fields: [{ name: "count", type: "date" }] })).errors).toEqual([
      'a.parquet, column 1 ("count") is INT64, which Spark does not read as date',
    ]);
  });

  test("anything else is no parquet file", async () => {
    expect((await check({ "a.parquet": "PAR1 not really" }, "parquet", { fields })).errors).toEqual([
      "a.parquet, not a parquet file: its footer cannot be read",
    ]);
  });
});

describe("what was checked is not read again", () => {
  test("until content or schema change", async () => {
    const files = { "a.csv": "2025-09-01,1,a,b\n", "b.csv": "01/09/2025,1,a,b\n", "c.csv": "2025-09-01,1,a,b\n" };
    folder = makeFolder(files);
    const indexFile = path.join(folder.directory, ".cleanroom/index/check");
    const first = await again("csv", { indexFile });
    expect(await again("csv", { indexFile })).toEqual({ ...first, filesRead: 0 });
    folder.write("c.csv", "2025-09-09,1,a,b\n");
    expect(await again("csv", { indexFile })).toEqual({ ...first, filesRead: 1 });
    const fields = FIELDS.map(({ name }) => ({ name, type: "string" as const }));
    expect(await again("csv", { indexFile, fields })).toMatchObject({ warnings: [], filesRead: 3 });
    expect(fs.readFileSync(indexFile, "utf8")).not.toMatch(/2025/);
  });
});
