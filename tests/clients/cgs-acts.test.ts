/** The acts, against the sandbox's CCF network: an independent implementation of the same protocol. */
import { randomBytes } from "node:crypto";
import { createMemberIdentity } from "../../clients/ccf/identity.ts";
import * as acts from "../../clients/cgs/acts.ts";
import { constitutionDigest, applicationDigest } from "../../domain/governance/digests.ts";
import { application, Consortium, constitution, newUser, TENANT, type TestUser } from "./support/consortium.ts";

jest.setTimeout(60_000);

let consortium: Consortium;
afterAll(() => consortium.close());
beforeAll(async () => {
  consortium = await Consortium.deploy(2);
});

const unique = (prefix: string): string => `${prefix}-${randomBytes(4).toString("hex")}`;
const members = () => consortium.members.map((member) => consortium.member(member));

/** Both members do the same, as two stacks with the same configuration would. */
async function byBoth<T>(act: (session: ReturnType<typeof members>[number]) => Promise<T>): Promise<[T, T]> {
  const [first, second] = members();
  return [await act(first!), await act(second!)];
}

async function acceptedContract(): Promise<string> {
  const contractId = unique("contract");
  await byBoth((session) => acts.acceptContract(session, { contractId, data: "{}" }));
  return contractId;
}

async function activeUser(name: string): Promise<TestUser> {
  const user = newUser(name);
  const invitationId = unique("invitation");
  const claims = { preferred_username: [user.email] };
  await byBoth((session) => acts.inviteUser(session, { invitationId, claims }));
  await acts.acceptInvitation(consortium.user(user), invitationId);
  await byBoth((session) => acts.finaliseUser(session, { invitationId, claims, userId: user.oid, tenantId: TENANT }));
  return user;
}

describe("the service", () => {
  it("is installed, open, and attested with the digests that were agreed on", async () => {
    const [member] = members();
    await expect(member!.governance.serviceInfo()).resolves.toMatchObject({ status: "Open" });
    await expect(consortium.attestation()).resolves.toMatchObject({
      constitutionDigest: constitutionDigest(constitution),
      applicationDigest: applicationDigest(application),
    });
  });

  it("is not proposed again when it is there", async () => {
    const [member] = members();
    const again = await acts.installService(member!, { constitution, application });
    expect(again).toEqual({
      state: "Accepted",
      proposalId: "",
      constitutionDigest: constitutionDigest(constitution),
      applicationDigest: applicationDigest(application),
    });
  });

  it("takes another runtime limit when told that it changed", async () => {
    const runtimeOptions = { ...acts.DEFAULT_RUNTIME_OPTIONS, max_execution_time_ms: 2000 };
    const service = { constitution, application, runtimeOptions, runtimeOptionsChanged: true };
    const [first, second] = await byBoth((session) => acts.installService(session, service));
    expect(first).toMatchObject({ state: "Proposed", waitingFor: "application" });
    expect(second).toMatchObject({ state: "Accepted", proposalId: first.proposalId });
  });
});

describe("members", () => {
  it("join by agreement and activate themselves", async () => {
    const newcomer = await createMemberIdentity({ name: "newcomer", validityDays: 1 });
    const member = { certificate: newcomer.certificate, memberData: { identifier: "newcomer", isOperator: true } };
    const [first, second] = await byBoth((session) => acts.putMember(session, member));
    expect([first.state, second.state].at(-1)).toBe("Accepted");
    const session = consortium.member(newcomer);
    await session.governance.activate();
    await session.governance.activate();
    const known = (await session.governance.members()).find(({ memberId }) => memberId === newcomer.memberId);
    expect(known).toMatchObject({ status: "Active", memberData: { identifier: "newcomer" } });
    await expect(acts.putMember(session, member)).resolves.toEqual({ state: "Accepted", proposalId: "" });
  });

  it("that nobody proposed cannot activate", async () => {
    const stranger = await createMemberIdentity({ name: "stranger", validityDays: 1 });
    await expect(consortium.member(stranger).governance.activate()).rejects.toThrow(
      "has to propose its certificate first",
    );
  });
});

