import { parentPort, workerData } from "node:worker_threads";
import { movable, sealBlocks, type SealJob, type SealTarget } from "./sealBlocks.ts";

/** A buffer travels to the worker and back without a copy. */
export interface SealRequest {
  readonly job: SealJob;
  readonly target: SealTarget;
}

export interface SealReply {
  readonly target: SealTarget;
  readonly error?: string;
}

const { key } = workerData as { key: Uint8Array };

parentPort!.on("message", ({ job, target }: SealRequest) => {
  try {
    sealBlocks(job, key, "fd" in target ? target : Buffer.from(target));
    reply({ target });
  } catch (error) {
    reply({ target, error: (error as Error).message });
  }
});

function reply(message: SealReply): void {
  parentPort!.postMessage(message, movable(message.target));
}
