import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createMemberIdentity, type MemberIdentity } from "../../clients/ccf/identity.ts";
import { provider as networks } from "../../dynamic-providers/ccfNetwork.ts";
import { provider as members } from "../../dynamic-providers/consortiumMember.ts";
import { provider as services } from "../../dynamic-providers/consortiumService.ts";
import { provider as issuers } from "../../dynamic-providers/jwtIssuer.ts";
import { measurementOf } from "../../domain/confidential/policy.ts";
import * as actions from "../../domain/governance/actions.ts";
import { applicationDigest, constitutionDigest } from "../../domain/governance/digests.ts";
import { PERSONAS } from "../../sandbox/entra/directory.ts";
import { Resource } from "../support/engine.ts";
import { Lab, NODE_POLICY } from "../support/lab.ts";

const artifact = (name: string): string => path.join("sandbox", "artifacts", name);
const constitution = {
  path: artifact("constitution.js"),
  digest: constitutionDigest(fs.readFileSync(artifact("constitution.js"), "utf8")),
};
const bundle = JSON.parse(fs.readFileSync(artifact("app.json"), "utf8")) as actions.ApplicationBundle;
const application = { path: artifact("app.json"), digest: applicationDigest(bundle) };

// One network that grows from test to test, as the operator's stack brings it about.
let lab: Lab;
beforeAll(async () => {
  jest.spyOn(console, "log").mockImplementation(() => undefined);
  lab = await Lab.bare();
});
afterAll(() => lab?.stop());

const resource = (provider: ConstructorParameters<typeof Resource>[0], ...secrets: string[]): Resource =>
  new Resource(provider, lab.config("operator"), secrets);

describe("a CCF network", () => {
  const inputs = (change: object = {}): object => ({
    endpoint: lab.access.endpoint,
    reportUrl: lab.reportUrl,
    hostData: measurementOf(NODE_POLICY),
    signer: lab.ccfOperator,
    ...change,
  });

  test("that runs under another policy is not trusted", async () => {
    await expect(resource(networks, "signer").up(inputs({ hostData: "0".repeat(64) }))).rejects.toThrow(
      /attestation report at .* cannot be trusted: the node runs policy [0-9a-f]{64}, expected 0{64}/,
    );
    expect((await lab.member().governance.serviceInfo()).status).toBe("Opening");
  });

  test("is verified, its operator activated and the service opened; then nothing changes any more", async () => {
    const network = resource(networks, "signer");
    expect(await network.up(inputs())).toBe("create");
    expect(network.outputs).toMatchObject({ serviceCertificate: lab.access.serviceCertificate, serviceStatus: "Open" });
    expect(network.id).toBe(lab.access.endpoint);
    expect(await network.up(inputs())).toBe("same");
    expect(await network.refresh()).toBe("same");
    expect(await network.upAfterCrash(inputs())).toBe("create");
    expect(await network.preview(inputs({ endpoint: "https://another.example" }))).toBe("replace");
    expect(await network.up(inputs({ signer: lab.operator }))).toBe("update");
    await network.destroy();
    await network.destroy();
    expect((await lab.member().governance.serviceInfo()).status).toBe("Open");
  });
});

describe("a member", () => {
  const memberData = { identifier: "operator", tenantId: PERSONAS.operator.tenantId };
  const inputs = (change: object = {}): object => ({
    consortium: lab.access,
    member: lab.operator,
    memberData,
    proposer: lab.ccfOperator,
    active: true,
    ...change,
  });
  const onLedger = async (memberId: string) =>
    (await lab.member().governance.members()).find((member) => member.memberId === memberId);
  const member = (): Resource => resource(members, "member", "proposer");

  test("from the network's start acknowledges it; then nothing changes any more", async () => {
    const own = member();
    expect((await onLedger(lab.operator.memberId))?.status).toBe("Accepted");
    expect(await own.up(inputs())).toBe("create");
    expect(own.outputs).toMatchObject({ memberId: lab.operator.memberId, status: "Active" });
    expect((await onLedger(lab.operator.memberId))?.status).toBe("Active");
    expect(await own.up(inputs())).toBe("same");
    expect(await own.refresh()).toBe("same");
    expect(await own.upAfterCrash(inputs())).toBe("create");
  });

  test("gets other data, although its proposer has no vote on it", async () => {
    const own = member();
    await own.up(inputs());
    const renamed = inputs({ memberData: { ...memberData, identifier: "host" } });
    expect(await own.up(renamed)).toBe("update");
    expect((await onLedger(lab.operator.memberId))?.memberData).toMatchObject({ identifier: "host" });
    expect(await own.refresh()).toBe("same");
  });

  test("whose data somebody changed drifts, and is put right", async () => {
    const own = member();
    await own.up(inputs());
    await lab.agree(actions.setMemberData(lab.operator.memberId, { identifier: "mallory" }));
    expect(await own.refresh()).toBe("drifted");
    expect(own.outputs).toMatchObject({ memberData: { identifier: "mallory" } });
    expect(await own.up(inputs())).toBe("update");
    expect((await onLedger(lab.operator.memberId))?.memberData).toEqual(memberData);
  });

  test("that joins later waits for the others' votes, acknowledges with the next up, and leaves", async () => {
    const third = await joiner("third");
    const joining = member();
    const wanted = inputs({ member: third, memberData: { identifier: "third" } });
    // The proposer only operates the network: the others have to agree.
    await joining.up(wanted);
    expect(joining.outputs).toMatchObject({ status: "Proposed" });
    await lab.agree(actions.setMember({ certificate: third.certificate, memberData: { identifier: "third" } }));
    expect(await joining.refresh()).toBe("drifted");
    expect(joining.outputs).toMatchObject({ status: "Accepted", active: false });
    expect(await joining.up(wanted)).toBe("update");
    expect((await onLedger(third.memberId))?.status).toBe("Active");
    expect(await joining.preview(inputs({ member: lab.operator }))).toBe("replace");
    await joining.destroy();
    // It has voted for that itself; the other member has to agree.
    expect((await onLedger(third.memberId))?.status).toBe("Active");
    await lab.agree(actions.removeMember(third));
    expect(await joining.refresh()).toBe("gone");
  });

  test("may leave as often as it likes, and before it has acknowledged anything", async () => {
    const fourth = await joiner("fourth");
    const joining = member();
    await lab.agree(actions.setMember({ certificate: fourth.certificate, memberData: {} }));
    joining.state = {
      id: fourth.memberId,
      inputs: {},
      outputs: inputs({ member: fourth, proposer: lab.operator }) as Record<string, unknown>,
    };
    await joining.destroy();
    expect(await onLedger(fourth.memberId)).toBeUndefined();
    await joining.destroy();
  });

  test("need not be removed where there is no network any more", async () => {
    const own = member();
    await own.up(inputs());
    const nobody = await lab.host.port("nobody");
    const gone = {
      ...lab.access,
      endpoint: `https://localhost:${nobody}`,
      issuerUrl: `https://localhost:${nobody}/oidc`,
    };
    own.state = { ...own.state!, outputs: { ...own.outputs, consortium: gone } };
    await own.destroy();
  });

  const joiner = (name: string): Promise<MemberIdentity> => createMemberIdentity({ name, validityDays: 1 });
});

