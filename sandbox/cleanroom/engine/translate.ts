import { Dialect, generate, init, parse } from "@polyglot-sql/sdk";
import { QueryError } from "./contracts.ts";
import { aggregates, macro, nativeFunctions, refusals, scalarFunctions } from "./spark-functions.ts";

/**
 * Spark SQL to DuckDB SQL. The statement is parsed as Spark, its syntax tree is rebuilt node by node, and the result is
 * printed for DuckDB. Only node kinds, and only those of their properties, that are listed here pass; everything else is
 * refused with its name, so a construct that would mean something different in DuckDB cannot slip through.
 */

export type Statement =
  | { readonly kind: "view"; readonly name: string; readonly sql: string }
  | { readonly kind: "query"; readonly sql: string };

/** A syntax tree node is an object with one key, its kind; the value holds its properties. */
type Node = Record<string, unknown>;
type Body = Record<string, unknown>;

let ready: Promise<void> | undefined;

/** Loads the parser (WebAssembly) once. */
export function loadTranslator(): Promise<void> {
  ready ??= init();
  return ready;
}

/**
 * @param views names the statement may read, besides its own common table expressions.
 * @throws {QueryError} when Spark could not run it either, or when it cannot be carried over faithfully.
 */
export function translate(sql: string, views: readonly string[]): Statement {
  // The parser drops the backslash that Spark keeps before a LIKE wildcard, which would change the pattern.
  if (/(?<!\\)(?:\\\\)*\\[%_]/.test(sql))
    throw new QueryError("Write '\\\\%' and '\\\\_' for escaped wildcards in a text literal.");
  const parsed = parse(sql, Dialect.Spark);
  if (!parsed.success) throw new QueryError(`The statement is not Spark SQL: ${parsed.error}`);
  const statements = parsed.ast as unknown as Node[];
  const [statement] = statements;
  if (!statement || statements.length !== 1) throw new QueryError("A segment holds exactly one statement.");
  const scope = new Set(views.map((name) => name.toLowerCase()));
  const { kind, body } = open(statement);
  if (kind === "create_view") return createView(body, scope);
  return { kind: "query", sql: print(query(statement, scope)) };
}

function createView(body: Body, scope: Set<string>): Statement {
  only("CREATE VIEW", body, ["name", "query", "or_replace", "temporary", "create_span"]);
  if (!body["temporary"]) throw unsupported("CREATE VIEW without TEMPORARY");
  const name = identifier(properties(body["name"])["name"]);
  const select = print(query(body["query"] as Node, scope));
  const create = body["or_replace"] ? "CREATE OR REPLACE TEMPORARY VIEW" : "CREATE TEMPORARY VIEW";
  return { kind: "view", name, sql: `${create} ${quote(name)} AS ${select}` };
}

// ---- queries ----

function query(node: Node, outer: Set<string>): Node {
  const { kind, body } = open(node);
  if (kind === "select") return { select: select(body, outer) };
  if (kind === "union" || kind === "intersect" || kind === "except") return { [kind]: setOperation(kind, body, outer) };
  if (kind === "subquery" || kind === "paren") return { [kind]: { ...body, this: query(body["this"] as Node, outer) } };
  throw unsupported(kind);
}

function select(body: Body, outer: Set<string>): Body {
  only("SELECT", body, [
    "expressions",
    "from",
    "joins",
    "lateral_views",
    "where_clause",
    "group_by",
    "having",
    "order_by",
    "distinct",
    "limit",
    "offset",
    "windows",
    "with",
    "hint",
  ]);
  const { scope, clause } = commonTables(body["with"], outer);
  const from = optional(body["from"], (value) => ({
    ...value,
    expressions: nodes(value["expressions"]).map((table) => relation(table, scope)),
  }));
  const joins = [
    ...list(body["joins"]).map((join) => joined(join, scope)),
    ...list(body["lateral_views"]).map((view) => lateralView(view, scope)),
  ];
  return {
    ...body,
    hint: null,
    with: clause,
    expressions: nodes(body["expressions"]).map((item) => expression(item, scope)),
    from,
    joins,
    lateral_views: [],
    where_clause: condition(body["where_clause"], scope),
    group_by: optional(body["group_by"], (value) => {
      only("GROUP BY", value, ["expressions"]);
      return { ...value, expressions: nodes(value["expressions"]).map((item) => expression(item, scope)) };
    }),
    having: condition(body["having"], scope),
    order_by: optional(body["order_by"], (value) => orderBy(value, scope)),
    windows: list(body["windows"]).map((window) => ({
      ...window,
      spec: windowSpec(properties(window["spec"]), scope),
    })),
    limit: condition(body["limit"], scope),
    offset: condition(body["offset"], scope),
  };
}