describe("contracts", () => {
  it("wait for the other member, then are accepted by the same act", async () => {
    const contractId = unique("contract");
    const [first, second] = await byBoth((session) => acts.acceptContract(session, { contractId, data: '{"a":1}' }));
    expect(first.state).toBe("Proposed");
    expect(second).toMatchObject({ state: "Accepted", proposalId: first.proposalId });
    const [again] = await byBoth((session) => acts.acceptContract(session, { contractId, data: '{"a":1}' }));
    expect(again).toEqual(second);
  });

  it("are agreed on by members who act at the same time", async () => {
    const contractIds = Array.from({ length: 6 }, () => unique("contract"));
    const contracts = contractIds.map((contractId) => ({ contractId, data: contractId }));
    const atOnce = () =>
      members().flatMap((session) => contracts.map((contract) => acts.acceptContract(session, contract)));
    await Promise.all(atOnce());
    for (const state of await Promise.all(atOnce())) expect(state).toMatchObject({ state: "Accepted" });
  });

  it("never change once accepted", async () => {
    const contractId = await acceptedContract();
    const [member] = members();
    await expect(acts.acceptContract(member!, { contractId, data: "other" })).rejects.toMatchObject({
      name: "ContentDiffersError",
      id: contractId,
    });
  });

  it("proposed by this member can be corrected, those of another cannot", async () => {
    const contractId = unique("contract");
    const [first, second] = members();
    const before = await acts.acceptContract(first!, { contractId, data: "old" });
    await expect(acts.acceptContract(second!, { contractId, data: "new" })).rejects.toMatchObject({
      name: "ContentDiffersError",
    });
    const after = await acts.acceptContract(first!, { contractId, data: "new" });
    expect(after).toMatchObject({ state: "Proposed" });
    expect(after.proposalId).not.toBe(before.proposalId);
    await expect(acts.acceptContract(second!, { contractId, data: "new" })).resolves.toMatchObject({
      state: "Accepted",
    });
  });

  it("get deployment template and information, replaced as a whole", async () => {
    const contractId = await acceptedContract();
    for (const data of [{ url: "https://a.example" }, { url: "https://b.example", more: [1] }]) {
      await byBoth((session) => acts.setDeploymentInformation(session, contractId, data));
      await byBoth((session) => acts.setDeploymentTemplate(session, contractId, { of: data }));
    }
    const { contracts } = members()[0]!.cgs;
    await expect(contracts.deploymentInfo(contractId)).resolves.toEqual({
      proposalIds: [],
      data: { url: "https://b.example", more: [1] },
    });
    await expect(contracts.deploymentSpec(contractId)).resolves.toMatchObject({
      data: { of: { url: "https://b.example" } },
    });
  });

  it("drop an own open proposal that a newer one replaces", async () => {
    const contractId = await acceptedContract();
    const [first, second] = members();
    await acts.setDeploymentInformation(first!, contractId, { url: "https://old.example" });
    const { proposalId } = await acts.setDeploymentInformation(first!, contractId, { url: "https://new.example" });
    const { proposalIds } = await first!.cgs.contracts.deploymentInfo(contractId);
    expect(proposalIds).toEqual([proposalId]);
    await acts.setDeploymentInformation(second!, contractId, { url: "https://new.example" });
    await expect(first!.cgs.contracts.deploymentInfo(contractId)).resolves.toMatchObject({
      data: { url: "https://new.example" },
    });
  });

  it("have exactly the clean room policy that was set: nothing stale stays trusted", async () => {
    const contractId = await acceptedContract();
    const hostData = (digit: string) => ({
      "x-ms-sevsnpvm-hostdata": [digit.repeat(64)],
      "x-ms-sevsnpvm-is-debuggable": [false],
    });
    for (const digit of ["a", "b"]) {
      const claims = hostData(digit);
      const [first, second] = await byBoth((session) => acts.setCleanRoomPolicy(session, { contractId, claims }));
      expect([first.state, second.state]).toEqual(["Proposed", "Accepted"]);
      await expect(members()[0]!.cgs.contracts.cleanRoomPolicy(contractId)).resolves.toEqual({
        proposalIds: [],
        policy: claims,
      });
    }
  });

  it("get a certificate authority with one key", async () => {
    const contractId = await acceptedContract();
    const [first, second] = await byBoth((session) => acts.enableCertificateAuthority(session, contractId));
    expect(first).toMatchObject({ state: "Proposed" });
    expect(second.caCertificate).toContain("BEGIN CERTIFICATE");
    const [again] = await byBoth((session) => acts.enableCertificateAuthority(session, contractId));
    expect(again.caCertificate).toBe(second.caCertificate);
  });

  it("switch logging, telemetry and execution", async () => {
    const contractId = await acceptedContract();
    const { contracts } = members()[0]!.cgs;
    await byBoth((session) => acts.setContractOption(session, contractId, "telemetry", true));
    await expect(contracts.option(contractId, "telemetry")).resolves.toMatchObject({ status: "enabled" });
    await acts.setContractOption(members()[1]!, contractId, "telemetry", false);
    await expect(contracts.option(contractId, "telemetry")).resolves.toMatchObject({ status: "disabled" });
    await acts.setContractExecution(members()[1]!, contractId, false);
    await expect(contracts.option(contractId, "execution")).resolves.toMatchObject({
      status: "disabled",
      reason: { code: "ContractDisabled" },
    });
    await acts.setContractExecution(members()[1]!, contractId, true);
    await expect(contracts.option(contractId, "execution")).resolves.toMatchObject({ status: "enabled" });
  });
});

