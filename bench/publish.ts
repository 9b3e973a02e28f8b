/**
 * What publishing a dataset costs, as ratios measured side by side in one run. Absolute figures depend on the machine and
 * vary by a third from run to run; the ratios are the thing to watch.
 *
 *     node bench/publish.ts [--size 256] [--files 2000] [--rounds 3] [--big 1]
 *
 *     --size    MiB of the file that is encrypted and uploaded
 *     --files   number of small files (20,000 bytes each)
 *     --rounds  repetitions of each comparison; the median ratio is shown with the smallest and the largest
 *     --big     GiB of the (sparse) file whose upload shows that memory stays flat
 *
 * Goals: cipher ≥ 0.8 × `openssl speed -evp aes-256-gcm` (16 KiB, one core); file to ciphertext file with all cores ≥ 0.4 ×
 * the same; encrypt and upload ≥ 0.9 × upload of the same bytes by the official SDK; publishing again with one change < 5 %
 * of the first time; peak memory < 250 MB whatever the size.
 *
 * Two ratios a line, the median of the rounds with the smallest and the largest. `wall` is what a clock shows: on a machine
 * that does other things at the same time, their share is in it. `cpu` compares the processor time both sides used, which
 * other programs hardly change; it says what `wall` would be if all cores were free and kept busy. For uploads it counts
 * the store too, which runs on the same cores. The load is printed at the start and at the end, for everybody to judge.
 *
 * Every measurement runs in a process of its own, so that its peak memory is its own; sides are measured in turn, in another
 * order each round. The store is Azurite (simulated): upload figures are floors for client and server together, not Azure's.
 */
import { ContainerClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  blockCount,
  blockOffset,
  BlockSealer,
  CIPHER_SLICE,
  DEFAULT_BLOCK_SIZE,
  encryptedSize,
  NONCE_LENGTH,
  sinkInto,
  type Sink,
} from "../domain/data/blockFormat.ts";
import { blowUpFactor } from "../domain/data/padding.ts";
import type { Encryption } from "../domain/data/publishedFile.ts";
import { concurrently } from "../clients/files/concurrently.ts";
import { scanDirectory, type Scan } from "../clients/files/scan.ts";
import { SealPool } from "../clients/files/sealPool.ts";
import type { BlobTarget } from "../clients/stores/azureBlob.ts";
import { publishFiles } from "../clients/stores/publish.ts";

const MIB = 1024 * 1024;
const SMALL_FILE = 20_000;
/** A block size that suits small files, where the reader is set to the same. */
const SMALL_BLOCK = 32 * 1024;
const SDK_BLOCK = 8 * MIB;
const OPENSSL_SECONDS = 2;
const CIPHER_BLOCKS = 200;
/** Azurite's published development account (its documentation); not a secret. */
const ACCOUNT = "devstoreaccount1";
const ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

interface TaskArguments {
  readonly directory: string;
  readonly port: number;
  readonly container: string;
  readonly mode?: "SSE" | "CSE";
  readonly blockSize?: number;
}

interface Measured {
  readonly seconds: number;
  /** Processor time of all threads, user and system. */
  readonly cpuSeconds: number;
  readonly bytes: number;
  readonly files: number;
}

interface Measurement extends Measured {
  /** Processor time of the store meanwhile. */
  readonly storeSeconds: number;
  /** Megabytes (10^6). */
  readonly peakMemory: number;
}

/** What is compared, higher is better: by the clock and by processor time. */
interface Ratio {
  readonly wall: number;
  readonly cpu: number;
}

const key = randomBytes(32);

