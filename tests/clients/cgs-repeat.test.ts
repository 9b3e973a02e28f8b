/**
 * Every act is broken off after every one of its writes (reads in between change nothing), and then done again: the end
 * must be as if nothing had happened, with nothing left lying about. The same with a lost answer, which the act has to
 * come to terms with itself.
 */
import { randomBytes } from "node:crypto";
import { openService } from "../../clients/ccf/network.ts";
import * as acts from "../../clients/cgs/acts.ts";
import type { MemberSession } from "../../clients/cgs/session.ts";
import {
  application,
  Consortium,
  constitution,
  newUser,
  TENANT,
  type TestUser,
  type TransportFactory,
} from "./support/consortium.ts";
import { Crash, Failure } from "./support/failing.ts";

jest.setTimeout(240_000);
const unique = (prefix: string): string => `${prefix}-${randomBytes(4).toString("hex")}`;

/** One act in a world of its own, prepared anew for every failure. */
interface Scenario {
  readonly consortium: Consortium;
  act(transport: TransportFactory): Promise<unknown>;
  /** What must hold afterwards; looked up with a connection that does not fail. */
  check(session: MemberSession): Promise<void>;
}

let shared: Consortium;
let owner: TestUser;
beforeAll(async () => {
  shared = await Consortium.deploy();
  owner = await activeUser();
});
afterAll(() => shared.close());

async function activeUser(): Promise<TestUser> {
  const user = newUser();
  const { invitationId, claims } = await acceptedInvitation(user);
  await acts.finaliseUser(shared.member(), { invitationId, claims });
  return user;
}

async function acceptedInvitation(user: TestUser) {
  const invitation = await openInvitation(user);
  await acts.acceptInvitation(shared.user(user), invitation.invitationId);
  return invitation;
}

async function openInvitation(user: TestUser) {
  const invitation = { invitationId: unique("invitation"), claims: { preferred_username: [user.email] } };
  await acts.inviteUser(shared.member(), invitation);
  return invitation;
}

async function acceptedContract(): Promise<string> {
  const contractId = unique("contract");
  await acts.acceptContract(shared.member(), { contractId, data: "{}" });
  return contractId;
}

async function publishedDocument() {
  const document = {
    id: unique("document"),
    contractId: await acceptedContract(),
    data: "{}",
    labels: { type: "dataset" },
    approvers: [{ approverId: owner.oid, approverIdType: "user" as const }],
  };
  return document;
}

/** Networks that one act was tried on: for acts that happen once in a network's life. */
const used: Consortium[] = [];
const closeUsed = async (): Promise<void> => {
  for (const consortium of used.splice(0)) await consortium.close();
};
afterEach(closeUsed);

async function freshNetwork(): Promise<Consortium> {
  await closeUsed();
  const consortium = await Consortium.start();
  used.push(consortium);
  return consortium;
}

async function activateAll(consortium: Consortium): Promise<void> {
  await consortium.member(consortium.operator).governance.activate();
  await consortium.member().governance.activate();
}

const policy = (digit: string) => ({
  "x-ms-sevsnpvm-hostdata": [digit.repeat(64)],
  "x-ms-sevsnpvm-is-debuggable": [false],
});

