import { acceptContract } from "../../clients/cgs/acts.ts";
import { publishDocument } from "../../clients/cgs/acts.ts";
import { provider } from "../../dynamic-providers/datasetDocument.ts";
import { parseDatasetDocument } from "../../domain/dataset.ts";
import { sha256Hex } from "../../domain/json.ts";
import { PERSONAS, type PersonaName } from "../../sandbox/entra/directory.ts";
import { content } from "../support/agreed.ts";
import { Resource } from "../support/engine.ts";
import { CONTRACT, Lab } from "../support/lab.ts";

let lab: Lab;
let count = 0;
beforeAll(async () => {
  jest.spyOn(console, "log").mockImplementation(() => undefined);
  lab = await Lab.start();
});
afterAll(() => lab?.stop());

const inputs = (change: object = {}) => ({
  consortium: lab.access,
  contractId: CONTRACT,
  baseId: `dataset-${++count}`,
  dataset: content(),
  consent: true,
  ...change,
});
const resource = (persona: PersonaName = "northwind"): Resource => new Resource(provider, lab.config(persona));
const onLedger = (id: string) => lab.user("woodgrove").cgs.documents.get(id);
const consent = async (id: string) =>
  (await lab.user("woodgrove").cgs.documents.option(CONTRACT, id, "execution")).status;

describe("a dataset document", () => {
  test("is published by its owner alone; then nothing changes any more", async () => {
    const dataset = resource();
    const wanted = inputs();
    expect(await dataset.up(wanted)).toBe("create");
    const id = `${wanted.baseId}-r1`;
    const ownerId = PERSONAS.northwind.objectId;
    const document = (await onLedger(id))!;
    expect(document).toMatchObject({
      state: "Accepted",
      proposerId: ownerId,
      contractId: CONTRACT,
      labels: { type: "dataset" },
      approvers: [{ approverId: ownerId, approverIdType: "user" }],
    });
    expect(parseDatasetDocument(id, document.data).name).toBe(id);
    expect(dataset.outputs).toMatchObject({
      documentId: id,
      ownerId,
      state: "Accepted",
      content: `sha256:${sha256Hex(document.data)}`,
    });
    expect(await consent(id)).toBe("enabled");
    expect(await dataset.up(wanted)).toBe("same");
    expect(await dataset.refresh()).toBe("same");
    expect(await dataset.up(wanted)).toBe("same");
  });

  test("that was published before a crash is adopted", async () => {
    const dataset = resource();
    const wanted = inputs();
    await dataset.up(wanted);
    const { proposalId } = (await onLedger(dataset.id))!;
    await dataset.upAfterCrash(wanted);
    expect(dataset.id).toBe(`${wanted.baseId}-r1`);
    expect((await onLedger(dataset.id))?.proposalId).toBe(proposalId);
  });

  test("that was only drafted before a crash is continued", async () => {
    const wanted = inputs();
    await lab
      .user("northwind")
      .cgs.documents.putDraft(`${wanted.baseId}-r1`, { contractId: CONTRACT, data: "{}", approvers: [] });
    const dataset = resource();
    await dataset.up(wanted);
    expect(dataset.outputs).toMatchObject({ documentId: `${wanted.baseId}-r1`, state: "Accepted" });
  });

  test("with other content is its next revision, and the old one may no longer be used; going back takes the old one up again", async () => {
    const dataset = resource();
    const wanted = inputs();
    await dataset.up(wanted);
    const wider = { ...wanted, dataset: content({ allowedFields: ["author", "date"] }) };
    expect(await dataset.up(wider)).toBe("replace");
    expect(dataset.id).toBe(`${wanted.baseId}-r2`);
    expect([await consent(`${wanted.baseId}-r1`), await consent(`${wanted.baseId}-r2`)]).toEqual([
      "disabled",
      "enabled",
    ]);
    expect(await dataset.up(wanted)).toBe("replace");
    expect(dataset.id).toBe(`${wanted.baseId}-r1`);
    expect([await consent(`${wanted.baseId}-r1`), await consent(`${wanted.baseId}-r2`)]).toEqual([
      "enabled",
      "disabled",
    ]);
  });

  test("under another contract is its next revision too", async () => {
    await acceptContract(lab.member(), { contractId: "second", data: "text" });
    const dataset = resource();
    const wanted = inputs();
    await dataset.up(wanted);
    expect(await dataset.up({ ...wanted, contractId: "second" })).toBe("replace");
    expect(await onLedger(dataset.id)).toMatchObject({
      id: `${wanted.baseId}-r2`,
      contractId: "second",
      state: "Accepted",
    });
  });

  test("only stores another way to reach the consortium", async () => {
    const dataset = resource();
    const wanted = inputs();
    await dataset.up(wanted);
    expect(await dataset.up({ ...wanted, consortium: { ...lab.access, issuerUrl: "https://issuer.example" } })).toBe(
      "update",
    );
  });

  test("for which consent was switched off by hand drifts, and may be used again", async () => {
    const dataset = resource();
    const wanted = inputs();
    await dataset.up(wanted);
    await lab.user("northwind").cgs.documents.setOption(CONTRACT, dataset.id, "execution", false);
    expect(await dataset.refresh()).toBe("drifted");
    expect(await dataset.up(wanted)).toBe("update");
    expect(await consent(dataset.id)).toBe("enabled");
    expect(await dataset.refresh()).toBe("same");
  });

  test("that is not there, or is another one, is gone", async () => {
    const dataset = resource();
    const wanted = inputs();
    await dataset.up(wanted);
    const state = dataset.state!;
    const cases: object[] = [{ content: "sha256:other" }, { ownerId: "somebody else" }, { contractId: "other" }];
    for (const change of cases) {
      dataset.state = { ...state, outputs: { ...state.outputs, ...change } };
      expect(await dataset.refresh()).toBe("gone");
    }
    dataset.state = { ...state, id: "never-published" };
    expect(await dataset.refresh()).toBe("gone");
    expect(await dataset.up(wanted)).toBe("create");
  });

  test("may no longer be used when it is deleted, as often as one likes, and comes back with a new up", async () => {
    const dataset = resource();
    const wanted = inputs();
    await dataset.up(wanted);
    await dataset.destroy();
    await dataset.destroy();
    expect(await consent(dataset.id)).toBe("disabled");
    await dataset.upAfterCrash(wanted);
    expect(await consent(dataset.id)).toBe("enabled");
    dataset.state = { ...dataset.state!, id: "never-published" };
    await dataset.destroy();
  });
});