function setOperation(kind: string, body: Body, outer: Set<string>): Body {
  only(kind.toUpperCase(), body, ["left", "right", "all", "distinct", "order_by", "limit", "offset", "with"]);
  const { scope, clause } = commonTables(body["with"], outer);
  return {
    ...body,
    with: clause,
    left: query(body["left"] as Node, scope),
    right: query(body["right"] as Node, scope),
    order_by: optional(body["order_by"], (value) => orderBy(value, scope)),
    limit: isEmpty(body["limit"]) ? body["limit"] : expression(body["limit"] as Node, scope),
    offset: isEmpty(body["offset"]) ? body["offset"] : expression(body["offset"] as Node, scope),
  };
}

function commonTables(clause: unknown, outer: Set<string>): { scope: Set<string>; clause: unknown } {
  if (isEmpty(clause)) return { scope: outer, clause };
  const body = properties(clause);
  only("WITH", body, ["ctes"]);
  const scope = new Set(outer);
  const ctes = list(body["ctes"]).map((cte) => {
    only("WITH", cte, ["alias", "this", "columns", "alias_first"]);
    const rewritten = { ...cte, this: query(cte["this"] as Node, scope) };
    scope.add(identifier(cte["alias"]).toLowerCase());
    return rewritten;
  });
  return { scope, clause: { ...body, ctes } };
}

function relation(node: Node, scope: Set<string>): Node {
  const { kind, body } = open(node);
  switch (kind) {
    case "table": {
      only("a table reference", body, ["name", "alias", "alias_explicit_as"]);
      const name = identifier(body["name"]);
      if (!scope.has(name.toLowerCase())) {
        throw new QueryError(
          `TABLE_OR_VIEW_NOT_FOUND: ${name} is neither a dataset view of this query nor a view created by it.`,
        );
      }
      return node;
    }
    case "subquery":
      only("a subquery", body, ["this", "alias", "alias_explicit_as", "alias_keyword", "column_aliases"]);
      return { subquery: { ...body, this: query(body["this"] as Node, scope) } };
    case "joined_table":
      only("a join", body, ["left", "joins", "alias"]);
      return {
        joined_table: {
          ...body,
          left: relation(body["left"] as Node, scope),
          joins: list(body["joins"]).map((join) => joined(join, scope)),
        },
      };
    default:
      throw unsupported(kind === "function" ? `the table function ${String(body["name"])}` : `${kind} in FROM`);
  }
}

/** Spark's `LEFT SEMI` is DuckDB's `SEMI`; the other kinds have one name. */
const JOIN_KINDS: Record<string, string> = {
  Inner: "Inner",
  Left: "Left",
  Right: "Right",
  Full: "Full",
  Cross: "Cross",
  Implicit: "Implicit",
  LeftSemi: "Semi",
  Semi: "Semi",
  LeftAnti: "Anti",
  Anti: "Anti",
};

function joined(join: Body, scope: Set<string>): Body {
  only("JOIN", join, [
    "this",
    "on",
    "using",
    "kind",
    "use_inner_keyword",
    "use_outer_keyword",
    "nesting_group",
    "deferred_condition",
  ]);
  const kind = JOIN_KINDS[String(join["kind"])];
  if (!kind) throw unsupported(`the join kind ${String(join["kind"])}`);
  if (!isEmpty(join["deferred_condition"])) throw unsupported("a join condition after a nested join");
  return {
    ...join,
    kind,
    this: relation(join["this"] as Node, scope),
    on: isEmpty(join["on"]) ? join["on"] : expression(join["on"] as Node, scope),
  };
}

