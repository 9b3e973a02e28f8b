import { acceptContract, bundle, constitution, deployCgs, startNetwork, type Network } from "./fixture.ts";

describe("a network from its start to an accepted contract", () => {
  let network: Network;
  beforeAll(async () => {
    network = await startNetwork();
  });
  afterAll(() => network.close());

  test("is not open for the application, but for governance", async () => {
    const { client, members } = network;
    expect((await client.call("GET", "/node/network")).json).toMatchObject({
      service_status: "Opening",
      recovery_count: 0,
      service_certificate: client.ca,
    });
    expect((await client.call("GET", "/node/ready/gov")).status).toBe(204);
    expect((await client.call("GET", "/node/ready/app")).status).toBe(503);
    const answer = await client.call("GET", "/app/contracts", { member: members[0] });
    expect(answer.status).toBe(404);
    expect(answer.json.error.code).toBe("FrontendNotOpen");
  });

  test("deploys the governance service and accepts a contract unanimously", async () => {
    const { client, members } = network;
    await deployCgs(network);
    expect((await client.gov("service/info")).json.status).toBe("Open");
    expect((await client.gov("service/constitution")).text).toBe(constitution());
    expect(Object.keys((await client.gov("service/javascript-app")).json.endpoints)).toEqual(
      Object.keys(bundle().metadata.endpoints),
    );
    await acceptContract(network, "c1");
    const contract = await client.call("POST", "/app/contracts/c1", { member: members[1] });
    expect(contract.json).toMatchObject({ id: "c1", state: "Accepted", data: "the contract" });
    expect(contract.json.finalVotes).toEqual(
      expect.arrayContaining(members.map(({ id }) => ({ memberId: id, vote: true }))),
    );
    expect(contract.json.version).toMatch(/^2\.\d+$/);
  });
});
