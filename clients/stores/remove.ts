import { concurrently } from "../files/concurrently.ts";
import { normalPrefix } from "./inventory.ts";
import { StoreMissingError } from "./objectStore.ts";
import { openStore, type StoreTarget } from "./target.ts";

const AT_A_TIME = 16;

/**
 * Deletes what we published under the prefix; objects of others stay.
 * @returns how many were deleted; 0 when there is nothing, not even the container.
 */
export async function deletePublished(
  target: StoreTarget,
  options: { prefix?: string; signal?: AbortSignal } = {},
): Promise<number> {
  const store = openStore(target, { mode: "SSE" }, options.signal);
  const names: string[] = [];
  try {
    for await (const { name, record } of store.list(normalPrefix(options.prefix))) if (record) names.push(name);
    await concurrently(names, AT_A_TIME, (name) => store.delete(name), options.signal);
  } catch (error) {
    if (error instanceof StoreMissingError) return 0;
    throw error;
  }
  return names.length;
}
