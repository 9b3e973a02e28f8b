/** A fixed number of buffers, made when first needed and lent out in turn: the bound on memory of an upload. */
export class BufferPool {
  readonly count: number;
  private readonly size: number;
  private readonly signal: AbortSignal;
  private readonly free: Buffer[] = [];
  private readonly waiting: { resolve: (buffer: Buffer) => void; reject: (reason: unknown) => void }[] = [];
  private made = 0;

  /** @param signal once aborted, who waits for a buffer gets its reason thrown. */
  constructor(count: number, size: number, signal: AbortSignal) {
    this.count = count;
    this.size = size;
    this.signal = signal;
    signal.addEventListener("abort", () => {
      for (const { reject } of this.waiting.splice(0)) reject(signal.reason);
    });
  }

  async take(): Promise<Buffer> {
    this.signal.throwIfAborted();
    const buffer = this.free.pop();
    if (buffer) return buffer;
    if (this.made < this.count) {
      this.made++;
      return Buffer.allocUnsafeSlow(this.size);
    }
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  /** @param buffer a taken one, or another over the same memory. */
  give(buffer: Buffer): void {
    const next = this.waiting.shift();
    if (next) next.resolve(buffer);
    else this.free.push(buffer);
  }
}
