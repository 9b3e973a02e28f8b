import crypto from "node:crypto";
import fc from "fast-check";
import { evaluateBallot } from "../../../sandbox/ccf/ballots.ts";
import { issuerType } from "../../../sandbox/ccf/app/users.ts";
import { matchesConstraint } from "../../../sandbox/ccf/jwt.ts";
import { pageOf } from "../../../sandbox/ccf/paging.ts";
import { changeClaim, parsePolicyChange, requireMatch } from "../../../sandbox/ccf/policies.ts";
import { resolveBase, resolveCgs, type ResolveInput } from "../../../sandbox/ccf/resolve.ts";
import { combine, split } from "../../../sandbox/ccf/shamir.ts";

const OPERATOR = { isOperator: true };
const CGS_OPERATOR = { cgsRoles: { cgsOperator: "true" } };
const CONTRACT_OPERATOR = { cgsRoles: { contractOperator: "true" } };

interface Case {
  actions: string[];
  proposer?: string;
  /** Member name to vote. */
  votes?: Record<string, boolean>;
  /** Member name to data; an upper-case name is only Accepted. */
  members?: Record<string, object>;
  args?: Record<string, unknown>;
  others?: { name: string; args: Record<string, unknown> }[];
  acceptedContracts?: string[];
  acceptedDocuments?: string[];
  options?: string[];
}

function input({
  actions,
  proposer = "a",
  votes = {},
  members = { a: {}, b: {} },
  args = {},
  others = [],
  ...rest
}: Case): ResolveInput {
  return {
    actions: actions.map((name) => ({ name, args })),
    proposerId: proposer,
    votes: Object.entries(votes).map(([memberId, vote]) => ({ memberId, vote })),
    members: new Map(
      Object.entries(members).map(([id, member_data]) => [
        id,
        {
          status: id === id.toLowerCase() ? "Active" : "Accepted",
          member_data: member_data as Record<string, unknown>,
          recovery_role: "NonParticipant",
        },
      ]),
    ),
    otherOpenActions: others,
    isContractAccepted: (id) => rest.acceptedContracts?.includes(id) ?? false,
    isMemberDocumentAccepted: (id) => rest.acceptedDocuments?.includes(id) ?? false,
    isOptionEnabled: (option) => rest.options?.includes(option) ?? false,
  };
}

const both = { a: true, b: true };
const contract = { contractId: "c1" };

