import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { blockOffset, encryptedSize } from "../../../domain/data/blockFormat.ts";
import { openBlocks } from "../../../clients/files/openBlocks.ts";
import { sealBlocks, sealedLength, type SealJob } from "../../../clients/files/sealBlocks.ts";
import { SealPool } from "../../../clients/files/sealPool.ts";
import { makeFolder } from "./folder.ts";

const KEY = randomBytes(32);
const BLOCK = 100_000;
const PLAIN = randomBytes(2 * BLOCK + 5);

let folder: ReturnType<typeof makeFolder>;
let fd: number;
let job: SealJob;

beforeEach(() => {
  folder = makeFolder({ "plain.csv": PLAIN });
  fd = fs.openSync(path.join(folder.directory, "plain.csv"), "r");
  job = { fd, plainSize: PLAIN.length, blockSize: BLOCK, firstBlock: 0, blocks: 3, last: true };
});
afterEach(() => {
  fs.closeSync(fd);
  folder.remove();
});

async function decrypted(sealed: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  // In pieces that never fall together with blocks.
  const pieces = (async function* () {
    for (let from = 0; from < sealed.length; from += 777) yield sealed.subarray(from, from + 777);
  })();
  for await (const chunk of openBlocks(pieces, sealed.length, KEY, BLOCK)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("threads encrypt as this thread does, parts of a file in any order", async () => {
  const whole = Buffer.alloc(sealedLength(job));
  sealBlocks(job, KEY, whole);
  expect(whole).toHaveLength(encryptedSize(PLAIN.length, BLOCK));
  expect((await decrypted(whole)).equals(PLAIN)).toBe(true);

  const pool = new SealPool(KEY, 2);
  const jobs = [0, 1, 2].map((firstBlock) => ({ ...job, firstBlock, blocks: 1, last: firstBlock === 2 }));
  const parts = await Promise.all(jobs.map((part) => pool.seal(part, Buffer.allocUnsafeSlow(sealedLength(part)))));
  await pool.close();
  expect((await decrypted(Buffer.concat(parts))).equals(PLAIN)).toBe(true);
});

test("threads write ciphertext to a file, in any order and beside what is there", async () => {
  const target = path.join(folder.directory, "ciphertext");
  const output = fs.openSync(target, "w");
  const pool = new SealPool(KEY, 2);
  const jobs = [2, 0, 1].map((firstBlock) => ({ ...job, firstBlock, blocks: 1, last: firstBlock === 2 }));
  await Promise.all(
    jobs.map((part) => pool.sealToFile(part, { fd: output, position: 3 + blockOffset(part.firstBlock, BLOCK) })),
  );
  await pool.close();
  fs.closeSync(output);
  const written = fs.readFileSync(target);
  expect(written).toHaveLength(3 + encryptedSize(PLAIN.length, BLOCK));
  expect((await decrypted(written.subarray(3))).equals(PLAIN)).toBe(true);
});

test("a file that cannot be written fails the job", async () => {
  const pool = new SealPool(KEY, 1);
  await expect(pool.sealToFile(job, { fd, position: 0 })).rejects.toThrow("EBADF");
  await pool.close();
});

test("the buffer's memory goes there and comes back", async () => {
  const pool = new SealPool(KEY, 1);
  const buffer = Buffer.allocUnsafeSlow(sealedLength(job) + 10);
  const sealed = await pool.seal(job, buffer);
  expect(buffer).toHaveLength(0);
  expect(sealed).toHaveLength(sealedLength(job) + 10);
  await pool.close();
});

test("a file that became shorter fails the job, and the thread goes on", async () => {
  const pool = new SealPool(KEY, 1);
  const longer = { ...job, plainSize: PLAIN.length + 1 };
  await expect(pool.seal(longer, Buffer.allocUnsafeSlow(sealedLength(longer)))).rejects.toThrow(
    "the file became shorter",
  );
  await expect(pool.seal(job, Buffer.allocUnsafeSlow(sealedLength(job)))).resolves.toBeDefined();
  await pool.close();
});

test("a thread that stops in the middle fails the job instead of leaving it waiting", async () => {
  const pool = new SealPool(KEY, 1);
  const sealing = pool.seal(job, Buffer.allocUnsafeSlow(sealedLength(job)));
  await Promise.all([expect(sealing).rejects.toThrow("a thread that encrypts has stopped"), pool.close()]);
});