/** `LATERAL VIEW [OUTER] explode(a) t AS c` is a lateral join with the unnested array. */
function lateralView(view: Body, scope: Set<string>): Body {
  only("LATERAL VIEW", view, ["this", "table_alias", "column_aliases", "outer"]);
  const { kind, body } = open(view["this"] as Node);
  const name = kind === "function" ? String(body["name"]).toLowerCase() : kind;
  const array = kind === "function" ? nodes(body["args"])[0] : (body["this"] as Node | undefined);
  const columns = list(view["column_aliases"]);
  if (!array || !(name === "explode" || name === "posexplode")) throw unsupported(`LATERAL VIEW ${name}`);
  if (columns.length !== (name === "explode" ? 1 : 2))
    throw unsupported(`LATERAL VIEW ${name} without a name for each column`);
  const rewritten = expression(array, scope);
  const named = (value: Node, alias: unknown): Node => ({
    alias: { this: value, alias, column_aliases: [], alias_explicit_as: true },
  });
  const unnested = named(call("unnest", [rewritten]), columns.at(-1));
  const position = { sub: { left: call("generate_subscripts", [rewritten, number(1)]), right: number(1) } };
  const projections = name === "explode" ? [unnested] : [named(position, columns[0]), unnested];
  const lateral = template(
    `SELECT * FROM t ${view["outer"] ? "LEFT JOIN" : "CROSS JOIN"} LATERAL (SELECT 1) AS u${view["outer"] ? " ON TRUE" : ""}`,
  );
  const [join] = list(properties(lateral["select"])["joins"]);
  const subquery = properties((join?.["this"] as Node)["subquery"]);
  subquery["alias"] = view["table_alias"];
  properties((subquery["this"] as Node)["select"])["expressions"] = projections;
  return join as Body;
}

function orderBy(body: Body, scope: Set<string>): Body {
  only("ORDER BY", body, ["expressions"]);
  return { ...body, expressions: list(body["expressions"]).map((item) => ordered(item, scope)) };
}

function ordered(item: Body, scope: Set<string>): Body {
  only("ORDER BY", item, ["this", "desc", "nulls_first", "explicit_asc"], ["nulls_first"]);
  return { ...item, this: expression(item["this"] as Node, scope) };
}

function condition(clause: unknown, scope: Set<string>): unknown {
  return optional(clause, (body) => {
    only("a clause", body, ["this"]);
    return { ...body, this: expression(body["this"] as Node, scope) };
  });
}

// ---- expressions ----

const COMPARISONS_AND_ARITHMETIC = new Set([
  "and",
  "or",
  "eq",
  "neq",
  "lt",
  "lte",
  "gt",
  "gte",
  "add",
  "mul",
  "null_safe_eq",
]);

/** Operators that need a macro for Spark's errors and result types. */
const CHECKED_OPERATORS: Record<string, [name: string, left: string, right: string]> = {
  div: ["divide", "left", "right"],
  sub: ["minus", "left", "right"],
  int_div: ["int_divide", "this", "expression"],
  mod: ["modulo", "left", "right"],
  subscript: ["item", "this", "index"],
};

/** Functions for which the parser has node kinds of their own: the Spark name and the properties that are arguments. */
const FUNCTION_NODES: Record<string, [name: string, ...properties: string[]]> = {
  upper: ["upper", "this"],
  lower: ["lower", "this"],
  length: ["length", "this"],
  substring: ["substring", "this", "start", "length"],
  str_position: ["instr", "this", "substr"],
  starts_with: ["startswith", "this", "expression"],
  ends_with: ["endswith", "this", "expression"],
  contains: ["contains", "this", "expression"],
  regexp_like: ["regexp_like", "this", "pattern"],
  abs: ["abs", "this"],
  floor: ["floor", "this"],
  ceil: ["ceil", "this"],
  sqrt: ["sqrt", "this"],
  power: ["power", "this", "expression"],
  exp: ["exp", "this"],
  array_contains: ["array_contains", "this", "expression"],
  array_distinct: ["array_distinct", "this"],
  array_size: ["size", "this"],
  cardinality: ["size", "this"],
  element_at: ["element_at", "this", "expression"],
  year: ["year", "this"],
  month: ["month", "this"],
  day: ["day", "this"],
  day_of_month: ["day", "this"],
  day_of_week: ["dayofweek", "this"],
  quarter: ["quarter", "this"],
  week_of_year: ["weekofyear", "this"],
  hour: ["hour", "this"],
  minute: ["minute", "this"],
  second: ["second", "this"],
  last_day: ["last_day", "this"],
  add_months: ["add_months", "this", "expression"],
  nvl: ["nvl", "this", "expression"],
};