describe("the rules of governance", () => {
  test.each<[string, Case, string]>([
    ["nobody has voted", { actions: ["set_user_identity"] }, "Open"],
    ["one of two is missing", { actions: ["set_user_identity"], votes: { a: true } }, "Open"],
    ["all agree", { actions: ["set_user_identity"], votes: both }, "Accepted"],
    [
      "there is no normal member",
      { actions: ["set_user_identity"], members: { o: OPERATOR }, proposer: "o" },
      "Accepted",
    ],
    [
      "the operator's vote does not count",
      { actions: ["set_user_identity"], members: { a: {}, o: OPERATOR }, votes: { o: true } },
      "Open",
    ],
    [
      "the proposer's consent is not implied",
      { actions: ["set_user_identity"], members: { a: {} }, proposer: "a" },
      "Open",
    ],
    [
      "an operator proposes operator actions",
      { actions: ["set_jwt_issuer", "trigger_snapshot"], members: { a: {}, o: OPERATOR }, proposer: "o" },
      "Accepted",
    ],
    [
      "somebody else proposes operator actions",
      { actions: ["set_jwt_issuer"], members: { a: {}, o: OPERATOR } },
      "Open",
    ],
    [
      "an operator mixes in another action",
      { actions: ["set_jwt_issuer", "set_js_app"], members: { a: {}, o: OPERATOR }, proposer: "o" },
      "Open",
    ],
    [
      "an operator adds an operator",
      { actions: ["set_member"], args: { member_data: OPERATOR }, members: { a: {}, o: OPERATOR }, proposer: "o" },
      "Accepted",
    ],
    [
      "an operator adds a member",
      { actions: ["set_member"], args: { member_data: {} }, members: { a: {}, o: OPERATOR }, proposer: "o" },
      "Open",
    ],
    [
      "keys of an issuer are no operator action",
      { actions: ["set_jwt_public_signing_keys"], members: { a: {}, o: OPERATOR }, proposer: "o" },
      "Open",
    ],
    ["a contract is vetoed", { actions: ["set_contract"], args: contract, votes: { a: true, b: false } }, "Rejected"],
    [
      "an operator vetoes a contract",
      { actions: ["set_contract"], args: contract, members: { a: {}, o: OPERATOR }, votes: { o: false } },
      "Rejected",
    ],
    ["a no without veto leaves it open", { actions: ["set_user_identity"], votes: { a: true, b: false } }, "Open"],
    ["a contract is agreed", { actions: ["set_contract"], args: contract, votes: both }, "Accepted"],
    [
      "a contract comes with another action",
      { actions: ["set_contract", "enable_ca"], args: contract, votes: both },
      "Rejected",
    ],
    ["a contract is proposed twice in one", { actions: ["set_contract", "set_contract"], args: contract }, "Rejected"],
    [
      "a contract is accepted already",
      { actions: ["set_contract"], args: contract, acceptedContracts: ["c1"] },
      "Rejected",
    ],
    [
      "a contract is open elsewhere",
      { actions: ["set_contract"], args: contract, others: [{ name: "set_contract", args: contract }] },
      "Rejected",
    ],
    [
      "another contract is open elsewhere",
      { actions: ["set_contract"], args: contract, others: [{ name: "set_contract", args: { contractId: "c2" } }] },
      "Open",
    ],
    [
      "a contract waits for who has not acknowledged",
      { actions: ["set_contract"], args: contract, members: { a: {}, B: {} }, votes: { a: true } },
      "Open",
    ],
    [
      "other actions do not wait",
      { actions: ["enable_ca"], members: { a: {}, B: {} }, votes: { a: true } },
      "Accepted",
    ],
    [
      "a contract does not wait for operators",
      { actions: ["set_contract"], args: contract, members: { a: {}, O: OPERATOR }, votes: { a: true } },
      "Accepted",
    ],
    [
      "a document is accepted already",
      { actions: ["set_member_document"], args: { documentId: "d" }, acceptedDocuments: ["d"] },
      "Rejected",
    ],
    ["telemetry is switched off", { actions: ["set_contract_runtime_options_disable_telemetry"] }, "Accepted"],
    ["telemetry is switched on", { actions: ["set_contract_runtime_options_enable_telemetry"] }, "Open"],
    [
      "a role passes its action when allowed",
      {
        actions: ["set_js_app"],
        members: { a: {}, r: CGS_OPERATOR },
        proposer: "r",
        options: ["autoapprove-jsapp-proposal"],
      },
      "Accepted",
    ],
    [
      "a role needs the option",
      { actions: ["set_js_app"], members: { a: {}, r: CGS_OPERATOR }, proposer: "r" },
      "Open",
    ],
    [
      "a role given as boolean is none",
      {
        actions: ["set_js_app"],
        members: { a: {}, r: { cgsRoles: { cgsOperator: true } } },
        proposer: "r",
        options: ["autoapprove-jsapp-proposal"],
      },
      "Open",
    ],
    [
      "the contract operator passes a policy",
      {
        actions: ["set_clean_room_policy"],
        members: { a: {}, r: CONTRACT_OPERATOR },
        proposer: "r",
        options: ["autoapprove-cleanroompolicy-proposal"],
      },
      "Accepted",
    ],
    [
      "the cgs operator does not",
      {
        actions: ["set_clean_room_policy"],
        members: { a: {}, r: CGS_OPERATOR },
        proposer: "r",
        options: ["autoapprove-cleanroompolicy-proposal"],
      },
      "Open",
    ],
  ])("when %s", (_, situation, expected) => {
    expect(resolveCgs(input(situation))).toBe(expected);
  });

  test("unanimity holds for any consortium", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ operator: fc.boolean(), votes: fc.option(fc.boolean()) }), { minLength: 1, maxLength: 8 }),
        (consortium) => {
          const members = Object.fromEntries(
            consortium.map(({ operator }, index) => [`m${index}`, operator ? OPERATOR : {}]),
          );
          const votes = Object.fromEntries(
            consortium.flatMap(({ votes: vote }, index) => (vote === null ? [] : [[`m${index}`, vote]])),
          );
          const agreed = consortium.every(({ operator, votes: vote }) => operator || vote === true);
          const situation = input({ actions: ["set_user_identity"], members, votes, proposer: "m0" });
          expect(resolveCgs(situation)).toBe(agreed ? "Accepted" : "Open");
          expect(resolveBase(situation)).toBe(agreed ? "Accepted" : "Open");
        },
      ),
    );
  });

  test("remove_member cannot be decided without the certificate", () => {
    expect(() => resolveCgs(input({ actions: ["remove_member"], args: { member_id: "a" } }))).toThrow(/cert/);
  });
});

describe("ballots", () => {
  test("are functions of the proposal and its proposer", () => {
    expect(evaluateBallot("export function vote (proposal, proposerId) { return true }", "{}", "p")).toBe(true);
    expect(evaluateBallot("export function vote (proposal, proposerId) { return false }", "{}", "p")).toBe(false);
    expect(
      evaluateBallot(
        "const wanted = 'p';\nexport function vote(_, proposerId) { return proposerId === wanted }",
        "{}",
        "p",
      ),
    ).toBe(true);
    expect(evaluateBallot("export function vote() { return 1 }", "{}", "p")).toBe(false);
  });

  test.each([
    "export const x = 1",
    "export function vote() { while (true) {} }",
    "export function vote() { return process.exit }",
    "not javascript (",
  ])("fail: %s", (source) => expect(() => evaluateBallot(source, "{}", "p")).toThrow());
});

