import fs from "node:fs";
import os from "node:os";
import path from "node:path";

/** A temporary directory with these files (path → content); `remove` it afterwards. */
export function makeFolder(files: Record<string, string | Buffer>): {
  directory: string;
  write(name: string, content: string | Buffer): void;
  remove(): void;
} {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "dataset-"));
  const write = (name: string, content: string | Buffer) => {
    fs.mkdirSync(path.dirname(path.join(directory, name)), { recursive: true });
    fs.writeFileSync(path.join(directory, name), content);
  };
  for (const [name, content] of Object.entries(files)) write(name, content);
  return { directory, write, remove: () => fs.rmSync(directory, { recursive: true, force: true }) };
}
