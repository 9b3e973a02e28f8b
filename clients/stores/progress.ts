/** Of the files that have to be uploaded; bytes of plaintext. */
export interface Progress {
  readonly files: number;
  readonly totalFiles: number;
  readonly bytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
  /** `undefined` until a rate is known. */
  readonly secondsLeft: number | undefined;
}

const INTERVAL_MS = 2000;

/** Counts, and reports at most every two seconds. */
export class ProgressMeter {
  private readonly report: ((progress: Progress) => void) | undefined;
  private readonly total: { readonly files: number; readonly bytes: number };
  private readonly started = Date.now();
  private last = this.started;
  private files = 0;
  private bytes = 0;

  constructor(
    total: { readonly files: number; readonly bytes: number },
    report: ((progress: Progress) => void) | undefined,
  ) {
    this.total = total;
    this.report = report;
  }

  addBytes(bytes: number): void {
    this.bytes += bytes;
    this.tick();
  }

  addFile(): void {
    this.files++;
    this.tick();
  }

  /** The last report, whatever the interval. */
  finish(): void {
    if (this.total.files > 0) this.report?.(this.now());
  }

  private tick(): void {
    if (Date.now() - this.last < INTERVAL_MS) return;
    this.last = Date.now();
    this.report?.(this.now());
  }

  private now(): Progress {
    const seconds = (Date.now() - this.started) / 1000;
    const bytesPerSecond = seconds > 0 ? this.bytes / seconds : 0;
    const secondsLeft = bytesPerSecond > 0 ? (this.total.bytes - this.bytes) / bytesPerSecond : undefined;
    return {
      files: this.files,
      totalFiles: this.total.files,
      bytes: this.bytes,
      totalBytes: this.total.bytes,
      bytesPerSecond,
      secondsLeft,
    };
  }
}