describe("clean room policies", () => {
  test("merge values without duplicates, replace booleans, and lose a claim with its last value", () => {
    expect(changeClaim(["a"], "add", ["b", "a"])).toEqual(["a", "b"]);
    expect(changeClaim(undefined, "add", "a")).toEqual(["a"]);
    expect(changeClaim([true], "add", false)).toEqual([false]);
    expect(changeClaim(["a", "b"], "remove", "a")).toEqual(["b"]);
    expect(changeClaim(["a"], "remove", ["a"])).toBeUndefined();
  });

  test("match when every claim is attested with a listed value, or a delegate policy does", () => {
    const attested = { "x-ms-sevsnpvm-hostdata": "h", "x-ms-sevsnpvm-is-debuggable": false };
    const main = { "x-ms-sevsnpvm-hostdata": ["other"], "x-ms-sevsnpvm-is-debuggable": [false] };
    expect(() => requireMatch({ ...main, "x-ms-sevsnpvm-hostdata": ["x", "h"] }, [], attested)).not.toThrow();
    expect(() => requireMatch(main, [], attested)).toThrow(/hostdata, value h does not match/);
    expect(() => requireMatch({ "x-ms-ver": ["1"] }, [], attested)).toThrow(/Missing claim/);
    expect(() => requireMatch(main, [{ "x-ms-sevsnpvm-hostdata": ["h"] }], attested)).not.toThrow();
    expect(() => requireMatch(main, [{}], attested)).toThrow();
    expect(() => requireMatch({}, [{ "x-ms-sevsnpvm-hostdata": ["h"] }], attested)).toThrow(/missing/);
  });

  test.each([
    { type: "set", claims: {} },
    { type: "add", policyType: "sgx", claims: {} },
    { type: "add", claims: { pcr0: "x" } },
    { type: "add", policyType: "snp-cvm", claims: { "x-ms-ver": "1" } },
    { type: "add", claims: [] },
  ])("refuse %j", (change) => expect(() => parsePolicyChange(change, ["snp-caci", "snp-cvm"])).toThrow());
});

describe("tokens", () => {
  test("of an issuer-bound key", () => {
    const entra = "https://login.microsoftonline.com/{tenantid}/v2.0";
    expect(matchesConstraint({ iss: "https://login.microsoftonline.com/t1/v2.0", tid: "t1" }, entra)).toBe(true);
    expect(matchesConstraint({ iss: "https://login.microsoftonline.com/t1/v2.0", tid: "t2" }, entra)).toBe(false);
    expect(matchesConstraint({ iss: "https://login.microsoftonline.com/t1/v2.0" }, entra)).toBe(false);
    expect(matchesConstraint({ iss: "https://idp.example" }, "https://idp.example")).toBe(true);
    expect(matchesConstraint({ iss: "https://idp.example", tid: "t" }, "https://idp.example")).toBe(false);
  });

  test("are told apart by issuer", () => {
    expect(issuerType("https://sts.windows.net/t/")).toBe("EntraID");
    expect(issuerType("https://login.microsoftonline.com/organizations/v2.0")).toBe("EntraID");
    expect(issuerType("https://login.microsoftonline.com/consumers/v2.0")).toBe("MsPersonal");
    expect(issuerType("https://localhost:1/v2")).toBe("GenericOpenID");
  });
});

describe("historical ranges", () => {
  const page = (query: string, last = 10) => pageOf(new URLSearchParams(query), last);
  test("are cut into pages that follow each other", () => {
    expect(page("from_seqno=1")).toEqual({ from: 1, to: 10, next: undefined });
    expect(page("from_seqno=3&max_seqno_per_page=4")).toEqual({ from: 3, to: 6, next: "from_seqno=7&to_seqno=10" });
    expect(page("to_seqno=9&max_seqno_per_page=9")).toEqual({ from: 1, to: 9, next: undefined });
  });
  test.each(["from_seqno=a", "from_seqno=4&to_seqno=3", "to_seqno=11", "from_seqno=0"])("refuse %s", (query) =>
    expect(() => page(query)).toThrow(),
  );
});

test("any threshold of shares gives the secret back, fewer do not", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 4 }), (threshold, more) => {
      const secret = crypto.randomBytes(32);
      const shares = split(secret, threshold, threshold + more);
      expect(combine(shares.slice(more))).toEqual(secret);
      if (threshold > 1) expect(combine(shares.slice(0, threshold - 1))).not.toEqual(secret);
    }),
    { numRuns: 30 },
  );
});
