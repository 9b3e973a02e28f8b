import { UNKNOWN, hasUnknown, isObject } from "../azure/values.ts";
import type { Args } from "../azure/values.ts";
import type { CleanRoomSpec } from "../contracts.ts";
import type { Failure } from "../azure/provider.ts";
import type { KubernetesContext, KubernetesType } from "./index.ts";
import { DNS_LABEL } from "./namespace.ts";

/** The chart that is a clean room; compared with the last part of the chart's reference. */
const AGENT_CHART = "cleanroom-spark-analytics-agent";
/** Charts that are known and only exist: nothing runs in this cluster but the agent. */
const OTHER_CHARTS = [
  ...["spark-operator", "cleanroom-spark-frontend", "virtualnode", "external-dns"],
  ...["prometheus", "loki", "tempo", "grafana"],
];

const PIP_NAME = "service.beta.kubernetes.io/azure-pip-name";
const PIP_RESOURCE_GROUP = "service.beta.kubernetes.io/azure-load-balancer-resource-group";

/** Values the agent chart is deployed with, and whether the clean room cannot do without them. */
const AGENT_VALUES: Readonly<Record<string, "required" | "optional">> = {
  ccrgovEndpoint: "required",
  ccrgovApiPathPrefix: "required",
  ccrgovServiceCert: "required",
  ccfNetworkRecoveryMembers: "required",
  ccePolicy: "required",
  service: "required",
  ccrgovServiceCertDiscovery: "optional",
  telemetryCollectionEnabled: "optional",
  prometheusEndpoint: "optional",
  lokiEndpoint: "optional",
  tempoEndpoint: "optional",
  sparkFrontendEndpoint: "optional",
  sparkFrontendSnpHostData: "optional",
};

export const helmRelease: KubernetesType = {
  token: "kubernetes:helm.sh/v3:Release",
  replaceOn: ["name", "namespace"],

  defaults(inputs, olds, automatic, { namespace }) {
    return {
      ...inputs,
      name: inputs.name ?? olds.name ?? automatic,
      namespace: inputs.namespace ?? olds.namespace ?? namespace,
    };
  },

  check(inputs) {
    const failures: Failure[] = [];
    for (const property of ["name", "namespace"]) {
      const value = inputs[property];
      if (value === UNKNOWN || (typeof value === "string" && value.length <= 53 && DNS_LABEL.test(value))) continue;
      failures.push({
        property,
        reason: `'${property}' must be a DNS label of at most 53 characters, not ${JSON.stringify(value)}`,
      });
    }
    if (inputs.chart === UNKNOWN) return failures;
    const chart = chartName(inputs);
    if (chart === AGENT_CHART) return [...failures, ...checkAgentValues(inputs.values)];
    if (OTHER_CHARTS.includes(chart)) return failures;
    const known = [AGENT_CHART, ...OTHER_CHARTS].join(", ");
    return [
      ...failures,
      { property: "chart", reason: `'chart' ${JSON.stringify(chart)} is not known to the sandbox; it knows ${known}` },
    ];
  },

  id: ({ namespace, name }) => `${String(namespace)}/${String(name)}`,

  async put(context, id, inputs, revision) {
    if (chartName(inputs) === AGENT_CHART) await context.cleanRoom.install(await agentSpec(context, id, inputs));
    const { name, namespace, version } = inputs;
    const status = { name, namespace, revision, status: "deployed", chart: chartName(inputs), version };
    return { ...inputs, status, resourceNames: {} };
  },

  async remove(context, id, inputs) {
    if (chartName(inputs) === AGENT_CHART) await context.cleanRoom.uninstall(cleanRoomId(context, id));
  },
};

/** `oci://registry/path/name` or `repository/name` -> `name`. */
function chartName({ chart }: Args): string {
  return String(chart).split("/").at(-1)!;
}

function cleanRoomId({ clusterId }: KubernetesContext, id: string): string {
  return `${clusterId}/helm/${id}`;
}

function checkAgentValues(values: unknown): Failure[] {
  if (values === UNKNOWN) return [];
  const given = isObject(values) ? values : {};
  const unknownKeys = Object.keys(given).filter((key) => AGENT_VALUES[key] === undefined);
  const failures = unknownKeys.map((key) => ({
    property: `values.${key}`,
    reason: `'values.${key}' is not a value of chart ${AGENT_CHART}; it takes ${Object.keys(AGENT_VALUES).join(", ")}`,
  }));
  for (const [key, presence] of Object.entries(AGENT_VALUES)) {
    if (presence === "optional" || given[key] !== undefined) continue;
    failures.push({ property: `values.${key}`, reason: `'values.${key}' is required by chart ${AGENT_CHART}` });
  }
  if (given.service !== undefined && !hasUnknown(given.service) && !annotationsOf(given)[PIP_NAME]) {
    const property = "values.service.annotations";
    failures.push({ property, reason: `'${property}' must name the agent's public IP address under ${PIP_NAME}` });
  }
  return failures;
}

async function agentSpec(context: KubernetesContext, id: string, inputs: Args): Promise<CleanRoomSpec> {
  const values = inputs.values as Args;
  return {
    id: cleanRoomId(context, id),
    ccePolicy: Buffer.from(String(values.ccePolicy), "base64").toString("utf8"),
    values: {
      ccrgovEndpoint: String(values.ccrgovEndpoint),
      ccrgovApiPathPrefix: String(values.ccrgovApiPathPrefix),
      ccrgovServiceCert: String(values.ccrgovServiceCert),
      ccfNetworkRecoveryMembers: String(values.ccfNetworkRecoveryMembers),
    },
    port: await publicPort(context, annotationsOf(values)),
  };
}

/** The load balancer finds its address by name, in the resource group the annotation says. */
async function publicPort(context: KubernetesContext, annotations: Args): Promise<number> {
  const name = String(annotations[PIP_NAME]);
  const group = String(annotations[PIP_RESOURCE_GROUP] ?? context.clusterId.split("/")[4]);
  if (!context.clusters.publicIpAllowed(context.clusterId, group, name)) {
    throw new Error(
      `SyncLoadBalancerFailed: the cluster's identity is not authorized to use public IP address '${name}' of resource group ` +
        `'${group}'; give it the role Network Contributor there.`,
    );
  }
  const port = await context.clusters.publicIpPort(context.clusterId, group, name);
  if (port !== undefined) return port;
  throw new Error(`SyncLoadBalancerFailed: public IP address '${name}' was not found in resource group '${group}'.`);
}

function annotationsOf(values: Args): Args {
  const service = isObject(values.service) ? values.service : {};
  return isObject(service.annotations) ? service.annotations : {};
}
