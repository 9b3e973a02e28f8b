import { publishDocument } from "../../clients/cgs/acts.ts";
import { queryDocument } from "../../domain/query.ts";
import { reviewDigest, reviewOf, type QueryReview } from "../../domain/review.ts";
import { PERSONAS, type PersonaName } from "../../sandbox/entra/directory.ts";
import {
  approvalInputs,
  approvalOf,
  approve,
  content,
  publishDataset,
  publishGround,
  queryInputs,
  queryOf,
  SEGMENTS,
  sinkContent,
  type Ground,
} from "../support/agreed.ts";
import type { Resource } from "../support/engine.ts";
import { CONTRACT, Lab } from "../support/lab.ts";

const { northwind, woodgrove } = PERSONAS;

let lab: Lab;
let log: jest.SpyInstance;
let ground: Ground;
let count = 0;
beforeAll(async () => {
  log = jest.spyOn(console, "log").mockImplementation(() => undefined);
  lab = await Lab.start();
  ground = await publishGround(lab, "demo");
});
afterAll(() => lab?.stop());

const onLedger = (id: string) => lab.user("northwind").cgs.documents.get(id);
const consent = async (id: string) =>
  (await lab.user("northwind").cgs.documents.option(CONTRACT, id, "execution")).status;
const setConsent = (persona: PersonaName, id: string, enabled: boolean) =>
  lab.user(persona).cgs.documents.setOption(CONTRACT, id, "execution", enabled);
const approval = (persona: PersonaName = "northwind"): Resource => approvalOf(lab, persona);
const pinned = (query: Resource, change: object = {}): object => approvalInputs(lab, ground, query, change);
const changed = SEGMENTS.map((segment) => ({ ...segment, postFilters: [] }));

async function ballots(id: string): Promise<Record<string, string>> {
  const document = (await onLedger(id))!;
  const cast =
    document.finalVotes ?? (await lab.user("northwind").cgs.proposals.status(document.proposalId))?.ballots ?? [];
  return Object.fromEntries(cast.map(({ approverId, ballot }) => [approverId, ballot]));
}

async function proposed(segments = SEGMENTS): Promise<Resource> {
  const query = queryOf(lab);
  await query.up(queryInputs(lab, ground, `query-${++count}`, segments));
  return query;
}

describe("an approval", () => {
  test("is a vote for what was reviewed; then nothing changes any more", async () => {
    const query = await proposed();
    const own = approval();
    expect(await own.up(pinned(query))).toBe("create");
    expect(own.outputs).toMatchObject({ state: "Proposed", digest: query.outputs["digest"] });
    expect(await ballots(query.id)).toEqual({ [northwind.objectId]: "accepted" });
    expect(await own.up(pinned(query))).toBe("same");
    expect(await own.refresh()).toBe("same");
    const last = approval("woodgrove");
    await last.up(pinned(query));
    expect(last.outputs).toMatchObject({ state: "Accepted" });
    expect((await onLedger(query.id))?.state).toBe("Accepted");
    expect(await consent(query.id)).toBe("enabled");
    expect(await own.refresh()).toBe("same");
    expect(own.outputs).toMatchObject({ state: "Accepted" });
    expect(await own.up(pinned(query))).toBe("same");
  });

  test("that was given before a crash is adopted, open or accepted", async () => {
    const query = await proposed();
    const own = approval();
    await own.up(pinned(query));
    await own.upAfterCrash(pinned(query));
    expect(await ballots(query.id)).toEqual({ [northwind.objectId]: "accepted" });
    await approval("woodgrove").up(pinned(query));
    await own.upAfterCrash(pinned(query));
    expect(own.outputs).toMatchObject({ state: "Accepted" });
  });

  test("whose consent was switched off by hand drifts, and is given again", async () => {
    const query = await proposed();
    await approve(lab, ground, query);
    const own = approval();
    await own.up(pinned(query));
    await setConsent("northwind", query.id, false);
    expect(await own.refresh()).toBe("drifted");
    expect(await own.up(pinned(query))).toBe("update");
    expect(await consent(query.id)).toBe("enabled");
    expect(await own.refresh()).toBe("same");
  });

  test("is its own organisation's: another one's consent is no drift here", async () => {
    const query = await proposed();
    await approve(lab, ground, query);
    const own = approval();
    await own.up(pinned(query));
    await setConsent("woodgrove", query.id, false);
    expect(await own.refresh()).toBe("same");
    await setConsent("northwind", query.id, false);
    expect(await own.refresh()).toBe("drifted");
  });

  test("is gone when the query was proposed anew, and needs a new review", async () => {
    const query = await proposed();
    const own = approval();
    await own.up(pinned(query));
    const old = pinned(query);
    await query.up(queryInputs(lab, ground, String(query.outputs["baseId"]), changed));
    expect(await own.refresh()).toBe("gone");
    await expect(own.up(old)).rejects.toThrow("is not what is proposed");
    expect(await own.up(pinned(query))).toBe("create");
    expect(await ballots(query.id)).toEqual({ [northwind.objectId]: "accepted" });
  });

  test("follows its query to other content under the same id, and keeps the new consent", async () => {
    const query = await proposed();
    const own = approval();
    await own.up(pinned(query));
    await query.up(queryInputs(lab, ground, String(query.outputs["baseId"]), changed));
    await approval("woodgrove").up(pinned(query));
    expect(await own.up(pinned(query))).toBe("replace");
    expect((await onLedger(query.id))?.state).toBe("Accepted");
    expect(await consent(query.id)).toBe("enabled");
  });

  test("follows its query to the next revision, and takes back the consent to the one before", async () => {
    const query = await proposed();
    await approve(lab, ground, query);
    const [own, first] = [approval(), query.id];
    await own.up(pinned(query));
    await query.up(queryInputs(lab, ground, String(query.outputs["baseId"]), changed));
    expect(await own.up(pinned(query))).toBe("replace");
    expect(query.id).not.toBe(first);
    expect(await consent(first)).toBe("disabled");
    expect(await ballots(query.id)).toEqual({ [northwind.objectId]: "accepted" });
  });

  test("withdraws consent when it is deleted, as often as one likes, and gives it again", async () => {
    const query = await proposed();
    await approve(lab, ground, query);
    const own = approval();
    await own.up(pinned(query));
    await own.destroy();
    await own.destroy();
    expect(await consent(query.id)).toBe("disabled");
    expect(await own.refresh()).toBe("drifted");
    await own.upAfterCrash(pinned(query));
    expect(await consent(query.id)).toBe("enabled");
  });

  test("says so where its vote cannot be taken back, and can be deleted when the query is gone", async () => {
    const query = await proposed();
    const own = approval();
    await own.up(pinned(query));
    await own.destroy();
    expect(log).toHaveBeenLastCalledWith(expect.stringContaining(`${query.id} is still waiting for other votes`));
    await query.destroy();
    await own.destroy();
  });

  test("only stores what is known of owners, and another way to reach the consortium", async () => {
    const query = await proposed();
    const own = approval();
    await own.up(pinned(query));
    expect(
      await own.up(pinned(query, { owners: {}, consortium: { ...lab.access, issuerUrl: "https://issuer.example" } })),
    ).toBe("update");
    expect(await ballots(query.id)).toEqual({ [northwind.objectId]: "accepted" });
  });
});