const AGGREGATE_NODES: Record<string, string> = {
  sum: "sum",
  avg: "avg",
  min: "min",
  max: "max",
  count: "count",
  count_if: "count_if",
  median: "median",
  logical_or: "bool_or",
  logical_and: "bool_and",
  stddev: "stddev",
  stddev_samp: "stddev_samp",
  stddev_pop: "stddev_pop",
  variance: "variance",
  var_samp: "var_samp",
  var_pop: "var_pop",
};

/** Window functions whose result Spark types as int. */
const RANKING = new Set(["row_number", "rank", "dense_rank", "n_tile"]);

function expression(node: Node, scope: Set<string>): Node {
  const { kind, body } = open(node);
  const walk = (value: unknown): Node => expression(value as Node, scope);
  const walkOptional = (value: unknown): unknown => (isEmpty(value) ? value : walk(value));

  if (COMPARISONS_AND_ARITHMETIC.has(kind)) {
    only(kind, body, ["left", "right"]);
    return { [kind]: { ...body, left: walk(body["left"]), right: walk(body["right"]) } };
  }
  const checked = CHECKED_OPERATORS[kind];
  if (checked) {
    const [name, left, right] = checked;
    only(name, body, [left, right]);
    return call(macro(name), [walk(body[left]), walk(body[right])]);
  }
  const known = FUNCTION_NODES[kind];
  if (known) {
    const [name, ...arguments_] = known;
    only(name, body, [...arguments_, "original_name", "from_for_syntax"]);
    return scalar(
      name,
      arguments_.filter((argument) => !isEmpty(body[argument])).map((argument) => body[argument] as Node),
      scope,
    );
  }
  const aggregateName = AGGREGATE_NODES[kind];
  if (aggregateName) return aggregate(aggregateName, body, isEmpty(body["this"]) ? [] : [body["this"] as Node], scope);

  switch (kind) {
    case "column":
      only("a column", body, ["name", "table"]);
      return node;
    case "star":
      only("*", body, ["table", "except"]);
      return node;
    case "boolean":
    case "null":
      return node;
    case "literal":
      return literal(body);
    case "alias":
      only("AS", body, ["this", "alias", "alias_explicit_as", "alias_keyword"]);
      return {
        alias: { ...body, this: isExplode(body["this"]) ? explode(body["this"] as Node, scope) : walk(body["this"]) },
      };
    case "paren":
    case "neg":
    case "not":
      only(kind, body, ["this"]);
      return { [kind]: { ...body, this: walk(body["this"]) } };
    case "is_null":
    case "is_true":
    case "is_false":
      only(kind, body, ["this", "not", "postfix_form"]);
      return { [kind]: { ...body, this: walk(body["this"]) } };
    case "between":
      only("BETWEEN", body, ["this", "low", "high", "not"]);
      return { between: { ...body, this: walk(body["this"]), low: walk(body["low"]), high: walk(body["high"]) } };
    case "in":
      only("IN", body, ["this", "expressions", "query", "not"]);
      return {
        in: {
          ...body,
          this: walk(body["this"]),
          expressions: nodes(body["expressions"]).map(walk),
          query: isEmpty(body["query"]) ? body["query"] : query(body["query"] as Node, scope),
        },
      };
    case "exists":
      only("EXISTS", body, ["this", "not"]);
      return { exists: { ...body, this: query(body["this"] as Node, scope) } };
    case "subquery":
      only("a scalar subquery", body, ["this"]);
      return { subquery: { ...body, this: query(body["this"] as Node, scope) } };
    case "case":
      only("CASE", body, ["operand", "whens", "else_"]);
      return {
        case: {
          ...body,
          operand: walkOptional(body["operand"]),
          whens: (body["whens"] as Node[][]).map((pair) => pair.map(walk)),
          else_: walkOptional(body["else_"]),
        },
      };
    case "if_func":
      only("IF", body, ["condition", "true_value", "false_value", "original_name"]);
      return caseWhen(
        walk(body["condition"]),
        walk(body["true_value"]),
        isEmpty(body["false_value"]) ? { null: null } : walk(body["false_value"]),
      );
    case "nvl2":
      only("NVL2", body, ["this", "true_value", "false_value"]);
      return caseWhen(
        { is_null: { this: walk(body["this"]), not: true, postfix_form: false } },
        walk(body["true_value"]),
        walk(body["false_value"]),
      );
    case "coalesce":
      only("COALESCE", body, ["expressions", "original_name"]);
      return call("coalesce", nodes(body["expressions"]).map(walk));
    case "concat":
      only("||", body, ["left", "right"]);
      return joinText([body["left"] as Node, body["right"] as Node], scope);
    case "like":
    case "i_like":
      only("LIKE", body, ["left", "right", "escape"]);
      // Spark's escape character is the backslash unless given, DuckDB's is none.
      return {
        [kind]: {
          ...body,
          left: walk(body["left"]),
          right: walk(body["right"]),
          escape: isEmpty(body["escape"]) ? backslash() : body["escape"],
        },
      };
    case "cast":
    case "try_cast":
      return cast(kind, body, scope);
    case "trim":
      only("TRIM of one argument", body, ["this", "position"]);
      return scalar("trim", [body["this"] as Node], scope);
    case "window_function":
      return windowFunction(body, scope);
    case "aggregate_function":
      return aggregate(String(body["name"]).toLowerCase(), body, nodes(body["args"]), scope);
    case "function":
      return functionCall(body, scope);
    default: {
      const reason = refusals.get(kind);
      throw unsupported(reason ? `${kind} (${reason})` : kind);
    }
  }
}

