import { AnalyticsClient } from "../../clients/analytics.ts";
import { createAuthority, startServer, type Answer, type Issuer, type TestServer } from "./support/server.ts";

let contractAuthority: Issuer;
let server: TestServer;
let client: AnalyticsClient;
beforeAll(async () => {
  contractAuthority = await createAuthority("Azure Clean Room CA");
});
afterEach(async () => {
  client.close();
  await server.stop();
});

async function connect(
  answers: Answer[],
  options: { timeoutSeconds?: number; hostName?: string; caCertificate?: string } = {},
): Promise<AnalyticsClient> {
  const pending = [...answers];
  server = await startServer(
    contractAuthority,
    () => (pending.length > 1 ? pending.shift()! : pending[0]!),
    options.hostName,
  );
  client = new AnalyticsClient({
    endpoint: server.endpoint,
    caCertificate: options.caCertificate ?? server.authority,
    token: async () => "user-token",
    timeoutSeconds: options.timeoutSeconds ?? 8,
  });
  return client;
}

it("submits a run with the user's token in the clean room's own header", async () => {
  const client = await connect([{ body: { status: "success", id: "cl-spark-r1" } }]);
  await expect(
    client.run("weekly overlap", { runId: "r1", startDate: "2025-09-01", endDate: "2025-09-02" }),
  ).resolves.toEqual({ jobId: "cl-spark-r1", isKnown: false });
  const [request] = server.received;
  expect(request).toMatchObject({ method: "POST", path: "/queries/weekly%20overlap/run" });
  expect(request!.headers["x-ms-cleanroom-authorization"]).toBe("Bearer user-token");
  expect(request!.headers.authorization).toBeUndefined();
  expect(JSON.parse(request!.body)).toEqual({ runId: "r1", startDate: "2025-09-01", endDate: "2025-09-02" });
});

it("recognises a job that was there before", async () => {
  const client = await connect([
    { body: { id: "cl-spark-r1", status: { applicationState: { state: "RUNNING" } }, events: [] } },
  ]);
  await expect(client.run("q", { runId: "r1" })).resolves.toEqual({ jobId: "cl-spark-r1", isKnown: true });
});

it("reads status and history", async () => {
  const status = { id: "j", status: { applicationState: { state: "COMPLETED" } }, events: [] };
  const client = await connect([
    { body: status },
    { body: { queryId: "q", runs: [], summary: {} } },
    { status: 404, body: { error: { code: "QueryNotFound", message: "never run" } } },
  ]);
  await expect(client.status("j")).resolves.toEqual(status);
  await expect(client.runs("q")).resolves.toMatchObject({ queryId: "q" });
  await expect(client.runs("q")).resolves.toBeUndefined();
  expect(server.received.map(({ path }) => path)).toEqual(["/status/j", "/queries/q/runs", "/queries/q/runs"]);
});

it("reports refusals with the clean room's code", async () => {
  const client = await connect([
    {
      status: 400,
      body: { error: { code: "QueryMissingApprovalsFromDatasetOwners", message: "northwind has not approved" } },
    },
  ]);
  await expect(client.run("q", { runId: "r" })).rejects.toMatchObject({
    name: "AnalyticsError",
    status: 400,
    code: "QueryMissingApprovalsFromDatasetOwners",
    reason: "northwind has not approved",
  });
});

it("submits again after a lost answer: the run's id names the job", async () => {
  const client = await connect(["drop", { status: 503, body: "" }, { body: { status: "success", id: "cl-spark-r1" } }]);
  await expect(client.run("q", { runId: "r1" })).resolves.toMatchObject({ jobId: "cl-spark-r1" });
  expect(server.received).toHaveLength(3);
});

it("trusts the contract's authority only, under the agent's own name", async () => {
  const other = (await createAuthority("Azure Clean Room CA")).certificate.toString("pem");
  await expect((await connect([{ body: {} }], { caCertificate: other })).status("j")).rejects.toMatchObject({
    name: "AnalyticsUnreachableError",
  });
  client.close();
  await server.stop();
  await expect((await connect([{ body: {} }], { hostName: "agent.example" })).status("j")).rejects.toMatchObject({
    name: "AnalyticsUnreachableError",
  });
  expect(server.received).toHaveLength(0);
});

it("tells whether the agent is ready, without a token", async () => {
  const client = await connect([{ status: 200 }, { status: 500, body: "" }]);
  await expect(client.ready()).resolves.toBe(true);
  expect(server.received[0]!.headers["x-ms-cleanroom-authorization"]).toBeUndefined();
  await expect(client.ready()).resolves.toBe(false);
});

it("ends at its deadline", async () => {
  const client = await connect(["silence"], { timeoutSeconds: 0.3 });
  await expect(client.status("j")).rejects.toMatchObject({
    name: "AnalyticsUnreachableError",
    message: expect.stringContaining("no answer within 0.3 s"),
  });
});

it("reports a token that cannot be had as such", async () => {
  await connect([{ body: {} }]);
  const signedOut = new AnalyticsClient({
    endpoint: server.endpoint,
    caCertificate: server.authority,
    token: () => Promise.reject(new Error("sign in")),
  });
  await expect(signedOut.status("j")).rejects.toThrow("sign in");
});
