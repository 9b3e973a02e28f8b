import { DuckDBInstance } from "@duckdb/node-api";
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { readFiles } from "../../../sandbox/cleanroom/agent/driver.ts";
import { decryptBlocks, encryptBlocks } from "../../../sandbox/cleanroom/data/block-format.ts";
import type { DataStore } from "../../../sandbox/cleanroom/data/store.ts";
import type { DataFormat, Field, FieldType, QueryJob } from "../../../sandbox/cleanroom/engine/contracts.ts";
import { readCsv, writeCsvRow } from "../../../sandbox/cleanroom/engine/csv.ts";
import { DuckDbEngine } from "../../../sandbox/cleanroom/engine/duckdb.ts";
import { javaDouble } from "../../../sandbox/cleanroom/engine/results.ts";

/** Reads and writes one table without changing it. */
async function copy(
  format: DataFormat,
  content: Buffer[],
  fields: Field[],
  output: DataFormat = "csv",
): Promise<Buffer> {
  const columns = fields.map((field) => field.name);
  const job: QueryJob = {
    inputs: [
      {
        name: "in",
        view: "t",
        format,
        fields,
        allowedFields: columns,
        files: content.map((bytes, index) => ({ path: `${index}`, content: bytes })),
      },
    ],
    segments: [{ executionSequence: 1, data: "SELECT * FROM t", preConditions: [], postFilters: [] }],
    output: { name: "out", format: output, fields, allowedFields: columns },
  };
  const outcome = await new DuckDbEngine().run(job, () => undefined);
  return outcome.parts[0]?.content as Buffer;
}

const typed = (type: FieldType): Field[] => [
  { name: "a", type },
  { name: "b", type: "string" },
];

describe("CSV as Spark reads it", () => {
  // Expected values were taken from pyspark 4.0.
  it.each([
    ['1,"say ""hi"" ok",z', ["1", '"say ""hi"" ok"', "z"]],
    ['1,"say ""hi, you"" ok",z', ["1", '"say ""hi', ' you"" ok"', "z"]],
    ['1,"a \\"b\\", c",z', ["1", 'a "b", c', "z"]],
    ['1,"",z', ["1", null, "z"]],
    ["1,,z", ["1", null, "z"]],
    ['1,a"b"c,z', ["1", 'a"b"c', "z"]],
    ['1, "x" ,z', ["1", ' "x" ', "z"]],
    ['1,"x" ,z', ["1", "x", "z"]],
    ['1,"x" y,z', ["1", '"x" y', "z"]],
    ['1,"a\\\\",z', ["1", "a\\", "z"]],
    ['1,"a\\x",z', ["1", "a\\x", "z"]],
    ['1,"unterminated, z', ["1", "unterminated, z"]],
    ['1,"""",z', ["1", '""', "z"]],
    ['1,"a"",b",z', ["1", 'a"', 'b"', "z"]],
  ])("%s", (line, expected) => {
    expect([...readCsv(`\uFEFF${line}\r\n\r\n  \n`)]).toEqual([expected]);
  });

  it.each<[FieldType, string[], string[]]>([
    ["integer", ["5", "+5", " 5", "5.0", "2147483648", "x"], ["5", "5", "", "", "", ""]],
    ["long", ["2147483648", "9223372036854775808"], ["2147483648", ""]],
    ["number", ["5", "1e3", "NaN", "-Inf", "x"], ["5.0", "1000.0", "NaN", "-Infinity", ""]],
    ["boolean", ["true", "TRUE", "1", "t"], ["true", "true", "", ""]],
    [
      "date",
      ["2025-09-01", "2025-9-1", "01/09/2025", "2025-09", "2025", "2025-09-01T10:00:00", "2025-02-30", "2025-09-01x"],
      ["2025-09-01", "2025-09-01", "", "2025-09-01", "2025-01-01", "2025-09-01", "", ""],
    ],
    [
      "timestamp",
      ["2025-09-01", "2025-09-01T10:00:00+02:00", "2025-09-01 10:00:00.5", "x"],
      ["2025-09-01T00:00:00.000Z", "2025-09-01T08:00:00.000Z", "2025-09-01T10:00:00.500Z", ""],
    ],
  ])("gives null for what is no %s", async (type, values, expected) => {
    const content = Buffer.from(values.map((value) => `"${value}",k\n`).join(""));
    const lines = (await copy("csv", [content], typed(type))).toString().split("\n").slice(1, -1);
    expect(lines.map((line) => line.slice(0, -2))).toEqual(expected);
  });

  it("matches columns by position and fills up short rows", async () => {
    expect((await copy("csv", [Buffer.from("1\n2,x,more\n")], typed("integer"))).toString()).toBe("a,b\n1,\n2,x\n");
  });

  it("refuses bytes that are no text, as when a file is still encrypted", async () => {
    await expect(copy("csv", [crypto.randomBytes(1000)], typed("integer"))).rejects.toThrow(/not UTF-8/);
  });
});

test("CSV is written as Spark writes it", () => {
  const values = ["a\\,b", "\\", " a,b ", "#x", "", "a\rb", '"x"', 'a\\b,\\"c', null, "l\n", "é,中"];
  expect(values.map((value) => writeCsvRow([value, "k"]))).toEqual([
    '"a\\\\,b",k',
    "\\,k",
    '"a,b",k',
    '"#x",k',
    '"",k',
    '"a\rb",k',
    '"\\"x\\"",k',
    '"a\\\\b,\\\\\\"c",k',
    ",k",
    '"l",k',
    '"é,中",k',
  ]);
});

