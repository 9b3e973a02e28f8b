/** Trouble a network can be told to make, so that clients can be tested against it. Everything is off by default. */
export interface CcfFaults {
  /** Seed of the random choices below; the same seed makes the same choices. */
  readonly seed: number;
  /** The first status query of every transaction answers `Pending`. */
  readonly firstPollPending: boolean;
  /** The first query of every historical range answers 202 with `retry-after: 1`. */
  readonly historicalPending: boolean;
  /** Probability (0..1) that a request is answered 503 and not applied. */
  readonly unavailable: number;
  /** Probability (0..1) that the connection is cut before a request is applied. */
  readonly dropBefore: number;
  /** Probability (0..1) that the connection is cut after a request was applied, before it is answered. */
  readonly dropAfter: number;
  /** Milliseconds every answer waits. */
  readonly delayMs: number;
}

export const NO_FAULTS: CcfFaults = {
  seed: 1,
  firstPollPending: false,
  historicalPending: false,
  unavailable: 0,
  dropBefore: 0,
  dropAfter: 0,
  delayMs: 0,
};

/** Decides for each request which fault it meets. */
export class FaultInjector {
  readonly faults: CcfFaults;
  readonly #seen = new Set<string>();
  #state: number;

  constructor(faults: Partial<CcfFaults> = {}) {
    this.faults = { ...NO_FAULTS, ...faults };
    this.#state = this.faults.seed >>> 0;
  }

  chance(probability: number): boolean {
    return probability > 0 && this.#random() < probability;
  }

  /** Whether this is the first time the key is asked for. */
  isFirst(key: string): boolean {
    if (this.#seen.has(key)) return false;
    this.#seen.add(key);
    return true;
  }

  /** Mulberry32: small, seeded, good enough to choose faults. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }
}
