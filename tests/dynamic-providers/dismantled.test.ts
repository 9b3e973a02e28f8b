import { provider as acceptances } from "../../dynamic-providers/invitationAcceptance.ts";
import { provider as invitations } from "../../dynamic-providers/userInvitation.ts";
import type { ConsortiumAccess } from "../../dynamic-providers/framework/session.ts";
import { PERSONAS } from "../../sandbox/entra/directory.ts";
import { approvalInputs, approvalOf, publishGround, queryInputs, queryOf } from "../support/agreed.ts";
import { Resource } from "../support/engine.ts";
import { Lab } from "../support/lab.ts";

let lab: Lab;
let log: jest.SpyInstance;
/** What a collaborator has agreed to, and what the operator has recorded of a person. */
let resources: Resource[];

beforeAll(async () => {
  log = jest.spyOn(console, "log").mockImplementation(() => undefined);
  lab = await Lab.start();
  const ground = await publishGround(lab, "demo");
  const query = queryOf(lab);
  await query.up(queryInputs(lab, ground, "query"));
  const approval = approvalOf(lab, "northwind");
  await approval.up(approvalInputs(lab, ground, query));
  const { email } = PERSONAS.contoso;
  const invitation = new Resource(invitations, lab.config("operator"), ["signer"]);
  await invitation.up({ consortium: lab.access, signer: lab.operator, email });
  const acceptance = new Resource(acceptances, lab.config("contoso"));
  await acceptance.up({ consortium: lab.access, invitationId: invitation.id, email });
  resources = [ground.theirs, query, approval, invitation, acceptance];
  await lab.dismantle();
});
afterAll(() => lab?.stop());

/** All at once: each waits as long as a network that is merely restarting may take. */
const destroyKnowing = (
  access: Partial<ConsortiumAccess>,
  count = resources.length,
): Promise<PromiseSettledResult<void>[]> =>
  Promise.allSettled(
    resources.slice(0, count).map((resource) => {
      resource.state = {
        ...resource.state!,
        outputs: { ...resource.outputs, consortium: { ...lab.access, ...access } },
      };
      return resource.destroy();
    }),
  );

const ACCEPTANCE = 4;

describe("when the network is gone", () => {
  test("nothing is called deleted, and no resource gone, while its tokens could still be exchanged: it may be merely down", async () => {
    const [looks, published, unheard] = await Promise.all([
      Promise.allSettled(resources.map((resource) => resource.refresh())),
      destroyKnowing({ issuerUrl: `${lab.entra.authority}/common/v2.0` }),
      destroyKnowing({}, 1),
    ]);
    const advice = /cannot be reached .*`pulumi up` on the operator's stack starts or recovers it/;
    const unreachable = { status: "rejected", reason: { message: expect.stringMatching(advice) } };
    for (const look of looks) expect(look).toMatchObject(unreachable);
    const [forgotten] = published.splice(ACCEPTANCE, 1);
    expect(forgotten!.status).toBe("fulfilled");
    for (const outcome of [...published, ...unheard]) expect(outcome).toMatchObject(unreachable);
  });

  test("there is nothing left to take back once its issuer is gone too", async () => {
    log.mockClear();
    const outcomes = await destroyKnowing({ issuerUrl: `https://localhost:${await lab.host.port("nobody")}/oidc` });
    for (const outcome of outcomes) expect(outcome).toMatchObject({ status: "fulfilled" });
    expect(log).toHaveBeenCalledTimes(resources.length - 1);
    expect(log).toHaveBeenCalledWith(expect.stringContaining("nothing is left to take back there"));
  });
});