function functionCall(body: Body, scope: Set<string>): Node {
  only("a function call", body, ["name", "args", "no_parens", "use_bracket_syntax", "quoted"]);
  const name = String(body["name"]).toLowerCase();
  const arguments_ = nodes(body["args"]);
  switch (name) {
    case "concat":
      return joinText(arguments_, scope);
    case "concat_ws":
      return call(
        "concat_ws",
        arguments_.map((argument) => text(argument, scope)),
      );
    case "isnull":
    case "isnotnull":
      return {
        is_null: { this: expression(one(name, arguments_), scope), not: name === "isnotnull", postfix_form: false },
      };
    case "array":
      return call(
        "list_value",
        arguments_.map((argument) => expression(argument, scope)),
      );
    case "to_date":
      return toDate(arguments_, scope);
    case "date_format":
      return call(macro("date_format"), [
        expression(one(name, arguments_.slice(0, 1)), scope),
        stringNode(strftimePattern(literalText(arguments_[1], name))),
      ]);
    case "trunc":
      return call(macro("trunc"), [
        expression(one(name, arguments_.slice(0, 1)), scope),
        stringNode(truncationUnit(literalText(arguments_[1], name), name)),
      ]);
    case "date_trunc":
      return call(macro("date_trunc"), [
        stringNode(truncationUnit(literalText(arguments_[0], name), name)),
        expression(one(name, arguments_.slice(1)), scope),
      ]);
    case "locate":
      return scalar("instr", arguments_.toReversed(), scope);
    case "sha2":
      if (literalText(arguments_[1], name) !== "256") throw unsupported("sha2 with another length than 256");
      return call("sha256", [text(arguments_[0] as Node, scope)]);
    case "regexp_extract":
      return scalar(name, arguments_.length === 2 ? [...arguments_, number(1)] : arguments_, scope);
    case "regexp_replace":
      if (/[\\$]/.test(literalText(arguments_[2], name))) throw unsupported("regexp_replace with a group reference");
      return scalar(name, arguments_, scope);
    case "get_json_object":
      if (/[*?]/.test(literalText(arguments_[1], name))) throw unsupported("get_json_object with a wildcard");
      return scalar(name, arguments_, scope);
    case "split":
      if (literalText(arguments_[1], name) === "") throw unsupported("split with an empty pattern");
      return scalar(name, arguments_, scope);
    case "median":
    case "mean":
      return aggregate(name, {}, arguments_, scope);
    default:
      return scalar(name, arguments_, scope);
  }
}

