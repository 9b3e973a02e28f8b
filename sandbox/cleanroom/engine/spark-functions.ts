/**
 * Spark SQL functions on DuckDB. Each supported function is a DuckDB macro `spark_<name>` whose typed overloads give
 * Spark's result type and ANSI behaviour (errors, null handling, index base) where the engines differ; what is not
 * listed here is refused, because a function of the same name may silently mean something else.
 *
 * Semantics: https://spark.apache.org/docs/latest/api/sql/ and https://spark.apache.org/docs/latest/sql-ref-ansi-compliance.html
 */

/** `[definition]` of each macro: parameters and body, several for overloads. */
const MACROS: Record<string, string[]> = {
  // Text. A number or date becomes text as Spark prints it; floating point does not print alike, hence no overload.
  text: [
    "(x VARCHAR) AS x",
    "(x BIGINT) AS CAST(x AS VARCHAR)",
    "(x DATE) AS CAST(x AS VARCHAR)",
    "(x BOOLEAN) AS CAST(x AS VARCHAR)",
  ],
  upper: ["(x) AS upper(x)"],
  lower: ["(x) AS lower(x)"],
  length: ["(x) AS CAST(length(x) AS INTEGER)"],
  reverse: ["(x VARCHAR) AS reverse(x)"],
  repeat: ["(x, n) AS repeat(x, n)"],
  replace: ["(x, search, replacement) AS replace(x, search, replacement)"],
  left: ["(x, n) AS left(x, greatest(n, 0))"],
  right: ["(x, n) AS right(x, greatest(n, 0))"],
  trim: ["(x) AS trim(x, ' ')"],
  ltrim: ["(x) AS ltrim(x, ' ')"],
  rtrim: ["(x) AS rtrim(x, ' ')"],
  lpad: ["(x, n, pad) AS lpad(x, n, pad)"],
  rpad: ["(x, n, pad) AS rpad(x, n, pad)"],
  startswith: ["(x, prefix) AS starts_with(x, prefix)"],
  endswith: ["(x, suffix) AS ends_with(x, suffix)"],
  contains: ["(x VARCHAR, part VARCHAR) AS contains(x, part)"],
  instr: ["(x, part) AS CAST(instr(x, part) AS INTEGER)"],
  substring: [
    "(x, start) AS substring(x, CASE WHEN start = 0 OR start < -length(x) THEN 1 ELSE start END)",
    `(x, start, n) AS CASE
       WHEN n <= 0 THEN left(x, 0)
       WHEN start < -length(x) THEN left(x, greatest(length(x) + start + n, 0))
       ELSE substring(x, CASE WHEN start = 0 THEN 1 ELSE start END, n) END`,
  ],
  md5: ["(x) AS md5(x)"],
  regexp_like: ["(x, pattern) AS regexp_matches(x, pattern)"],
  regexp_extract: ["(x, pattern, i) AS regexp_extract(x, pattern, i)"],
  regexp_replace: ["(x, pattern, replacement) AS regexp_replace(x, pattern, replacement, 'g')"],
  get_json_object: ["(x, path) AS CASE WHEN json_valid(x) THEN json_extract_string(x, path) END"],

  // Arrays. Spark: `a[i]` counts from 0, `element_at` from 1; both fail outside the array.
  split: ["(x, pattern) AS string_split_regex(x, pattern)"],
  item: [
    `(x, i) AS CASE WHEN i < 0 OR i >= len(x) THEN error('INVALID_ARRAY_INDEX: the index ' || i || ' is outside the array.') ELSE x[i + 1] END`,
  ],
  element_at: [
    `(x, i) AS CASE WHEN i = 0 OR abs(i) > len(x) THEN error('INVALID_ARRAY_INDEX_IN_ELEMENT_AT: the index ' || i || ' is outside the array.') ELSE x[i] END`,
  ],
  size: ["(x) AS CAST(len(x) AS INTEGER)"],
  array_contains: ["(x, item) AS list_contains(x, item)"],
  array_distinct: ["(x) AS list_distinct(x)"],

  // Numbers. ANSI mode: division by zero is an error.
  divide: [`(a DOUBLE, b DOUBLE) AS CASE WHEN b = 0 THEN error('DIVIDE_BY_ZERO: division by zero.') ELSE a / b END`],
  int_divide: [
    `(a BIGINT, b BIGINT) AS CASE WHEN b = 0 THEN error('DIVIDE_BY_ZERO: division by zero.') ELSE CAST(a // b AS BIGINT) END`,
  ],
  // Subtracting dates gives an interval in Spark and a number in DuckDB.
  minus: ["(a DATE, b DATE) AS error('Use datediff to subtract dates.')", "(a, b) AS a - b"],
  modulo: [`(a, b) AS CASE WHEN b = 0 THEN error('REMAINDER_BY_ZERO: division by zero.') ELSE a % b END`],
  abs: ["(x) AS abs(x)"],
  // DuckDB scales a double by powers of ten; Spark rounds its shortest decimal representation, half up.
  round: [
    "(x INTEGER) AS x",
    "(x INTEGER, digits) AS CAST(round(x, digits) AS INTEGER)",
    "(x BIGINT) AS x",
    "(x BIGINT, digits) AS CAST(round(x, digits) AS BIGINT)",
    "(x DOUBLE) AS CAST(round(CAST(CAST(x AS VARCHAR) AS DECIMAL(38, 16)), 0) AS DOUBLE)",
    "(x DOUBLE, digits) AS CAST(round(CAST(CAST(x AS VARCHAR) AS DECIMAL(38, 16)), digits) AS DOUBLE)",
  ],
  floor: ["(x DOUBLE) AS CAST(floor(x) AS BIGINT)"],
  ceil: ["(x DOUBLE) AS CAST(ceil(x) AS BIGINT)"],
  sqrt: ["(x DOUBLE) AS CASE WHEN x < 0 THEN CAST('NaN' AS DOUBLE) ELSE sqrt(x) END"],
  power: ["(x DOUBLE, y DOUBLE) AS pow(x, y)"],
  exp: ["(x DOUBLE) AS exp(x)"],

  // Dates.
  year: ["(x) AS CAST(year(x) AS INTEGER)"],
  month: ["(x) AS CAST(month(x) AS INTEGER)"],
  day: ["(x) AS CAST(day(x) AS INTEGER)"],
  quarter: ["(x) AS CAST(quarter(x) AS INTEGER)"],
  weekofyear: ["(x) AS CAST(weekofyear(x) AS INTEGER)"],
  dayofweek: ["(x) AS CAST(dayofweek(x) + 1 AS INTEGER)"],
  hour: ["(x) AS CAST(hour(x) AS INTEGER)"],
  minute: ["(x) AS CAST(minute(x) AS INTEGER)"],
  second: ["(x) AS CAST(second(x) AS INTEGER)"],
  last_day: ["(x) AS last_day(x)"],
  datediff: ["(later, earlier) AS CAST(date_diff('day', CAST(earlier AS DATE), CAST(later AS DATE)) AS INTEGER)"],
  date_add: ["(x, days) AS CAST(x AS DATE) + CAST(days AS INTEGER)"],
  date_sub: ["(x, days) AS CAST(x AS DATE) - CAST(days AS INTEGER)"],
  add_months: ["(x, months) AS CAST(CAST(x AS DATE) + to_months(months) AS DATE)"],
  trunc: ["(x, unit) AS CAST(date_trunc(unit, CAST(x AS DATE)) AS DATE)"],
  date_trunc: ["(unit, x) AS CAST(date_trunc(unit, x) AS TIMESTAMP)"],
  date_format: ["(x, format) AS strftime(x, format)"],
  parse_date: [
    `(x, shape, format) AS CASE
       WHEN x IS NULL THEN NULL
       WHEN regexp_full_match(x, shape) THEN CAST(strptime(x, format) AS DATE)
       ELSE error('CANNOT_PARSE_TIMESTAMP: the text does not have the expected date pattern.') END`,
  ],

  // Casts. Spark cuts fractions off where DuckDB rounds, and fails on text that is not exactly such a number.
  cast_byte: integerCast("TINYINT"),
  cast_short: integerCast("SMALLINT"),
  cast_integer: integerCast("INTEGER"),
  cast_long: integerCast("BIGINT"),

  // What goes into SUM and AVG: text is implicitly a double (and fails when it is not a number).
  summand: ["(x VARCHAR) AS CAST(x AS DOUBLE)", "(x BIGINT) AS x", "(x DOUBLE) AS x"],
  real: ["(x DOUBLE) AS x", "(x VARCHAR) AS CAST(x AS DOUBLE)"],
};

