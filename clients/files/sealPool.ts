import { Worker } from "node:worker_threads";
import { movable, type FileRange, type SealJob, type SealTarget } from "./sealBlocks.ts";
import type { SealReply, SealRequest } from "./sealWorker.ts";

interface Waiting {
  readonly request: SealRequest;
  readonly resolve: (target: SealTarget) => void;
  readonly reject: (error: Error) => void;
}

/** Worker threads that encrypt; started when first needed. The key lives in their memory until `close`. */
export class SealPool {
  private readonly key: Uint8Array;
  private readonly most: number;
  private readonly all: Worker[] = [];
  private readonly idle: Worker[] = [];
  private readonly queue: Waiting[] = [];

  constructor(key: Uint8Array, workers: number) {
    this.key = key;
    this.most = workers;
  }

  /** Encrypts into the memory of `buffer`, which is detached; the same memory comes back as another buffer. */
  async seal(job: SealJob, buffer: Buffer): Promise<Buffer> {
    return Buffer.from((await this.request(job, buffer.buffer as ArrayBuffer)) as ArrayBuffer);
  }

  /** Encrypts into a file that is open for writing; its bytes never pass through this thread. */
  async sealToFile(job: SealJob, range: FileRange): Promise<void> {
    await this.request(job, range);
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((worker) => worker.terminate()));
  }

  private request(job: SealJob, target: SealTarget): Promise<SealTarget> {
    return new Promise((resolve, reject) => {
      this.queue.push({ request: { job, target }, resolve, reject });
      this.dispatch();
    });
  }

  private dispatch(): void {
    while (this.queue.length > 0) {
      const worker = this.idle.pop() ?? this.start();
      if (!worker) return;
      this.run(worker, this.queue.shift()!);
    }
  }

  private start(): Worker | undefined {
    if (this.all.length >= this.most) return undefined;
    // Flags of this process (`--eval`, a debugger, a loader) are not meant for it.
    const worker = new Worker(new URL("./sealWorker.ts", import.meta.url), {
      workerData: { key: this.key },
      execArgv: [],
    });
    this.all.push(worker);
    return worker;
  }

  private run(worker: Worker, { request, resolve, reject }: Waiting): void {
    const done = () => worker.off("message", onMessage).off("error", onFailure).off("exit", onFailure);
    const onMessage = ({ target, error }: SealReply) => {
      done();
      if (error === undefined) resolve(target);
      else reject(new Error(error));
      this.idle.push(worker);
      this.dispatch();
    };
    const onFailure = (cause: unknown) => {
      done();
      reject(new Error("a thread that encrypts has stopped", { cause }));
    };
    worker.on("message", onMessage).on("error", onFailure).on("exit", onFailure);
    worker.postMessage(request, movable(request.target));
  }
}