function scalar(name: string, arguments_: Node[], scope: Set<string>): Node {
  const rewritten = arguments_.map((argument) => expression(argument, scope));
  const native = nativeFunctions.get(name);
  if (native) return call(native, rewritten);
  const known = scalarFunctions.get(name);
  if (!known) {
    const reason = refusals.get(name);
    throw unsupported(`the function ${name}${reason ? ` (${reason})` : ""}`);
  }
  if (!known.arity.includes(arguments_.length)) throw unsupported(`${name} with ${arguments_.length} arguments`);
  return call(known.macro, rewritten);
}

function aggregate(name: string, body: Body, arguments_: Node[], scope: Set<string>): Node {
  only(name, body, ["this", "args", "name", "original_name", "star", "distinct", "filter"]);
  const filter = isEmpty(body["filter"]) ? null : expression(body["filter"] as Node, scope);
  const distinct = Boolean(body["distinct"]);
  const build = (duckName: string, args: Node[]): Node => ({
    aggregate_function: { name: duckName, args, distinct, filter, order_by: [], limit: null, ignore_nulls: null },
  });
  if (name === "count" && body["star"]) return { count: { ...body, filter } };
  if (name === "percentile" && arguments_.length === 2) {
    return build("quantile_cont", [
      call(macro("real"), [expression(arguments_[0] as Node, scope)]),
      literal(open(arguments_[1] as Node).body),
    ]);
  }
  const known = aggregates.get(name);
  if (!known) {
    const reason = refusals.get(name);
    throw unsupported(`the aggregate ${name}${reason ? ` (${reason})` : ""}`);
  }
  const argument = expression(one(name, arguments_), scope);
  return build(known.name, [known.argument ? call(known.argument, [argument]) : argument]);
}

function windowFunction(body: Body, scope: Set<string>): Node {
  only("OVER", body, ["this", "over"]);
  const { kind, body: inner } = open(body["this"] as Node);
  const over = windowSpec(properties(body["over"]), scope);
  const windowed = (value: Node): Node => ({ window_function: { ...body, this: value, over } });
  if (RANKING.has(kind)) return castTo(windowed(body["this"] as Node), "int");
  if (kind === "lag" || kind === "lead") {
    only(kind, inner, ["this", "offset", "default"]);
    const part = (name: string): unknown =>
      isEmpty(inner[name]) ? inner[name] : expression(inner[name] as Node, scope);
    return windowed({ [kind]: { ...inner, this: part("this"), offset: part("offset"), default: part("default") } });
  }
  const rewritten = expression(body["this"] as Node, scope);
  if (!("aggregate_function" in rewritten || "count" in rewritten)) throw unsupported(`${kind} OVER`);
  return windowed(rewritten);
}

function windowSpec(over: Body, scope: Set<string>): Body {
  only("OVER", over, ["window_name", "partition_by", "order_by", "frame", "alias"]);
  return {
    ...over,
    partition_by: nodes(over["partition_by"]).map((item) => expression(item, scope)),
    order_by: list(over["order_by"]).map((item) => ordered(item, scope)),
  };
}

const CAST_MACROS: Record<string, string> = {
  tiny_int: "cast_byte",
  small_int: "cast_short",
  int: "cast_integer",
  big_int: "cast_long",
};
const PLAIN_CASTS = new Set(["double", "boolean", "date", "timestamp", "decimal"]);
const TEXT_TYPES = new Set(["string", "text", "var_char"]);

