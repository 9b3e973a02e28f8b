import crypto from "node:crypto";
import tls from "node:tls";
import { CcfClient, type Answer } from "./client.ts";
import { acceptContract, bundle, constitution, deployCgs, startNetwork, type Network } from "./fixture.ts";

const sha256 = (bytes: string | Buffer) => crypto.createHash("sha256").update(bytes).digest("hex");

describe("a node", () => {
  let network: Network;
  beforeAll(async () => {
    network = await startNetwork(1);
    await deployCgs(network);
  });
  afterAll(() => network.close());
  afterEach(() => network.ccf.setFaults());

  test("presents a certificate for its names, endorsed by the service", async () => {
    const { client } = network;
    const peer = await new Promise<crypto.X509Certificate>((resolve, reject) => {
      const socket = tls.connect(
        { host: "localhost", port: client.port, ca: client.ca, servername: "localhost" },
        () => {
          const certificate = socket.getPeerX509Certificate()!;
          socket.destroy();
          resolve(certificate);
        },
      );
      socket.on("error", reject);
    });
    const service = new crypto.X509Certificate(client.ca);
    expect(service.publicKey.asymmetricKeyDetails?.namedCurve).toBe("secp384r1");
    expect(service.checkIssued(service) && peer.checkIssued(service)).toBe(true);
    expect([peer.checkIP("127.0.0.1"), peer.checkHost("ccf-0.example")]).toEqual(["127.0.0.1", "ccf-0.example"]);
  });

  test("is attested by its recovery agent, with digests of what it runs", async () => {
    const agent = new CcfClient(network.ports[3]!, network.host.caCertificate);
    expect((await agent.call("GET", "/ready")).status).toBe(200);
    expect((await agent.call("GET", "/network/nothing")).status).toBe(404);
    const report = (await agent.call("GET", "/network/report")).json;
    agent.close();
    const payload = Buffer.from(report.reportDataPayload, "base64");
    expect(report.platform).toBe("virtual");
    expect(network.attestation.verifyQuote(report.report.attestation)).toEqual({
      hostData: sha256("package policy"),
      reportData: sha256(payload) + "00".repeat(32),
    });
    expect(JSON.parse(payload.toString())).toEqual({
      serviceCert: network.client.ca,
      constitutionDigest: `sha256:${sha256(constitution())}`,
      jsappBundleDigest: `sha256:${sha256(JSON.stringify(sorted(bundle()), undefined, 2))}`,
    });
  });

  test("describes itself and its endpoints", async () => {
    const { client } = network;
    const primary = (await client.call("GET", "/node/network/nodes/primary")).json;
    expect(primary).toMatchObject({ status: "Trusted", primary: true, node_data: { id: "instance" } });
    expect((await client.call("GET", `/node/network/nodes/${primary.node_id}`)).json).toEqual(primary);
    expect((await client.call("GET", "/node/network/nodes")).json.nodes).toEqual([primary]);
    expect((await client.call("GET", "/node/network/nodes/none")).status).toBe(404);
    expect((await client.call("GET", "/node/state")).json).toMatchObject({
      node_id: primary.node_id,
      state: "PartOfNetwork",
    });
    expect((await client.call("GET", "/node/quotes/self")).json.format).toBe("Insecure_Virtual");
    expect((await client.call("GET", "/node/version")).json.ccf_version).toMatch(/sandbox/);
    expect((await client.call("GET", "/node/ready/app")).status).toBe(204);
    const api = (await client.call("GET", "/app/api")).json;
    expect(Object.keys(api.paths["/contracts/{contractId}"])).toEqual(["put", "post"]);
    expect(Object.keys((await client.call("GET", "/gov/api")).json.paths)).toContain(
      "/members/proposals/{proposalId}:withdraw",
    );
  });

  test("shows the application that is installed", async () => {
    const { client } = network;
    expect((await client.gov("service/javascript-app&case=original")).status).toBe(404);
    const app = (await client.call("GET", "/gov/service/javascript-app?api-version=2024-07-01&case=original")).json;
    expect(app.endpoints["/contracts"]["GET"]).toEqual(bundle().metadata.endpoints["/contracts"]["get"]);
    const { moduleName } = (await client.gov("service/javascript-modules")).json.value[0];
    expect((await client.gov(`service/javascript-modules/${encodeURIComponent(moduleName)}`)).text).toBe(
      bundle().modules[0].module,
    );
    expect((await client.gov("service/javascript-modules/none")).status).toBe(404);
  });

  describe("told to make trouble", () => {
    const put = (id: string): Promise<Answer> =>
      network.client.call("PUT", `/app/contracts/${id}`, { member: network.members[0], body: { data: "x" } });
    const exists = async (id: string) =>
      (await network.client.call("POST", `/app/contracts/${id}`, { member: network.members[0] })).status === 200;

    test("reports a transaction as pending once", async () => {
      network.ccf.setFaults({ firstPollPending: true });
      const id = (await put("pending")).headers["x-ms-ccf-transaction-id"];
      const poll = async () => (await network.client.call("GET", `/app/tx?transaction_id=${id}`)).json.status;
      expect([await poll(), await poll()]).toEqual(["Pending", "Committed"]);
    });

    test("lets a historical query wait once", async () => {
      network.ccf.setFaults({ historicalPending: true });
      const read = () =>
        network.client.call("GET", "/app/contracts/c/events?from_seqno=1", { member: network.members[0] });
      const first = await read();
      expect([first.status, first.headers["retry-after"], first.text]).toEqual([202, "1", ""]);
      expect((await read()).json).toEqual({ value: [] });
    });

    test("is unavailable without applying, or cuts the connection before or after applying", async () => {
      network.ccf.setFaults({ unavailable: 1 });
      const refused = await put("refused");
      expect([refused.status, refused.headers["retry-after"]]).toEqual([503, "3"]);
      network.ccf.setFaults({ dropBefore: 1 });
      await expect(put("before")).rejects.toThrow();
      network.ccf.setFaults({ dropAfter: 1 });
      await expect(put("after")).rejects.toThrow();
      network.ccf.setFaults();
      expect([await exists("refused"), await exists("before"), await exists("after")]).toEqual([false, false, true]);
    });

    test("makes the same choices with the same seed, and takes its time", async () => {
      const outcomes = async (seed: number) => {
        network.ccf.setFaults({ seed, unavailable: 0.5 });
        const statuses = [];
        for (let call = 0; call < 12; call++) statuses.push((await network.client.call("GET", "/node/commit")).status);
        return statuses;
      };
      const first = await outcomes(7);
      expect(new Set(first)).toEqual(new Set([200, 503]));
      expect(await outcomes(7)).toEqual(first);
      expect(await outcomes(8)).not.toEqual(first);
      network.ccf.setFaults({ delayMs: 120 });
      const started = performance.now();
      await network.client.call("GET", "/node/commit");
      expect(performance.now() - started).toBeGreaterThan(110);
    });
  });

  test("keeps concurrent writers apart", async () => {
    const { client, members } = network;
    await acceptContract(network, "busy");
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        client.call("PUT", "/app/contracts/raced", { member: members[0], body: { data: "x" } }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409, 409, 409, 409, 409, 409]);
  });
});

function sorted(value: any): any {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}
