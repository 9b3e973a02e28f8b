import { uniqueString } from "../azure/names.ts";
import type { PolicyContainer } from "./policy.ts";

/** Ports of a CCF node group, in the order in which the container group lists them. */
export const NODE_PORTS = { rpc: 8080, nodeToNode: 8081, debug: 8082, agent: 443 } as const;

/** Azure cuts DNS labels there. */
const MAX_DNS_LABEL = 63;
const CERTIFICATE_VALIDITY_DAYS = 30;

export interface StartMember {
  /** Used in file names: letters, digits and dashes. */
  readonly name: string;
  readonly certificate: string;
  /** PEM; makes the member a recovery member. */
  readonly encryptionPublicKey?: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** DNS label of a node group: the same for the same subscription, resource group and network. */
export function nodeDnsLabel(node: string, network: string, subscriptionId: string, resourceGroup: string): string {
  return `${node}-${uniqueString(`${subscriptionId}${resourceGroup}${network}`.toLowerCase())}`.slice(0, MAX_DNS_LABEL);
}

/** Fully qualified domain name Azure Container Instances gives a label. */
export function containerGroupFqdn(label: string, location: string): string {
  return `${label}.${location}.azurecontainer.io`;
}

/**
 * Files of the archive from which the first node of a network starts (`cchost` configuration of CCF 6).
 * @param fqdn public name of the node.
 * @returns path → text.
 */
export function startConfiguration(fqdn: string, members: readonly StartMember[]): Record<string, string> {
  const directory = "/app";
  const configuration = {
    enclave: { file: "/usr/lib/ccf/libjs_cleanroom.snp.so", platform: "SNP", type: "Release" },
    network: {
      node_to_node_interface: {
        bind_address: `0.0.0.0:${NODE_PORTS.nodeToNode}`,
        published_address: `${fqdn}:${NODE_PORTS.nodeToNode}`,
      },
      rpc_interfaces: {
        primary_rpc_interface: {
          bind_address: `0.0.0.0:${NODE_PORTS.rpc}`,
          published_address: `${fqdn}:${NODE_PORTS.rpc}`,
        },
        debug_interface: {
          bind_address: `0.0.0.0:${NODE_PORTS.debug}`,
          published_address: `${fqdn}:${NODE_PORTS.debug}`,
          endorsement: { authority: "Node" },
        },
      },
    },
    node_certificate: { subject_alt_names: [`dNSName:${fqdn}`], initial_validity_days: CERTIFICATE_VALIDITY_DAYS },
    command: {
      type: "Start",
      service_certificate_file: `${directory}/certs/ccf/service_cert.pem`,
      start: {
        constitution_files: ["validate.js", "apply.js", "resolve.js", "operator_resolve.js", "actions.js"].map(
          (file) => `${directory}/${file}`,
        ),
        initial_service_certificate_validity_days: CERTIFICATE_VALIDITY_DAYS,
        members: members.map((member) => ({
          certificate_file: `${directory}/${member.name}_cert.pem`,
          data_json_file: `${directory}/${member.name}_data.json`,
          ...(member.encryptionPublicKey && { encryption_public_key_file: `${directory}/${member.name}_enc_pubk.pem` }),
        })),
      },
    },
    ledger: { directory: "/mnt/storage/ledger" },
    snapshots: { directory: "/mnt/storage/snapshots" },
    attestation: {
      snp_endorsements_servers: [{ type: "THIM", url: "$Fabric_NodeIPOrFQDN:2377" }],
      snp_security_policy_file: "$UVM_SECURITY_CONTEXT_DIR/security-policy-base64",
      snp_uvm_endorsements_file: "$UVM_SECURITY_CONTEXT_DIR/reference-info-base64",
      snp_endorsements_file: "$UVM_SECURITY_CONTEXT_DIR/host-amd-cert-base64",
    },
  };
  const files: Record<string, string> = { "cchost_config.json": JSON.stringify(configuration, undefined, 2) };
  for (const member of members) {
    files[`${member.name}_cert.pem`] = member.certificate;
    files[`${member.name}_data.json`] = JSON.stringify(member.data);
    if (member.encryptionPublicKey) files[`${member.name}_enc_pubk.pem`] = member.encryptionPublicKey;
  }
  return files;
}

/** The containers of a node group, as its policy measures them. */
export function nodeContainers(registry: string, tag: string): PolicyContainer[] {
  return [
    {
      name: "ccf-cchost",
      image: `${registry}/ccf/app/run-js/snp:${tag}`,
      environment: [
        { name: "CONFIG_DATA_TGZ", anyValue: true },
        { name: "CCF_LOG_LEVEL", value: "Info" },
        { name: "LOGS_DIR", value: "/mnt/storage/logs" },
      ],
    },
    {
      name: "ccf-recovery-agent",
      image: `${registry}/ccf/ccf-recovery-agent:${tag}`,
      environment: [
        { name: "CCF_ENDPOINT", value: `localhost:${NODE_PORTS.rpc}` },
        { name: "ASPNETCORE_URLS", value: "http://+:9080" },
        { name: "SERVICE_CERT_LOCATION", value: "/app/certs/recovery-agent/service-cert.pem" },
      ],
    },
    {
      name: "ccr-proxy",
      image: `${registry}/ccr-proxy:${tag}`,
      command: ["/bin/bash", "https-http/bootstrap.sh", "--ca-type", "local"],
      environment: [
        { name: "CCR_ENVOY_DESTINATION_PORT", value: "9080" },
        { name: "CCR_ENVOY_SERVICE_CERT_OUTPUT_FILE", value: "/app/certs/recovery-agent/service-cert.pem" },
      ],
    },
  ];
}