describe("the token issuer", () => {
  it("is enabled once, whatever key id is asked for later, and rotates once a rotation", async () => {
    const issuer = { kid: "first-key", issuerUrl: "https://issuer.example/oidc" };
    const [first, second] = await byBoth((session) => acts.enableOidcIssuer(session, issuer));
    expect(first.state).toBe("Proposed");
    expect(second).toMatchObject({ state: "Enabled", keys: [{ kid: "first-key-1", kty: "RSA" }] });
    const [, adopted] = await byBoth((session) => acts.enableOidcIssuer(session, { ...issuer, kid: "other-key" }));
    expect(adopted).toMatchObject({ issuerUrl: issuer.issuerUrl, keys: [{ kid: "first-key-1" }] });
    await expect(members()[0]!.cgs.oidc.configuration()).resolves.toMatchObject({ issuer: issuer.issuerUrl });

    const [, rotated] = await byBoth((session) => acts.rotateOidcKey(session, ["first-key-1"]));
    expect(rotated.keys.map(({ kid }) => kid)).toContain("first-key-2");
    const [again] = await byBoth((session) => acts.rotateOidcKey(session, ["first-key-1"]));
    expect(again).toMatchObject({ state: "Enabled", proposalId: "", keys: rotated.keys });
  });
});

describe("users", () => {
  it("are invited, accept, are finalised; every step may be repeated", async () => {
    const user = newUser("northwind");
    const invitationId = unique("invitation");
    const claims = { preferred_username: [user.email] };
    const finalise = { invitationId, claims, userId: user.oid, tenantId: TENANT };
    const [invited, agreed] = await byBoth((session) => acts.inviteUser(session, { invitationId, claims }));
    expect([invited.status, agreed.status]).toEqual(["Proposed", "Open"]);
    await expect(acts.finaliseUser(members()[0]!, finalise)).resolves.toEqual({ status: "Open" });

    const session = consortium.user(user);
    await expect(session.cgs.users.isActive()).resolves.toBe(false);
    const accepted = { status: "Accepted", userId: user.oid, tenantId: TENANT };
    await expect(acts.acceptInvitation(session, invitationId)).resolves.toEqual(accepted);
    await expect(acts.acceptInvitation(session, invitationId)).resolves.toEqual(accepted);

    const [proposed, finalised] = await byBoth((member) => acts.finaliseUser(member, finalise));
    expect([proposed.status, finalised.status]).toEqual(["Proposed", "Finalized"]);
    await expect(session.cgs.users.isActive()).resolves.toBe(true);
    await expect(acts.acceptInvitation(session, invitationId)).resolves.toMatchObject({ status: "Finalized" });
    const [again] = await byBoth((member) => acts.inviteUser(member, { invitationId, claims }));
    expect(again).toEqual({ status: "Finalized", proposalId: "" });

    await byBoth((member) => acts.removeUser(member, user.oid));
    await expect(session.cgs.users.isActive()).resolves.toBe(false);
    await expect(acts.removeUser(members()[0]!, user.oid)).resolves.toEqual({ state: "Accepted", proposalId: "" });
  });

  it("cannot accept an invitation meant for somebody else", async () => {
    const invitationId = unique("invitation");
    await byBoth((session) =>
      acts.inviteUser(session, { invitationId, claims: { preferred_username: ["someone@example.org"] } }),
    );
    await expect(acts.acceptInvitation(consortium.user(newUser("mallory")), invitationId)).rejects.toMatchObject({
      code: "TokenClaimMismatch",
    });
    await expect(acts.acceptInvitation(consortium.user(newUser()), unique("none"))).rejects.toMatchObject({
      code: "InvitationNotFound",
    });
  });

  it("cannot take over an invitation somebody has accepted under the same name", async () => {
    const invitationId = unique("invitation");
    await byBoth((session) =>
      acts.inviteUser(session, { invitationId, claims: { preferred_username: ["user@example.org"] } }),
    );
    await acts.acceptInvitation(consortium.user(newUser("user")), invitationId);
    await expect(acts.acceptInvitation(consortium.user(newUser("user")), invitationId)).rejects.toMatchObject({
      name: "OwnerDiffersError",
    });
  });

  it("are not finalised unless they are who was invited", async () => {
    const user = newUser("northwind");
    const invitationId = unique("invitation");
    const claims = { preferred_username: [user.email] };
    await byBoth((session) => acts.inviteUser(session, { invitationId, claims }));
    await acts.acceptInvitation(consortium.user(user), invitationId);
    const [member] = members();
    const wrong = [
      { claims: { preferred_username: ["other@example.org"] } },
      { claims, userId: newUser().oid },
      { claims, tenantId: "22222222-2222-2222-2222-222222222222" },
    ];
    for (const expected of wrong) {
      await expect(acts.finaliseUser(member!, { invitationId, ...expected })).rejects.toMatchObject({
        name: "InvitationMismatchError",
        invitationId,
      });
    }
    await expect(member!.cgs.users.identity(user.oid)).resolves.toBeUndefined();
    await expect(
      acts.inviteUser(member!, { invitationId, claims: { preferred_username: ["other@example.org"] } }),
    ).rejects.toMatchObject({ name: "ContentDiffersError" });
  });
});