/** What the child processes do. Reading the digests (`scan`) is timed on its own. */
const TASKS: Record<string, (args: TaskArguments) => Promise<Measured>> = {
  /** Ciphertext is dropped, as openssl does. */
  cipher: () => cipherSpeed(() => () => {}),

  /** Ciphertext goes to where the body of a request is made up. */
  async cipherToMemory() {
    const target = Buffer.alloc(encryptedSize(DEFAULT_BLOCK_SIZE));
    return cipherSpeed(() => sinkInto(target));
  },

  async encryptFile({ directory }) {
    const [name] = fs.readdirSync(directory);
    const source = path.join(directory, name!);
    const target = path.join(path.dirname(directory), "ciphertext");
    const { size } = fs.statSync(source);
    const pool = new SealPool(key, os.availableParallelism());
    // The first time measures the start of threads, and how quickly the system hands out memory for its file cache.
    await encryptToFile(source, target, size, pool);
    const measured = await timed({ bytes: size, files: 1 }, () => encryptToFile(source, target, size, pool));
    await pool.close();
    return measured;
  },

  async sdkUpload({ directory, ...at }) {
    const scan = scanOf(directory);
    const client = await containerOf(at);
    return timed(await scan, async ({ files }) => {
      await concurrently(files, files.length > 1 ? 32 : 1, async ({ path: name, size }) => {
        const options = { blockSize: SDK_BLOCK, concurrency: 8, maxSingleShotSize: SDK_BLOCK };
        await client.getBlockBlobClient(name).uploadFile(path.join(directory, name), size === 0 ? {} : options);
      });
    });
  },

  async publish({ directory, ...at }) {
    const scan = await scanOf(directory);
    const target = await targetOf(at);
    return timed(scan, () => publishFiles({ directory, scan, target, encryption: encryptionOf(at) }));
  },

  /** What every run after the first does: digests from the index, what is remembered of the store, upload of what changed. */
  async publishAgain({ directory, ...at }) {
    const target = await targetOf(at);
    const encryption = encryptionOf(at);
    const file = `${directory}.published`;
    const { contentDigest } = await publishFiles({
      directory,
      scan: await scanOf(directory),
      target,
      encryption,
      last: { file },
    });
    const [name] = fs.readdirSync(directory);
    fs.writeFileSync(path.join(directory, name!), randomBytes(SMALL_FILE));
    return timed({ bytes: SMALL_FILE, files: 1 }, async () => {
      const scan = await scanOf(directory);
      const result = await publishFiles({ directory, scan, target, encryption, last: { file, contentDigest } });
      if (result.uploaded.count !== 1) throw new Error(`expected one upload, not ${result.uploaded.count}`);
    });
  },

  async scan({ directory }) {
    let scan: Scan | undefined;
    const measured = await timed({ bytes: 0, files: 0 }, async () => (scan = await scanOf(directory)));
    return { ...measured, bytes: scan!.bytes, files: scan!.filesRead };
  },
};

function cipherSpeed(sinkFor: () => Sink): Promise<Measured> {
  const plain = Buffer.alloc(CIPHER_SLICE, 1);
  const sealBlock = () => {
    const sealer = new BlockSealer(key, randomBytes(NONCE_LENGTH), sinkFor());
    for (let done = 0; done < DEFAULT_BLOCK_SIZE; done += plain.length) sealer.update(plain);
    sealer.finish();
  };
  for (let i = 0; i < CIPHER_BLOCKS / 10; i++) sealBlock();
  return timed({ bytes: CIPHER_BLOCKS * DEFAULT_BLOCK_SIZE, files: 0 }, async () => {
    for (let i = 0; i < CIPHER_BLOCKS; i++) sealBlock();
  });
}

async function encryptToFile(source: string, target: string, plainSize: number, pool: SealPool): Promise<void> {
  const input = await fs.promises.open(source, "r");
  const output = await fs.promises.open(target, fs.constants.O_WRONLY | fs.constants.O_CREAT);
  const blocks = blockCount(plainSize);
  const seal = (firstBlock: number) => {
    const last = firstBlock === blocks - 1;
    const job = { fd: input.fd, plainSize, blockSize: DEFAULT_BLOCK_SIZE, firstBlock, blocks: 1, last };
    return pool.sealToFile(job, { fd: output.fd, position: blockOffset(firstBlock) });
  };
  await Promise.all(Array.from({ length: blocks }, (_, index) => seal(index)));
  await Promise.all([input.close(), output.close()]);
  if (fs.statSync(target).size !== encryptedSize(plainSize)) throw new Error("the ciphertext has the wrong length");
}

