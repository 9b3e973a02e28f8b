import { unknownViews } from "../../domain/sql.ts";

const segment = (executionSequence: number, data: string) => ({
  executionSequence,
  data,
  preConditions: [],
  postFilters: [],
});

describe("views a query reads", () => {
  test("are inputs or views made by earlier segments", async () => {
    const segments = [
      segment(
        2,
        "SELECT author, COUNT(*) AS n FROM (SELECT * FROM a UNION ALL SELECT * FROM `B`) AS joined WHERE joined.x LIKE '%FROM secret%' GROUP BY author",
      ),
      segment(1, "CREATE OR REPLACE TEMP VIEW a AS SELECT * FROM first_input"),
      segment(1, "CREATE OR REPLACE TEMP VIEW b AS SELECT * FROM second_input"),
    ];
    expect(await unknownViews(segments, ["first_input", "SECOND_INPUT"])).toEqual([]);
  });

  test("that nobody provides are named, wherever they stand", async () => {
    const sql =
      "WITH local AS (SELECT * FROM hidden) SELECT * FROM local JOIN known k ON k.id = local.id WHERE EXISTS (SELECT 1 FROM other.place)";
    expect(await unknownViews([segment(1, sql)], ["known"])).toEqual(["hidden", "other.place"]);
  });

  test("what is not SQL is refused, naming the segment", async () => {
    await expect(unknownViews([segment(3, "SELEC FROM")], [])).rejects.toThrow(/executionSequence 3/);
  });
});
