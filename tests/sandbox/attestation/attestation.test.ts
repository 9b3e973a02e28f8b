import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { runtimeReportData, SandboxAttestation } from "../../../sandbox/attestation/index.ts";
import { openSandboxHost } from "../../../sandbox/host.ts";

const authority = "https://attest.example";
const hostData = crypto.createHash("sha256").update("package policy").digest("hex");
const runtime = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
const runtimeKey = runtime.publicKey.export({ format: "jwk" }) as JsonWebKey;

describe("virtual attestation", () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "attestation-"));
  let host: Awaited<ReturnType<typeof openSandboxHost>>;
  let attestation: SandboxAttestation;

  beforeAll(async () => {
    host = await openSandboxHost(path.join(dir, "a"));
    attestation = new SandboxAttestation(host);
  });
  afterAll(() => {
    host.close();
    fs.rmSync(dir, { recursive: true });
  });

  test("a quote says what was measured, also after a restart", () => {
    const quote = attestation.quote({ hostData, reportData: runtimeReportData(runtimeKey) });
    expect(new SandboxAttestation(host).verifyQuote(quote)).toEqual({
      hostData,
      reportData: runtimeReportData(runtimeKey),
    });
  });

  test("a quote of another sandbox or with changed evidence is refused", async () => {
    const otherHost = await openSandboxHost(path.join(dir, "b"));
    const evidence = { hostData, reportData: runtimeReportData(runtimeKey) };
    const foreign = new SandboxAttestation(otherHost).quote(evidence);
    otherHost.close();
    expect(() => attestation.verifyQuote(foreign)).toThrow(/not made by this sandbox/);
    const [header, , signature] = attestation.quote(evidence).split(".");
    const changed = Buffer.from(JSON.stringify({ ...evidence, hostData: "0".repeat(64) })).toString("base64url");
    expect(() => attestation.verifyQuote(`${header}.${changed}.${signature}`)).toThrow(/not made by this sandbox/);
  });

  test("the token carries host data and the runtime key, and only its public half", async () => {
    const privateKey = runtime.privateKey.export({ format: "jwk" }) as JsonWebKey;
    const quote = attestation.quote({ hostData, reportData: runtimeReportData(runtimeKey) });
    const claims = await attestation.verifyToken(await attestation.attest(quote, privateKey, authority));
    expect(claims).toMatchObject({
      iss: authority,
      "x-ms-sevsnpvm-hostdata": hostData,
      "x-ms-attestation-type": "sevsnpvm",
      "x-ms-compliance-status": "azure-compliant-uvm",
      "x-ms-runtime": { keys: [{ kty: "RSA", n: runtimeKey.n }] },
    });
    expect(JSON.stringify(claims)).not.toContain(privateKey.d);
  });

  test("a quote that binds the key as CGS does is accepted, one that binds another key is not", async () => {
    const pem = runtime.publicKey.export({ type: "spki", format: "pem" }) as string;
    const pemDigest = crypto.createHash("sha256").update(pem).digest("hex");
    const quote = attestation.quote({ hostData, reportData: pemDigest + "0".repeat(64) });
    await expect(attestation.attest(quote, runtimeKey, authority)).resolves.toMatch(/^ey/);
    const other = crypto
      .generateKeyPairSync("rsa", { modulusLength: 2048 })
      .publicKey.export({ format: "jwk" }) as JsonWebKey;
    await expect(attestation.attest(quote, other, authority)).rejects.toThrow(/does not bind the runtime key/);
  });

  test("a token with another signature is refused", async () => {
    const quote = attestation.quote({ hostData, reportData: runtimeReportData(runtimeKey) });
    const token = await attestation.attest(quote, runtimeKey, authority);
    const [header, payload] = token.split(".");
    const forged = crypto.sign("sha256", Buffer.from(`${header}.${payload}`), runtime.privateKey).toString("base64url");
    await expect(attestation.verifyToken(`${header}.${payload}.${forged}`)).rejects.toThrow();
  });

  test("evidence of the wrong size is refused by name", () => {
    expect(() => attestation.quote({ hostData: "ab", reportData: "0".repeat(128) })).toThrow(
      /hostData must be 32 bytes/,
    );
  });
});
