import crypto from "node:crypto";
import type { Answer } from "./client.ts";
import { acceptContract, deployCgs, startNetwork, type Network } from "./fixture.ts";
import { TestCleanRoom } from "./attested.ts";

const code = (answer: Answer) => [answer.status, answer.json?.error?.code];
const C1 = "/app/contracts/c1";

describe("a clean room that proves what it is", () => {
  let network: Network;
  let agent: TestCleanRoom;
  let pod: TestCleanRoom;
  const post = (path: string, body: unknown) => network.client.call("POST", path, { body });

  beforeAll(async () => {
    network = await startNetwork(1);
    await deployCgs(network);
    await acceptContract(network, "c1");
    agent = new TestCleanRoom(network, "agent policy");
    pod = new TestCleanRoom(network, "pod policy");
  });
  afterAll(() => network.close());

  test("stores no event before the contract has a policy", async () => {
    const { members } = network;
    expect(
      code(await network.client.call("PUT", `${C1}/events`, { body: agent.body({ m: 1 }, { timestamp: "1" }) })),
    ).toEqual([400, "VerifySnpAttestationFailed"]);
    const invalid = await network.client.propose(members[0]!, {
      name: "set_clean_room_policy",
      args: { contractId: "c1", type: "add", claims: { "x-colour": ["red"] } },
    });
    expect(code(invalid)).toEqual([400, "ProposalFailedToValidate"]);
    const claims = { "x-ms-sevsnpvm-hostdata": [agent.hostData], "x-ms-sevsnpvm-is-debuggable": false };
    await network.client.pass(members, {
      name: "set_clean_room_policy",
      args: { contractId: "c1", type: "add", claims },
    });
    expect((await network.client.call("POST", `${C1}/cleanroompolicy`, { member: members[0] })).json).toEqual({
      proposalIds: [],
      policy: { "x-ms-sevsnpvm-hostdata": [agent.hostData], "x-ms-sevsnpvm-is-debuggable": [false] },
    });
  });

  test("is refused for each thing that does not fit", async () => {
    const secret = `${C1}/secrets/cleanroom_none`;
    const body = agent.body();
    expect(code(await post(secret, {}))).toEqual([400, "AttestationMissing"]);
    expect(code(await post(secret, { ...body, encrypt: undefined }))).toEqual([400, "EncryptionMissing"]);
    expect(code(await post(secret, { ...body, platform: undefined }))).toEqual([400, "VerifySnpAttestationFailed"]);
    expect(code(await post(secret, { ...body, platform: "snp-cvm" }))).toEqual([400, "VerifySnpAttestationFailed"]);
    expect(code(await post(secret, { ...body, platform: "sgx" }))).toEqual([400, "UnsupportedPlatform"]);
    expect(code(await post(secret, { ...body, attestation: { evidence: "made.up" } }))).toEqual([
      400,
      "VerifySnpAttestationFailed",
    ]);
    expect(code(await post(secret, pod.body()))).toEqual([400, "VerifySnpAttestationFailed"]);
    expect(code(await post(secret, { ...body, encrypt: pod.body()["encrypt"] }))).toEqual([400, "ReportDataMismatch"]);
    expect(code(await post(secret, body))).toEqual([404, "SecretNotFound"]);
    const put = (value: object) => network.client.call("PUT", `${C1}/secrets/dek`, { body: value });
    expect(code(await put(agent.body()))).toEqual([400, "SignatureMissing"]);
    expect(
      code(await put({ ...agent.body({ value: "v" }), data: Buffer.from('{"value":"w"}').toString("base64") })),
    ).toEqual([400, "SignatureMismatch"]);
    expect(code(await put(agent.body({})))).toEqual([400, "ValueMissing"]);
    expect(code(await put(agent.body({ value: "x".repeat(25_601) })))).toEqual([400, "ValueTooLarge"]);
  });

  test("keeps secrets and lets a workload it admits read one of them", async () => {
    const { members, client } = network;
    const stored = await client.call("PUT", `${C1}/secrets/dek`, { body: agent.body({ value: "key material" }) });
    expect(stored.json).toEqual({ secretId: "cleanroom_dek" });
    const own = await client.call("PUT", `${C1}/secrets/s3`, { member: members[0], body: { value: "credentials" } });
    expect(own.json).toEqual({ secretId: `${members[0]!.id}_s3` });
    expect((await client.call("GET", `${C1}/secrets`, { member: members[0] })).json.value).toEqual([
      { secretId: "cleanroom_dek" },
      own.json,
    ]);
    expect(await agent.unwrapped(`${C1}/secrets/cleanroom_dek`)).toBe("key material");

    expect(code(await post(`${C1}/secrets/cleanroom_dek`, pod.body()))).toEqual([400, "VerifySnpAttestationFailed"]);
    const delegate = `${C1}/cleanroompolicy/delegates/secrets/cleanroom_dek`;
    const change = { type: "add", policyType: "snp-caci", claims: { "x-ms-sevsnpvm-hostdata": pod.hostData } };
    expect(code(await client.call("PUT", delegate, { body: pod.body(change) }))).toEqual([
      400,
      "VerifySnpAttestationFailed",
    ]);
    const invalid = await client.call("PUT", delegate, { body: agent.body({ ...change, policyType: "jwt" }) });
    expect(code(invalid)).toEqual([500, "InternalError"]);
    expect((await client.call("GET", `${C1}/cleanroompolicy/delegates`, { member: members[0] })).json.value).toEqual(
      [],
    );
    expect((await client.call("PUT", delegate, { body: agent.body(change) })).status).toBe(200);
    expect((await client.call("GET", `${C1}/cleanroompolicy/delegates`, { member: members[0] })).json.value).toEqual([
      { delegateType: "secrets", delegateId: "cleanroom_dek" },
    ]);
    expect((await client.call("POST", delegate, { member: members[0] })).json).toEqual({
      claims: { "x-ms-sevsnpvm-hostdata": [pod.hostData] },
    });
    expect(await pod.unwrapped(`${C1}/secrets/cleanroom_dek`)).toBe("key material");
    expect(code(await post(`${C1}/secrets/${members[0]!.id}_s3`, pod.body()))).toEqual([
      400,
      "VerifySnpAttestationFailed",
    ]);
    expect((await client.call("PUT", delegate, { body: agent.body({ ...change, type: "remove" }) })).status).toBe(200);
    expect(code(await post(`${C1}/secrets/cleanroom_dek`, pod.body()))).toEqual([400, "VerifySnpAttestationFailed"]);
  });

  test("writes events that members read: the latest, or all of them by range", async () => {
    const { client, members } = network;
    const member = members[0]!;
    const path = `${C1}/events`;
    const write = (message: string, timestamp: string, query = "") =>
      client.call("PUT", `${path}${query}`, { body: agent.body({ message }, { timestamp }) });
    expect((await client.call("GET", path, { member })).json).toEqual({ value: [] });
    expect(code(await write("x", ""))).toEqual([400, "TimestampMissing"]);
    expect(code(await write("x", "99999999999999"))).toEqual([400, "TimestampTooLarge"]);
    const first = await write("first", "1700000000000");
    expect([first.status, first.text]).toEqual([204, ""]);
    await write("second", "1700000000001");
    await write("elsewhere", "1700000000002", "?scope=s1&id=e1");
    const latest = (await client.call("GET", path, { member })).json.value;
    expect(latest).toEqual([
      {
        scope: "",
        id: "c1",
        seqno: expect.any(Number),
        timestamp: "1700000000001",
        timestamp_iso: "2023-11-14T22:13:20.001Z",
        data: { message: "second" },
      },
    ]);
    const all = (await client.call("GET", `${path}?from_seqno=1`, { member })).json;
    expect(all.value.map(({ data, timestampIso }: any) => [data.message, timestampIso])).toEqual([
      ["first", "2023-11-14T22:13:20.000Z"],
      ["second", "2023-11-14T22:13:20.001Z"],
    ]);
    expect(all.nextLink).toBeUndefined();
    expect((await client.call("GET", `${path}?scope=s1&id=e1&from_seqno=1`, { member })).json.value).toHaveLength(1);
    for (const range of ["from_seqno=x", "from_seqno=5&to_seqno=2", "to_seqno=100000"]) {
      expect(code(await client.call("GET", `${path}?${range}`, { member }))).toEqual([500, "InternalError"]);
    }
    const paged: string[] = [];
    let link: string | undefined = `${path}?from_seqno=1&max_seqno_per_page=5`;
    for (let page = 0; link && page < 100; page++) {
      const answer: any = (await client.call("GET", `${link}${page > 0 ? "&max_seqno_per_page=5" : ""}`, { member }))
        .json;
      paged.push(...answer.value.map(({ data }: any) => data.message));
      link = answer.nextLink;
    }
    expect(paged).toEqual(["first", "second"]);
  });

  test("gets federation tokens signed by the consortium's key", async () => {
    const { client, members } = network;
    const query =
      "exp=1900000000&iat=1700000000&nbf=1700000000&jti=1&sub=c1-north&tid=tenant&aud=api%3A%2F%2FAzureADTokenExchange";
    const token = `${C1}/oauth/token`;
    expect((await client.call("GET", "/app/oidc/.well-known/openid-configuration")).json).toMatchObject({
      issuer: "{placeholder}",
      jwks_uri: "{placeholder}/keys",
    });
    expect(code(await client.call("POST", "/app/oidc/generateSigningKey", { member: members[0] }))).toEqual([
      405,
      "OidcIssuerNotEnabled",
    ]);
    await client.pass(members, { name: "enable_oidc_issuer", args: { kid: "kid" } });
    expect(code(await client.call("GET", "/app/oidc/keys"))).toEqual([405, "SigningKeyNotAvailable"]);
    const generate = async () =>
      (await client.call("POST", "/app/oidc/generateSigningKey", { member: members[0] })).json;
    expect(await generate()).toEqual({ reqId: "1", kid: "kid-1" });
    const keys = (await client.call("GET", "/app/oidc/keys")).json.keys;
    expect(await generate()).toEqual({ reqId: "1", kid: "kid-1" });
    expect((await client.call("GET", "/app/oidc/keys")).json.keys).toEqual(keys);
    expect(code(await post(`${token}?${query.replace("jti=1&", "")}`, agent.body()))).toEqual([400, "InvalidInput"]);
    expect(code(await post(`${token}?${query}`, agent.body()))).toEqual([405, "IssuerUrlNotSet"]);
    await client.pass(members, { name: "set_oidc_issuer_url", args: { issuer_url: "https://issuer.example/oidc" } });
    const jwt = await agent.unwrapped(`${token}?${query}`);
    const [header, payload, signature] = jwt.split(".") as [string, string, string];
    const json = (part: string) => JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    expect(json(header)).toEqual({ alg: "PS256", typ: "JWT", kid: "kid-1" });
    expect(json(payload)).toEqual({
      aud: "api://AzureADTokenExchange",
      exp: "1900000000",
      iss: "https://issuer.example/oidc",
      jti: "1",
      nbf: "1700000000",
      sub: "c1-north",
      iat: "1700000000",
    });
    const key = crypto.createPublicKey({ key: keys[0], format: "jwk" });
    const pss = { key, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
    expect(crypto.verify("sha256", Buffer.from(`${header}.${payload}`), pss, Buffer.from(signature, "base64url"))).toBe(
      true,
    );
    await client.pass(members, { name: "oidc_issuer_enable_rotate_signing_key" });
    expect(await generate()).toEqual({ reqId: "2", kid: "kid-2" });
  });

  test("gets certificates of the contract's authority", async () => {
    const { client, members } = network;
    const member = members[0]!;
    expect(code(await client.call("POST", `${C1}/ca/generateSigningKey`, { member }))).toEqual([405, "CANotEnabled"]);
    await client.pass(members, { name: "enable_ca", args: { contractId: "c1" } });
    const pair = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
    const request = {
      publicKey: pair.publicKey.export({ type: "spki", format: "pem" }),
      subjectName: "CN=agent",
      subjectAlternateNames: ["agent.example", "127.0.0.1"],
      validityPeriodDays: 10,
    };
    expect(code(await post(`${C1}/ca/generateEndorsedCert`, agent.body(request)))).toEqual([404, "NoCASigningKey"]);
    expect((await client.call("POST", `${C1}/ca/generateSigningKey`, { member })).json).toEqual({ requestId: "1" });
    const status = (await client.call("POST", `${C1}/ca/status`, { member })).json;
    const ca = new crypto.X509Certificate(status.caCert);
    expect([ca.subject, ca.ca, ca.publicKey.asymmetricKeyDetails?.namedCurve]).toEqual([
      "CN=Azure Clean Room CA",
      true,
      "secp384r1",
    ]);
    expect(ca.publicKey.export({ type: "spki", format: "pem" })).toBe(status.publicKey);
    const { cert } = JSON.parse(await agent.unwrapped(`${C1}/ca/generateEndorsedCert`, agent.body(request)));
    const leaf = new crypto.X509Certificate(cert);
    expect(leaf.verify(ca.publicKey) && leaf.checkIssued(ca)).toBe(true);
    expect([
      leaf.subject,
      leaf.checkHost("agent.example"),
      leaf.checkIP("127.0.0.1"),
      leaf.checkPrivateKey(pair.privateKey),
    ]).toEqual(["CN=agent", "agent.example", "127.0.0.1", true]);
  });

  test("has payloads signed", async () => {
    const { client, members } = network;
    const payload = Buffer.from("pod policy");
    await client.pass(members, { name: "enable_signing", args: { kid: "sign" } });
    const request = agent.body(undefined, { payload: payload.toString("base64") });
    expect(code(await post(`${C1}/signing/sign`, agent.body()))).toEqual([400, "PayloadMissing"]);
    expect(code(await post(`${C1}/signing/sign`, agent.body(undefined, { payload: "%%" })))).toEqual([
      400,
      "PayloadInvalid",
    ]);
    expect(code(await post(`${C1}/signing/sign`, request))).toEqual([405, "SigningKeyNotAvailable"]);
    await client.call("POST", "/app/signing/generateSigningKey", { member: members[0] });
    const info = (await client.call("POST", "/app/signing/info", { member: members[0] })).json;
    expect(info.enabled).toBe(true);
    const signature = Buffer.from(await agent.unwrapped(`${C1}/signing/sign`, request), "base64");
    const pss = { key: info.publicKeyPem, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 };
    expect(crypto.verify("sha256", payload, pss, signature)).toBe(true);
  });

  test("reads accepted documents only of its own contract", async () => {
    const { client, members } = network;
    const me = members[0]!;
    const approvers = [{ approverId: me.id, approverIdType: "member" }];
    await client.call("PUT", "/app/users/proposals/p", {
      member: me,
      body: {
        name: "set_user_document",
        approvers,
        args: { documentId: "d", document: { contractId: "other", data: "{}" } },
      },
    });
    await client.call("POST", "/app/users/proposals/p/ballots/submit", { member: me, body: { ballot: "accepted" } });
    expect(code(await post(`${C1}/userdocuments/accepted/none`, agent.body()))).toEqual([404, "UserDocumentNotFound"]);
    expect(code(await post(`${C1}/userdocuments/accepted/d`, agent.body()))).toEqual([400, "ContractIdMismatch"]);
    await client.call("PUT", "/app/users/proposals/p2", {
      member: me,
      body: {
        name: "set_user_document",
        approvers,
        args: { documentId: "d2", document: { contractId: "c1", data: "{}" } },
      },
    });
    await client.call("POST", "/app/users/proposals/p2/ballots/submit", { member: me, body: { ballot: "accepted" } });
    expect(JSON.parse(await agent.unwrapped(`${C1}/userdocuments/accepted/d2`))).toMatchObject({
      id: "d2",
      state: "Accepted",
      proposerId: me.id,
    });
  });
});
