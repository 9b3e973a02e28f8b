import { provider } from "../../dynamic-providers/cleanRoomPolicy.ts";
import { changeCleanRoomPolicy } from "../../domain/governance/actions.ts";
import { cleanRoomClaims } from "../../domain/confidential/agent.ts";
import { Resource } from "../support/engine.ts";
import { CONTRACT, Lab } from "../support/lab.ts";

const CLAIMS = cleanRoomClaims("aa");
const MALLORY = { "x-ms-sevsnpvm-hostdata": ["ff"] };

let lab: Lab;
let policy: Resource;
let inputs: Record<string, unknown>;
beforeAll(async () => {
  jest.spyOn(console, "log").mockImplementation(() => undefined);
  lab = await Lab.start();
});
afterAll(() => lab?.stop());

beforeEach(async () => {
  inputs = { consortium: lab.access, signer: lab.operator, contractId: CONTRACT, claims: CLAIMS };
  policy = new Resource(provider, lab.config("operator"), ["signer"]);
  await policy.up(inputs);
});
afterEach(() => policy.upAfterCrash(inputs).then(() => policy.destroy()));

const onLedger = async (): Promise<unknown> => (await lab.member().cgs.contracts.cleanRoomPolicy(CONTRACT)).policy;

describe("a clean room policy", () => {
  test("is agreed on; then nothing changes any more", async () => {
    expect(await onLedger()).toEqual(CLAIMS);
    expect(policy.outputs).toMatchObject({ claims: CLAIMS, state: "Accepted" });
    expect(await policy.up(inputs)).toBe("same");
    expect(await policy.refresh()).toBe("same");
    expect(await policy.up(inputs)).toBe("same");
  });

  test("that was agreed on before a crash is adopted", async () => {
    expect(await policy.upAfterCrash(inputs)).toBe("create");
    expect(await onLedger()).toEqual(CLAIMS);
  });

  test("becomes exactly what is wanted: the old measurement does not stay", async () => {
    const claims = cleanRoomClaims("bb");
    expect(await policy.up({ ...inputs, claims })).toBe("update");
    expect(await onLedger()).toEqual(claims);
    expect(policy.outputs).toMatchObject({ claims });
  });

  test("to which somebody added a measurement drifts, and loses it again", async () => {
    await lab.agree(changeCleanRoomPolicy(CONTRACT, "add", MALLORY));
    expect(await policy.refresh()).toBe("drifted");
    expect(policy.outputs).toMatchObject({ claims: { "x-ms-sevsnpvm-hostdata": ["aa", "ff"] } });
    expect(await policy.preview(inputs)).toBe("update");
    await policy.up(inputs);
    expect(await onLedger()).toEqual(CLAIMS);
  });

  test("from which somebody took a claim drifts, and gets it back", async () => {
    await lab.agree(changeCleanRoomPolicy(CONTRACT, "remove", { "x-ms-sevsnpvm-is-debuggable": [false] }));
    expect(await policy.refresh()).toBe("drifted");
    expect(await policy.up(inputs)).toBe("update");
    expect(await onLedger()).toEqual(CLAIMS);
  });

  test("that somebody removed is gone, and comes back", async () => {
    await lab.agree(changeCleanRoomPolicy(CONTRACT, "remove", CLAIMS));
    expect(await policy.refresh()).toBe("gone");
    expect(await policy.up(inputs)).toBe("create");
    expect(await onLedger()).toEqual(CLAIMS);
  });

  test("of another contract is another policy", async () => {
    expect(await policy.preview({ ...inputs, contractId: "another" })).toBe("replace");
  });

  test("takes its claims along when it is deleted, as often as one likes", async () => {
    await policy.destroy();
    expect(await onLedger()).toEqual({});
    await policy.destroy();
    expect(await policy.refresh()).toBe("gone");
  });
});
