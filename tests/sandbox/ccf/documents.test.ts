import type { Answer, CallOptions } from "./client.ts";
import { acceptContract, deployCgs, startNetwork, TestIssuer, type Network } from "./fixture.ts";
import { TestCleanRoom } from "./attested.ts";

const code = (answer: Answer) => [answer.status, answer.json?.error?.code];

describe("documents and consent", () => {
  let network: Network;
  let issuer: TestIssuer;
  let north: string;
  let wood: string;
  const call = (method: string, path: string, options: CallOptions) =>
    network.client.call(method, `/app${path}`, options);
  const propose = (id: string, token: string, documentId: string, approvers: string[], document: object) =>
    call("PUT", `/users/proposals/${id}`, {
      token,
      body: {
        name: "set_user_document",
        approvers: approvers.map((approverId) => ({ approverId, approverIdType: "user" })),
        args: { documentId, document },
      },
    });
  const vote = (id: string, token: string, ballot = "accepted") =>
    call("POST", `/users/proposals/${id}/ballots/submit`, { token, body: { ballot } });

  beforeAll(async () => {
    network = await startNetwork(2);
    issuer = new TestIssuer(network.host.tls);
    await Promise.all([deployCgs(network), issuer.start()]);
    await acceptContract(network, "c1");
    const { client, operator, members } = network;
    await client.pass(
      [operator],
      { name: "set_ca_cert_bundle", args: { name: "roots", cert_bundle: network.host.caCertificate } },
      { name: "set_jwt_issuer", args: { issuer: issuer.url, auto_refresh: true, ca_cert_bundle_name: "roots" } },
    );
    const identity = (id: string) => ({
      name: "set_user_identity",
      args: { id, accountType: "microsoft", data: { tenantId: "t" } },
    });
    await client.pass(members, identity("north"), identity("wood"));
    north = await issuer.token({ oid: "north", tid: "t" });
    wood = await issuer.token({ oid: "wood", tid: "t" });
  });
  afterAll(async () => {
    await issuer.stop();
    await network.close();
  });

  test("a contract draft is written with the version that was read", async () => {
    const [member] = network.members;
    const put = (body: object) => call("PUT", "/contracts/draft", { member, body });
    expect(code(await put({}))).toEqual([400, "DataMissing"]);
    const created = await put({ data: { any: "json" } });
    expect([created.status, created.text, created.headers["content-type"]]).toEqual([200, "", undefined]);
    const read = (await call("POST", "/contracts/draft", { member })).json;
    expect(read).toEqual({
      id: "draft",
      state: "Draft",
      version: created.headers["x-ms-ccf-transaction-id"],
      data: { any: "json" },
      proposalId: "",
    });
    expect(code(await put({ data: "b" }))).toEqual([409, "ContractAlreadyExists"]);
    expect(code(await put({ data: "b", version: "2.1" }))).toEqual([412, "PreconditionFailed"]);
    expect((await put({ data: "b", version: read.version })).status).toBe(200);
    expect(code(await call("PUT", "/contracts/c1", { member, body: { data: "b" } }))).toEqual([
      405,
      "ContractAlreadyAccepted",
    ]);
    expect(code(await call("POST", "/contracts/none", { member }))).toEqual([404, "ContractNotFound"]);
    expect((await call("GET", "/contracts?state=Accepted", { token: north })).json.value).toEqual([{ id: "c1" }]);
    expect((await call("GET", "/contracts?state=Draft", { token: north })).json.value).toEqual([{ id: "draft" }]);
    expect(code(await call("GET", "/contracts?state=Odd", { token: north }))).toEqual([400, "InvalidParameter"]);
  });

  test("a body that is no JSON is an exception of the application; its details come only on request", async () => {
    const [member] = network.members;
    const broken = () => call("PUT", "/contracts/broken", { member, raw: "{" });
    expect((await broken()).json.error).toEqual({
      code: "InternalError",
      message: "Exception thrown while executing.",
    });
    const options = {
      max_heap_bytes: 104857600,
      max_stack_bytes: 1048576,
      max_execution_time_ms: 1000,
      return_exception_details: true,
    };
    await network.client.pass(network.members, { name: "set_js_runtime_options", args: options });
    expect((await broken()).json.error.details[0]).toMatchObject({
      code: "JSException",
      message: expect.stringMatching(/JSON/),
    });
  });

  test("execution of a contract is switched by each member for itself", async () => {
    const [first, second] = network.members;
    const option = (name: string, action: string, member = first) =>
      call("POST", `/contracts/c1/runtimeoptions/${name}/${action}`, { member });
    expect((await option("execution", "status")).json).toEqual({ status: "enabled" });
    expect((await option("logging", "status")).json).toEqual({ status: "disabled", proposalIds: [] });
    expect(code(await option("colour", "status"))).toEqual([400, "InvalidOption"]);
    expect(code(await option("logging", "enable"))).toEqual([400, "InvalidOption"]);
    await option("execution", "disable", second);
    await option("execution", "enable", first);
    expect((await option("execution", "status")).json).toMatchObject({
      status: "disabled",
      reason: { code: "ContractDisabled", message: expect.stringContaining(`m[${second!.id}]`) },
    });
    await option("execution", "enable", second);
    expect((await option("execution", "status")).json).toEqual({ status: "enabled" });
    const { client, members } = network;
    const enabling = await client.propose(first!, {
      name: "set_contract_runtime_options_enable_logging",
      args: { contractId: "c1" },
    });
    expect((await option("logging", "status")).json).toEqual({
      status: "disabled",
      proposalIds: [enabling.json.proposalId],
    });
    for (const member of members) await client.vote(member, enabling.json.proposalId);
    expect((await option("logging", "status")).json).toEqual({ status: "enabled", proposalIds: [] });
    expect(
      (
        await client.propose(second!, {
          name: "set_contract_runtime_options_disable_logging",
          args: { contractId: "c1" },
        })
      ).json.proposalState,
    ).toBe("Accepted");
    expect((await option("logging", "status")).json.status).toBe("disabled");
    expect(
      (await call("POST", "/contracts/none/runtimeoptions/execution/status", { member: first })).json.reason.code,
    ).toBe("ContractNotAccepted");
    expect((await call("POST", "/runtimeoptions/autoapprove-jsapp-proposal/status", { member: first })).json).toEqual({
      status: "disabled",
    });
  });

  test("a dataset goes from draft to accepted by its owner's vote", async () => {
    const approvers = [{ approverId: "north", approverIdType: "user" }];
    const body = { contractId: "c1", data: "{}", labels: { type: "dataset" }, approvers };
    const put = (more: object) => call("PUT", "/userdocuments/orders", { token: north, body: { ...body, ...more } });
    expect(code(await put({ contractId: undefined }))).toEqual([400, "ContractIdMissing"]);
    expect(code(await put({ data: "" }))).toEqual([400, "DataMissing"]);
    expect(code(await put({ contractId: "none" }))).toEqual([404, "ContractNotFound"]);
    expect((await put({ version: "" })).status).toBe(200);
    expect(code(await put({ version: "" }))).toEqual([409, "UserDocumentAlreadyExists"]);
    const draft = (await call("GET", "/userdocuments/orders", { token: wood })).json;
    expect(draft).toMatchObject({
      id: "orders",
      state: "Draft",
      labels: { type: "dataset" },
      approvers,
      proposalId: "",
      proposerId: "",
    });
    expect(
      (
        await call("PUT", "/contracts/c1/userdocuments/orders", {
          token: wood,
          body: { ...body, version: draft.version },
        })
      ).status,
    ).toBe(200);

    expect((await propose("p1", north, "orders", ["north"], draft)).json).toEqual({ proposalId: "p1" });
    expect(code(await propose("p1", north, "orders", ["north"], draft))).toEqual([409, "ProposalAlreadyExists"]);
    expect(code(await propose("p2", north, "orders", ["north"], draft))).toEqual([409, "UserDocumentAlreadyProposed"]);
    expect((await call("POST", "/contracts/x/userdocuments/orders", { token: wood })).json).toMatchObject({
      state: "Proposed",
      proposalId: "p1",
      proposerId: "north",
      version: draft.version,
    });
    expect((await call("POST", "/users/proposals/p1", { token: wood })).json).toMatchObject({
      proposalId: "p1",
      name: "set_user_document",
      approvers,
      args: { documentId: "orders" },
    });
    expect(code(await vote("p1", wood))).toEqual([403, "NotProposalApprover"]);
    expect(code(await vote("p1", north, "maybe"))).toEqual([400, "InvalidBallotValue"]);
    expect((await vote("p1", north)).json).toEqual({
      proposerId: "north",
      state: "Accepted",
      ballots: [{ approverId: "north", ballot: "accepted" }],
    });
    expect(code(await vote("p1", north))).toEqual([409, "ProposalNotOpen"]);
    const accepted = (await call("GET", "/userdocuments/orders", { token: wood })).json;
    expect(accepted).toEqual({
      id: "orders",
      version: expect.stringMatching(/^2\./),
      state: "Accepted",
      contractId: "c1",
      approvers,
      data: "{}",
      labels: { type: "dataset" },
      proposalId: "p1",
      proposerId: "north",
      finalVotes: [{ approverId: "north", ballot: "accepted" }],
    });
    expect(code(await put({ version: draft.version }))).toEqual([405, "UserDocumentAlreadyAccepted"]);
    expect(code(await propose("p3", north, "orders", ["north"], draft))).toEqual([405, "UserDocumentAlreadyAccepted"]);
    expect((await call("GET", "/userdocuments?labelSelector=type%3Adataset", { token: wood })).json.value).toEqual([
      { id: "orders", labels: { type: "dataset" } },
    ]);
    expect(
      (await call("GET", "/contracts/any/userdocuments?labelSelector=type:other", { token: wood })).json.value,
    ).toEqual([]);
    expect(code(await call("GET", "/userdocuments?labelSelector=type", { token: wood }))).toEqual([
      400,
      "InvalidParameter",
    ]);
  });

  test("several approvers must all agree; one rejection or a withdrawal ends it", async () => {
    const document = { contractId: "c1", data: "{}" };
    await propose("q1", wood, "query", ["north", "wood"], document);
    expect((await vote("q1", wood)).json.state).toBe("Open");
    expect(code(await vote("q1", wood))).toEqual([409, "BallotAlreadySubmitted"]);
    expect((await vote("q1", north, "rejected")).json.state).toBe("Rejected");
    expect(code(await call("GET", "/userdocuments/query", { token: wood }))).toEqual([404, "UserDocumentNotFound"]);
    await propose("q2", wood, "query", ["north", "wood"], document);
    expect(code(await call("POST", "/users/proposals/q2/withdraw", { token: north }))).toEqual([
      403,
      "NotProposalOwner",
    ]);
    expect((await call("POST", "/users/proposals/q2/withdraw", { token: wood })).json.state).toBe("Withdrawn");
    expect(code(await call("POST", "/users/proposals/q2/withdraw", { token: wood }))).toEqual([409, "ProposalNotOpen"]);
    expect(code(await call("POST", "/users/proposals/none/status", { token: wood }))).toEqual([
      404,
      "ProposalNotFound",
    ]);
    expect(code(await propose("q3", wood, "query", [], document))).toEqual([400, "EmptyApprovers"]);
    expect(code(await call("PUT", "/users/proposals/q4", { token: wood, body: {} }))).toEqual([
      400,
      "ApproversMissing",
    ]);
    expect(code(await propose("q5", wood, "", ["wood"], document))).toEqual([400, "InvalidUserDocumentId"]);
  });

  test("an approver takes its consent back and gives it again", async () => {
    const option = (path: string, token = north) => call("POST", `/contracts/c1/userdocuments/${path}`, { token });
    expect((await option("orders/runtimeoptions/execution/status")).json).toEqual({ status: "enabled" });
    expect((await option("none/runtimeoptions/execution/status")).json.reason.code).toBe("UserDocumentNotAccepted");
    expect(code(await option("orders/runtimeoptions/colour/status"))).toEqual([
      400,
      "InvalidUserDocumentRuntimeOption",
    ]);
    expect(
      code(await call("POST", "/contracts/c2/userdocuments/orders/runtimeoptions/execution/status", { token: north })),
    ).toEqual([400, "ContractIdMismatch"]);
    expect(code(await option("orders/runtimeoptions/execution/disable", wood))).toEqual([
      403,
      "NotUserDocumentApprover",
    ]);
    expect(code(await option("none/runtimeoptions/execution/disable"))).toEqual([400, "UserDocumentNotAccepted"]);
    await option("orders/runtimeoptions/execution/disable");
    expect((await option("orders/runtimeoptions/execution/status")).json).toMatchObject({
      status: "disabled",
      reason: { code: "UserDocumentRuntimeOptionDisabled" },
    });
    expect((await option("orders/runtimeoptions/telemetry/status")).json).toEqual({ status: "enabled" });
    await option("orders/runtimeoptions/execution/enable");
    expect((await option("orders/runtimeoptions/execution/status")).json).toEqual({ status: "enabled" });
    const cleanRoom = new TestCleanRoom(network, "any");
    const attested = await network.client.call(
      "POST",
      "/app/contracts/c1/userdocuments/orders/runtimeoptions/execution/status",
      { body: { attestation: cleanRoom.body()["attestation"] } },
    );
    expect(attested.json).toEqual({ status: "enabled" });
  });

  test("member documents are accepted by governance", async () => {
    const { client, members } = network;
    const [member] = members;
    const put = (body: object) => call("PUT", "/contracts/c1/memberdocuments/terms", { member, body });
    expect(code(await put({ data: "x" }))).toEqual([400, "ContractIdMissing"]);
    expect(code(await put({ contractId: "none", data: "x" }))).toEqual([404, "ContractNotFound"]);
    expect((await put({ contractId: "c1", data: "x" })).status).toBe(200);
    expect(code(await put({ contractId: "c1", data: "y" }))).toEqual([409, "DocumentAlreadyExists"]);
    const draft = (await call("GET", "/memberdocuments/terms", { token: north })).json;
    expect(draft).toMatchObject({ id: "terms", state: "Draft", contractId: "c1", data: "x", proposalId: "" });
    await client.pass(members, { name: "set_member_document", args: { documentId: "terms", document: draft } });
    expect((await call("POST", "/contracts/c1/memberdocuments/terms", { member })).json).toMatchObject({
      state: "Accepted",
      data: "x",
      finalVotes: expect.arrayContaining([{ memberId: member!.id, vote: true }]),
    });
    expect((await call("GET", "/memberdocuments", { member })).json).toEqual([{ id: "terms" }]);
    expect(code(await put({ contractId: "c1", data: "z" }))).toEqual([405, "DocumentAlreadyAccepted"]);
  });
});
