import { parquetWriteBuffer, schemaFromColumnData } from "hyparquet-writer";
import { parseResult } from "../../cli/results.ts";

const lines = (...records: string[]): Buffer => Buffer.from(`${records.join("\n")}\n`);

describe("rows of a result", () => {
  test("in CSV are texts, whichever part has the header and however quotes are escaped", async () => {
    const parts = [lines("author,n", '"say \\"hi\\", anna",2'), lines("author,n", "bert,1")];
    expect(await parseResult("csv", parts)).toEqual({
      columns: ["author", "n"],
      rows: [
        ['say "hi", anna', "2"],
        ["bert", "1"],
      ],
    });
  });

  test("in JSON may leave out what is null, in the first row and whole parts too", async () => {
    const parts = [lines('{"a":"x"}', '{"b":true,"a":"y"}'), lines('{"b":false,"c":1.5}')];
    expect(await parseResult("json", parts)).toEqual({
      columns: ["a", "b", "c"],
      rows: [
        ["x", null, null],
        ["y", true, null],
        [null, false, 1.5],
      ],
    });
  });

  test("in JSON are not rounded", async () => {
    const { rows } = await parseResult("json", [lines('{"n":9007199254740993,"m":12,"x":1e30}')]);
    expect(rows).toEqual([["9007199254740993", 12, 1e30]]);
  });

  test("in Parquet come as JSON can say them: counts, days, times", async () => {
    const columnData = [
      { name: "n", data: [7n, 9007199254740993n] },
      { name: "day", data: [new Date("2025-09-01"), new Date("2025-09-02")] },
      { name: "at", data: [new Date("2025-09-01T10:00:00Z"), new Date("2025-09-01T10:00:00.5Z")] },
    ];
    const schemaOverrides = { day: { name: "day", type: "INT32", converted_type: "DATE" } as const };
    const content = parquetWriteBuffer({ columnData, schema: schemaFromColumnData({ columnData, schemaOverrides }) });
    const result = await parseResult("parquet", [Buffer.from(content)]);
    expect(result).toEqual({
      columns: ["n", "day", "at"],
      rows: [
        [7, "2025-09-01", "2025-09-01T10:00:00.000Z"],
        ["9007199254740993", "2025-09-02", "2025-09-01T10:00:00.500Z"],
      ],
    });
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
  });

  test.each(["csv", "json"] as const)("of an empty %s result are none", async (format) => {
    expect(await parseResult(format, [Buffer.alloc(0)])).toEqual({ columns: [], rows: [] });
  });
});