describe("a dataset document's id", () => {
  test("that somebody else used first is not taken over: the owner is told, nothing is published", async () => {
    const wanted = inputs();
    const mallory = PERSONAS.woodgrove.objectId;
    const squatted = {
      id: `${wanted.baseId}-r1`,
      contractId: CONTRACT,
      data: "{}",
      labels: {},
      approvers: [{ approverId: mallory, approverIdType: "user" as const }],
    };
    await publishDocument(lab.user("woodgrove"), squatted);
    await expect(resource().up(wanted)).rejects.toThrow(
      `Document ${wanted.baseId}-r1 belongs to user ${mallory}. Document ids are shared by the whole consortium: choose another cleanroom:collaboration or name.`,
    );
    expect(await onLedger(`${wanted.baseId}-r2`)).toBeUndefined();
  });

  test("that somebody else has proposed is not taken over either", async () => {
    const wanted = inputs();
    const approvers = [PERSONAS.woodgrove.objectId, PERSONAS.northwind.objectId].map((approverId) => ({
      approverId,
      approverIdType: "user" as const,
    }));
    await publishDocument(lab.user("woodgrove"), {
      id: `${wanted.baseId}-r1`,
      contractId: CONTRACT,
      data: "{}",
      labels: {},
      approvers,
    });
    await expect(resource().up(wanted)).rejects.toThrow(`belongs to ${PERSONAS.woodgrove.objectId}`);
  });
});

describe("a dataset that cannot be used", () => {
  test("is refused by check, before anything is published", async () => {
    const wanted = inputs({ dataset: content({ allowedFields: ["price"] }) });
    await expect(resource().preview(wanted)).rejects.toThrow(
      "dataset: allowedFields names price, not in the schema (date, author)",
    );
  });

  test("is not judged while a part of it is unknown", async () => {
    const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
    expect(
      await resource().preview(inputs({ dataset: { ...content(), allowedFields: ["price"], identity: unknown } })),
    ).toBe("create");
  });
});

test("a user that is not let in cannot publish, and hears so from the consortium", async () => {
  await expect(resource("fabrikam").up(inputs())).rejects.toThrow(/403|401/);
});
