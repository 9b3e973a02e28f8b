/** What is known of one request, by condition key in lower case; a key that is missing is not in the request's context. */
export type RequestContext = Readonly<Record<string, string | undefined>>;

type Test = (actual: string, expected: string) => boolean;

interface Operator {
  readonly test: Test;
  /** `Not…`: true when none of the values matches, and when the key is missing. */
  readonly negated: boolean;
}

/** https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html */
const POSITIVE: Readonly<Record<string, Test>> = {
  StringEquals: (actual, expected) => actual === expected,
  StringEqualsIgnoreCase: (actual, expected) => actual.toLowerCase() === expected.toLowerCase(),
  StringLike: (actual, expected) => matchesWildcard(actual, expected),
  ArnEquals: (actual, expected) => matchesWildcard(actual, expected),
  ArnLike: (actual, expected) => matchesWildcard(actual, expected),
  NumericEquals: (actual, expected) => Number(actual) === Number(expected),
  Bool: (actual, expected) => actual.toLowerCase() === expected.toLowerCase(),
};
const ORDERED: Readonly<Record<string, Test>> = {
  NumericLessThan: (actual, expected) => Number(actual) < Number(expected),
  NumericLessThanEquals: (actual, expected) => Number(actual) <= Number(expected),
  NumericGreaterThan: (actual, expected) => Number(actual) > Number(expected),
  NumericGreaterThanEquals: (actual, expected) => Number(actual) >= Number(expected),
};

const OPERATORS = new Map<string, Operator>([
  ...Object.entries({ ...POSITIVE, ...ORDERED }).map(([name, test]) => [name, { test, negated: false }] as const),
  ...Object.entries(POSITIVE)
    .filter(([name]) => name !== "Bool")
    .map(([name, test]) => [negatedName(name), { test, negated: true }] as const),
]);

export const CONDITION_OPERATORS: readonly string[] = [...OPERATORS.keys(), "Null"];

/** `StringEquals` → `StringNotEquals`. */
function negatedName(name: string): string {
  return name.replace(/^(String|Arn|Numeric)/, "$1Not");
}

/** @returns undefined for an operator that is not known here. */
export function operatorOf(name: string): Operator | "Null" | undefined {
  return name === "Null" ? "Null" : OPERATORS.get(name.replace(/IfExists$/, ""));
}

/** All operators and keys must hold, any of a key's values suffices. */
export function conditionsHold(
  conditions: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>,
  context: RequestContext,
): boolean {
  return Object.entries(conditions).every(([operator, keys]) =>
    Object.entries(keys).every(([key, values]) => holds(operator, context[key.toLowerCase()], values)),
  );
}

function holds(name: string, actual: string | undefined, values: readonly string[]): boolean {
  const operator = operatorOf(name);
  if (!operator) return false;
  if (operator === "Null") return values.some((value) => (value === "true") === (actual === undefined));
  if (actual === undefined) return operator.negated || name.endsWith("IfExists");
  return values.some((value) => operator.test(actual, value)) !== operator.negated;
}

/** `*`: any number of characters, `?`: exactly one. */
export function matchesWildcard(text: string, pattern: string): boolean {
  let [at, from, star, resume] = [0, 0, -1, 0];
  while (at < text.length) {
    if (from < pattern.length && pattern[from] === "*") {
      star = from++;
      resume = at;
    } else if (from < pattern.length && (pattern[from] === "?" || pattern[from] === text[at])) {
      at++;
      from++;
    } else if (star >= 0) {
      from = star + 1;
      at = ++resume;
    } else return false;
  }
  return pattern.slice(from).replaceAll("*", "") === "";
}
