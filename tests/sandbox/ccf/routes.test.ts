import { appRoutes } from "../../../sandbox/ccf/app/routes.ts";
import { policiesOf } from "../../../sandbox/ccf/app/route.ts";
import { deployCgs, bundle, startNetwork, type Network } from "./fixture.ts";
import { createIdentity } from "./client.ts";

/** Method, path, policies (M member_cert, U user_cert, J jwt, N no_auth, - none): CGS's published table of endpoints. */
const ROUTES = `
GET /contracts MUJ
PUT /contracts/{contractId} M
POST /contracts/{contractId} MUJ
POST /contracts/{contractId}/runtimeoptions/{option}/status MUJN
POST /contracts/{contractId}/runtimeoptions/{option}/enable M
POST /contracts/{contractId}/runtimeoptions/{option}/disable M
GET /contracts/{contractId}/events MUJ
PUT /contracts/{contractId}/events JN
GET /contracts/{contractId}/secrets MUJ
PUT /contracts/{contractId}/secrets/{secretName} MUJN
POST /contracts/{contractId}/secrets/{secretName} -
POST /contracts/{contractId}/cleanroompolicy MUJ
GET /contracts/{contractId}/cleanroompolicy/delegates MUJ
POST /contracts/{contractId}/cleanroompolicy/delegates/{delegateType}/{delegateId} MUJ
PUT /contracts/{contractId}/cleanroompolicy/delegates/{delegateType}/{delegateId} -
POST /contracts/{contractId}/deploymentspec -
POST /contracts/{contractId}/deploymentinfo -
POST /contracts/{contractId}/oauth/token -
POST /contracts/{contractId}/signing/sign -
GET /contracts/{contractId}/memberdocuments MUJ
PUT /contracts/{contractId}/memberdocuments/{documentId} M
POST /contracts/{contractId}/memberdocuments/{documentId} MUJ
POST /contracts/{contractId}/memberdocuments/accepted/{documentId} -
GET /contracts/{contractId}/userdocuments MUJ
PUT /contracts/{contractId}/userdocuments/{documentId} MUJ
POST /contracts/{contractId}/userdocuments/{documentId} MUJ
POST /contracts/{contractId}/userdocuments/accepted/{documentId} -
POST /contracts/{contractId}/ca/generateSigningKey M
POST /contracts/{contractId}/ca/generateEndorsedCert -
POST /contracts/{contractId}/ca/status MUJ
GET /memberdocuments MUJ
PUT /memberdocuments/{documentId} M
GET /memberdocuments/{documentId} MUJ
GET /users/identities MUJ
POST /users/identities/self/status J
POST /users/identities/{identityId} MUJ
GET /users/invitations MUJ
POST /users/invitations/{invitationId} MUJ
POST /users/invitations/{invitationId}/accept J
GET /userdocuments MUJ
PUT /userdocuments/{documentId} MUJ
GET /userdocuments/{documentId} MUJ
GET /proposals/{proposalId}/historical MUJ
POST /contracts/{contractId}/userdocuments/{documentId}/runtimeoptions/{option}/status MUJN
POST /contracts/{contractId}/userdocuments/{documentId}/runtimeoptions/{option}/enable MUJ
POST /contracts/{contractId}/userdocuments/{documentId}/runtimeoptions/{option}/disable MUJ
POST /users/proposals/{proposalId} MUJ
PUT /users/proposals/{proposalId} MUJ
POST /users/proposals/{proposalId}/status MUJ
POST /users/proposals/{proposalId}/withdraw MUJ
POST /users/proposals/{proposalId}/ballots/submit MUJ
GET /oidc/.well-known/openid-configuration -
GET /oidc/keys -
POST /oidc/generateSigningKey M
POST /oidc/setIssuerUrl MUJ
POST /oidc/issuerInfo MUJ
POST /signing/generateSigningKey M
POST /signing/info MUJ
POST /runtimeoptions/{option}/status MUJ
`;