async function timed<T extends { bytes: number; files: unknown }>(
  work: T,
  run: (work: T) => Promise<unknown>,
): Promise<Measured> {
  const started = performance.now();
  const cpuStarted = process.cpuUsage();
  await run(work);
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpuStarted);
  const files = Array.isArray(work.files) ? work.files.length : (work.files as number);
  return { seconds, cpuSeconds: (user + system) / 1e6, bytes: work.bytes, files };
}

function scanOf(directory: string): Promise<Scan> {
  return scanDirectory(directory, { format: "csv", indexFile: `${directory}.index` });
}

async function containerOf({ port, container }: Pick<TaskArguments, "port" | "container">): Promise<ContainerClient> {
  const client = new ContainerClient(
    `http://127.0.0.1:${port}/${ACCOUNT}/${container}`,
    new StorageSharedKeyCredential(ACCOUNT, ACCOUNT_KEY),
  );
  await client.createIfNotExists();
  return client;
}

async function targetOf(at: Pick<TaskArguments, "port" | "container">): Promise<BlobTarget> {
  return { type: "Azure_BlobStorage", client: await containerOf(at) };
}

function encryptionOf({ mode = "SSE", blockSize }: Pick<TaskArguments, "mode" | "blockSize">): Encryption {
  return mode === "SSE" ? { mode } : { mode, key: Buffer.alloc(32, 1), blockSize };
}

/** Of this process, in megabytes. `getrusage` begins with the size of the process that forked it; Linux's `/proc` does not. */
function peakMemory(): number {
  const status = process.platform === "linux" ? fs.readFileSync("/proc/self/status", "utf8") : "";
  const kilobytes = Number(/VmHWM:\s*(\d+) kB/.exec(status)?.[1] ?? process.resourceUsage().maxRSS);
  return Math.round((kilobytes * 1024) / 1e6);
}

/** Runs a task in a process of its own. */
function measure(task: string, args: Partial<TaskArguments> = {}): Measurement {
  const child = spawnSync(
    process.execPath,
    [fileURLToPath(import.meta.url), "--task", task, "--arguments", JSON.stringify(args)],
    {
      stdio: ["ignore", "pipe", "inherit"],
      encoding: "utf8",
    },
  );
  if (child.status !== 0) throw new Error(`the measurement ${task} failed`);
  return { ...(JSON.parse(child.stdout) as Omit<Measurement, "storeSeconds">), storeSeconds: 0 };
}

/** One core of `openssl speed`, or `undefined` where there is no openssl. */
function opensslSpeed(): Measured | undefined {
  const { stderr, status } = spawnSync(
    "openssl",
    ["speed", "-mr", "-evp", "aes-256-gcm", "-bytes", "16384", "-seconds", String(OPENSSL_SECONDS)],
    { encoding: "utf8" },
  );
  // Without -elapsed it counts how many blocks it got done by the clock, and how much processor time it had for them.
  const match = status === 0 ? /^\+R:(\d+):[^:]*:([\d.]+)$/m.exec(stderr) : null;
  if (!match) return undefined;
  return { seconds: OPENSSL_SECONDS, cpuSeconds: Number(match[2]), bytes: Number(match[1]) * 16384, files: 0 };
}

/** Processor time a process has used so far, in seconds; 0 where the system does not tell. In `/proc`, in hundredths. */
function cpuSecondsOf({ pid }: ChildProcess): number {
  if (process.platform !== "linux") return 0;
  const stat = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
  const [user, system] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13);
  return (Number(user) + Number(system)) / 100;
}

