import { provider } from "../../dynamic-providers/contract.ts";
import { digestOf } from "../../domain/json.ts";
import { Resource } from "../support/engine.ts";
import { Lab } from "../support/lab.ts";

let lab: Lab;
beforeAll(async () => {
  jest.spyOn(console, "log").mockImplementation(() => undefined);
  lab = await Lab.start();
});
afterAll(() => lab?.stop());

let count = 0;
const inputs = (change: object = {}): { contractId: string; data: string; [key: string]: unknown } => ({
  consortium: lab.access,
  signer: lab.operator,
  contractId: `contract-${++count}`,
  data: "the text",
  ...change,
});
const resource = (): Resource => new Resource(provider, lab.config("operator"), ["signer"]);
const onLedger = (contractId: string) => lab.member().cgs.contracts.get(contractId);

describe("a contract", () => {
  test("is drafted, proposed and accepted; then nothing changes any more", async () => {
    const contract = resource();
    const wanted = inputs();
    expect(await contract.up(wanted)).toBe("create");
    expect(contract.outputs).toMatchObject({
      contractId: wanted.contractId,
      state: "Accepted",
      digest: digestOf("the text"),
    });
    expect(await onLedger(wanted.contractId)).toMatchObject({ state: "Accepted", data: "the text" });
    expect(await contract.up(wanted)).toBe("same");
    expect(await contract.refresh()).toBe("same");
    expect(await contract.up(wanted)).toBe("same");
  });

  test("that was created before a crash is adopted, not agreed on again", async () => {
    const contract = resource();
    const wanted = inputs();
    await contract.up(wanted);
    const { proposalId, version } = (await onLedger(wanted.contractId))!;
    expect(await contract.upAfterCrash(wanted)).toBe("create");
    expect(await onLedger(wanted.contractId)).toMatchObject({ proposalId, version });
  });

  test("of which only a draft was written before a crash is continued", async () => {
    const wanted = inputs();
    await lab.member().cgs.contracts.putDraft(wanted.contractId, { data: "an older text" });
    const contract = resource();
    await contract.up(wanted);
    expect(await onLedger(wanted.contractId)).toMatchObject({ state: "Accepted", data: "the text" });
  });

  test("cannot change: another text under the same id is refused, under another id a new contract", async () => {
    const contract = resource();
    const wanted = inputs();
    await contract.up(wanted);
    expect(await contract.preview({ ...wanted, data: "another" })).toBe("replace");
    await expect(contract.up({ ...wanted, data: "another" })).rejects.toThrow(
      `Contract ${wanted.contractId} already exists and differs in data`,
    );
    const next = inputs({ data: "another" });
    expect(await contract.up(next)).toBe("replace");
    expect(contract.id).toBe(next.contractId);
    expect((await lab.member().cgs.contracts.option(wanted.contractId, "execution")).status).toBe("disabled");
    expect((await lab.member().cgs.contracts.option(next.contractId, "execution")).status).toBe("enabled");
  });

  test("only stores another way to reach the consortium", async () => {
    const contract = resource();
    const wanted = inputs();
    await contract.up(wanted);
    const other = { ...lab.access, issuerUrl: "https://issuer.example" };
    expect(await contract.up({ ...wanted, consortium: other })).toBe("update");
    expect(contract.outputs).toMatchObject({ consortium: other, state: "Accepted" });
  });

  test("that is gone is told so, and agreed on again", async () => {
    const contract = resource();
    const wanted = inputs();
    await contract.up(wanted);
    // As in a network that was started anew: it does not know this id.
    contract.state = { ...contract.state!, id: "never-agreed" };
    expect(await contract.refresh()).toBe("gone");
    expect(await contract.up(wanted)).toBe("create");
  });

  test("that is gone can be deleted", async () => {
    const contract = resource();
    await contract.up(inputs());
    contract.state = { ...contract.state!, id: "never-agreed" };
    await contract.destroy();
  });

  test("is disabled when it is deleted, as often as one likes, and stays in the ledger", async () => {
    const contract = resource();
    const wanted = inputs();
    await contract.up(wanted);
    await contract.destroy();
    await contract.destroy();
    expect((await lab.member().cgs.contracts.option(wanted.contractId, "execution")).status).toBe("disabled");
    expect((await onLedger(wanted.contractId))?.state).toBe("Accepted");
    await contract.upAfterCrash(wanted);
    expect((await lab.member().cgs.contracts.option(wanted.contractId, "execution")).status).toBe("enabled");
  });

  test("needs its consortium: one that cannot be reached is told in one message", async () => {
    const nowhere = { ...lab.access, endpoint: "https://localhost:1" };
    await expect(resource().up(inputs({ consortium: nowhere }))).rejects.toThrow(
      /the consortium at https:\/\/localhost:1 cannot be reached .*`pulumi up` on the operator's stack starts or recovers it/,
    );
  });
});