describe("documents", () => {
  let owner: TestUser;
  let analyst: TestUser;
  let contractId: string;
  beforeAll(async () => {
    [owner, analyst] = [await activeUser("owner"), await activeUser("analyst")];
    contractId = await acceptedContract();
  });
  const approver = (user: TestUser) => ({ approverId: user.oid, approverIdType: "user" as const });
  const dataset = (id = unique("dataset"), data = '{"name":"x"}') => ({
    id,
    contractId,
    data,
    labels: { type: "dataset" },
    approvers: [approver(owner)],
  });
  const query = (id = unique("query"), data = "select") => ({
    id,
    contractId,
    data,
    labels: { type: "spark-application" },
    approvers: [approver(owner), approver(analyst)],
  });

  it("of one owner are accepted at once and adopted afterwards", async () => {
    const document = dataset();
    const session = consortium.user(owner);
    const published = await acts.publishDocument(session, document);
    expect(published).toMatchObject({
      state: "Accepted",
      proposerId: owner.oid,
      ballots: [{ approverId: owner.oid, ballot: "accepted" }],
    });
    await expect(acts.publishDocument(session, document)).resolves.toEqual(published);
    await expect(session.cgs.documents.list({ type: "dataset" })).resolves.toContainEqual({
      id: document.id,
      labels: { type: "dataset" },
    });
    await expect(acts.publishDocument(session, { ...document, data: "other" })).rejects.toMatchObject({
      name: "ContentDiffersError",
      differences: ["data"],
    });
    await expect(acts.publishDocument(consortium.user(analyst), document)).rejects.toMatchObject({
      name: "OwnerDiffersError",
      owner: owner.oid,
    });
  });

  it("of several wait for every approver", async () => {
    const document = query();
    const published = await acts.publishDocument(consortium.user(analyst), document);
    expect(published).toMatchObject({
      state: "Proposed",
      proposerId: analyst.oid,
      ballots: [{ approverId: analyst.oid, ballot: "accepted" }],
    });
    const vote = { documentId: document.id, proposalId: published.proposalId, ballot: "accepted" as const };
    await expect(acts.voteOnDocument(consortium.user(owner), vote)).resolves.toMatchObject({ state: "Accepted" });
    await expect(acts.voteOnDocument(consortium.user(owner), vote)).resolves.toMatchObject({ state: "Accepted" });
    await expect(acts.voteOnDocument(consortium.user(owner), { ...vote, ballot: "rejected" })).rejects.toMatchObject({
      name: "NotVotableError",
    });
  });

  it("may be corrected by their proposer while open, and a vote on what was reviewed does not fit the correction", async () => {
    const document = query();
    const before = await acts.publishDocument(consortium.user(analyst), document);
    const after = await acts.publishDocument(consortium.user(analyst), { ...document, data: "select more" });
    expect(after).toMatchObject({ state: "Proposed" });
    expect(after.proposalId).not.toBe(before.proposalId);
    const vote = { documentId: document.id, ballot: "accepted" as const };
    await expect(
      acts.voteOnDocument(consortium.user(owner), { ...vote, proposalId: before.proposalId }),
    ).rejects.toThrow("review it again");
    await expect(
      acts.voteOnDocument(consortium.user(owner), { ...vote, proposalId: after.proposalId }),
    ).resolves.toMatchObject({ state: "Accepted" });
  });

  it("that are rejected fall back, and the rejection may be repeated", async () => {
    const document = query();
    const { proposalId } = await acts.publishDocument(consortium.user(analyst), document);
    const vote = { documentId: document.id, proposalId, ballot: "rejected" as const };
    await expect(acts.voteOnDocument(consortium.user(owner), vote)).resolves.toMatchObject({ state: "Draft" });
    await expect(acts.voteOnDocument(consortium.user(owner), vote)).resolves.toMatchObject({ state: "Draft" });
    await expect(
      acts.voteOnDocument(consortium.user(analyst), { documentId: document.id, ballot: "accepted" }),
    ).rejects.toMatchObject({ name: "NotVotableError" });
    await expect(acts.publishDocument(consortium.user(analyst), document)).resolves.toMatchObject({
      state: "Proposed",
    });
  });

  it("are not proposed with somebody else's draft", async () => {
    const document = dataset();
    const mallory = consortium.user(analyst);
    await mallory.cgs.documents.putDraft(document.id, { ...document, approvers: [approver(analyst)], data: "forged" });
    await expect(acts.publishDocument(consortium.user(owner), document)).resolves.toMatchObject({
      state: "Accepted",
      proposerId: owner.oid,
    });
    await expect(mallory.cgs.documents.get(document.id)).resolves.toMatchObject({
      data: document.data,
      approvers: document.approvers,
    });
  });

  it("can be used while every approver consents", async () => {
    const document = query();
    await acts.publishDocument(consortium.user(analyst), document);
    await acts.voteOnDocument(consortium.user(owner), { documentId: document.id, ballot: "accepted" });
    const consent = (user: TestUser, enabled: boolean) =>
      acts.setConsent(consortium.user(user), { contractId, documentId: document.id, option: "execution", enabled });
    await expect(consent(owner, false)).resolves.toBe("disabled");
    await expect(consent(analyst, true)).resolves.toBe("disabled");
    await expect(consent(owner, true)).resolves.toBe("enabled");
  });
});

