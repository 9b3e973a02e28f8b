/**
 * # The sandbox's CCF network
 *
 * Stands in for a network of Azure's Confidential Consortium Framework (https://microsoft.github.io/CCF/) that runs the
 * Clean Room Governance Service of Azure/azure-cleanroom: member governance with COSE-signed proposals and ballots, CGS's
 * constitution, the 59 endpoints of its application, JWT users whose keys are fetched from registered issuers, a
 * ledger on disk, and recovery with the shares of recovery members.
 *
 * What is simulated:
 * - **Attestation.** There is no SEV-SNP. Attested requests say `"platform":"virtual"` with
 *   `"attestation":{"evidence":"<quote>"}`, a quote this sandbox signed; its host data becomes the claim
 *   `x-ms-sevsnpvm-hostdata`, `x-ms-sevsnpvm-is-debuggable` is false. Report data, signatures, clean room policies and
 *   delegates are checked by CGS's rules. `snp-caci` and `snp-cvm` are answered `VerifySnpAttestationFailed`.
 * - **Consensus.** One node a network; what it answers is committed. Every write is one ledger entry; CCF's signature
 *   transactions and receipts do not exist.
 * - **The JavaScript runtime.** Constitution and application are built in and take effect when the texts of
 *   `sandbox/artifacts` are installed by proposals; other texts are refused. Certificate validity and node actions are
 *   recorded without effect.
 *
 * The ledger is `ccf/<account>/<share>/ledger.jsonl` in the state folder; values of private tables are encrypted in it.
 * A node's keys are kept in `ccf-nodes.json` so that restarting the sandbox restarts the node with its identity;
 * `stopNode` forgets them, as a crash of the host would, and the service then needs recovery.
 */
import path from "node:path";
import type { CcfNodeSpec, CcfService, SandboxHost, StateDocument, VirtualAttestation } from "../contracts.ts";
import { sha256 } from "./artifacts.ts";
import { readNodeConfiguration } from "./configuration.ts";
import { FaultInjector, type CcfFaults } from "./faults.ts";
import type { CcfNetwork, NodeSecrets } from "./network.ts";
import { CcfNode } from "./node.ts";
import { bootService, removeLedger, reopenService, type Bootstrap } from "./service.ts";

export type { CcfFaults } from "./faults.ts";

type Ports = readonly [rpc: number, nodeToNode: number, debug: number, recoveryAgent: number];

interface NodeRecord {
  name: string;
  hostData: string;
  /** Tells whether a repeated start asks for something new. */
  configurationDigest: string;
  storage: { account: string; share: string };
  /** Present while the node runs. */
  secrets?: NodeSecrets;
}

export class SandboxCcf implements CcfService {
  readonly #host: SandboxHost;
  readonly #attestation: VirtualAttestation;
  readonly #state: StateDocument<{ nodes: Record<string, NodeRecord> }>;
  readonly #running = new Map<string, CcfNode>();
  #faults = new FaultInjector();
  #tail: Promise<unknown> = Promise.resolve();

  constructor(host: SandboxHost, attestation: VirtualAttestation) {
    this.#host = host;
    this.#attestation = attestation;
    this.#state = host.document("ccf-nodes", () => ({ nodes: {} }));
  }

  /** Restarts the nodes that were running when the sandbox stopped. */
  start(): Promise<void> {
    return this.#inTurn(async () => {
      for (const [resourceId, record] of Object.entries(this.#state.value.nodes)) {
        if (!record.secrets || this.#running.has(resourceId)) continue;
        const ports = await this.#ports(record.name);
        const network = await reopenService(record.secrets, this.#bootstrap(resourceId, record, ports[0]));
        if (network) await this.#run(resourceId, record, network, ports);
        else this.#forgetSecrets(resourceId);
      }
    });
  }

  stop(): Promise<void> {
    return this.#inTurn(async () => {
      const nodes = [...this.#running.values()];
      this.#running.clear();
      await Promise.all(nodes.map((node) => node.close()));
    });
  }

  /** Makes trouble from now on; called without arguments it stops. */
  setFaults(faults: Partial<CcfFaults> = {}): void {
    this.#faults = new FaultInjector(faults);
  }

