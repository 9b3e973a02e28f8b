import type { Dataset } from "../documents.ts";
import { sha256Hex } from "../workload-identity.ts";

export interface PodPolicy {
  readonly rego: string;
  readonly regoBase64: string;
  /** Hex SHA-256 of `rego`. */
  readonly hostData: string;
}

export interface PodPolicies {
  readonly driver: PodPolicy;
  readonly executor: PodPolicy;
}

/**
 * Policies of the pods that run one job. Simulated: there are no pods here. As in the cloud, the job is measured, so
 * another query or other datasets mean other host data; dates and run id are not part of it.
 */
export function podPolicies(job: {
  contractId: string;
  query: string;
  datasets: readonly Dataset[];
  output: Dataset;
}): PodPolicies {
  const measured = JSON.stringify(job);
  const policy = (role: string): PodPolicy => {
    const rego = `package policy\n# simulated policy of the ${role} pod\njob_config := ${JSON.stringify(measured)}\n`;
    return { rego, regoBase64: Buffer.from(rego).toString("base64"), hostData: sha256Hex(rego) };
  };
  return { driver: policy("driver"), executor: policy("executor") };
}
