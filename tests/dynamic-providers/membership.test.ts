import { provider as acceptances } from "../../dynamic-providers/invitationAcceptance.ts";
import { provider as identities } from "../../dynamic-providers/userIdentity.ts";
import { provider as invitations } from "../../dynamic-providers/userInvitation.ts";
import * as actions from "../../domain/governance/actions.ts";
import { PERSONAS, type PersonaName } from "../../sandbox/entra/directory.ts";
import { Resource } from "../support/engine.ts";
import { Lab } from "../support/lab.ts";

let lab: Lab;
let log: jest.SpyInstance;
beforeAll(async () => {
  log = jest.spyOn(console, "log").mockImplementation(() => undefined);
  lab = await Lab.start();
});
afterAll(() => lab?.stop());

const asMember = (): object => ({ consortium: lab.access, signer: lab.operator });
const invitation = (): Resource => new Resource(invitations, lab.config("operator"), ["signer"]);
const identity = (): Resource => new Resource(identities, lab.config("operator"), ["signer"]);
const acceptance = (persona: PersonaName): Resource => new Resource(acceptances, lab.config(persona));
const invited = (id: string) => lab.member().cgs.users.invitation(id);
const known = (persona: PersonaName) => lab.member().cgs.users.identity(PERSONAS[persona].objectId);

/** Invited, and the invitation accepted. */
async function accepted(persona: PersonaName): Promise<{ invitationId: string; email: string }> {
  const { email } = PERSONAS[persona];
  const sent = invitation();
  await sent.upAfterCrash({ ...asMember(), email });
  const invitationId = String(sent.outputs["invitationId"]);
  await acceptance(persona).upAfterCrash({ consortium: lab.access, invitationId, email });
  return { invitationId, email };
}

async function forget(persona: PersonaName, invitationId: string): Promise<void> {
  if (await known(persona)) await lab.agree(actions.removeUserIdentity(PERSONAS[persona].objectId));
  if (await invited(invitationId)) await lab.agree(actions.removeInvitation(invitationId));
}

describe("an invitation", () => {
  const email = "new@example.org";
  let sent: Resource;
  beforeEach(async () => {
    sent = invitation();
    await sent.upAfterCrash({ ...asMember(), email });
  });
  afterEach(() => sent.state && sent.destroy());

  test("is agreed on; then nothing changes any more, and a repeated one is the same", async () => {
    expect(sent.outputs).toMatchObject({ invitationId: sent.id, email, status: "Open" });
    expect(await invited(sent.id)).toMatchObject({ status: "Open", claims: { preferred_username: [email] } });
    expect(await sent.up({ ...asMember(), email })).toBe("same");
    expect(await sent.refresh()).toBe("same");
    const before = (await lab.member().cgs.users.invitations()).length;
    expect(await sent.upAfterCrash({ ...asMember(), email })).toBe("create");
    expect(await lab.member().cgs.users.invitations()).toHaveLength(before);
  });

  test("of somebody else is another one, and the first is taken back", async () => {
    const first = sent.id;
    expect(await sent.up({ ...asMember(), email: "other@example.org" })).toBe("replace");
    expect(await invited(first)).toBeUndefined();
    expect(await invited(sent.id)).toMatchObject({ claims: { preferred_username: ["other@example.org"] } });
  });

  test("that lets in somebody else besides, by another hand, drifts and is put right", async () => {
    await lab.agree(actions.removeInvitation(sent.id));
    await lab.agree(actions.changeInvitation(sent.id, "add", { preferred_username: [email, "mallory@example.org"] }));
    expect(await sent.refresh()).toBe("drifted");
    expect(String(sent.outputs["email"])).toContain("mallory@example.org");
    expect(await sent.up({ ...asMember(), email })).toBe("replace");
    expect(await invited(sent.id)).toMatchObject({ claims: { preferred_username: [email] } });
    expect(await sent.refresh()).toBe("same");
  });

  test("that somebody removed is gone and comes back", async () => {
    await lab.agree(actions.removeInvitation(sent.id));
    expect(await sent.refresh()).toBe("gone");
    expect(await sent.up({ ...asMember(), email })).toBe("create");
  });

  test("is removed when it is deleted, as often as one likes", async () => {
    await sent.destroy();
    expect(await invited(sent.id)).toBeUndefined();
    await sent.destroy();
  });
});

describe("the acceptance of an invitation", () => {
  const { email, objectId: userId, tenantId } = PERSONAS.contoso;
  let invitationId: string;
  beforeEach(async () => {
    const sent = invitation();
    await sent.up({ ...asMember(), email });
    invitationId = sent.id;
  });
  afterEach(() => forget("contoso", invitationId));

  test("is the invited user's; then nothing changes any more, and a repeated one is the same", async () => {
    const inputs = { consortium: lab.access, invitationId, email };
    const own = acceptance("contoso");
    expect(await own.up(inputs)).toBe("create");
    expect(own.outputs).toMatchObject({ invitationId, userId, tenantId });
    expect(await invited(invitationId)).toMatchObject({ status: "Accepted", userInfo: { userId, data: { tenantId } } });
    expect(await own.up(inputs)).toBe("same");
    expect(await own.refresh()).toBe("same");
    expect(await own.upAfterCrash(inputs)).toBe("create");
    expect(await own.up({ ...inputs, consortium: { ...lab.access, issuerUrl: "https://issuer.example" } })).toBe(
      "update",
    );
    expect(await own.preview({ ...inputs, invitationId: "another" })).toBe("replace");
  });

  test("by somebody who was not invited is refused, with what to do", async () => {
    await expect(acceptance("fabrikam").up({ consortium: lab.access, invitationId, email })).rejects.toThrow(
      `The invitation is for ${email}, but somebody else is signed in. Sign in as ${email}, or correct cleanroom:email and have the operator invite that address.`,
    );
    expect((await invited(invitationId))?.status).toBe("Open");
  });

  test("of an invitation that is not there is refused", async () => {
    await expect(
      acceptance("contoso").up({ consortium: lab.access, invitationId: "f".repeat(32), email }),
    ).rejects.toThrow(/InvitationNotFound|does not exist/);
  });

  test("is gone when the invitation was taken back, or given again", async () => {
    const own = acceptance("contoso");
    await own.up({ consortium: lab.access, invitationId, email });
    await lab.agree(actions.removeInvitation(invitationId));
    await lab.agree(actions.changeInvitation(invitationId, "add", { preferred_username: [email] }));
    expect(await own.refresh()).toBe("gone");
    expect(await own.up({ consortium: lab.access, invitationId, email })).toBe("create");
    await lab.agree(actions.removeInvitation(invitationId));
    expect(await own.refresh()).toBe("gone");
  });

  test("is only forgotten when it is deleted", async () => {
    const own = acceptance("contoso");
    await own.up({ consortium: lab.access, invitationId, email });
    await own.destroy();
    await own.destroy();
    expect((await invited(invitationId))?.status).toBe("Accepted");
  });
});