describe("the governance service", () => {
  const inputs = (change: object = {}): object => ({
    consortium: lab.access,
    signer: lab.operator,
    constitution,
    application,
    ...change,
  });
  const service = (): Resource => resource(services, "signer");

  test("is installed; then nothing changes any more", async () => {
    const own = service();
    expect(await own.up(inputs())).toBe("create");
    expect(own.outputs).toMatchObject({
      constitutionDigest: constitution.digest,
      recoveryMembers: [lab.ccfOperator.memberId],
    });
    expect(await lab.member().cgs.users.identities()).toEqual([]);
    expect(await own.up(inputs())).toBe("same");
    expect(await own.refresh()).toBe("same");
    expect(await own.upAfterCrash(inputs())).toBe("create");
    expect(await own.up(inputs({ signer: lab.ccfOperator }))).toBe("update");
    await own.destroy();
    await own.destroy();
    expect(await lab.member().cgs.users.identities()).toEqual([]);
  });

  test("that somebody took out drifts, and is installed again", async () => {
    const own = service();
    await own.up(inputs());
    await lab.agree({ name: "remove_js_app", args: {} });
    expect(await own.refresh()).toBe("drifted");
    expect(await own.preview(inputs())).toBe("update");
    await own.up(inputs());
    expect(await lab.member().cgs.users.identities()).toEqual([]);
    expect(await own.refresh()).toBe("same");
  });

  test("is not installed from a file that changed while the program ran", async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "constitution "));
    const changed = path.join(folder, "constitution.js");
    fs.writeFileSync(changed, "export function validate() {}");
    await expect(
      service().up(inputs({ constitution: { path: changed, digest: constitution.digest } })),
    ).rejects.toThrow(
      /^governanceService\.constitution: .* has digest sha256:[0-9a-f]{64}, expected sha256:[0-9a-f]{64}; it changed while the program ran, run it again\.$/,
    );
    fs.rmSync(folder, { recursive: true });
  });
});

describe("an issuer of users' tokens", () => {
  const issuer = (): string => `${lab.entra.authority}/common/v2.0`;
  const inputs = (change: object = {}): object => ({
    consortium: lab.access,
    signer: lab.ccfOperator,
    issuer: issuer(),
    caCertificates: lab.host.caCertificate,
    ...change,
  });
  const invitations = (): Promise<unknown> => lab.user("northwind").cgs.users.invitations();

  test("is registered: its users are heard; removed: they are not", async () => {
    const own = resource(issuers, "signer");
    await expect(invitations()).rejects.toThrow(/: 401 /);
    expect(await own.up(inputs())).toBe("create");
    expect(own.id).toBe(issuer());
    expect(await invitations()).toEqual([]);
    expect(await own.up(inputs())).toBe("same");
    expect(await own.refresh()).toBe("same");
    expect(await own.upAfterCrash(inputs())).toBe("create");
    expect(await own.up(inputs({ caCertificates: `${lab.host.caCertificate}\n` }))).toBe("update");
    expect(await own.preview(inputs({ issuer: "https://login.example/v2.0" }))).toBe("replace");
    expect(await invitations()).toEqual([]);
    await own.destroy();
    await own.destroy();
    await expect(invitations()).rejects.toThrow(/: 401 /);
  });
});