test("doubles are printed as Java prints them", () => {
  expect([1, 0.001, 1e7, 1.5e-7, 123456.789, -0, 1e21, NaN].map(javaDouble)).toEqual([
    "1.0",
    "0.001",
    "1.0E7",
    "1.5E-7",
    "123456.789",
    "-0.0",
    "1.0E21",
    "NaN",
  ]);
});

test("JSON lines: by name, strictly typed, broken lines are rows of nulls", async () => {
  const lines = [
    '{"b":"x","a":1}',
    '{"a":"1","b":5}',
    '{"a":1.0,"b":true}',
    "garbage",
    '{"b":{"x":1}}',
    '{"a":3,"b":1.50}',
  ];
  const content = Buffer.from(lines.join("\n"));
  expect((await copy("json", [content], typed("integer"))).toString()).toBe(
    'a,b\n1,x\n,5\n,true\n,\n,"{\\"x\\":1}"\n3,1.50\n',
  );
  expect((await copy("json", [content], typed("integer"), "json")).toString().split("\n").slice(0, 3)).toEqual([
    '{"a":1,"b":"x"}',
    '{"b":"5"}',
    '{"b":"true"}',
  ]);
});

describe("Parquet", () => {
  it("is written and read back with its types", async () => {
    const fields: Field[] = (["string", "integer", "number", "boolean", "date", "long", "timestamp"] as const).map(
      (type) => ({ name: type, type }),
    );
    const row = 'é "x",1,1.5,true,2025-09-01,9007199254740993,2025-09-01T10:00:00.5Z\n,,,,,,\n';
    const parquet = await copy("csv", [Buffer.from(row)], fields, "parquet");
    expect(parquet.subarray(0, 4).toString()).toBe("PAR1");
    const csv = await copy("parquet", [parquet], fields);
    expect(csv.toString().split("\n")[1]).toBe(
      '"é \\"x\\"",1,1.5,true,2025-09-01,9007199254740993,2025-09-01T10:00:00.500Z',
    );
  });

  it("of another type than the schema says is refused, a missing column is null", async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "parquet-"));
    const instance = await DuckDBInstance.create(":memory:");
    const connection = await instance.connect();
    await connection.run(`COPY (SELECT 1::INTEGER AS a) TO '${folder}/a.parquet' (FORMAT parquet)`);
    const content = fs.readFileSync(`${folder}/a.parquet`);
    connection.closeSync();
    fs.rmSync(folder, { recursive: true });
    expect((await copy("parquet", [content], typed("integer"))).toString()).toBe("a,b\n1,\n");
    await expect(copy("parquet", [content], typed("string"))).rejects.toThrow(
      /column a is INTEGER in the Parquet files, its schema says string/,
    );
  });
});

describe("client-side encrypted files", () => {
  const key = crypto.randomBytes(32);
  const B = 64;

  it.each([0, 1, B - 1, B, B + 1, 3 * B])("of %d bytes", (length) => {
    const plain = crypto.randomBytes(length);
    const file = encryptBlocks(plain, key, B);
    const chunks = Math.ceil(length / B);
    expect(file).toHaveLength(chunks * (B + 28) + 8);
    expect(file.readBigUInt64BE(file.length - 8)).toBe(BigInt(chunks * B - length));
    expect(decryptBlocks(file, key, B)).toEqual(plain);
  });

  it("do not open with another key, cut or changed", () => {
    const file = encryptBlocks(Buffer.from("secret"), key, B);
    const changed = Buffer.from(file);
    changed[20] = (changed[20] ?? 0) ^ 1;
    expect(() => decryptBlocks(file, crypto.randomBytes(32), B)).toThrow(/does not open/);
    expect(() => decryptBlocks(changed, key, B)).toThrow(/does not open/);
    expect(() => decryptBlocks(file.subarray(1), key, B)).toThrow(/cannot be/);
    expect(() => decryptBlocks(Buffer.concat([file.subarray(0, -8), Buffer.alloc(8, 255)]), key, B)).toThrow(/padding/);
  });
});

test("files of the wanted days, of the dataset's format, without markers", async () => {
  const names = [
    "2025-09-01/a.csv",
    "2025-09-01/_SUCCESS.csv",
    "2025-09-01/.part.crc.csv",
    "2025-09-02/b.csv",
    "2025-09-02/b.json",
    "top.csv",
  ];
  const store: DataStore = {
    list: async () => names,
    read: async (name) => Buffer.from(name),
    write: async () => undefined,
  };
  const read = async (start: string, end: string): Promise<string[]> =>
    (await readFiles(store, { format: "csv" } as never, { start, end })).map((file) => file.path);
  expect(await read("2025-08-31", "2025-09-01")).toEqual(["2025-09-01/a.csv"]);
  expect(await read("2025-09-01", "2025-09-02")).toEqual(["2025-09-01/a.csv", "2025-09-02/b.csv"]);
  expect(await read("2024-01-01", "2024-01-02")).toEqual(["2025-09-01/a.csv", "2025-09-02/b.csv", "top.csv"]);
});
