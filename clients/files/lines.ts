import type fs from "node:fs";

const READ_SIZE = 256 * 1024;
/** Longer than any row somebody means to have; a file without line breaks is not read into memory whole. */
const LONGEST_LINE = 16 * 1024 * 1024;

export class LineTooLongError extends Error {}

/**
 * The lines of a UTF-8 text as Hadoop's line reader cuts them (`\n`, `\r\n` or `\r`; a byte order mark is dropped), in
 * batches: a generator step for every line would cost more than the line.
 */
export async function* lineBatches(handle: fs.promises.FileHandle, signal?: AbortSignal): AsyncGenerator<string[]> {
  const decoder = new TextDecoder();
  const buffer = Buffer.allocUnsafe(READ_SIZE);
  let rest = "";
  for (;;) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, buffer.length);
    const end = bytesRead === 0;
    rest += end ? decoder.decode() : decoder.decode(buffer.subarray(0, bytesRead), { stream: true });
    // A final "\r" may be the first half of "\r\n": it waits for the next read.
    const held = !end && rest.endsWith("\r");
    const lines = cut(held ? rest.slice(0, -1) : rest);
    rest = lines.pop()! + (held ? "\r" : "");
    if (rest.length > LONGEST_LINE) throw new LineTooLongError();
    if (end && rest !== "") lines.push(rest);
    if (lines.length > 0) yield lines;
    if (end) return;
  }
}

function cut(text: string): string[] {
  return text.includes("\r") ? text.split(/\r\n|\n|\r/) : text.split("\n");
}
