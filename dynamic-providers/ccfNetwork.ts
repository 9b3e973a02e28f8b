import type * as pulumi from "@pulumi/pulumi";
import type { MemberSigner } from "../clients/ccf/transport.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";

export interface CcfNetworkArgs {
  /** `https://host[:port]` */
  endpoint: pulumi.Input<string>;
  /** Where the recovery agent reports what it measured: `https://host[:port]/network/report`. */
  reportUrl: pulumi.Input<string>;
  /** Hex SHA-256 of the policy the nodes were started with. */
  hostData: pulumi.Input<string>;
  /** Member that opens the service: the CCF operator. */
  signer: pulumi.Input<MemberSigner>;
}

/**
 * A CCF network whose nodes this stack has started: attested, its service identity known, open to users.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | wait for the node, verify its report, activate the operator, open the service | – | endpoint | forget: it goes away with its nodes | service status and identity |
 */
export class CcfNetwork extends DynamicResource {
  declare readonly endpoint: pulumi.Output<string>;
  /** PEM, taken from the attested report. */
  declare readonly serviceCertificate: pulumi.Output<string>;
  /** `Open` when users can work. */
  declare readonly serviceStatus: pulumi.Output<string>;

  constructor(name: string, args: CcfNetworkArgs, options?: pulumi.CustomResourceOptions) {
    super("ccfNetwork", name, { ...args }, ["serviceCertificate", "serviceStatus"], ["signer"], options);
  }
}

interface Inputs {
  endpoint: string;
  reportUrl: string;
  hostData: string;
  signer: MemberSigner;
}

interface Outputs {
  serviceCertificate: string;
  serviceStatus: string;
}

const START_SECONDS = 300;

export const provider = defineProvider<Inputs, Outputs>({
  name: "CcfNetwork",
  inputs: ["endpoint", "reportUrl", "hostData", "signer"],
  access: ["signer"],
  replaceOn: ["endpoint"],

  async create({ endpoint, reportUrl, hostData, signer }, { progress }) {
    const { attestedServiceCertificate, openService, waitForNode } = await import("../clients/ccf/network.ts");
    const { asMember } = await import("./framework/session.ts");
    const report = await attestedServiceCertificate({
      reportUrl,
      expectedHostData: [hostData],
      platform: "virtual",
      timeoutSeconds: START_SECONDS,
    });
    const { serviceCertificate } = report;
    progress(
      `CCF node at ${endpoint}: report verified (${report.platform} attestation, host data ${hostData.slice(0, 12)}…)`,
    );
    await waitForNode(endpoint, { serviceCertificate }, { until: "gov", timeoutSeconds: START_SECONDS });
    const serviceStatus = await asMember({ endpoint, serviceCertificate }, signer, async ({ governance }) => {
      await governance.activate();
      return openService(governance);
    });
    progress(`CCF service at ${endpoint}: ${serviceStatus}`);
    return { id: endpoint, outputs: { serviceCertificate, serviceStatus } };
  },

  async read(_id, { endpoint, serviceCertificate, signer }) {
    const { asMember } = await import("./framework/session.ts");
    const info = await asMember({ endpoint, serviceCertificate }, signer, ({ governance }) => governance.serviceInfo());
    return { outputs: { serviceCertificate: info.certificate, serviceStatus: info.status } };
  },
});