function integerCast(type: string): string[] {
  return [
    // Text of any other shape becomes a text that the cast refuses: no error() here, TRY could not catch it.
    `(x VARCHAR) AS CAST(CASE WHEN regexp_full_match(x, '\\s*[+-]?[0-9]+\\s*') THEN trim(x) WHEN x IS NOT NULL THEN 'invalid' END AS ${type})`,
    `(x DOUBLE) AS CAST(trunc(x) AS ${type})`,
    `(x BIGINT) AS CAST(x AS ${type})`,
    `(x BOOLEAN) AS CAST(x AS ${type})`,
  ];
}

/** Statements that define the macros. */
export const macroDefinitions: readonly string[] = Object.entries(MACROS).map(
  ([name, overloads]) => `CREATE MACRO ${macro(name)}${overloads.join(", ")}`,
);

/** Name of the macro behind a Spark function (or one of the operators above). */
export function macro(name: string): string {
  if (!(name in MACROS)) throw new Error(`No macro for ${name}.`);
  return `spark_${name}`;
}

/** Scalar functions written as plain calls: accepted numbers of arguments and the macro that answers. */
export const scalarFunctions: ReadonlyMap<string, { readonly macro: string; readonly arity: readonly number[] }> =
  new Map(
    (
      [
        ["upper", [1]],
        ["ucase", [1], "upper"],
        ["lower", [1]],
        ["lcase", [1], "lower"],
        ["length", [1]],
        ["char_length", [1], "length"],
        ["character_length", [1], "length"],
        ["reverse", [1]],
        ["repeat", [2]],
        ["replace", [3]],
        ["left", [2]],
        ["right", [2]],
        ["trim", [1]],
        ["ltrim", [1]],
        ["rtrim", [1]],
        ["lpad", [3]],
        ["rpad", [3]],
        ["startswith", [2]],
        ["endswith", [2]],
        ["contains", [2]],
        ["instr", [2]],
        ["substring", [2, 3]],
        ["substr", [2, 3], "substring"],
        ["md5", [1]],
        ["regexp_like", [2]],
        ["regexp", [2], "regexp_like"],
        ["regexp_extract", [3]],
        ["regexp_replace", [3]],
        ["get_json_object", [2]],
        ["split", [2]],
        ["element_at", [2]],
        ["size", [1]],
        ["cardinality", [1], "size"],
        ["array_size", [1], "size"],
        ["array_contains", [2]],
        ["array_distinct", [1]],
        ["abs", [1]],
        ["round", [1, 2]],
        ["floor", [1]],
        ["ceil", [1]],
        ["ceiling", [1], "ceil"],
        ["sqrt", [1]],
        ["power", [2]],
        ["pow", [2], "power"],
        ["exp", [1]],
        ["year", [1]],
        ["month", [1]],
        ["day", [1]],
        ["dayofmonth", [1], "day"],
        ["quarter", [1]],
        ["weekofyear", [1]],
        ["dayofweek", [1]],
        ["hour", [1]],
        ["minute", [1]],
        ["second", [1]],
        ["last_day", [1]],
        ["datediff", [2]],
        ["date_diff", [2], "datediff"],
        ["date_add", [2]],
        ["dateadd", [2], "date_add"],
        ["date_sub", [2]],
        ["add_months", [2]],
      ] as [string, number[], string?][]
    ).map(([name, arity, target]) => [name, { macro: macro(target ?? name), arity }]),
  );

