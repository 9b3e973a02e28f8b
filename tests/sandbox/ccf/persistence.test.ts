import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { SandboxCcf } from "../../../sandbox/ccf/index.ts";
import { CcfClient, createIdentity, type Answer } from "./client.ts";
import { acceptContract, deployCgs, RESOURCE_ID, serviceCertificate, startNetwork, type Network } from "./fixture.ts";

const code = (answer: Answer) => [answer.status, answer.json?.error?.code];

async function withNetwork(work: (network: Network) => Promise<void>, members = 1): Promise<void> {
  const network = await startNetwork(members);
  try {
    await work(network);
  } finally {
    await network.close();
  }
}

const ledgerOf = (network: Network) => path.join(network.stateDir, "ccf", "ledgers", "ccf-0", "ledger.jsonl");

/** A new process over the same state folder. */
async function restart(network: Network, betweenTheTwo: () => void = () => undefined): Promise<void> {
  network.client.close();
  await network.ccf.stop();
  betweenTheTwo();
  network.ccf = new SandboxCcf(network.host, network.attestation);
  await network.ccf.start();
}

describe("a network over time", () => {
  test("survives a restart of the sandbox with its identity, ports, data and keys", () =>
    withNetwork(async (network) => {
      const { client, members } = network;
      const member = members[0]!;
      await deployCgs(network);
      await acceptContract(network, "c1");
      await client.call("PUT", "/app/contracts/c1/secrets/s", { member, body: { value: "plain-secret-value" } });
      await client.pass(members, { name: "enable_oidc_issuer", args: { kid: "k" } });
      await client.call("POST", "/app/oidc/generateSigningKey", { member });
      const read = async () => [
        (await client.call("POST", "/app/contracts/c1", { member })).json,
        (await client.call("GET", "/app/oidc/keys")).json,
        (await client.call("GET", "/app/commit")).json,
        (await client.call("GET", "/app/contracts/c1/secrets", { member })).json,
      ];
      const before = await read();
      await restart(network);
      expect(network.ccf.nodeState(RESOURCE_ID)).toBe("Running");
      expect(await read()).toEqual(before);
      expect(await network.ccf.startNode(await network.spec(network.startFiles))).toEqual({ ports: network.ports });
      expect(await read()).toEqual(before);
      const onDisk = fs.readFileSync(ledgerOf(network), "utf8");
      expect(onDisk).toContain("the contract");
      expect(onDisk).not.toMatch(/plain-secret-value|PRIVATE KEY/);
    }));

  test("forgets exactly the transaction whose ledger line was torn", () =>
    withNetwork(async (network) => {
      const { client, members } = network;
      await deployCgs(network);
      const put = (id: string) =>
        client.call("PUT", `/app/contracts/${id}`, { member: members[0], body: { data: id } });
      const list = async () => (await client.call("GET", "/app/contracts", { member: members[0] })).json.value;
      await put("kept");
      for (const missing of [1, 2, 40]) {
        await put("torn");
        const size = fs.statSync(ledgerOf(network)).size;
        await restart(network, () => fs.truncateSync(ledgerOf(network), size - missing));
        expect(await list()).toEqual([{ id: "kept" }]);
      }
      await put("after");
      await restart(network);
      expect(await list()).toEqual([{ id: "kept" }, { id: "after" }]);
    }));

  test("refuses a ledger that is damaged before its end", () =>
    withNetwork(async (network) => {
      await network.ccf.stop();
      const lines = fs.readFileSync(ledgerOf(network), "utf8").split("\n");
      fs.writeFileSync(ledgerOf(network), ["{", ...lines].join("\n"));
      network.ccf = new SandboxCcf(network.host, network.attestation);
      await expect(network.ccf.start()).rejects.toThrow(/damaged at line 1/);
    }));

  test("stays stopped when the sandbox was killed before the node's first transaction was written", () =>
    withNetwork(async (network) => {
      await restart(network, () => fs.truncateSync(ledgerOf(network), 10));
      expect(network.ccf.nodeState(RESOURCE_ID)).toBe("Stopped");
      await network.ccf.startNode(await network.spec(network.startFiles));
      expect(network.ccf.nodeState(RESOURCE_ID)).toBe("Running");
    }));

  test("needs recovery after a crash: a new identity, and the shares of the recovery members", () =>
    withNetwork(async (network) => {
      const { client, members, operator, ccf, startFiles } = network;
      const member = members[0]!;
      await deployCgs(network);
      await acceptContract(network, "c1");
      await client.call("PUT", "/app/contracts/c1/secrets/s", { member, body: { value: "v" } });
      await client.pass(members, { name: "enable_oidc_issuer", args: { kid: "k" } });
      await client.call("POST", "/app/oidc/generateSigningKey", { member });
      const keys = (await client.call("GET", "/app/oidc/keys")).json;
      const lastId = (await client.call("GET", "/app/commit")).json.transaction_id;

      await ccf.stopNode(RESOURCE_ID);
      expect(ccf.nodeState(RESOURCE_ID)).toBe("Stopped");
      await restart(network);
      expect(network.ccf.nodeState(RESOURCE_ID)).toBe("Stopped");
      await expect(network.ccf.startNode(await network.spec(startFiles))).rejects.toThrow(
        /ledger ledgers\/ccf-0 is not empty/,
      );
      const recover = (previous: string) =>
        network.spec({
          "previous_service_cert.pem": previous,
          "cchost_config.json": JSON.stringify({
            command: { type: "Recover", recover: { previous_service_identity_file: "/app/previous_service_cert.pem" } },
          }),
        });
      await expect(network.ccf.startNode(await recover(member.cert))).rejects.toThrow(
        /previous_service_identity_file is not the certificate/,
      );
      await network.ccf.startNode(await recover(client.ca));
      const recovered = new CcfClient(
        client.port,
        await serviceCertificate(network.ports[3]!, network.host.caCertificate),
      );
      recovered.createdAt = client.createdAt;
      await expect(client.call("GET", "/node/network")).rejects.toThrow();
      expect((await recovered.call("GET", "/node/network")).json).toMatchObject({
        service_status: "Recovering",
        recovery_count: 1,
        current_view: 4,
      });
      expect(code(await recovered.call("GET", "/app/oidc/keys"))).toEqual([404, "FrontendNotOpen"]);

      const share = async () => {
        const { encryptedShare } = (await recovered.gov(`recovery/encrypted-shares/${operator.id}`)).json;
        return crypto.privateDecrypt(
          { key: network.recoveryKey, padding: crypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
          Buffer.from(encryptedShare, "base64"),
        );
      };
      const submit = (bytes: Buffer) =>
        recovered.signed(`/gov/recovery/members/${operator.id}:recover`, operator, "recovery_share", {
          share: bytes.toString("base64"),
        });
      expect(code(await submit(await share()))).toEqual([403, "ServiceNotWaitingForRecoveryShares"]);
      const next = { next_service_identity: recovered.ca };
      expect(code(await recovered.propose(operator, { name: "transition_service_to_open", args: next }))).toEqual([
        500,
        "InternalError",
      ]);
      await recovered.pass([operator], {
        name: "transition_service_to_open",
        args: { ...next, previous_service_identity: client.ca },
      });
      expect((await recovered.gov("service/info")).json.status).toBe("WaitingForRecoveryShares");
      const wrong = Buffer.from(await share());
      wrong[5]! ^= 1;
      expect(code(await submit(wrong))).toEqual([500, "InternalError"]);
      expect((await submit(await share())).json.message).toMatch(/End of recovery procedure initiated/);

      const check = async () => {
        expect((await recovered.gov("service/info")).json).toMatchObject({
          status: "Open",
          recoveryCount: 1,
          certificate: recovered.ca,
        });
        expect((await recovered.call("GET", "/app/oidc/keys")).json).toEqual(keys);
        expect((await recovered.call("POST", "/app/contracts/c1", { member })).json.state).toBe("Accepted");
        expect((await recovered.call("GET", "/app/contracts/c1/secrets", { member })).json.value).toEqual([
          { secretId: `${member.id}_s` },
        ]);
        expect((await recovered.call("GET", `/app/tx?transaction_id=${lastId}`)).json.status).toBe("Committed");
        expect(
          (await recovered.call("GET", `/app/tx?transaction_id=2.${Number(lastId.split(".")[1]) + 1}`)).json.status,
        ).toBe("Invalid");
      };
      await check();
      const put = await recovered.call("PUT", "/app/contracts/new", { member, body: { data: "x" } });
      expect(put.headers["x-ms-ccf-transaction-id"]).toMatch(/^4\./);
      recovered.close();
      await restart(network);
      await check();
      recovered.close();
    }));

  test("asks as many recovery members as the threshold says", () =>
    withNetwork(async (network) => {
      const { client, members, operator } = network;
      await deployCgs(network);
      const second = await createIdentity("second recovery member");
      const pair = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
      const encryptionKey = pair.publicKey.export({ type: "spki", format: "pem" });
      await client.pass(members, {
        name: "set_member",
        args: { cert: second.cert, encryption_pub_key: encryptionKey, member_data: { isRecoveryOperator: true } },
      });
      expect(
        code(await client.propose(operator, { name: "set_recovery_threshold", args: { recovery_threshold: 2 } })),
      ).toEqual([500, "InternalError"]);
      await client.activate(second);
      await client.pass([operator], { name: "set_recovery_threshold", args: { recovery_threshold: 2 } });
      const shareOf = async (memberId: string) =>
        (await client.gov(`recovery/encrypted-shares/${memberId}`)).json.encryptedShare;
      expect(await shareOf(operator.id)).not.toBe(await shareOf(second.id));
      const tooFew = await client.propose(members[0]!, {
        name: "remove_member",
        args: { member_id: second.id, cert: second.cert },
      });
      const vote = await client.vote(members[0]!, tooFew.json.proposalId);
      expect([vote.status, vote.json.error.message]).toEqual([
        500,
        expect.stringMatching(/less than recovery threshold/),
      ]);
    }));

  test("a ledger is gone when its file share is deleted", () =>
    withNetwork(async (network) => {
      await network.ccf.deleteNode(RESOURCE_ID);
      expect(network.ccf.nodeState(RESOURCE_ID)).toBe("NotFound");
      await expect(network.ccf.startNode(await network.spec(network.startFiles))).rejects.toThrow(/not empty/);
      await network.ccf.deleteLedger("ledgers", "ccf-0");
      await network.ccf.startNode(await network.spec(network.startFiles));
      expect(network.ccf.nodeState(RESOURCE_ID)).toBe("Running");
    }));
});

describe("the configuration of a node", () => {
  let network: Network;
  beforeAll(async () => {
    network = await startNetwork(1);
    await network.ccf.deleteNode(RESOURCE_ID);
    await network.ccf.deleteLedger("ledgers", "ccf-0");
  });
  afterAll(() => network.close());

  const config = (change: (config: any) => void) => {
    const parsed = JSON.parse(network.startFiles["cchost_config.json"]!);
    change(parsed);
    return { ...network.startFiles, "cchost_config.json": JSON.stringify(parsed) };
  };

  test.each([
    ["no member", (value: any) => (value.command.start.members = []), /command\.start\.members/],
    [
      "a file that is not there",
      (value: any) => (value.command.start.constitution_files = ["missing.js"]),
      /names missing\.js, but the archive holds/,
    ],
    ["a command that is none", (value: any) => (value.command.type = "Begin"), /command\.type/],
    ["a second node", (value: any) => (value.command.type = "Join"), /Join is not simulated/],
  ])("with %s is refused", async (_, change, message) => {
    await expect(network.ccf.startNode(await network.spec(config(change)))).rejects.toThrow(message);
  });

  test("that is no archive is refused", async () => {
    const spec = { ...(await network.spec(network.startFiles)), configuration: Buffer.from("x") };
    await expect(network.ccf.startNode(spec)).rejects.toThrow(/not a gzip archive/);
  });
});
