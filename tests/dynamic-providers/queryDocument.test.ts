import { PERSONAS } from "../../sandbox/entra/directory.ts";
import { reviewDigest, type QueryReview } from "../../domain/review.ts";
import {
  approve,
  approvalInputs,
  approvalOf,
  publishGround,
  queryInputs,
  queryOf,
  SEGMENTS,
  type Ground,
} from "../support/agreed.ts";
import { CONTRACT, Lab } from "../support/lab.ts";

let lab: Lab;
let ground: Ground;
let count = 0;
beforeAll(async () => {
  jest.spyOn(console, "log").mockImplementation(() => undefined);
  lab = await Lab.start();
  ground = await publishGround(lab, "demo");
});
afterAll(() => lab?.stop());

const onLedger = (id: string) => lab.user("northwind").cgs.documents.get(id);
const consent = async (id: string) =>
  (await lab.user("northwind").cgs.documents.option(CONTRACT, id, "execution")).status;
const changed = SEGMENTS.map((segment) => ({ ...segment, postFilters: [] }));
const next = (segments = SEGMENTS) => {
  const baseId = `query-${++count}`;
  return {
    baseId,
    wanted: queryInputs(lab, ground, baseId, segments),
    other: queryInputs(lab, ground, baseId, changed),
  };
};

describe("a query document", () => {
  test("is proposed to every owner of its data, and nobody has voted; then nothing changes any more", async () => {
    const query = queryOf(lab);
    const { baseId, wanted } = next();
    expect(await query.up(wanted)).toBe("create");
    const document = (await onLedger(`${baseId}-r1`))!;
    expect(document).toMatchObject({
      state: "Proposed",
      proposerId: PERSONAS.woodgrove.objectId,
      labels: { type: "spark-application" },
    });
    expect(document.approvers!.map(({ approverId }) => approverId)).toEqual(
      [PERSONAS.northwind.objectId, PERSONAS.woodgrove.objectId].sort(),
    );
    expect((await lab.user("northwind").cgs.proposals.status(document.proposalId))?.ballots).toEqual([]);
    expect(query.outputs).toMatchObject({ documentId: `${baseId}-r1`, state: "Proposed" });
    expect(query.outputs["digest"]).toBe(reviewDigest(query.outputs["review"] as QueryReview));
    expect(await query.up(wanted)).toBe("same");
    expect(await query.refresh()).toBe("same");
    expect(await query.up(wanted)).toBe("same");
  });

  test("that was proposed before a crash is adopted, with its votes", async () => {
    const query = queryOf(lab);
    const { wanted } = next();
    await query.up(wanted);
    const { proposalId } = (await onLedger(query.id))!;
    await approvalOf(lab, "northwind").up(approvalInputs(lab, ground, query));
    await query.upAfterCrash(wanted);
    expect((await onLedger(query.id))?.proposalId).toBe(proposalId);
    await approve(lab, ground, query);
    await query.upAfterCrash(wanted);
    expect(query.outputs).toMatchObject({ state: "Accepted" });
    expect(await query.refresh()).toBe("same");
  });

  test("with other content, while open to votes, is proposed anew under its id", async () => {
    const query = queryOf(lab);
    const { wanted, other } = next();
    await query.up(wanted);
    const before = {
      id: query.id,
      digest: query.outputs["digest"],
      proposalId: (await onLedger(query.id))!.proposalId,
    };
    expect(await query.up(other)).toBe("replace");
    expect(query.id).toBe(before.id);
    expect(query.outputs["digest"]).not.toBe(before.digest);
    const document = (await onLedger(query.id))!;
    expect(document.state).toBe("Proposed");
    expect(document.proposalId).not.toBe(before.proposalId);
    expect(await query.refresh()).toBe("same");
  });

  test("with other content, once accepted, is its next revision, and the old one may no longer run", async () => {
    const query = queryOf(lab);
    const { baseId, wanted, other } = next();
    await query.up(wanted);
    await approve(lab, ground, query);
    expect(await query.up(other)).toBe("replace");
    expect(query.id).toBe(`${baseId}-r2`);
    expect(query.outputs).toMatchObject({ state: "Proposed" });
    expect(await consent(`${baseId}-r1`)).toBe("disabled");
  });

  test("that its author changed by hand drifts, and is put right", async () => {
    const query = queryOf(lab);
    const { wanted, other } = next();
    await query.up(wanted);
    const byHand = queryOf(lab);
    await byHand.up(other);
    expect(await query.refresh()).toBe("drifted");
    expect(query.outputs["digest"]).toBe(byHand.outputs["digest"]);
    expect(await query.up(wanted)).toBe("replace");
    expect(await query.refresh()).toBe("same");
    expect(query.outputs["digest"]).not.toBe(byHand.outputs["digest"]);
  });

  test("that was withdrawn or rejected is gone, and proposed again", async () => {
    const query = queryOf(lab);
    const { wanted } = next();
    await query.up(wanted);
    const first = (await onLedger(query.id))!.proposalId;
    await lab.user("woodgrove").cgs.proposals.withdraw(first);
    expect(await query.refresh()).toBe("gone");
    await query.up(wanted);
    const second = (await onLedger(query.id))!.proposalId;
    expect(second).not.toBe(first);
    await lab.user("northwind").cgs.proposals.submitBallot(second, "rejected");
    expect(await query.refresh()).toBe("gone");
    expect(await query.up(wanted)).toBe("create");
  });

  test("is withdrawn when it is deleted while open to votes, as often as one likes", async () => {
    const query = queryOf(lab);
    await query.up(next().wanted);
    await query.destroy();
    expect((await onLedger(query.id))?.state).toBe("Draft");
    await query.destroy();
    query.state = { ...query.state!, id: "never-published" };
    await query.destroy();
  });

  test("may no longer run when it is deleted once accepted, and may again with a new up and approval", async () => {
    const query = queryOf(lab);
    const { wanted } = next();
    await query.up(wanted);
    await approve(lab, ground, query);
    await query.destroy();
    await query.destroy();
    expect(await consent(query.id)).toBe("disabled");
    await query.upAfterCrash(wanted);
    await approvalOf(lab, "woodgrove").up(approvalInputs(lab, ground, query));
    expect(await consent(query.id)).toBe("enabled");
  });

  test("only stores another way to reach the consortium", async () => {
    const query = queryOf(lab);
    const { wanted } = next();
    await query.up(wanted);
    expect(await query.up({ ...wanted, consortium: { ...lab.access, issuerUrl: "https://issuer.example" } })).toBe(
      "update",
    );
  });
});