/** A query as a dishonest author publishes it: nothing of our own rules is kept. */
async function publishedBy(
  author: PersonaName,
  change: {
    approvers?: readonly { approverId: string; approverIdType: "user" | "member" }[];
    inputs?: readonly { view: string; documentId: string }[];
    output?: string;
    data?: (text: string) => string;
  },
): Promise<object> {
  const id = `dishonest-${++count}`;
  const inputs = change.inputs ?? [
    { view: "theirs", documentId: ground.theirs.id },
    { view: "ours", documentId: ground.ours.id },
  ];
  const text = JSON.stringify(
    queryDocument({ documentId: id, inputs, output: change.output ?? ground.sink.id, segments: SEGMENTS }),
  );
  const approvers =
    change.approvers ??
    [northwind, woodgrove].map(({ objectId }) => ({ approverId: objectId, approverIdType: "user" as const }));
  const document = {
    id,
    contractId: CONTRACT,
    data: change.data?.(text) ?? text,
    labels: { type: "spark-application" },
    approvers,
  };
  await publishDocument(lab.user(author), { ...document, vote: false });
  const datasets = await Promise.all(
    [...new Set([...inputs.map(({ documentId }) => documentId), change.output ?? ground.sink.id])].map(onLedger),
  );
  const query = (await onLedger(id))!;
  const review = reviewOf({ ...query, data: text }, new Map(datasets.map((dataset) => [dataset!.id, dataset!])));
  return {
    consortium: lab.access,
    contractId: CONTRACT,
    review,
    digest: reviewDigest(review),
    owners: ground.owners,
    consent: true,
  };
}

async function refused(inputs: object, message: string | RegExp, persona: PersonaName = "northwind"): Promise<void> {
  await expect(approval(persona).up(inputs)).rejects.toThrow(message);
  const { documentId } = (inputs as { review: QueryReview }).review;
  expect(await ballots(documentId)).toEqual({});
}

