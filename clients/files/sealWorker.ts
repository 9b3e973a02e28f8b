import { parentPort, workerData } from "node:worker_threads";
import { sealBlocks, type SealJob } from "./sealBlocks.ts";

/** The buffer travels to the worker and back without a copy. */
export interface SealRequest {
  readonly job: SealJob;
  readonly buffer: ArrayBuffer;
}

export interface SealReply {
  readonly buffer: ArrayBuffer;
  readonly error?: string;
}

const { key } = workerData as { key: Uint8Array };

parentPort!.on("message", ({ job, buffer }: SealRequest) => {
  try {
    sealBlocks(job, key, Buffer.from(buffer));
    reply({ buffer });
  } catch (error) {
    reply({ buffer, error: (error as Error).message });
  }
});

function reply(message: SealReply): void {
  parentPort!.postMessage(message, [message.buffer]);
}
