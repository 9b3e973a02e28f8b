import fc from "fast-check";
import {
  agentPolicy,
  agentValues,
  cleanRoomClaims,
  contractData,
  type AgentSettings,
} from "../../../domain/confidential/agent.ts";
import { base64, enforcementPolicy, measurementOf, type PolicyContainer } from "../../../domain/confidential/policy.ts";
import { sha256Hex } from "../../../domain/json.ts";

const container: PolicyContainer = {
  name: "agent",
  image: "registry.example/agent:1",
  command: ["/bin/agent", "--serve"],
  environment: [
    { name: "ENDPOINT", value: "https://ccf.example" },
    { name: "HOSTNAME", anyValue: true },
  ],
};

describe("an enforcement policy", () => {
  test("is Rego that lists each container with its rules", () => {
    const text = enforcementPolicy([container]);
    expect(text).toMatch(/^package policy\n/);
    const line = text.split("\n").find((candidate) => candidate.startsWith("containers := "))!;
    expect(JSON.parse(line.slice("containers := ".length))).toEqual([
      {
        name: "agent",
        id: "registry.example/agent:1",
        command: ["/bin/agent", "--serve"],
        env_rules: [
          { pattern: "ENDPOINT=https://ccf.example", strategy: "string", required: true },
          { pattern: "HOSTNAME=.*", strategy: "re2", required: false },
        ],
        allow_elevated: false,
        allow_stdio_access: false,
        exec_processes: [],
        signals: [],
      },
    ]);
  });

  test("lets nothing else in", () => {
    const text = enforcementPolicy([container]);
    for (const door of [
      "properties_access",
      "dump_stacks",
      "runtime_logging",
      "environment_variable_dropping",
      "unencrypted_scratch",
    ]) {
      expect(text).toContain(`allow_${door} := false\n`);
    }
    expect(text).not.toContain(":= true");
  });

  test("is measured as the SHA-256 of its text", () => {
    const text = enforcementPolicy([container]);
    expect(measurementOf(text)).toBe(sha256Hex(text));
    expect(measurementOf(text)).toMatch(/^[0-9a-f]{64}$/);
  });

  test("has another measurement when anything a container may do changes", () => {
    const measurement = measurementOf(enforcementPolicy([container]));
    const text = fc.string({ minLength: 1 });
    const change = fc.oneof(
      text.map((image) => ({ ...container, image: `${container.image}${image}` })),
      text.map((argument) => ({ ...container, command: [...container.command!, argument] })),
      text.map((value) => ({ ...container, environment: [...container.environment, { name: "X", value }] })),
      text.map((value) => ({
        ...container,
        environment: [{ name: "ENDPOINT", value: `${value}.` }, container.environment[1]!],
      })),
    );
    fc.assert(fc.property(change, (changed) => measurementOf(enforcementPolicy([changed])) !== measurement));
  });
});

const agent: AgentSettings = {
  ccfEndpoint: "https://ccf.example",
  serviceCertificate: "-----BEGIN CERTIFICATE-----",
  contractId: "analytics",
  recoveryMembers: ["b", "a"],
  image: "registry.example/agent:1",
};

describe("the analytics agent", () => {
  test("is told where its consortium is and who may recover it", () => {
    expect(agentValues(agent)).toEqual({
      ccrgovEndpoint: "https://ccf.example",
      ccrgovApiPathPrefix: "/app/contracts/analytics",
      ccrgovServiceCert: base64("-----BEGIN CERTIFICATE-----"),
      ccfNetworkRecoveryMembers: base64('["a","b"]'),
    });
  });

  test("is measured with what it is told: another consortium, contract or recovery membership is another agent", () => {
    const measurement = measurementOf(agentPolicy(agent));
    expect(measurementOf(agentPolicy({ ...agent, recoveryMembers: ["a", "b"] }))).toBe(measurement);
    const changes: Partial<AgentSettings>[] = [
      { ccfEndpoint: "https://other.example" },
      { serviceCertificate: "another" },
      { contractId: "other" },
      { recoveryMembers: ["a"] },
      { image: "registry.example/agent:2" },
    ];
    for (const change of changes) expect(measurementOf(agentPolicy({ ...agent, ...change }))).not.toBe(measurement);
  });

  test("is admitted by its measurement, and never while it can be debugged", () => {
    expect(cleanRoomClaims("abc")).toEqual({
      "x-ms-sevsnpvm-hostdata": ["abc"],
      "x-ms-sevsnpvm-is-debuggable": [false],
    });
  });

  test("stands under a contract whose text is the same for the same members in any order", () => {
    const contract = { ccfEndpoint: agent.ccfEndpoint, contractId: agent.contractId };
    const text = contractData({ ...contract, recoveryMembers: ["b", "a"] });
    expect(contractData({ ...contract, recoveryMembers: ["a", "b"] })).toBe(text);
    expect(JSON.parse(text)).toEqual({
      ccrgovEndpoint: "https://ccf.example",
      ccrgovApiPathPrefix: "/app/contracts/analytics",
      ccfNetworkRecoveryMembers: ["a", "b"],
    });
    const attested = contractData({
      ...contract,
      recoveryMembers: [],
      attestation: { reportUrl: "https://ccf.example/report", hostData: "ff" },
    });
    expect(JSON.parse(attested)).toMatchObject({
      ccrgovServiceCertDiscovery: { endpoint: "https://ccf.example/report", snpHostData: "ff" },
    });
  });
});