  /**
   * A running node with the same configuration is left alone; with another one it is stopped first.
   * @throws when the configuration is not valid, when `Start` meets a ledger that is not empty, or `Recover` meets none
   * or one of another service.
   */
  startNode(spec: CcfNodeSpec): Promise<{ ports: Ports }> {
    return this.#inTurn(async () => {
      const ports = await this.#ports(spec.name);
      const record: NodeRecord = {
        name: spec.name,
        hostData: sha256(spec.ccePolicy),
        configurationDigest: sha256(spec.configuration),
        storage: { ...spec.storage },
      };
      const known = this.#state.value.nodes[spec.resourceId];
      if (this.#running.has(spec.resourceId)) {
        if (known?.configurationDigest === record.configurationDigest && known.hostData === record.hostData)
          return { ports };
        await this.#crash(spec.resourceId);
      }
      this.#requireFreeLedger(spec);
      const configuration = await readNodeConfiguration(spec.configuration);
      const network = await bootService(configuration, this.#bootstrap(spec.resourceId, record, ports[0]));
      await this.#run(spec.resourceId, record, network, ports);
      return { ports };
    });
  }

  stopNode(resourceId: string): Promise<void> {
    return this.#inTurn(() => this.#crash(resourceId));
  }

  deleteNode(resourceId: string): Promise<void> {
    return this.#inTurn(async () => {
      await this.#crash(resourceId);
      delete this.#state.value.nodes[resourceId];
      this.#state.save();
    });
  }

  nodeState(resourceId: string): "Running" | "Stopped" | "NotFound" {
    if (this.#running.has(resourceId)) return "Running";
    return this.#state.value.nodes[resourceId] ? "Stopped" : "NotFound";
  }

  /** A node that still uses the ledger is stopped first: it has lost its storage. */
  deleteLedger(account: string, share: string): Promise<void> {
    return this.#inTurn(async () => {
      for (const [resourceId, { storage }] of Object.entries(this.#state.value.nodes)) {
        if (storage.account === account && storage.share === share) await this.#crash(resourceId);
      }
      removeLedger(this.#ledgerDirectory({ account, share }));
    });
  }

  /** Starts and stops happen one after the other, whoever asks for them. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#tail.then(work);
    this.#tail = run.catch(() => undefined);
    return run;
  }

  async #crash(resourceId: string): Promise<void> {
    const node = this.#running.get(resourceId);
    this.#running.delete(resourceId);
    await node?.close();
    this.#forgetSecrets(resourceId);
  }

  #forgetSecrets(resourceId: string): void {
    const record = this.#state.value.nodes[resourceId];
    if (!record?.secrets) return;
    delete record.secrets;
    this.#state.save();
  }

  async #ports(name: string): Promise<Ports> {
    const port = (kind: string) => this.#host.port(`ccf-${kind}-${name}`);
    return [await port("rpc"), await port("node"), await port("debug"), await port("agent")];
  }

  #requireFreeLedger({ resourceId, storage }: CcfNodeSpec): void {
    for (const other of this.#running.keys()) {
      const used = this.#state.value.nodes[other]?.storage;
      if (other !== resourceId && used?.account === storage.account && used.share === storage.share) {
        throw new Error(`The ledger ${storage.account}/${storage.share} is in use by ${other}.`);
      }
    }
  }

  #bootstrap(resourceId: string, record: NodeRecord, rpcPort: number): Bootstrap {
    return {
      directory: this.#ledgerDirectory(record.storage),
      attestation: this.#attestation,
      rpc: `localhost:${rpcPort}`,
      persist: (secrets) => {
        this.#state.value.nodes[resourceId] = { ...record, secrets };
        this.#state.save();
      },
    };
  }

  async #run(resourceId: string, record: NodeRecord, network: CcfNetwork, [rpc, , , agent]: Ports): Promise<void> {
    const node = new CcfNode(this.#host, this.#attestation, network, record.hostData, () => this.#faults);
    this.#running.set(resourceId, node);
    try {
      await node.listen({ rpc, agent });
    } catch (error) {
      this.#running.delete(resourceId);
      await node.close();
      throw error;
    }
  }

  #ledgerDirectory({ account, share }: { account: string; share: string }): string {
    return path.join(this.#host.stateDir, "ccf", account, share);
  }
}
