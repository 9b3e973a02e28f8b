import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";

/**
 * A gzip-compressed tar archive, base64 encoded. The same files always give the same text: nothing of the clock or the
 * machine goes in, and nothing is compressed, because compressors differ between versions of Node.js.
 * @param files path → content.
 */
export async function archive(files: Readonly<Record<string, string>>): Promise<string> {
  const tar = pack();
  for (const [name, content] of Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1))) {
    tar.entry({ name, mtime: new Date(0), mode: 0o644 }, content);
  }
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return gzipSync(Buffer.concat(chunks), { level: 0 }).toString("base64");
}