/** Measures the sides in turn, starting with another one each round. */
function sideBySide<K extends string, V>(rounds: number, sides: Record<K, () => V>): Record<K, V>[] {
  const names = Object.keys(sides) as K[];
  return Array.from({ length: rounds }, (_, round) => {
    const order = names.map((_, i) => names[(i + round) % names.length]!);
    return Object.fromEntries(order.map((name) => [name, sides[name]()])) as Record<K, V>;
  });
}

async function startAzurite(location: string): Promise<{ port: number; process: ChildProcess }> {
  const port = await freePort();
  const main = fileURLToPath(import.meta.resolve("azurite/dist/src/blob/main.js"));
  const flags = [
    "--silent",
    "--disableTelemetry",
    "--skipApiVersionCheck",
    "--blobPort",
    String(port),
    "--location",
    location,
  ];
  const server = spawn(process.execPath, [main, ...flags], { stdio: "ignore" });
  for (let attempt = 0; attempt < 200; attempt++) {
    const open = await new Promise((resolve) => {
      const socket = net.connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
      socket.once("close", () => socket.destroy()).unref();
    });
    if (open) return { port, process: server };
    await setTimeout(100);
  }
  throw new Error("Azurite did not start");
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as net.AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

function makeFiles(directory: string, count: number, size: number): string {
  fs.mkdirSync(directory);
  const content = randomBytes(Math.min(size, MIB));
  for (let i = 0; i < count; i++) {
    const file = fs.openSync(path.join(directory, `${String(i).padStart(6, "0")}.csv`), "w");
    for (let done = 0; done < size; done += content.length) {
      content.writeUInt32BE(i + done, 0);
      fs.writeSync(file, content, 0, Math.min(content.length, size - done));
    }
    fs.closeSync(file);
  }
  return directory;
}

function makeSparseFile(directory: string, size: number): string {
  fs.mkdirSync(directory);
  fs.writeFileSync(path.join(directory, "big.csv"), "");
  fs.truncateSync(path.join(directory, "big.csv"), Math.round(size));
  return directory;
}

const speed = ({ bytes, seconds }: Measured) => bytes / seconds;
const cpuSpeed = ({ bytes, cpuSeconds }: Measured) => bytes / cpuSeconds;
const perSecond = (measured: Measured) => `${Math.round(speed(measured) / 1e6)} MB/s`;
const filesPerSecond = ({ files, seconds }: Measured) => `${Math.round(files / seconds)} files/s`;

/** How many times the work of `theirs` was done in the same time. */
const uploadRatio = (ours: Measurement, theirs: Measurement): Ratio => ({
  wall: theirs.seconds / ours.seconds,
  cpu: (theirs.cpuSeconds + theirs.storeSeconds) / (ours.cpuSeconds + ours.storeSeconds),
});

function summary(values: readonly number[], digits = 2): string {
  const sorted = [...values].sort((a, b) => a - b);
  const median = sorted[sorted.length >> 1]!.toFixed(digits);
  return sorted.length > 1 ? `${median} (${sorted[0]!.toFixed(digits)}–${sorted.at(-1)!.toFixed(digits)})` : median;
}

function line(what: string, columns: { wall?: string; cpu?: string; goal?: string; detail?: string }): void {
  const { wall = "", cpu = "", goal = "–", detail = "" } = columns;
  console.log(`${what.padEnd(46)} ${wall.padEnd(18)} ${cpu.padEnd(18)} ${goal.padEnd(8)} ${detail}`.trimEnd());
}

function ratioLine(what: string, ratios: readonly Ratio[], goal: string, detail: string): void {
  const wall = summary(ratios.map((ratio) => ratio.wall));
  line(what, { wall, cpu: summary(ratios.map((ratio) => ratio.cpu)), goal, detail });
}

const load = () => `load average ${os.loadavg()[0]!.toFixed(1)} on ${os.availableParallelism()} cores`;

interface BenchOptions {
  readonly size: number;
  readonly files: number;
  readonly rounds: number;
  readonly big: number;
}

async function main(options: BenchOptions): Promise<void> {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), "bench-publish-"));
  const azurite = await startAzurite(path.join(work, "azurite"));
  console.log(
    `${new Date().toISOString()}, ${load()}; wall ratios mean something below ${os.availableParallelism() / 2}`,
  );
  line("", { wall: "wall", cpu: "cpu", goal: "goal" });
  let containers = 0;
  const upload = (task: string, args: Partial<TaskArguments>): Measurement => {
    const before = cpuSecondsOf(azurite.process);
    const measured = measure(task, { ...args, port: azurite.port, container: `bench${++containers}` });
    return { ...measured, storeSeconds: cpuSecondsOf(azurite.process) - before };
  };
  try {
    const large = makeFiles(path.join(work, "large"), 1, options.size * MIB);
    measure("scan", { directory: large });
    compareCiphers(options.rounds, large);
    const largeUploads = compareLarge(options.rounds, large, upload);

    const small = makeFiles(path.join(work, "small"), options.files, SMALL_FILE);
    const firstScan = measure("scan", { directory: small });
    const smallUploads = compareSmall(options.rounds, small, upload);
    showBlowUp(options.files);
    compareAgain(small, firstScan, smallUploads, upload);

    const sparse = makeSparseFile(path.join(work, "sparse"), options.big * 1024 * MIB);
    const big = upload("publish", { directory: sparse, mode: "CSE" });
    const peaks = (measurements: readonly Measurement[]) =>
      summary(
        measurements.map((one) => one.peakMemory),
        0,
      );
    const memory = {
      [`one file of ${options.big} GiB, CSE`]: peaks([big]),
      [`one file of ${options.size} MiB, CSE`]: peaks(largeUploads.map(({ cse }) => cse)),
      [`one file of ${options.size} MiB, SSE`]: peaks(largeUploads.map(({ sse }) => sse)),
      [`${options.files} small files, CSE`]: peaks(smallUploads.map(({ cse }) => cse)),
      [`${options.files} small files, SSE`]: peaks(smallUploads.map(({ sse }) => sse)),
    };
    for (const [what, peak] of Object.entries(memory))
      line(`peak memory, ${what}`, { goal: "< 250", detail: `${peak} MB` });
    console.log(`${new Date().toISOString()}, ${load()}`);
  } finally {
    azurite.process.kill();
    await once(azurite.process, "exit");
    fs.rmSync(work, { recursive: true, force: true });
  }
}

