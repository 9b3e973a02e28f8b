import { coseSign1, createIdentity, VOTE_NO, VOTE_YES, type Answer } from "./client.ts";
import { acceptContract, bundle, constitution, deployCgs, startNetwork, type Network } from "./fixture.ts";

const code = (answer: Answer) => [answer.status, answer.json?.error?.code];
const API = "api-version=2024-07-01";

describe("member governance", () => {
  let network: Network;
  beforeAll(async () => {
    network = await startNetwork(2);
    await deployCgs(network);
  });
  afterAll(() => network.close());

  test("demands the api-version it knows", async () => {
    const { client } = network;
    expect(code(await client.call("GET", "/gov/service/info"))).toEqual([400, "MissingApiVersionParameter"]);
    expect(code(await client.call("GET", "/gov/service/info?api-version=1999"))).toEqual([
      400,
      "UnsupportedApiVersionValue",
    ]);
    expect(code(await client.call("GET", `/gov/nowhere?${API}`))).toEqual([404, "ResourceNotFound"]);
    expect(code(await client.call("DELETE", `/gov/service/info?${API}`))).toEqual([405, "UnsupportedHttpVerb"]);
  });

  describe("signed requests", () => {
    const path = `/gov/members/proposals:create?${API}`;
    const proposal = Buffer.from(JSON.stringify({ actions: [{ name: "trigger_snapshot", args: {} }] }));
    const send = (raw: Buffer, contentType = "application/cose") =>
      network.client.call("POST", path, { raw, contentType });
    const now = () => ++network.client.createdAt;

    test("are refused with 401 and a reason when the signer or the message is wrong", async () => {
      const { members } = network;
      const member = members[0]!;
      const stranger = await createIdentity("stranger");
      const valid = coseSign1(member, { type: "proposal", createdAt: now() }, proposal);
      const tampered = Buffer.from(valid);
      tampered[tampered.length - 1]! ^= 1;
      const reasons = async (raw: Buffer, contentType?: string) => {
        const answer = await send(raw, contentType);
        expect(code(answer)).toEqual([401, "InvalidAuthenticationInfo"]);
        expect(answer.headers["www-authenticate"]).toBe('COSE-SIGN1 realm="Signed request access"');
        return answer.json.error.details[0].message;
      };
      expect(await reasons(valid, "application/json")).toMatch(/content-type/);
      expect(await reasons(coseSign1(stranger, { type: "proposal", createdAt: now() }, proposal))).toBe(
        "Signer is not a known member",
      );
      expect(
        await reasons(coseSign1({ ...stranger, id: member.id }, { type: "proposal", createdAt: now() }, proposal)),
      ).toMatch(/validate/);
      expect(await reasons(tampered)).toMatch(/validate/);
      expect(await reasons(coseSign1(member, { type: "ballot", createdAt: now() }, proposal))).toMatch(/type/);
    });

    test("answer 500 to what is no envelope", async () => {
      const member = network.members[0]!;
      expect(code(await send(coseSign1(member, { type: "proposal", createdAt: now() }, proposal, false)))).toEqual([
        500,
        "InternalError",
      ]);
      expect(code(await send(coseSign1(member, { type: "proposal", createdAt: "soon" }, proposal)))).toEqual([
        500,
        "InternalError",
      ]);
      expect(code(await send(Buffer.from("nonsense")))).toEqual([500, "InternalError"]);
    });

    test("are refused when replayed or much older than the recent ones", async () => {
      const raw = coseSign1(network.operator, { type: "proposal", createdAt: now() }, proposal);
      expect((await send(raw)).json.proposalState).toBe("Accepted");
      expect(code(await send(raw))).toEqual([400, "ProposalReplay"]);
      const old = coseSign1(network.operator, { type: "proposal", createdAt: 1_000_000_000 }, proposal);
      expect(code(await send(old))).toEqual([400, "ProposalCreatedTooLongAgo"]);
    });
  });

  test("validates actions and says which one is wrong", async () => {
    const { client, members } = network;
    const invalid = async (name: string, args: object = {}) => {
      const answer = await client.propose(members[0]!, { name, args });
      expect(code(answer)).toEqual([400, "ProposalFailedToValidate"]);
      return answer.json.error.message as string;
    };
    expect(await invalid("make_coffee")).toMatch(/make_coffee: no such action/);
    expect(await invalid("set_member", { cert: "no pem" })).toMatch(
      /set_member at position 0.*cert: must be a PEM certificate/,
    );
    expect(await invalid("set_deployment_info", { contractId: "nope", info: { data: {} } })).toMatch(
      /not in accepted state/,
    );
    expect(
      await invalid("set_constitution", { constitution: "export function resolve() { return 'Accepted' }" }),
    ).toMatch(/accepts only its own text/);
    expect(await invalid("set_js_app", { bundle: { ...bundle(), modules: [] } })).toMatch(
      /accepts only its own bundle/,
    );
    expect(
      await invalid("set_jwt_issuer", { issuer: "http://x", auto_refresh: true, ca_cert_bundle_name: "b" }),
    ).toMatch(/https/);
    expect(
      await invalid("set_jwt_public_signing_keys", { issuer: "x", jwks: { keys: [{ kty: "RSA", kid: "1" }] } }),
    ).toMatch(/x5c/);
  });

  test("drops everything when applying fails", async () => {
    const { client, operator } = network;
    const before = (await client.call("GET", "/node/commit")).json;
    const answer = await client.propose(
      operator,
      { name: "set_ca_cert_bundle", args: { name: "kept?", cert_bundle: operator.cert } },
      { name: "remove_jwt_issuer", args: { issuer: "https://unknown" } },
    );
    expect(code(answer)).toEqual([500, "InternalError"]);
    expect(answer.headers["x-ms-ccf-transaction-id"]).toBeUndefined();
    expect((await client.call("GET", "/node/commit")).json).toEqual(before);
  });

  test("accepts unanimously, counts a ballot once, forgets closed proposals", async () => {
    const { client, members } = network;
    const [first, second] = members as [(typeof members)[0], (typeof members)[0]];
    const proposal = await client.propose(first, {
      name: "set_cgs_runtime_options",
      args: { option: "autoapprove-jsapp-proposal", status: "enabled" },
    });
    expect(proposal.json).toMatchObject({ proposalState: "Open", proposerId: first.id, ballotCount: 0 });
    const id = proposal.json.proposalId;
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect((await client.vote(first, id)).json).toMatchObject({ proposalState: "Open", ballotCount: 1 });
    expect((await client.vote(first, id)).status).toBe(200);
    expect(code(await client.vote(first, id, VOTE_NO))).toEqual([400, "VoteAlreadyExists"]);
    expect((await client.gov(`members/proposals/${id}/ballots/${first.id}`)).text).toBe(VOTE_YES);
    expect(code(await client.gov(`members/proposals/${id}/ballots/${second.id}`))).toEqual([404, "VoteNotFound"]);
    expect((await client.call("GET", `/gov/proposals/${id}`)).json.ballots).toEqual({ [first.id]: VOTE_YES });
    expect(JSON.parse((await client.gov(`members/proposals/${id}/actions`)).text).actions[0].name).toBe(
      "set_cgs_runtime_options",
    );
    expect((await client.vote(second, id)).json).toMatchObject({
      proposalState: "Accepted",
      finalVotes: { [first.id]: true, [second.id]: true },
    });
    expect((await client.gov(`members/proposals/${id}`)).json.proposalState).toBe("Accepted");
    await client.pass([network.operator], { name: "trigger_snapshot" });
    expect(code(await client.gov(`members/proposals/${id}`))).toEqual([404, "ProposalNotFound"]);
    const history = await client.call("GET", `/app/proposals/${id}/historical`, { member: first });
    expect(history.json.value.map(({ proposalState }: any) => proposalState)).toEqual(["Open", "Open", "Accepted"]);
  });

  test("binds a ballot to its proposal and its signer", async () => {
    const { client, members } = network;
    const [first, second] = members as [(typeof members)[0], (typeof members)[0]];
    const { proposalId } = (await client.propose(first, { name: "enable_signing", args: { kid: "k" } })).json;
    const other = "ab".repeat(32);
    const crossed = await client.signed(
      `/gov/members/proposals/${proposalId}/ballots/${first.id}:submit`,
      first,
      "ballot",
      { ballot: VOTE_YES },
      other,
    );
    expect(code(crossed)).toEqual([400, "InvalidResourceName"]);
    const foreign = await client.signed(
      `/gov/members/proposals/${proposalId}/ballots/${second.id}:submit`,
      first,
      "ballot",
      { ballot: VOTE_YES },
      proposalId,
    );
    expect(code(foreign)).toEqual([400, "InvalidAuthenticationInfo"]);
    expect(code(await client.vote(first, other))).toEqual([404, "ProposalNotFound"]);
    expect(code(await client.withdraw(second, proposalId))).toEqual([403, "AuthorizationFailed"]);
    expect((await client.withdraw(first, other)).status).toBe(204);
    expect((await client.withdraw(first, proposalId)).json.proposalState).toBe("Withdrawn");
    expect(code(await client.vote(second, proposalId))).toEqual([400, "ProposalNotOpen"]);
  });

  test("evaluates other ballots, and reports those that fail", async () => {
    const { client, members } = network;
    const [first, second] = members as [(typeof members)[0], (typeof members)[0]];
    const { proposalId } = (
      await client.propose(first, {
        name: "set_cgs_runtime_options",
        args: { option: "autoapprove-jsapp-proposal", status: "disabled" },
      })
    ).json;
    const careful = `export function vote(proposal, proposerId) { return proposerId === "${first.id}" && JSON.parse(proposal).actions.length === 1; }`;
    expect((await client.vote(first, proposalId, careful)).json.proposalState).toBe("Open");
    const endless = await client.vote(second, proposalId, "export function vote () { for (;;) {} }");
    expect(endless.json.proposalState).toBe("Open");
    await client.withdraw(first, proposalId);
  });

  test("a veto rejects at once, a second open proposal of a contract is rejected at creation", async () => {
    const { client, members } = network;
    const [first, second] = members as [(typeof members)[0], (typeof members)[0]];
    await client.call("PUT", "/app/contracts/vetoed", { member: first, body: { data: "x" } });
    const action = { name: "set_contract", args: { contractId: "vetoed", contract: { data: "x" } } };
    const { proposalId } = (await client.propose(first, action)).json;
    expect((await client.call("POST", "/app/contracts/vetoed", { member: first })).json.state).toBe("Proposed");
    expect((await client.call("GET", "/app/contracts?state=Proposed", { member: first })).json.value).toEqual([
      { id: "vetoed" },
    ]);
    const duplicate = await client.propose(second, action);
    expect([duplicate.status, duplicate.json.proposalState]).toEqual([200, "Rejected"]);
    expect((await client.vote(second, proposalId, VOTE_NO)).json).toMatchObject({
      proposalState: "Rejected",
      finalVotes: { [second.id]: false },
    });
    expect((await client.call("POST", "/app/contracts/vetoed", { member: first })).json.state).toBe("Draft");
  });

  test("set_constitution drops the other open proposals", async () => {
    const { client, members } = network;
    const { proposalId } = (await client.propose(members[0]!, { name: "enable_signing", args: { kid: "k" } })).json;
    await client.pass(members, { name: "set_constitution", args: { constitution: constitution() } });
    expect((await client.gov(`members/proposals/${proposalId}`)).json.proposalState).toBe("Dropped");
  });

  test("a new member joins with an acknowledged state digest; a contract waits for it", async () => {
    const { client, members } = network;
    const joining = await createIdentity("joining");
    await client.pass(members, {
      name: "set_member",
      args: { cert: joining.cert, member_data: { identifier: "joining" } },
    });
    const stateOf = async () => (await client.gov(`service/members/${joining.id}`)).json;
    expect(await stateOf()).toMatchObject({
      memberId: joining.id,
      status: "Accepted",
      memberData: { identifier: "joining" },
      certificate: joining.cert,
      recoveryRole: "NonParticipant",
    });
    const refused = await client.propose(joining, { name: "trigger_snapshot" });
    expect(refused.json.error.details[0].message).toBe("Signer is not an ACTIVE member");
    await expect(acceptContract(network, "early")).rejects.toThrow(/Not accepted.*Open/);

    const path = `/gov/members/state-digests/${joining.id}`;
    const update = await client.signed(`${path}:update`, joining, "state_digest", undefined);
    expect(code(await client.signed(`${path}:ack`, joining, "ack", { stateDigest: "00".repeat(32) }))).toEqual([
      400,
      "StateDigestMismatch",
    ]);
    expect((await client.signed(`${path}:ack`, joining, "ack", update.json)).status).toBe(204);
    expect((await stateOf()).status).toBe("Active");
    const [open] = (await client.gov("members/proposals")).json.value.filter(
      ({ proposalState }: any) => proposalState === "Open",
    );
    expect((await client.vote(joining, open.proposalId)).json.proposalState).toBe("Accepted");

    const bare = await client.propose(members[0]!, { name: "remove_member", args: { member_id: joining.id } });
    expect(bare.json.error).toMatchObject({
      code: "InternalError",
      message: expect.stringMatching(/Failed to resolve/),
    });
    await client.pass([...members, joining], {
      name: "remove_member",
      args: { member_id: joining.id, cert: joining.cert },
    });
    expect((await client.gov("service/members")).json.value.map(({ memberId }: any) => memberId)).not.toContain(
      joining.id,
    );
  });

  test("roles given as member data let a proposal pass alone", async () => {
    const { client, members } = network;
    const [first, second] = members as [(typeof members)[0], (typeof members)[0]];
    const data = { tenantId: "tenant-m", cgsRoles: { contractOperator: "true" } };
    await client.pass(members, { name: "set_member_data", args: { member_id: first.id, member_data: data } });
    await client.pass([second], {
      name: "set_cgs_runtime_options",
      args: { option: "autoapprove-deploymentinfo-proposal", status: "enabled" },
    });
    await client.call("PUT", "/app/contracts/roles", { member: second, body: { data: "x" } });
    await client.pass([second], { name: "set_contract", args: { contractId: "roles", contract: { data: "x" } } });
    const info = {
      name: "set_deployment_info",
      args: { contractId: "roles", info: { data: { url: "https://agent.example" } } },
    };
    expect((await client.propose(first, info)).json.proposalState).toBe("Accepted");
    const spec = await client.propose(first, {
      name: "set_deployment_spec",
      args: { contractId: "roles", spec: { data: { a: 1 } } },
    });
    expect(spec.json.proposalState).toBe("Open");
    expect((await client.call("POST", "/app/contracts/roles/deploymentinfo")).json).toEqual({
      proposalIds: [],
      data: { url: "https://agent.example" },
    });
    expect((await client.call("POST", "/app/contracts/roles/deploymentspec")).json).toEqual({
      proposalIds: [spec.json.proposalId],
      data: {},
    });
  });

  test("answers what happened to a transaction", async () => {
    const { client } = network;
    const latest = (await client.call("GET", "/app/commit")).json.transaction_id as string;
    const status = async (id: string) => (await client.call("GET", `/app/tx?transaction_id=${id}`)).json?.status;
    expect(await status(latest)).toBe("Committed");
    expect(await status("2.999999")).toBe("Unknown");
    expect(await status("7.1")).toBe("Invalid");
    expect((await client.call("GET", `/gov/tx?transaction_id=${latest}`)).json.status).toBe("Committed");
    expect((await client.gov(`service/transactions/${latest}`)).json).toEqual({
      status: "Committed",
      transactionId: latest,
    });
    expect((await client.call("GET", "/app/tx?transaction_id=x")).status).toBe(400);
  });
});