function cast(kind: "cast" | "try_cast", body: Body, scope: Set<string>): Node {
  only("CAST", body, ["this", "to", "double_colon_syntax"]);
  const type = String(properties(body["to"])["data_type"]);
  const value = expression(body["this"] as Node, scope);
  const name = CAST_MACROS[type];
  let result: Node;
  if (name) result = call(macro(name), [value]);
  else if (TEXT_TYPES.has(type)) result = call(macro("text"), [value]);
  else if (PLAIN_CASTS.has(type)) result = { cast: { ...body, this: value, double_colon_syntax: false } };
  else throw unsupported(`CAST to ${type}`);
  return kind === "cast" ? result : call("try", [result]);
}

function literal(body: Body): Node {
  const type = String(body["literal_type"]);
  if (type === "raw_string") return stringNode(String(body["value"]));
  if (!["string", "number", "date", "timestamp"].includes(type)) throw unsupported(`a literal of type ${type}`);
  return { literal: body };
}

function toDate(arguments_: Node[], scope: Set<string>): Node {
  const value = expression(one("to_date", arguments_.slice(0, 1)), scope);
  if (arguments_.length === 1) return castTo(value, "date");
  const pattern = literalText(arguments_[1], "to_date");
  return call(macro("parse_date"), [value, stringNode(patternShape(pattern)), stringNode(strftimePattern(pattern))]);
}

/** Letters of Spark's datetime patterns that carry over: DuckDB's specifier and what the text must look like. */
const PATTERN_LETTERS: Record<string, [specifier: string, shape: string]> = {
  yyyy: ["%Y", "[0-9]{4}"],
  yy: ["%y", "[0-9]{2}"],
  MM: ["%m", "[0-9]{2}"],
  M: ["%-m", "[0-9]{1,2}"],
  dd: ["%d", "[0-9]{2}"],
  d: ["%-d", "[0-9]{1,2}"],
  HH: ["%H", "[0-9]{2}"],
  mm: ["%M", "[0-9]{2}"],
  ss: ["%S", "[0-9]{2}"],
  MMM: ["%b", "[A-Za-z]{3}"],
};

function mapPattern(
  pattern: string,
  letters: (entry: [string, string]) => string,
  others: (text: string) => string,
): string {
  return pattern.replaceAll(/([A-Za-z])\1*|[^A-Za-z]/g, (token) => {
    if (!/[A-Za-z]/.test(token)) {
      if (token === "'" || token === "[" || token === "]" || token === "%")
        throw unsupported(`the datetime pattern '${pattern}'`);
      return others(token);
    }
    const entry = PATTERN_LETTERS[token];
    if (!entry) throw unsupported(`'${token}' in the datetime pattern '${pattern}'`);
    return letters(entry);
  });
}

const strftimePattern = (pattern: string): string =>
  mapPattern(
    pattern,
    ([specifier]) => specifier,
    (text) => text,
  );
const patternShape = (pattern: string): string =>
  mapPattern(
    pattern,
    ([, shape]) => shape,
    (text) => text.replaceAll(/[^A-Za-z0-9 ]/g, "\\$&"),
  );

const UNITS: Record<string, string> = {
  YEAR: "year",
  YYYY: "year",
  YY: "year",
  QUARTER: "quarter",
  MONTH: "month",
  MM: "month",
  MON: "month",
  WEEK: "week",
};
const TIME_UNITS: Record<string, string> = { DAY: "day", DD: "day", HOUR: "hour", MINUTE: "minute", SECOND: "second" };

function truncationUnit(name: string, functionName: string): string {
  const unit =
    UNITS[name.toUpperCase()] ?? (functionName === "date_trunc" ? TIME_UNITS[name.toUpperCase()] : undefined);
  if (!unit) throw unsupported(`${functionName} to '${name}'`);
  return unit;
}

// ---- small pieces of syntax ----

/** `a || b`, which is NULL when a part is, as Spark's concat. */
function joinText(parts: Node[], scope: Set<string>): Node {
  return parts.map((part) => text(part, scope)).reduce((left, right) => ({ concat: { left, right } }));
}

const text = (node: Node, scope: Set<string>): Node => call(macro("text"), [expression(node, scope)]);

