import * as pulumi from "@pulumi/pulumi";
import { CertificateAuthority } from "../dynamic-providers/certificateAuthority.ts";
import { CleanRoomPolicy } from "../dynamic-providers/cleanRoomPolicy.ts";
import { Contract } from "../dynamic-providers/contract.ts";
import { agentPolicy, cleanRoomClaims, contractData, type AgentSettings } from "../domain/confidential/agent.ts";
import { measurementOf } from "../domain/confidential/policy.ts";
import type { Consortium } from "./consortium.ts";

export interface AnalyticsContractArgs {
  consortium: Consortium;
  contractId: string;
  images: { registry: string; tag: string };
}

/** The contract of the collaboration, its certificate authority, and which code counts as its clean room. */
export class AnalyticsContract extends pulumi.ComponentResource {
  /** Set once the contract is accepted. */
  declare readonly contractId: pulumi.Output<string>;
  declare readonly caCertificate: pulumi.Output<string>;
  /** What the agent of this contract is told: its policy follows from it. */
  declare readonly agent: pulumi.Output<AgentSettings>;
  /** Hex SHA-256 of the agent's policy, accepted in the contract. */
  declare readonly measurement: pulumi.Output<string>;

  constructor(name: string, args: AnalyticsContractArgs, options?: pulumi.ComponentResourceOptions) {
    super("cleanroom:components:AnalyticsContract", name, {}, options);
    const { consortium, contractId } = args;
    const governed = { parent: this, ...(consortium.node && { deletedWith: consortium.node }) };
    const member = { consortium: consortium.access, signer: consortium.signer };
    const attestation = consortium.attestation ?? pulumi.output(undefined);

    const contract = new Contract(
      `${name}-contract`,
      {
        ...member,
        contractId,
        data: pulumi
          .all([consortium.access, consortium.recoveryMembers, attestation])
          .apply(([{ endpoint }, recoveryMembers, report]) =>
            contractData({
              ccfEndpoint: endpoint,
              contractId,
              recoveryMembers,
              ...(report && { attestation: report }),
            }),
          ),
      },
      { ...governed, dependsOn: [...consortium.ready] },
    );
    this.contractId = contract.contractId;
    this.caCertificate = new CertificateAuthority(
      `${name}-ca`,
      { ...member, contractId: contract.contractId },
      governed,
    ).caCertificate;
    this.agent = pulumi
      .all([consortium.access, consortium.recoveryMembers, contract.contractId])
      .apply(([access, recoveryMembers, id]) => ({
        ccfEndpoint: access.endpoint,
        serviceCertificate: access.serviceCertificate,
        contractId: id,
        recoveryMembers,
        image: `${args.images.registry}/workloads/cleanroom-spark-analytics-agent:${args.images.tag}`,
      }));
    const policy = new CleanRoomPolicy(
      `${name}-policy`,
      {
        ...member,
        contractId: contract.contractId,
        claims: this.agent.apply((agent) => cleanRoomClaims(measurementOf(agentPolicy(agent)))),
      },
      governed,
    );
    this.measurement = policy.claims.apply((claims) => String(claims["x-ms-sevsnpvm-hostdata"]![0]));
    this.registerOutputs({ contractId: this.contractId, measurement: this.measurement });
  }
}
