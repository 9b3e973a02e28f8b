import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";

/**
 * Lines of JSON on disk: what this machine remembers to save work. Losing one costs time, never correctness, so an
 * absent or damaged file reads as an empty one.
 */
export async function readJsonLines<T>(file: string, header: string): Promise<T[]> {
  const rows: T[] = [];
  try {
    let first = true;
    for await (const line of readline.createInterface({
      input: fs.createReadStream(file, "utf8"),
      crlfDelay: Infinity,
    })) {
      if (!first) rows.push(JSON.parse(line) as T);
      else if (line !== header) return [];
      first = false;
    }
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return rows;
}

/** Never seen half-written: a temporary file, synced, renamed. Creates the folder. */
export async function writeJsonLines(file: string, header: string, rows: Iterable<unknown>): Promise<void> {
  await fs.promises.mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${process.pid}.tmp`;
  const handle = await fs.promises.open(temporary, "w", 0o600);
  try {
    let text = `${header}\n`;
    for (const row of rows) {
      text += `${JSON.stringify(row)}\n`;
      if (text.length < 1 << 20) continue;
      await handle.write(text);
      text = "";
    }
    await handle.write(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await fs.promises.rename(temporary, file);
}
