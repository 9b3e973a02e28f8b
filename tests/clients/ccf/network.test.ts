import { createHash } from "node:crypto";
import https from "node:https";
import {
  attestedServiceCertificate,
  networkStatus,
  waitForNode,
  type AttestationExpectation,
} from "../../../clients/ccf/network.ts";
import { createAuthority, startServer, type Answer, type Issuer, type TestServer } from "../support/server.ts";

let authority: Issuer;
let server: TestServer | undefined;
beforeAll(async () => {
  authority = await createAuthority("Machine Root");
});
afterEach(async () => {
  https.globalAgent.options.ca = undefined;
  await server?.stop();
});

const HOST_DATA = "ab".repeat(32);
const SERVICE_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const PAYLOAD = JSON.stringify({
  serviceCert: SERVICE_CERTIFICATE,
  constitutionDigest: "sha256:c0",
  jsappBundleDigest: "sha256:a0",
});

function report(change: { hostData?: string; payload?: string; reportData?: string; platform?: string } = {}): Answer {
  const payload = Buffer.from(change.payload ?? PAYLOAD);
  const reportData =
    change.reportData ?? createHash("sha256").update(Buffer.from(PAYLOAD)).digest("hex") + "00".repeat(32);
  const claims = Buffer.from(JSON.stringify({ hostData: change.hostData ?? HOST_DATA, reportData })).toString(
    "base64url",
  );
  return {
    body: {
      platform: change.platform ?? "virtual",
      report: { attestation: `e30.${claims}.c2ln` },
      reportDataPayload: payload.toString("base64"),
    },
  };
}

async function discover(answer: Answer, expected: Partial<AttestationExpectation> = {}) {
  server = await startServer(authority, () => answer);
  // What NODE_EXTRA_CA_CERTS does at start-up.
  https.globalAgent.options.ca = server.authority;
  return attestedServiceCertificate({
    reportUrl: `${server.endpoint}/network/report`,
    expectedHostData: ["00".repeat(32), HOST_DATA.toUpperCase()],
    platform: "virtual",
    ...expected,
  });
}

describe("attested discovery", () => {
  it("returns the certificate and digests the report vouches for", async () => {
    await expect(
      discover(report(), { expectedConstitutionDigest: "sha256:c0", expectedApplicationDigest: "sha256:a0" }),
    ).resolves.toEqual({
      serviceCertificate: SERVICE_CERTIFICATE,
      constitutionDigest: "sha256:c0",
      applicationDigest: "sha256:a0",
      hostData: HOST_DATA,
      platform: "virtual",
    });
    expect(server!.received[0]!.path).toBe("/network/report");
  });

  it.each<[string, Answer, Partial<AttestationExpectation>]>([
    ["runs policy", report({ hostData: "cd".repeat(32) }), {}],
    ["does not cover the payload", report({ payload: PAYLOAD.replace("AAAA", "BBBB") }), {}],
    ["does not cover the payload", report({ reportData: createHash("sha256").update(PAYLOAD).digest("hex") }), {}],
    ["platform is", report({ platform: "snp" }), {}],
    ["constitution is sha256:c0", report(), { expectedConstitutionDigest: "sha256:c1" }],
    ["application is sha256:a0", report(), { expectedApplicationDigest: "sha256:a1" }],
    ["its quote has no", { body: { platform: "virtual", report: null, reportDataPayload: "" } }, {}],
    ["it is not JSON", { body: "<html>" }, {}],
    ["is not supported yet", report(), { platform: "snp" }],
  ])("refuses a report when it %s …", async (reason, answer, expected) => {
    await expect(discover(answer, expected)).rejects.toMatchObject({
      name: "AttestationError",
      message: expect.stringContaining(reason),
    });
  });

  it("refuses an endpoint this machine does not trust", async () => {
    const { endpoint } = (server = await startServer(authority, () => report()));
    const discovery = attestedServiceCertificate({
      reportUrl: `${endpoint}/network/report`,
      expectedHostData: [HOST_DATA],
      platform: "virtual",
    });
    await expect(discovery).rejects.toMatchObject({ name: "CcfUnreachableError" });
    expect(server.received).toHaveLength(0);
  });

  it("refuses an endpoint with another name's certificate", async () => {
    server = await startServer(authority, () => report(), "elsewhere.example");
    https.globalAgent.options.ca = server.authority;
    const reportUrl = `${server.endpoint}/network/report`;
    await expect(
      attestedServiceCertificate({ reportUrl, expectedHostData: [HOST_DATA], platform: "virtual" }),
    ).rejects.toMatchObject({ name: "CcfUnreachableError" });
  });
});

describe("network status", () => {
  it("is read without credentials", async () => {
    server = await startServer(authority, () => ({
      body: { service_status: "Open", service_certificate: "PEM", recovery_count: 1, primary_id: "n" },
    }));
    await expect(networkStatus(server.endpoint, { serviceCertificate: server.authority })).resolves.toEqual({
      serviceStatus: "Open",
      serviceCertificate: "PEM",
      recoveryCount: 1,
      primaryId: "n",
    });
  });
});

describe("waiting for a node", () => {
  it("asks until it is ready", async () => {
    const answers: Answer[] = [
      { status: 503, body: { error: { code: "ServiceUnavailable", message: "not yet" } } },
      { status: 204 },
    ];
    // A transport repeats a read that was answered 503 by itself.
    server = await startServer(authority, () => (answers.length > 1 ? answers.shift()! : answers[0]!));
    await waitForNode(server.endpoint, { serviceCertificate: server.authority }, { until: "gov", timeoutSeconds: 10 });
    expect(server.received.at(-1)!.path).toBe("/node/ready/gov");
  });

  it("gives up after its time, saying why", async () => {
    server = await startServer(authority, () => ({
      status: 404,
      body: { error: { code: "FrontendNotOpen", message: "not open" } },
    }));
    const waiting = waitForNode(
      server.endpoint,
      { serviceCertificate: server.authority },
      { until: "app", timeoutSeconds: 1 },
    );
    await expect(waiting).rejects.toMatchObject({
      name: "CcfUnreachableError",
      message: expect.stringContaining("FrontendNotOpen"),
    });
  });
});