function compareCiphers(rounds: number, large: string): void {
  const results = sideBySide<string, Measured | undefined>(rounds, {
    openssl: opensslSpeed,
    cipher: () => measure("cipher"),
    memory: () => measure("cipherToMemory"),
    file: () => measure("encryptFile", { directory: large }),
  });
  if (results.some(({ openssl }) => !openssl)) return console.log("no openssl on this machine: cipher ratios left out");
  const against = (what: string, name: string, goal: string, cores = 1) => {
    const pairs = results.map((round) => ({ ours: round[name]!, openssl: round["openssl"]! }));
    const ratios = pairs.map(({ ours, openssl }) => ({
      wall: speed(ours) / speed(openssl),
      cpu: (cores * cpuSpeed(ours)) / cpuSpeed(openssl),
    }));
    ratioLine(what, ratios, goal, `${perSecond(pairs[0]!.ours)} against ${perSecond(pairs[0]!.openssl)}`);
  };
  against("cipher, one thread / openssl", "cipher", "≥ 0.8");
  against("cipher to memory, one thread / openssl", "memory", "–");
  against("file to ciphertext file / openssl", "file", "≥ 0.4", os.availableParallelism());
}

type Upload = (task: string, args: Partial<TaskArguments>) => Measurement;
type Uploads = Record<"sdk" | "sse" | "cse", Measurement>[];

