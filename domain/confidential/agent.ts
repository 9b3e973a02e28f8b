import { base64, enforcementPolicy } from "./policy.ts";

/** What the analytics agent is told, and what is therefore part of its measurement. */
export interface AgentSettings {
  /** `https://…` of the CCF network. */
  readonly ccfEndpoint: string;
  readonly serviceCertificate: string;
  readonly contractId: string;
  /** Members who can recover the ledger; a run is refused when the consortium's differ. */
  readonly recoveryMembers: readonly string[];
  readonly image: string;
}

/** Helm values the agent chart takes for its view of the consortium. */
export function agentValues(settings: AgentSettings): Record<string, string> {
  return {
    ccrgovEndpoint: settings.ccfEndpoint,
    ccrgovApiPathPrefix: `/app/contracts/${settings.contractId}`,
    ccrgovServiceCert: base64(settings.serviceCertificate),
    ccfNetworkRecoveryMembers: base64(JSON.stringify([...settings.recoveryMembers].sort())),
  };
}

/** The agent's policy: an agent that talks to another consortium, or for another contract, has another measurement. */
export function agentPolicy(settings: AgentSettings): string {
  const values = agentValues(settings);
  return enforcementPolicy([
    {
      name: "cleanroom-spark-analytics-agent",
      image: settings.image,
      environment: [
        ...Object.entries(values).map(([name, value]) => ({ name, value })),
        { name: "telemetryCollectionEnabled", value: "false" },
        { name: "CCR_FQDN", anyValue: true as const },
      ],
    },
  ]);
}

/** Claims of the contract's clean room policy that only this agent's attestation meets. */
export function cleanRoomClaims(measurement: string): Record<string, (string | boolean)[]> {
  return { "x-ms-sevsnpvm-hostdata": [measurement], "x-ms-sevsnpvm-is-debuggable": [false] };
}

/**
 * The contract's text. Members compare it by digest, so the order of its members is fixed.
 * @param attestation where and how the network's service certificate can be verified by attestation.
 */
export function contractData(contract: {
  readonly ccfEndpoint: string;
  readonly contractId: string;
  readonly recoveryMembers: readonly string[];
  readonly attestation?: { readonly reportUrl: string; readonly hostData: string };
}): string {
  return JSON.stringify({
    ccrgovEndpoint: contract.ccfEndpoint,
    ccrgovApiPathPrefix: `/app/contracts/${contract.contractId}`,
    ...(contract.attestation && {
      ccrgovServiceCertDiscovery: {
        endpoint: contract.attestation.reportUrl,
        snpHostData: contract.attestation.hostData,
      },
    }),
    ccfNetworkRecoveryMembers: [...contract.recoveryMembers].sort(),
  });
}
