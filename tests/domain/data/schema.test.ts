import type { FieldType } from "../../../domain/dataset.ts";
import { jsonParses, RowChecker, textParses } from "../../../domain/data/schema.ts";

const CASES: Record<FieldType, { parses: string[]; becomesNull: string[] }> = {
  string: { parses: ["x", " ", "1"], becomesNull: [] },
  integer: {
    parses: ["0", "-1", "+7", "007", "2147483647", "-2147483648"],
    becomesNull: ["2147483648", "1.0", " 1", "1e3", "x", "--1"],
  },
  long: { parses: ["9223372036854775807", "-9223372036854775808"], becomesNull: ["9223372036854775808", "1L", "0x1"] },
  number: {
    parses: ["1", "-1.5", ".5", "5.", "1e-3", " 2 ", "1d", "NaN", "Inf", "-Inf", "-Infinity"],
    becomesNull: ["1,5", "e3", "one", "1.2.3"],
  },
  boolean: { parses: ["true", "False", "TRUE"], becomesNull: ["1", "yes", "t", " true"] },
  date: {
    parses: [
      "2025-09-01",
      "2025-9-1",
      "2025-09",
      "2025",
      " 2024-02-29 ",
      "2025-09-01T10:00",
      "2025-09-01 whatever",
      "12025-01-01",
    ],
    becomesNull: [
      "01/09/2025",
      "1/9/2025",
      "2025-13-01",
      "2025-02-29",
      "2025-09-31",
      "25-09-01",
      "2025/09/01",
      "yesterday",
      "2025-09-01x",
    ],
  },
  timestamp: {
    parses: [
      "2025-09-01",
      "2025-09-01 10:20:30",
      "2025-09-01T10:20:30.123456Z",
      "2025-9-1 1:2:3",
      "2025-09-01 10:20:30+01:00",
      "2025-09-01 10:20:30 Europe/Paris",
      "10:20:30",
      "T10:20",
    ],
    becomesNull: [
      "01/09/2025 10:20",
      "2025-09-01 25:00:00",
      "2025-09-01 10:60:00",
      "2025-02-30 10:00:00",
      "2025-09-01 noon",
    ],
  },
};

describe.each(Object.entries(CASES) as [FieldType, (typeof CASES)[FieldType]][])(
  "text as %s",
  (type, { parses, becomesNull }) => {
    test.each(["", ...parses])("%j is a value", (text) => expect(textParses(type, text)).toBe(true));
    if (becomesNull.length > 0)
      test.each(becomesNull)("%j becomes NULL", (text) => expect(textParses(type, text)).toBe(false));
  },
);

test.each<[FieldType, unknown, string | undefined, boolean]>([
  ["string", { any: "thing" }, undefined, true],
  ["integer", 1, "1", true],
  ["integer", 1, "1.0", false],
  ["integer", "1", undefined, false],
  ["integer", 3_000_000_000, "3000000000", false],
  ["long", 2 ** 63, "9223372036854775807", true],
  ["long", 2 ** 63, "9223372036854775808", false],
  ["number", 1.5, undefined, true],
  ["number", "1.5", undefined, false],
  ["number", "NaN", undefined, true],
  ["boolean", true, undefined, true],
  ["boolean", "true", undefined, false],
  ["date", "2025-09-01", undefined, true],
  ["date", "01/09/2025", undefined, false],
  ["date", 20250901, undefined, false],
  ["timestamp", "2025-09-01T10:00:00Z", undefined, true],
  ["timestamp", 1756713600, undefined, true],
  ["date", null, undefined, true],
  ["long", undefined, undefined, true],
])("JSON as %s: %j (written %s) → %s", (type, value, source, expected) => {
  expect(jsonParses(type, value, source)).toBe(expected);
});

describe("rows", () => {
  const fields = [
    { name: "date", type: "date" },
    { name: "count", type: "long" },
  ] as const;

  test("counts what becomes NULL by field, with the first line and no value", () => {
    const checker = new RowChecker(fields);
    expect(checker.textRow(["2025-09-01", "1"], 1)).toBeUndefined();
    expect(checker.textRow(["01/09/2025", "one"], 2)).toBeUndefined();
    expect(checker.textRow(["02/09/2025", ""], 3)).toBeUndefined();
    expect(checker.findings).toEqual({
      rows: 3,
      nullValues: { date: { count: 2, firstLine: 2 }, count: { count: 1, firstLine: 2 } },
    });
    expect(JSON.stringify(checker.findings)).not.toMatch(/2025|one/);
  });

  test.each([
    [["2025-09-01"], 'column 2 ("count") is missing: 1 columns, 2 expected'],
    [["2025-09-01", "1", "x"], "column 3 is more than the schema has: 3 columns, 2 expected"],
  ])("names the column of a row of another width", (row, message) => {
    expect(new RowChecker(fields).textRow(row, 1)).toBe(message);
  });
});
