import fc from "fast-check";
import * as actions from "../../../domain/governance/actions.ts";
import { actionsDigest, actionTarget, renderActions } from "../../../domain/governance/proposals.ts";

describe("digest of actions", () => {
  it("does not depend on the order of keys but on that of actions", () => {
    const first = { name: "set_contract", args: { contractId: "c", contract: { data: "x", version: "2.1" } } };
    const same = { args: { contract: { version: "2.1", data: "x" }, contractId: "c" }, name: "set_contract" };
    const second = actions.enableCa("c");
    expect(actionsDigest([first, second])).toBe(actionsDigest([same, second]));
    expect(actionsDigest([first, second])).not.toBe(actionsDigest([second, first]));
  });

  it("changes with every argument", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        fc.pre(
          JSON.stringify(a) !== JSON.stringify(b) &&
            typeof a !== "object" &&
            typeof b !== "object" &&
            !Object.is(a, -0) &&
            !Object.is(b, -0),
        );
        expect(actionsDigest([actions.setDeploymentInfo("c", a)])).not.toBe(
          actionsDigest([actions.setDeploymentInfo("c", b)]),
        );
      }),
    );
  });

  it("treats missing arguments as none, as the network does", () => {
    expect(actionsDigest([{ name: "x" }])).toBe(actionsDigest([{ name: "x", args: {} }]));
  });
});

describe("target of an action", () => {
  it("is the same for two values of one thing", () => {
    expect(actionTarget(actions.setDeploymentInfo("c", 1))).toBe(actionTarget(actions.setDeploymentInfo("c", 2)));
    expect(actionTarget(actions.enableOidcIssuerAction("a"))).toBe(actionTarget(actions.enableOidcIssuerAction("b")));
  });

  it("tells things apart", () => {
    expect(actionTarget(actions.setDeploymentInfo("c", 1))).not.toBe(actionTarget(actions.setDeploymentInfo("d", 1)));
    expect(actionTarget(actions.setDeploymentInfo("c", 1))).not.toBe(actionTarget(actions.setDeploymentSpec("c", 1)));
  });
});

describe("rendering", () => {
  it("shows actions and arguments", () => {
    const text = renderActions([
      actions.setContract("c", { data: "line 1\nline 2", approvers: ["a"], none: [] }),
      actions.enableCa("c"),
    ]);
    expect(text).toBe(
      [
        "1. set_contract",
        "   contractId: c",
        "   contract:",
        "      data: ",
        "         line 1",
        "         line 2",
        "      approvers:",
        "         - a",
        "      none: []",
        "2. enable_ca",
        "   contractId: c",
      ].join("\n"),
    );
  });

  it("shows long texts by length and digest", () => {
    const text = renderActions([actions.setConstitution("x".repeat(5000))]);
    expect(text).toMatch(/^1\. set_constitution\n {3}constitution: 5000 characters, sha256:[0-9a-f]{64}$/);
  });

  it("never lets a proposer move the cursor or reorder text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 60 }), (value) => {
        const text = renderActions([{ name: value, args: { [value]: value } }]);
        expect(text.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\u2028\u2029]/u);
      }),
    );
  });
});

it("writes roles, options and refresh modes the way the network reads them", () => {
  expect(actions.setJwtIssuer("https://i/", "roots")).toEqual({
    name: "set_jwt_issuer",
    args: { issuer: "https://i/", ca_cert_bundle_name: "roots", auto_refresh: true },
  });
  expect(actions.setJwtIssuer("https://i/")).toEqual({
    name: "set_jwt_issuer",
    args: { issuer: "https://i/", auto_refresh: false },
  });
  expect(actions.setContractOption("c", "telemetry", false).name).toBe(
    "set_contract_runtime_options_disable_telemetry",
  );
  expect(actions.setUserIdentity({ id: "o", tenantId: "t" })).toEqual({
    name: "set_user_identity",
    args: { id: "o", accountType: "microsoft", data: { tenantId: "t" } },
  });
});
