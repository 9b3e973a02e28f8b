import type { VirtualAttestation } from "../contracts.ts";
import type { CcfReply } from "./errors.ts";
import { KeyValueStore, type Transaction } from "./kv.ts";
import { Ledger } from "./ledger.ts";

/** What only the node itself knows; lost when the node stops. */
export interface NodeSecrets {
  readonly serviceKeyPem: string;
  readonly serviceCertificatePem: string;
  readonly nodeKeyPem: string;
  readonly nodeCertificatePem: string;
  /** Base64, 32 bytes; absent while a recovery waits for shares. */
  ledgerSecret?: string;
}

/**
 * One CCF service: its store, its ledger and its identity. Transactions run one after the other, so that what a
 * handler read is still true when it commits.
 */
export class CcfNetwork {
  readonly store = new KeyValueStore();
  readonly attestation: VirtualAttestation;
  readonly secrets: NodeSecrets;
  readonly #directory: string;
  readonly #onSecretsChanged: () => void;
  #ledger: Ledger;
  #tail: Promise<unknown> = Promise.resolve();
  #afterCommit: (() => void)[] = [];

  /** @param onSecretsChanged called when `secrets.ledgerSecret` was recovered, to persist it. */
  constructor(directory: string, secrets: NodeSecrets, attestation: VirtualAttestation, onSecretsChanged: () => void) {
    this.#directory = directory;
    this.secrets = secrets;
    this.attestation = attestation;
    this.#onSecretsChanged = onSecretsChanged;
    this.#ledger = this.#replay();
  }

  get ledgerSecret(): Buffer | undefined {
    return this.secrets.ledgerSecret === undefined ? undefined : Buffer.from(this.secrets.ledgerSecret, "base64");
  }

  /** Hex; changes with every transaction. */
  get ledgerRoot(): string {
    return this.#ledger.root;
  }

  /**
   * Runs a handler as one transaction. Its writes are durable before the answer is given, and are dropped when it
   * throws or answers 400 or above. Successful answers carry `x-ms-ccf-transaction-id`.
   */
  execute(work: (tx: Transaction) => CcfReply | Promise<CcfReply>): Promise<CcfReply> {
    const run = this.#tail.then(async () => {
      const tx = this.store.begin();
      this.#afterCommit = [];
      const reply = await work(tx);
      if (reply.status >= 400) return reply;
      if (tx.writes.length > 0) this.#commit(tx);
      for (const hook of this.#afterCommit) hook();
      return { ...reply, headers: { "x-ms-ccf-transaction-id": this.store.lastTransaction, ...reply.headers } };
    });
    this.#tail = run.catch(() => undefined);
    return run;
  }

  /** For the running transaction only: called once it is committed. */
  afterCommit(hook: () => void): void {
    this.#afterCommit.push(hook);
  }

  /** The view of everything committed from now on. */
  enterView(view: number): void {
    this.store.view = view;
  }

  /** Makes the private tables readable again at the end of a recovery. */
  unsealLedger(secret: Buffer): void {
    this.secrets.ledgerSecret = secret.toString("base64");
    this.#ledger.close();
    this.store.clear();
    this.#ledger = this.#replay();
    this.#onSecretsChanged();
  }

  async close(): Promise<void> {
    await this.#tail;
    this.#ledger.close();
  }

  #replay(): Ledger {
    const { ledger, commits } = Ledger.open(this.#directory, this.ledgerSecret);
    for (const commit of commits) this.store.apply(commit);
    return ledger;
  }

  #commit(tx: Transaction): void {
    const commit = { view: this.store.view, seqno: this.store.seqno + 1, writes: tx.writes };
    this.#ledger.append(commit, this.ledgerSecret);
    this.store.apply(commit);
  }
}
