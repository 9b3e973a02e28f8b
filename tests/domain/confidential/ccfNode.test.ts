import {
  containerGroupFqdn,
  NODE_PORTS,
  nodeContainers,
  nodeDnsLabel,
  startConfiguration,
} from "../../../domain/confidential/ccfNode.ts";

describe("names of a CCF node", () => {
  test("are those the clean room tools give it", () => {
    const label = nodeDnsLabel(
      "operator-ccf-0",
      "operator-ccf",
      "00000000-0000-0000-0000-000000000000",
      "operator-12345678",
    );
    expect(label).toBe("operator-ccf-0-twbqucrehterd");
    expect(containerGroupFqdn(label, "westeurope")).toBe("operator-ccf-0-twbqucrehterd.westeurope.azurecontainer.io");
  });

  test("do not depend on the case of subscription and group, and fit a DNS label", () => {
    const label = nodeDnsLabel("n", "net", "ABC", "Group");
    expect(nodeDnsLabel("n", "NET", "abc", "GROUP")).toBe(label);
    expect(nodeDnsLabel("n".repeat(80), "net", "abc", "group")).toHaveLength(63);
  });
});

describe("the archive a first node starts from", () => {
  const files = startConfiguration("node.example", [
    { name: "ccfoperator", certificate: "CERT 1", encryptionPublicKey: "ENC 1", data: { isOperator: true } },
    { name: "operator", certificate: "CERT 2", data: { tenantId: "t" } },
  ]);
  const configuration = JSON.parse(files["cchost_config.json"]!) as {
    network: { rpc_interfaces: Record<string, { published_address: string }> };
    node_certificate: object;
    command: { type: string; start: { members: Record<string, string>[]; constitution_files: string[] } };
  };

  test("holds every member's files, and no other", () => {
    expect(Object.keys(files).sort()).toEqual([
      "ccfoperator_cert.pem",
      "ccfoperator_data.json",
      "ccfoperator_enc_pubk.pem",
      "cchost_config.json",
      "operator_cert.pem",
      "operator_data.json",
    ]);
    expect(files["operator_cert.pem"]).toBe("CERT 2");
    expect(JSON.parse(files["ccfoperator_data.json"]!)).toEqual({ isOperator: true });
  });

  test("names each file where the node unpacks it; only who has an encryption key recovers", () => {
    const { members, constitution_files: constitution } = configuration.command.start;
    expect(members).toEqual([
      {
        certificate_file: "/app/ccfoperator_cert.pem",
        data_json_file: "/app/ccfoperator_data.json",
        encryption_public_key_file: "/app/ccfoperator_enc_pubk.pem",
      },
      { certificate_file: "/app/operator_cert.pem", data_json_file: "/app/operator_data.json" },
    ]);
    expect(constitution[0]).toBe("/app/validate.js");
    expect(configuration.command.type).toBe("Start");
  });

  test("publishes the node under its own name", () => {
    expect(configuration.network.rpc_interfaces["primary_rpc_interface"]!.published_address).toBe(
      `node.example:${NODE_PORTS.rpc}`,
    );
    expect(configuration.node_certificate).toEqual({
      subject_alt_names: ["dNSName:node.example"],
      initial_validity_days: 30,
    });
  });
});

test("a node's containers come from one registry and release, and only the start archive may vary", () => {
  const containers = nodeContainers("registry.example", "1.2.3");
  expect(containers.map(({ name }) => name)).toEqual(["ccf-cchost", "ccf-recovery-agent", "ccr-proxy"]);
  for (const { image } of containers) expect(image).toMatch(/^registry\.example\/.*:1\.2\.3$/);
  const free = containers.flatMap(({ environment }) => environment).filter((variable) => "anyValue" in variable);
  expect(free).toEqual([{ name: "CONFIG_DATA_TGZ", anyValue: true }]);
});