const POLICIES: Record<string, string> = { M: "member_cert", U: "user_cert", J: "jwt", N: "no_auth" };

const routes = ROUTES.trim()
  .split("\n")
  .map((line) => {
    const [method, path, letters] = line.split(" ") as [string, string, string];
    return { method, path, policies: [...letters.replace("-", "")].map((letter) => POLICIES[letter] as string) };
  });

/** Public endpoints answer something of their own to an anonymous caller. */
const PUBLIC: Record<string, number> = {
  "POST /contracts/{contractId}/deploymentspec": 200,
  "POST /contracts/{contractId}/deploymentinfo": 200,
  "GET /oidc/.well-known/openid-configuration": 200,
  "GET /oidc/keys": 405,
};

describe("the endpoints of the governance service", () => {
  let network: Network;
  beforeAll(async () => {
    network = await startNetwork(1);
  });
  afterAll(() => network.close());

  test("are not there before the application is installed", async () => {
    const { client, operator, members } = network;
    for (const member of [operator, ...members]) await client.activate(member);
    await client.pass([operator], { name: "transition_service_to_open", args: { next_service_identity: client.ca } });
    const answer = await client.call("GET", "/app/contracts", { member: members[0] });
    expect([answer.status, answer.json.error.code]).toEqual([404, "ResourceNotFound"]);
    const refused = await client.propose(members[0]!, {
      name: "set_contract",
      args: { contractId: "c", contract: { data: "x" } },
    });
    expect(refused.json.error.message).toMatch(/set_contract: no such action/);
    await deployCgs(network);
  });

  test("are 59, in the bundle as in the published table", () => {
    const { endpoints } = bundle().metadata;
    const inBundle = Object.entries(endpoints).flatMap(([path, methods]) =>
      Object.entries(methods as object).map(([method, { authn_policies }]) => ({
        method: method.toUpperCase(),
        path,
        policies: authn_policies,
      })),
    );
    const byName = (a: { method: string; path: string }, b: { method: string; path: string }) =>
      `${a.path} ${a.method}` < `${b.path} ${b.method}` ? -1 : 1;
    expect(routes).toHaveLength(59);
    expect(inBundle.sort(byName)).toEqual([...routes].sort(byName));
  });

  test("are described in the bundle as the sandbox serves them", () => {
    for (const route of appRoutes) {
      expect(bundle().metadata.endpoints[route.path][route.method.toLowerCase()]).toMatchObject({
        authn_policies: policiesOf(route),
        forwarding_required: route.forwarding,
        mode: route.mode,
      });
    }
  });

  test.each(routes.map((route) => [`${route.method} ${route.path}`, route] as const))(
    "%s",
    async (name, { method, path, policies }) => {
      const url = `/app${path.replace(/\{\w+\}/g, "some-id")}`;
      const answer = await network.client.call(method, url, {
        member: await stranger(),
        token: "not.a.token",
        body: {},
      });
      if (policies.length === 0 || policies.includes("no_auth")) {
        expect(PUBLIC[name] ? [answer.status] : [answer.status, answer.json.error.code]).toEqual(
          PUBLIC[name] ? [PUBLIC[name]] : [400, "AttestationMissing"],
        );
      } else {
        expect(answer.status).toBe(401);
        expect(answer.json.error).toMatchObject({
          code: "InvalidAuthenticationInfo",
          message: "Invalid authentication credentials.",
        });
        expect(answer.json.error.details.map(({ auth_policy }: any) => auth_policy)).toEqual(policies);
        expect(answer.headers["www-authenticate"] !== undefined).toBe(policies.at(-1) === "jwt");
      }
      const wrongVerb = await network.client.call("DELETE", url);
      expect([wrongVerb.status, wrongVerb.json.error.code]).toEqual([405, "UnsupportedHttpVerb"]);
    },
  );

  let known: ReturnType<typeof createIdentity> | undefined;
  const stranger = () => (known ??= createIdentity("stranger"));
});