describe("a query that cannot run", () => {
  const statement = (data: string) => [{ executionSequence: 1, data, preConditions: [], postFilters: [] }];

  test("because it reads a view nobody provides is refused in the preview, by name", async () => {
    await expect(queryOf(lab).preview(next(statement("SELECT author FROM thiers")).wanted)).rejects.toThrow(
      "segments: the query reads thiers, which is neither an input (theirs, ours) nor a view made by an earlier segment",
    );
  });

  test("because it is not SQL is refused in the preview", async () => {
    await expect(queryOf(lab).preview(next(statement("SELEC author FROM FROM")).wanted)).rejects.toThrow(
      /^segments: The segment with executionSequence 1 is not Spark SQL/,
    );
  });

  test("is judged although its datasets are not known yet", async () => {
    const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
    const inputs = [{ view: "theirs", documentId: unknown }];
    const { wanted } = next();
    await expect(queryOf(lab).preview({ ...wanted, inputs })).rejects.toThrow("the query reads ours");
    expect(await queryOf(lab).preview({ ...wanted, inputs: unknown })).toBe("create");
  });

  test("because a dataset is not published is refused, saying which and who has to act", async () => {
    const { baseId, wanted } = next();
    await expect(queryOf(lab).up({ ...wanted, output: "nowhere-r1" })).rejects.toThrow(
      `Query ${baseId} uses nowhere-r1, not published in the consortium: their owners have to run up first.`,
    );
  });
});
