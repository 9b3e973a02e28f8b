import fs from "node:fs";
import path from "node:path";
import { UserError } from "../domain/errors.ts";
import { SAMPLE } from "./demos.ts";

const DAY_MS = 86_400_000;
const TIMEOUT_MS = 60_000;

/**
 * Fetches the public sample posts in the layout of the generated data: `<directory>/<persona>/input/<yyyy-MM-dd>/*.csv`.
 * @throws UserError when they cannot be had; nothing half-fetched is left to be used.
 */
export async function downloadSampleData(directory: string): Promise<void> {
  for (const [persona, handles] of Object.entries(SAMPLE.files)) {
    for (const [index, handle] of handles.entries()) {
      const day = new Date(Date.parse(SAMPLE.firstDay) + index * DAY_MS).toISOString().slice(0, 10);
      const folder = path.join(directory, persona, "input", day);
      fs.mkdirSync(folder, { recursive: true });
      fs.writeFileSync(path.join(folder, `${handle}.csv`), await fetched(`${SAMPLE.base}/${handle}.csv`));
    }
  }
}

async function fetched(url: string): Promise<Buffer> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return Buffer.from(await response.arrayBuffer());
  } catch (error) {
    const { message, cause } = error as Error;
    const reason = cause instanceof Error ? cause.message : message;
    throw new UserError(
      `--download: ${url} cannot be fetched (${reason}). Leave --download out to use generated data, or bring your own with --data.`,
      {
        cause: error,
      },
    );
  }
}
