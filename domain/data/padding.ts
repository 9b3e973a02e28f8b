import { DEFAULT_BLOCK_SIZE, encryptedSize } from "./blockFormat.ts";

/** Beyond this, a user should know before paying for it. */
const NOTABLE_FACTOR = 10;
const MIB = 1024 * 1024;

/** How many times larger client-side encryption makes a set of files (it fills each one up to whole blocks). */
export function blowUpFactor(files: Iterable<{ readonly size: number }>, blockSize = DEFAULT_BLOCK_SIZE): number {
  let plain = 0;
  let stored = 0;
  for (const { size } of files) {
    plain += size;
    stored += encryptedSize(size, blockSize);
  }
  return plain === 0 ? 1 : stored / plain;
}

/** What to tell the user before small files are blown up by more than ten times; `undefined` when there is nothing to tell. */
export function paddingWarning(
  files: readonly { readonly size: number }[],
  blockSize = DEFAULT_BLOCK_SIZE,
): string | undefined {
  const factor = blowUpFactor(files, blockSize);
  if (factor <= NOTABLE_FACTOR) return undefined;
  const stored = files.reduce((sum, { size }) => sum + encryptedSize(size, blockSize), 0);
  const remedy =
    blockSize > MIB
      ? `Merge small files, choose CPK, or a smaller block size if the readers are set to the same one (1 MiB would make it ${format(blowUpFactor(files, MIB))} times).`
      : "Merge small files, or choose CPK.";
  return (
    `CSE fills every file up to whole blocks of ${format(blockSize / MIB)} MiB: ${files.length} files become ` +
    `${format(stored / MIB)} MiB in the store, ${format(factor)} times their size. ${remedy}`
  );
}

function format(value: number): string {
  return value >= 100 ? Math.round(value).toString() : Number(value.toPrecision(3)).toString();
}