describe("no vote goes out", () => {
  test("for a digest that is not the one the author offers now: refused in the preview, with both", async () => {
    const query = await proposed();
    const stale = `sha256:${"0".repeat(64)}`;
    await expect(approval().preview(pinned(query, { digest: stale }))).rejects.toThrow(
      `digest: the approval of ${query.id} pins ${stale}, but the query's author now offers ${String(query.outputs["digest"])}. Read the query again`,
    );
  });

  test("for what the author has changed since: the preview shows the difference", async () => {
    const query = await proposed();
    const own = approval();
    const reviewed = pinned(query);
    await own.up(reviewed);
    await query.up(queryInputs(lab, ground, String(query.outputs["baseId"]), changed));
    const { digest } = reviewed as { digest: string };
    await expect(own.preview(pinned(query, { digest }))).rejects.toThrow(
      /pins .* now offers .*\n {2}- .*reviewed .*, now /s,
    );
  });

  test("for something else than what is proposed: refused with the difference", async () => {
    const query = await proposed();
    const stale = pinned(query);
    await query.up(queryInputs(lab, ground, String(query.outputs["baseId"]), changed));
    await refused(
      stale,
      /what was reviewed \(sha256:[0-9a-f]{64}\) is not what is proposed \(sha256:[0-9a-f]{64}\)\.\n {2}- segment 2: reviewed .*"postFilters":\[\{"columnName":"mentions","value":1\}\].*, now .*"postFilters":\[\]/,
    );
  });

  test("for what the author says but has not proposed", async () => {
    const query = await proposed();
    const { review } = query.outputs as { review: QueryReview };
    const harmless = { ...review, segments: review.segments.map((segment) => ({ ...segment, data: "SELECT 1" })) };
    await refused(pinned(query, { review: harmless, digest: reviewDigest(harmless) }), "is not what is proposed");
  });

  test("when the approver list leaves out an owner", async () => {
    const inputs = await publishedBy("woodgrove", {
      approvers: [{ approverId: woodgrove.objectId, approverIdType: "user" }],
    });
    await refused(inputs, `its approver list leaves out ${northwind.objectId}, who own data it uses`, "woodgrove");
    await refused(inputs, `its approver list leaves out ${northwind.objectId}, who own data it uses`, "northwind");
  });

  test("when the approver list names somebody without a stake", async () => {
    const approvers = [northwind, woodgrove, PERSONAS.contoso].map(({ objectId }) => ({
      approverId: objectId,
      approverIdType: "user" as const,
    }));
    await refused(
      await publishedBy("woodgrove", { approvers }),
      `names ${PERSONAS.contoso.objectId}, who own none of its data`,
    );
  });

  test("when an owner is listed as something else than a user", async () => {
    const approvers = [
      { approverId: woodgrove.objectId, approverIdType: "user" as const },
      { approverId: northwind.objectId, approverIdType: "member" as const },
    ];
    await refused(await publishedBy("woodgrove", { approvers }), `names ${northwind.objectId}, but not as a user`);
  });

  test("when a dataset document was published by somebody else than who owns it", async () => {
    // woodgrove was faster with the id that northwind's dataset would have had.
    const squatted = await publishDataset(lab, "woodgrove", "squatted-northwind-input", content());
    const approvers = [{ approverId: woodgrove.objectId, approverIdType: "user" as const }];
    const inputs = await publishedBy("woodgrove", {
      inputs: [
        { view: "theirs", documentId: squatted.id },
        { view: "ours", documentId: ground.ours.id },
      ],
      approvers,
    });
    await refused(
      inputs,
      `dataset ${squatted.id} was published by ${woodgrove.objectId}, and no organisation this stack hears of calls it its own`,
      "woodgrove",
    );
    const told = { ...inputs, owners: { ...ground.owners, [squatted.id]: northwind.objectId } };
    await refused(
      told,
      `dataset ${squatted.id} was published by ${woodgrove.objectId}, not by its owner ${northwind.objectId}`,
      "woodgrove",
    );
  });

  test("when it would write into somebody's source", async () => {
    await refused(
      await publishedBy("woodgrove", { output: ground.theirs.id }),
      `output ${ground.theirs.id} is a source`,
    );
  });

  test("when the document holds more than can be reviewed", async () => {
    const hidden = (text: string): string =>
      JSON.stringify({ ...(JSON.parse(text) as object), Application: { query: "" } });
    await refused(await publishedBy("woodgrove", { data: hidden }), /is not a Spark SQL query: .*Application/);
  });

  test("under another contract than this stack's", async () => {
    const query = await proposed();
    await refused(pinned(query, { contractId: "another" }), `it belongs to contract ${CONTRACT}, not another`);
  });

  test("for a document that is not there", async () => {
    const query = await proposed();
    const inputs = pinned(query);
    const { review } = query.outputs as { review: QueryReview };
    const elsewhere = { ...review, documentId: "nowhere-r1" };
    await expect(approval().up({ ...inputs, review: elsewhere, digest: reviewDigest(elsewhere) })).rejects.toThrow(
      "Document nowhere-r1 is not in the consortium: its author has to publish it first.",
    );
  });
});

test("datasets and queries of an approval are the ledger's, whatever revisions came since", async () => {
  const own = await publishGround(lab, "moving");
  const query = queryOf(lab);
  await query.up(queryInputs(lab, own, `query-${++count}`));
  const inputs = approvalInputs(lab, own, query);
  await publishDataset(lab, "woodgrove", "moving-woodgrove-output", sinkContent({ allowedFields: ["author"] }));
  const vote = approval();
  await vote.up(inputs);
  expect(await ballots(query.id)).toEqual({ [northwind.objectId]: "accepted" });
});