const call = (name: string, args: Node[]): Node => ({
  function: {
    name,
    args,
    distinct: false,
    trailing_comments: [],
    use_bracket_syntax: false,
    no_parens: false,
    quoted: false,
  },
});

const number = (value: number): Node => ({ literal: { literal_type: "number", value: String(value) } });
const stringNode = (value: string): Node => ({ literal: { literal_type: "string", value } });
const backslash = (): Node => stringNode("\\");

function caseWhen(when: Node, then: Node, otherwise: Node): Node {
  return { case: { operand: null, whens: [[when, then]], else_: otherwise, comments: [] } };
}

function castTo(value: Node, type: "int" | "date"): Node {
  const [item] = nodes(properties(template(`SELECT CAST(1 AS ${type})`)["select"])["expressions"]);
  const body = properties((item as Node)["cast"]);
  return { cast: { ...body, this: value } };
}

/** The tree of a fixed DuckDB statement, to be filled in. */
function template(sql: string): Node {
  const parsed = parse(sql, Dialect.DuckDB);
  const [statement] = parsed.success ? (parsed.ast as unknown as Node[]) : [];
  if (!statement) throw new Error(`Not parsable: ${sql}`);
  return statement;
}

function isExplode(node: unknown): boolean {
  return typeof node === "object" && node !== null && "explode" in node;
}

/** `SELECT explode(a) AS c`. */
function explode(node: Node, scope: Set<string>): Node {
  const { body } = open(node);
  only("explode", body, ["this"]);
  return call("unnest", [expression(body["this"] as Node, scope)]);
}

function literalText(node: Node | undefined, functionName: string): string {
  const body = node && "literal" in node ? properties(node["literal"]) : undefined;
  if (!body) throw unsupported(`${functionName} with something else than a literal where one is needed`);
  return String(body["value"]);
}

function one(name: string, arguments_: readonly Node[]): Node {
  const [argument] = arguments_;
  if (!argument || arguments_.length !== 1) throw unsupported(`${name} with ${arguments_.length} arguments`);
  return argument;
}

// ---- walking the tree ----

function open(node: Node): { kind: string; body: Body } {
  const [entry] = Object.entries(node);
  if (!entry) throw new QueryError("The statement has an empty expression.");
  return { kind: entry[0], body: properties(entry[1] ?? {}) };
}

/** Refuses a node that uses properties beyond those known to be carried over. */
function only(what: string, body: Body, allowed: readonly string[], booleans: readonly string[] = []): void {
  for (const [key, value] of Object.entries(body)) {
    if (
      allowed.includes(key) ||
      booleans.includes(key) ||
      isEmpty(value) ||
      key.endsWith("comments") ||
      key.endsWith("span")
    )
      continue;
    throw unsupported(`${what} with ${key.replaceAll("_", " ")}`);
  }
}

const isEmpty = (value: unknown): boolean =>
  value === null || value === undefined || value === false || (Array.isArray(value) && value.length === 0);

const properties = (value: unknown): Body => (typeof value === "object" && value !== null ? (value as Body) : {});
const list = (value: unknown): Body[] => (Array.isArray(value) ? (value as Body[]) : []);
const nodes = (value: unknown): Node[] => list(value);
const optional = (value: unknown, rewrite: (body: Body) => unknown): unknown =>
  isEmpty(value) ? value : rewrite(properties(value));

/** Identifiers are `{ name, quoted }`; some places nest them. */
function identifier(value: unknown): string {
  const { name } = properties(value);
  return typeof name === "string" ? name : identifier(name);
}

/** @returns the DuckDB identifier. */
export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;

function print(node: Node): string {
  const generated = generate([node], Dialect.DuckDB);
  const [sql] = generated.success ? (generated.sql ?? []) : [];
  if (!sql)
    throw new QueryError(`The statement cannot be written for the embedded engine: ${generated.error ?? "no output"}`);
  return sql;
}

const unsupported = (what: string): QueryError =>
  new QueryError(
    `The embedded query engine does not support ${what}. Rewrite the query, or run it with CLEANROOM_QUERY_ENGINE=spark.`,
  );
