import { canonicalJson, sha256Hex } from "../json.ts";

/** One container as the policy lets it run. */
export interface PolicyContainer {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment: readonly (
    | { readonly name: string; readonly value: string }
    /** Any value: for what differs between instances of one workload and decides nothing. */
    | { readonly name: string; readonly anyValue: true }
  )[];
}

const API_VERSION = "0.10.0";
const FRAMEWORK_VERSION = "0.2.3";

/**
 * A confidential computing enforcement (CCE) policy in Rego for a set of containers. What it says is measured: the
 * utility VM refuses everything else, and the SHA-256 of the text is the host data of every attestation report.
 */
export function enforcementPolicy(containers: readonly PolicyContainer[]): string {
  const rules = containers.map((container) => ({
    name: container.name,
    id: container.image,
    command: container.command ?? [],
    env_rules: container.environment.map((variable) =>
      "value" in variable
        ? { pattern: `${variable.name}=${variable.value}`, strategy: "string", required: true }
        : { pattern: `${variable.name}=.*`, strategy: "re2", required: false },
    ),
    allow_elevated: false,
    allow_stdio_access: false,
    exec_processes: [],
    signals: [],
  }));
  return [
    "package policy",
    "",
    `api_version := "${API_VERSION}"`,
    `framework_version := "${FRAMEWORK_VERSION}"`,
    "",
    `containers := ${canonicalJson(rules)}`,
    "",
    "allow_properties_access := false",
    "allow_dump_stacks := false",
    "allow_runtime_logging := false",
    "allow_environment_variable_dropping := false",
    "allow_unencrypted_scratch := false",
    "",
    "mount_device := data.framework.mount_device",
    "create_container := data.framework.create_container",
    "unmount_device := data.framework.unmount_device",
    "exec_in_container := data.framework.exec_in_container",
    'reason := {"errors": data.framework.errors}',
    "",
  ].join("\n");
}

/** Host data of a workload with this policy: lower-case hex SHA-256 of its text. */
export function measurementOf(policy: string): string {
  return sha256Hex(policy);
}

export function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}