describe("the rest of the service", () => {
  it("keeps secrets by their owner, values unreadable", async () => {
    const contractId = await acceptedContract();
    const user = await activeUser("secretive");
    const { cgs } = consortium.user(user);
    await expect(cgs.secrets.put(contractId, "aws", "value")).resolves.toEqual({ secretId: `${user.oid}_aws` });
    await expect(cgs.secrets.list(contractId)).resolves.toEqual([`${user.oid}_aws`]);
    await expect(cgs.secrets.put(contractId, "aws", "")).rejects.toMatchObject({ code: "ValueMissing" });
  });

  it("has no audit events before a clean room wrote one", async () => {
    const contractId = await acceptedContract();
    const { cgs } = members()[0]!;
    await expect(cgs.events.latest(contractId)).resolves.toBeUndefined();
    const events = [];
    for await (const event of cgs.events.history(contractId)) events.push(event);
    expect(events).toEqual([]);
  });

  it("remembers how a proposal ended", async () => {
    const contractId = unique("contract");
    const [{ proposalId }] = await byBoth((session) => acts.acceptContract(session, { contractId, data: "x" }));
    await acceptedContract();
    const { cgs, governance } = members()[0]!;
    await expect(governance.proposal(proposalId)).resolves.toBeUndefined();
    const states = [];
    for await (const entry of cgs.proposalHistory.of(proposalId)) states.push(entry.proposalState);
    expect(states.at(-1)).toBe("Accepted");
  });

  it("answers lookups of what is not there with undefined", async () => {
    const { cgs } = members()[0]!;
    for (const lookup of [
      cgs.contracts.get("none"),
      cgs.documents.get("none"),
      cgs.proposals.get("none"),
      cgs.proposals.status("none"),
      cgs.memberDocuments.get("none"),
      cgs.users.identity("none"),
      cgs.users.invitation("none"),
    ]) {
      await expect(lookup).resolves.toBeUndefined();
    }
  });
});