describe("a user", () => {
  const { objectId: userId, tenantId } = PERSONAS.contoso;
  let invitationId: string;
  let email: string;
  beforeEach(async () => ({ invitationId, email } = await accepted("contoso")));
  afterEach(() => forget("contoso", invitationId));

  const inputs = (change: object = {}): object => ({
    ...asMember(),
    invitationId,
    email,
    expectedUserId: userId,
    ...change,
  });

  test("is who accepted the invitation; then nothing changes any more, and a repeated one is the same", async () => {
    const user = identity();
    expect(await user.up(inputs())).toBe("create");
    expect(user.outputs).toMatchObject({ userId, tenantId });
    expect(await known("contoso")).toMatchObject({ id: userId, invitationId, data: { tenantId, identifier: email } });
    expect(await user.up(inputs())).toBe("same");
    expect(await user.refresh()).toBe("same");
    expect(await user.upAfterCrash(inputs())).toBe("create");
    expect((await invited(invitationId))?.status).toBe("Finalized");
  });

  test("need not be named beforehand; naming the right one later changes nothing", async () => {
    const user = identity();
    const anybody = inputs({ expectedUserId: undefined });
    await user.up(anybody);
    expect(await user.up(anybody)).toBe("same");
    expect(await user.refresh()).toBe("same");
    expect(await user.up(inputs())).toBe("update");
    expect(await user.preview(inputs({ expectedUserId: "somebody else" }))).toBe("replace");
  });

  test("is not made of somebody who has not accepted, or is not who it says it is", async () => {
    const open = invitation();
    await open.up({ ...asMember(), email: "late@example.org" });
    await expect(identity().up(inputs({ invitationId: open.id, email: "late@example.org" }))).rejects.toThrow(
      `late@example.org has not accepted invitation ${open.id} yet; run up again when that stack reports it.`,
    );
    await expect(identity().up(inputs({ expectedUserId: "mallory" }))).rejects.toThrow(
      `it was accepted by user ${userId}, not by mallory`,
    );
    await expect(identity().up(inputs({ email: "mallory@example.org" }))).rejects.toThrow(
      "must not be finalised: it invites",
    );
    await expect(identity().up(inputs({ invitationId: "f".repeat(32) }))).rejects.toThrow("it does not exist");
    expect(await known("contoso")).toBeUndefined();
    await open.destroy();
  });

  test.each<[string, Partial<actions.UserIdentityArgs>]>([
    ["tenant", { tenantId: PERSONAS.fabrikam.tenantId }],
    ["invitation", { invitationId: "f".repeat(32) }],
  ])("whose %s somebody changed drifts and is put right", async (_what, change) => {
    const user = identity();
    await user.up(inputs());
    await lab.agree(actions.setUserIdentity({ id: userId, invitationId, tenantId, ...change }));
    expect(await user.refresh()).toBe("drifted");
    expect(await user.up(inputs())).toBe("replace");
    expect(await known("contoso")).toMatchObject({ invitationId, data: { tenantId } });
    expect(await user.refresh()).toBe("same");
  });

  test("whom somebody removed is gone and comes back", async () => {
    const user = identity();
    await user.up(inputs());
    await lab.agree(actions.removeUserIdentity(userId));
    expect(await user.refresh()).toBe("gone");
    expect(await user.up(inputs())).toBe("create");
    expect(await known("contoso")).toBeDefined();
  });

  test("loses access when it is deleted, as often as one likes", async () => {
    const user = identity();
    await user.up(inputs());
    await user.destroy();
    expect(await known("contoso")).toBeUndefined();
    await user.destroy();
  });
});

describe("when the consortium was dismantled", () => {
  test("members' records need not be taken back, unless it is merely down", async () => {
    const { invitationId, email } = await accepted("contoso");
    // What is reached instead of a network: nothing. Its issuer is either published still, or gone.
    const down = { ...lab.access, endpoint: "https://localhost:1", issuerUrl: `${lab.entra.authority}/common/v2.0` };
    const gone = { ...down, issuerUrl: `https://localhost:${await lab.host.port("nobody")}/oidc` };
    const user = identity();
    await user.up({ ...asMember(), invitationId, email });
    user.state = { ...user.state!, outputs: { ...user.outputs, consortium: down } };
    await expect(user.destroy()).rejects.toThrow("cannot be reached");
    user.state = { ...user.state!, outputs: { ...user.outputs, consortium: gone } };
    await user.destroy();
    expect(log).toHaveBeenLastCalledWith(expect.stringContaining("nothing is left to take back there"));
  });
});