const scenarios: Record<string, () => Promise<Scenario>> = {
  acceptContract: async () => {
    const contractId = unique("contract");
    return {
      consortium: shared,
      act: (wrap) => acts.acceptContract(shared.member(undefined, wrap), { contractId, data: "the contract" }),
      check: async ({ cgs }) => {
        await expect(cgs.contracts.get(contractId)).resolves.toMatchObject({ state: "Accepted", data: "the contract" });
      },
    };
  },
  setCleanRoomPolicy: async () => {
    const contractId = await acceptedContract();
    await acts.setCleanRoomPolicy(shared.member(), { contractId, claims: policy("a") });
    return {
      consortium: shared,
      act: (wrap) => acts.setCleanRoomPolicy(shared.member(undefined, wrap), { contractId, claims: policy("b") }),
      check: async ({ cgs }) => {
        await expect(cgs.contracts.cleanRoomPolicy(contractId)).resolves.toEqual({
          proposalIds: [],
          policy: policy("b"),
        });
      },
    };
  },
  setDeploymentInformation: async () => {
    const contractId = await acceptedContract();
    return {
      consortium: shared,
      act: (wrap) =>
        acts.setDeploymentInformation(shared.member(undefined, wrap), contractId, { url: "https://agent.example" }),
      check: async ({ cgs }) => {
        await expect(cgs.contracts.deploymentInfo(contractId)).resolves.toEqual({
          proposalIds: [],
          data: { url: "https://agent.example" },
        });
      },
    };
  },
  enableCertificateAuthority: async () => {
    const contractId = await acceptedContract();
    return {
      consortium: shared,
      act: (wrap) => acts.enableCertificateAuthority(shared.member(undefined, wrap), contractId),
      check: async ({ cgs }) => {
        const status = await cgs.ca.status(contractId);
        expect(status).toMatchObject({
          enabled: true,
          proposalIds: [],
          caCert: expect.stringContaining("BEGIN CERTIFICATE"),
        });
      },
    };
  },
  inviteUser: async () => {
    const invitation = { invitationId: unique("invitation"), claims: { preferred_username: ["x@example.org"] } };
    return {
      consortium: shared,
      act: (wrap) => acts.inviteUser(shared.member(undefined, wrap), invitation),
      check: async ({ cgs }) => {
        await expect(cgs.users.invitation(invitation.invitationId)).resolves.toMatchObject({
          status: "Open",
          claims: invitation.claims,
        });
      },
    };
  },
  acceptInvitation: async () => {
    const user = newUser();
    const { invitationId } = await openInvitation(user);
    return {
      consortium: shared,
      act: (wrap) => acts.acceptInvitation(shared.user(user, wrap), invitationId),
      check: async ({ cgs }) => {
        await expect(cgs.users.invitation(invitationId)).resolves.toMatchObject({
          status: "Accepted",
          userInfo: { userId: user.oid },
        });
      },
    };
  },
  finaliseUser: async () => {
    const user = newUser();
    const { invitationId, claims } = await acceptedInvitation(user);
    return {
      consortium: shared,
      act: (wrap) =>
        acts.finaliseUser(shared.member(undefined, wrap), { invitationId, claims, userId: user.oid, tenantId: TENANT }),
      check: async ({ cgs }) => {
        await expect(cgs.users.identity(user.oid)).resolves.toMatchObject({
          invitationId,
          data: { tenantId: TENANT, identifier: user.email },
        });
      },
    };
  },
  removeUser: async () => {
    const user = await activeUser();
    return {
      consortium: shared,
      act: (wrap) => acts.removeUser(shared.member(undefined, wrap), user.oid),
      check: async ({ cgs }) => {
        await expect(cgs.users.identity(user.oid)).resolves.toBeUndefined();
      },
    };
  },
  publishDocument: async () => {
    const document = await publishedDocument();
    return {
      consortium: shared,
      act: (wrap) => acts.publishDocument(shared.user(owner, wrap), document),
      check: async ({ cgs }) => {
        const { id, ...content } = document;
        const ballots = [{ approverId: owner.oid, ballot: "accepted" }];
        await expect(cgs.documents.get(id)).resolves.toMatchObject({
          ...content,
          state: "Accepted",
          proposerId: owner.oid,
          finalVotes: ballots,
        });
      },
    };
  },
  "publishDocument over an open proposal of other content": async () => {
    const document = await publishedDocument();
    const approvers = [
      ...document.approvers,
      { approverId: (await activeUser()).oid, approverIdType: "user" as const },
    ];
    await acts.publishDocument(shared.user(owner), { ...document, approvers, data: "old" });
    return {
      consortium: shared,
      act: (wrap) => acts.publishDocument(shared.user(owner, wrap), document),
      check: async ({ cgs }) => {
        await expect(cgs.documents.get(document.id)).resolves.toMatchObject({
          state: "Accepted",
          data: document.data,
          approvers: document.approvers,
        });
      },
    };
  },
  voteOnDocument: async () => {
    const author = await activeUser();
    const document = await publishedDocument();
    const { proposalId } = await acts.publishDocument(shared.user(author), document);
    return {
      consortium: shared,
      act: (wrap) =>
        acts.voteOnDocument(shared.user(owner, wrap), { documentId: document.id, ballot: "accepted", proposalId }),
      check: async ({ cgs }) => {
        await expect(cgs.documents.get(document.id)).resolves.toMatchObject({
          state: "Accepted",
          proposalId,
          proposerId: author.oid,
        });
      },
    };
  },
  setConsent: async () => {
    const document = await publishedDocument();
    await acts.publishDocument(shared.user(owner), document);
    const consent = {
      contractId: document.contractId,
      documentId: document.id,
      option: "execution" as const,
      enabled: false,
    };
    return {
      consortium: shared,
      act: (wrap) => acts.setConsent(shared.user(owner, wrap), consent),
      check: async ({ cgs }) => {
        await expect(cgs.documents.option(document.contractId, document.id, "execution")).resolves.toMatchObject({
          status: "disabled",
        });
      },
    };
  },
  activate: async () => {
    const consortium = await freshNetwork();
    return {
      consortium,
      act: (wrap) => consortium.member(undefined, wrap).governance.activate(),
      check: async ({ governance }) => {
        const self = (await governance.members()).find(({ memberId }) => memberId === governance.memberId);
        expect(self).toMatchObject({ status: "Active" });
      },
    };
  },
  installService: async () => {
    const consortium = await freshNetwork();
    await activateAll(consortium);
    return {
      consortium,
      act: (wrap) => acts.installService(consortium.member(undefined, wrap), { constitution, application }),
      check: async (session) => {
        await expect(session.governance.constitution()).resolves.toBe(constitution);
        const again = await acts.installService(session, { constitution, application });
        expect(again).toMatchObject({ state: "Accepted", proposalId: "" });
      },
    };
  },
  enableOidcIssuer: async () => {
    const consortium = await freshNetwork();
    await activateAll(consortium);
    await acts.installService(consortium.member(), { constitution, application });
    await openService(consortium.member(consortium.operator).governance);
    return {
      consortium,
      act: (wrap) =>
        acts.enableOidcIssuer(consortium.member(undefined, wrap), { kid: "key", issuerUrl: "https://issuer.example" }),
      check: async ({ cgs }) => {
        await expect(cgs.oidc.info()).resolves.toMatchObject({ enabled: true, issuerUrl: "https://issuer.example" });
        await expect(cgs.oidc.keys()).resolves.toMatchObject([{ kid: "key-1" }]);
      },
    };
  },
};

async function verify(scenario: Scenario): Promise<void> {
  const session = scenario.consortium.member();
  await scenario.check(session);
  await expect(session.governance.openProposals()).resolves.toEqual([]);
}

/** For each request of an act that nothing disturbs: whether it writes. */
async function requestsOf(prepare: () => Promise<Scenario>): Promise<boolean[]> {
  const scenario = await prepare();
  const failure = new Failure(0, "crash");
  await scenario.act(failure.transport);
  await verify(scenario);
  return failure.isWrite;
}

describe.each(Object.entries(scenarios))("%s", (_name, prepare) => {
  it("ends the same whichever request fails", async () => {
    const requests = await requestsOf(prepare);
    expect(requests).toContain(true);
    for (const at of requests.flatMap((isWrite, index) => (isWrite ? [index + 1] : []))) {
      for (const kind of ["crash", "answer lost"] as const) {
        const scenario = await prepare();
        const broken = scenario.act(new Failure(at, kind).transport);
        if (kind === "answer lost") await broken;
        else await expect(broken).rejects.toBeInstanceOf(Crash);
        await scenario.act(new Failure(0, kind).transport);
        await verify(scenario);
      }
    }
  });
});
