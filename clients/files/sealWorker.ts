import fs from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { sealBlocks, sealedLength, type SealJob } from "./sealBlocks.ts";

/** One request: the buffer travels to the worker and back without a copy. */
export interface SealRequest {
  readonly job: SealJob;
  readonly buffer: ArrayBuffer;
  /** Write the result to a file as well, at a position. */
  readonly output?: { readonly fd: number; readonly position: number };
}

export type SealReply = { readonly buffer: ArrayBuffer } | { readonly buffer: ArrayBuffer; readonly error: string };

const { key } = workerData as { key: Uint8Array };

parentPort!.on("message", ({ job, buffer, output }: SealRequest) => {
  try {
    const target = Buffer.from(buffer);
    sealBlocks(job, key, target);
    if (output) writeFully(output.fd, target.subarray(0, sealedLength(job)), output.position);
    reply({ buffer });
  } catch (error) {
    reply({ buffer, error: (error as Error).message });
  }
});

function reply(message: SealReply): void {
  parentPort!.postMessage(message, [message.buffer]);
}

function writeFully(fd: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length;) done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done);
}