/** Functions that mean the same in both engines. */
export const nativeFunctions: ReadonlyMap<string, string> = new Map([
  ["coalesce", "coalesce"],
  ["ifnull", "coalesce"],
  ["nvl", "coalesce"],
  ["nullif", "nullif"],
  ["greatest", "greatest"],
  ["least", "least"],
]);

/** Aggregates of one argument: the DuckDB aggregate and the macro its argument goes through. */
export const aggregates: ReadonlyMap<string, { readonly name: string; readonly argument?: string }> = new Map([
  ["sum", { name: "sum", argument: macro("summand") }],
  ["avg", { name: "avg", argument: macro("real") }],
  ["mean", { name: "avg", argument: macro("real") }],
  ["min", { name: "min" }],
  ["max", { name: "max" }],
  ["count", { name: "count" }],
  ["count_if", { name: "count_if" }],
  ["bool_or", { name: "bool_or" }],
  ["bool_and", { name: "bool_and" }],
  ["median", { name: "median", argument: macro("real") }],
  ["stddev", { name: "stddev_samp", argument: macro("real") }],
  ["stddev_samp", { name: "stddev_samp", argument: macro("real") }],
  ["stddev_pop", { name: "stddev_pop", argument: macro("real") }],
  ["variance", { name: "var_samp", argument: macro("real") }],
  ["var_samp", { name: "var_samp", argument: macro("real") }],
  ["var_pop", { name: "var_pop", argument: macro("real") }],
]);

/** Why a function that exists in both engines is refused all the same. */
export const refusals: ReadonlyMap<string, string> = new Map([
  ["percentile_approx", "its sketch gives other values than Spark's; use percentile(x, p), which is exact"],
  ["approx_percentile", "its sketch gives other values than Spark's; use percentile(x, p), which is exact"],
  ["approx_count_distinct", "its sketch gives other values than Spark's; use count(DISTINCT x)"],
  ["rand", "a result must not depend on chance"],
  ["first", "its result depends on row order; use min or max"],
  ["any_value", "its result depends on row order; use min or max"],
]);