function compareLarge(rounds: number, directory: string, upload: Upload): Uploads {
  const uploads = sideBySide(rounds, {
    sdk: () => upload("sdkUpload", { directory }),
    sse: () => upload("publish", { directory }),
    cse: () => upload("publish", { directory, mode: "CSE" }),
  });
  const against = (what: string, side: "sse" | "cse") => {
    const ratios = uploads.map((round) => uploadRatio(round[side], round.sdk));
    ratioLine(what, ratios, "≥ 0.9", `${perSecond(uploads[0]![side])} against ${perSecond(uploads[0]!.sdk)}`);
  };
  against("publish SSE / SDK upload, one large file", "sse");
  against("encrypt and publish CSE / SDK upload", "cse");
  return uploads;
}

function compareSmall(rounds: number, directory: string, upload: Upload): Uploads {
  const uploads = sideBySide(rounds, {
    sdk: () => upload("sdkUpload", { directory }),
    sse: () => upload("publish", { directory }),
    cse: () => upload("publish", { directory, mode: "CSE", blockSize: SMALL_BLOCK }),
  });
  const against = (what: string, side: "sse" | "cse") => {
    const ratios = uploads.map((round) => uploadRatio(round[side], round.sdk));
    ratioLine(what, ratios, "≥ 0.9", `${filesPerSecond(uploads[0]![side])} against ${filesPerSecond(uploads[0]!.sdk)}`);
  };
  against("publish SSE / SDK upload, small files", "sse");
  against(`the same with CSE in ${SMALL_BLOCK / 1024} KiB blocks`, "cse");
  return uploads;
}

function showBlowUp(files: number): void {
  const sizes = Array.from({ length: files }, () => ({ size: SMALL_FILE }));
  const [default_, mebibyte, small] = [DEFAULT_BLOCK_SIZE, MIB, SMALL_BLOCK].map((size) => blowUpFactor(sizes, size));
  const detail = `${default_!.toFixed(0)} times; 1 MiB: ${mebibyte!.toFixed(1)}, ${SMALL_BLOCK / 1024} KiB: ${small!.toFixed(2)}`;
  line("blow-up of small files, 16 MiB blocks", { detail });
}

function compareAgain(directory: string, firstScan: Measured, uploads: Uploads, upload: Upload): void {
  const unchanged = measure("scan", { directory });
  line("scan with nothing changed / first scan", {
    wall: (unchanged.seconds / firstScan.seconds).toFixed(3),
    cpu: (unchanged.cpuSeconds / firstScan.cpuSeconds).toFixed(3),
    goal: "0 read",
    detail: `${unchanged.files} files read, ${unchanged.seconds.toFixed(2)} s`,
  });
  const again = upload("publishAgain", { directory });
  const first = uploads[0]!.sse;
  const share = { wall: again.seconds / first.seconds, cpu: again.cpuSeconds / first.cpuSeconds };
  const detail = `${again.seconds.toFixed(2)} s against ${first.seconds.toFixed(2)} s`;
  line("publish again with one change / first time", {
    wall: share.wall.toFixed(3),
    cpu: share.cpu.toFixed(3),
    goal: "< 0.05",
    detail,
  });
}

const { values } = parseArgs({
  options: {
    size: { type: "string", default: "256" },
    files: { type: "string", default: "2000" },
    rounds: { type: "string", default: "3" },
    big: { type: "string", default: "1" },
    task: { type: "string" },
    arguments: { type: "string", default: "{}" },
  },
});
if (values.task) {
  const measured = await TASKS[values.task]!(JSON.parse(values.arguments) as TaskArguments);
  console.log(JSON.stringify({ ...measured, peakMemory: peakMemory() }));
} else {
  await main({
    size: Number(values.size),
    files: Number(values.files),
    rounds: Number(values.rounds),
    big: Number(values.big),
  });
}
