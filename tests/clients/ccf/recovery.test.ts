/** A network that lost its node, against the sandbox's CCF network. */
import { networkStatus, openService, waitForNode } from "../../../clients/ccf/network.ts";
import { acceptContract } from "../../../clients/cgs/acts.ts";
import { Consortium } from "../support/consortium.ts";

let consortium: Consortium;
beforeAll(async () => {
  consortium = await Consortium.deploy();
});
afterAll(() => consortium.close());

it("is recovered with the operator's share, under a new service certificate", async () => {
  const contract = { contractId: "contract", data: "agreed" };
  await acceptContract(consortium.member(), contract);
  const { endpoint, serviceCertificate: previousServiceCertificate } = consortium.connection;
  const before = { serviceCertificate: previousServiceCertificate };
  await expect(networkStatus(endpoint, before)).resolves.toMatchObject({ serviceStatus: "Open", recoveryCount: 0 });

  await consortium.stopNode();
  await expect(networkStatus(endpoint, before, { timeoutSeconds: 1 })).rejects.toMatchObject({
    name: "CcfUnreachableError",
  });

  await consortium.startNode({ type: "Recover", previousServiceCertificate });
  const after = { serviceCertificate: consortium.connection.serviceCertificate };
  await waitForNode(endpoint, after, { until: "gov", timeoutSeconds: 10 });
  await expect(networkStatus(endpoint, before)).rejects.toThrow("after a recovery the consortium has a new one");
  await expect(networkStatus(endpoint, after)).resolves.toMatchObject({
    serviceStatus: "Recovering",
    recoveryCount: 1,
  });

  const { governance } = consortium.member(consortium.operator);
  await expect(openService(governance, { previousServiceCertificate })).resolves.toBe("WaitingForRecoveryShares");
  await expect(openService(governance, { previousServiceCertificate })).resolves.toBe("WaitingForRecoveryShares");
  await governance.submitRecoveryShare(consortium.operator.encryptionPrivateKey!);
  await waitForNode(endpoint, after, { until: "app", timeoutSeconds: 10 });
  await expect(openService(governance)).resolves.toBe("Open");

  await expect(acceptContract(consortium.member(), contract)).resolves.toMatchObject({ state: "Accepted" });
});
