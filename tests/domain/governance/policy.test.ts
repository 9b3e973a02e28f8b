import fc from "fast-check";
import type { PolicyClaims } from "../../../domain/governance/actions.ts";
import { policyChange } from "../../../domain/governance/policy.ts";

/** The service's own rules: `add` appends without duplicates, `remove` takes values out and forgets emptied claims. */
function apply(policy: PolicyClaims, type: "add" | "remove", claims: PolicyClaims): PolicyClaims {
  const result: Record<string, (string | number | boolean)[]> = Object.fromEntries(
    Object.entries(policy).map(([claim, values]) => [claim, [...values]]),
  );
  for (const [claim, values] of Object.entries(claims)) {
    const current = result[claim] ?? [];
    result[claim] =
      type === "remove"
        ? current.filter((value) => !values.includes(value))
        : [...current, ...values.filter((value) => !current.includes(value))];
    if (result[claim].length === 0) delete result[claim];
  }
  return result;
}

const claims = fc.dictionary(
  fc.constantFrom("x-ms-sevsnpvm-hostdata", "x-ms-sevsnpvm-is-debuggable", "x-ms-sevsnpvm-vmpl"),
  fc.uniqueArray(fc.constantFrom("a", "b", "c"), { minLength: 1 }),
);

it("turns any policy into the wanted one, in the wanted order", () => {
  fc.assert(
    fc.property(claims, claims, (current, wanted) => {
      const change = policyChange(current, wanted);
      const result = change ? apply(apply(current, "remove", change.remove), "add", change.add) : current;
      expect(result).toEqual({ ...wanted });
    }),
  );
});

it("leaves claims alone that are right", () => {
  const change = policyChange({ x: ["old"], y: [false] }, { x: ["new"], y: [false] });
  expect(change).toEqual({ remove: { x: ["old"] }, add: { x: ["new"] } });
  expect(policyChange({ x: ["a"] }, { x: ["a"] })).toBeUndefined();
});
