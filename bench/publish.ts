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
 * Goals: cipher ≥ 0.8 × `openssl speed -evp aes-256-gcm` (16 KiB, one core); file to ciphertext file ≥ 0.4 × the same;
 * encrypt and upload ≥ 0.9 × upload of the same bytes by the official SDK; publishing again with one change < 5 % of the
 * first time; peak memory < 250 MB whatever the size.
 *
 * Every measurement runs in a process of its own, so that its peak memory is its own. The store is Azurite (simulated,
 * another process on the same cores): upload figures are floors for client and server together, not figures of Azure.
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
  DEFAULT_BLOCK_SIZE,
  encryptedSize,
  NONCE_LENGTH,
} from "../domain/data/blockFormat.ts";
import { blowUpFactor } from "../domain/data/padding.ts";
import type { Encryption } from "../domain/data/publishedFile.ts";
import { concurrently } from "../clients/files/concurrently.ts";
import { scanDirectory, type Scan } from "../clients/files/scan.ts";
import { sealedLength } from "../clients/files/sealBlocks.ts";
import { SealPool } from "../clients/files/sealPool.ts";
import type { BlobTarget } from "../clients/stores/azureBlob.ts";
import { publishFiles } from "../clients/stores/publish.ts";

const MIB = 1024 * 1024;
const SMALL_FILE = 20_000;
/** A block size that suits small files, where the reader is set to the same. */
const SMALL_BLOCK = 32 * 1024;
const SDK_BLOCK = 8 * MIB;
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

interface Measurement {
  readonly seconds: number;
  readonly bytes: number;
  readonly files: number;
  /** Megabytes (10^6). */
  readonly peakMemory: number;
}

type Measured = Omit<Measurement, "peakMemory">;

const key = randomBytes(32);

/** What the child processes do. Reading the digests (`scan`) is timed on its own. */
const TASKS: Record<string, (args: TaskArguments) => Promise<Measured>> = {
  async cipher() {
    // Like openssl's, the plaintext is in the cache; unlike openssl's, the ciphertext goes to memory, block after block.
    const plain = Buffer.alloc(16 * 1024, 1);
    const target = Buffer.alloc(encryptedSize(DEFAULT_BLOCK_SIZE));
    const sealOne = () => {
      const sealer = new BlockSealer(key, randomBytes(NONCE_LENGTH), target, 0);
      for (let done = 0; done < DEFAULT_BLOCK_SIZE; done += plain.length) sealer.update(plain);
      sealer.finish();
    };
    for (let i = 0; i < 20; i++) sealOne();
    return timed({ bytes: 200 * DEFAULT_BLOCK_SIZE, files: 0 }, async () => {
      for (let i = 0; i < 200; i++) sealOne();
    });
  },

  async encryptFile({ directory }) {
    const [name] = fs.readdirSync(directory);
    const source = path.join(directory, name!);
    const target = path.join(path.dirname(directory), "ciphertext");
    const { size } = fs.statSync(source);
    // The first time measures how quickly the system hands out fresh memory for its file cache.
    await encryptToFile(source, target, size);
    return timed({ bytes: size, files: 1 }, () => encryptToFile(source, target, size));
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

async function encryptToFile(source: string, target: string, size: number): Promise<void> {
  const pool = new SealPool(key, os.availableParallelism());
  const input = await fs.promises.open(source, "r");
  const output = await fs.promises.open(target, fs.constants.O_WRONLY | fs.constants.O_CREAT);
  const blocks = blockCount(size);
  const buffers: Buffer[] = Array.from({ length: 4 }, () => Buffer.allocUnsafeSlow(encryptedSize(DEFAULT_BLOCK_SIZE)));
  await concurrently(
    Array.from({ length: blocks }, (_, index) => index),
    buffers.length,
    async (index) => {
      const job = {
        fd: input.fd,
        plainSize: size,
        blockSize: DEFAULT_BLOCK_SIZE,
        firstBlock: index,
        blocks: 1,
        last: index === blocks - 1,
      };
      const sealed = await pool.seal(job, buffers.pop()!);
      await output.write(sealed, 0, sealedLength(job), blockOffset(index));
      buffers.push(sealed);
    },
  );
  await Promise.all([input.close(), output.close(), pool.close()]);
  if (fs.statSync(target).size !== encryptedSize(size)) throw new Error("the ciphertext has the wrong length");
}

async function timed<T extends { bytes: number; files: unknown }>(
  work: T,
  run: (work: T) => Promise<unknown>,
): Promise<Measured> {
  const started = performance.now();
  await run(work);
  const files = Array.isArray(work.files) ? work.files.length : (work.files as number);
  return { seconds: (performance.now() - started) / 1000, bytes: work.bytes, files };
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
  return JSON.parse(child.stdout) as Measurement;
}

/** Bytes a second of `openssl speed`, or `undefined` where there is no openssl. */
function opensslSpeed(): number | undefined {
  const { stdout, status } = spawnSync(
    "openssl",
    ["speed", "-evp", "aes-256-gcm", "-bytes", "16384", "-seconds", "2", "-elapsed"],
    { encoding: "utf8" },
  );
  const match = status === 0 ? /([\d.]+)k\s*$/.exec(stdout) : null;
  return match ? Number(match[1]) * 1000 : undefined;
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
  fs.truncateSync(path.join(directory, "big.csv"), size);
  return directory;
}

const speed = ({ bytes, seconds }: Measured) => bytes / seconds;

function line(what: string, values: readonly number[], goal: string, detail: string): void {
  const [least, median, most] = [
    Math.min(...values),
    [...values].sort((a, b) => a - b)[values.length >> 1]!,
    Math.max(...values),
  ];
  const range = values.length > 1 ? ` (${least.toFixed(2)}–${most.toFixed(2)})` : "";
  console.log(
    `${what.padEnd(52)} ${median.toFixed(3).padStart(7)}${range.padEnd(14)}  goal ${goal.padEnd(8)} ${detail}`,
  );
}

const perSecond = (bytes: number) => `${Math.round(bytes / 1e6)} MB/s`;
const filesPerSecond = ({ files, seconds }: Measured) => `${Math.round(files / seconds)} files/s`;

async function main(options: { size: number; files: number; rounds: number; big: number }): Promise<void> {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), "bench-publish-"));
  const azurite = await startAzurite(path.join(work, "azurite"));
  console.log(
    `load average ${os.loadavg()[0]!.toFixed(1)} on ${os.availableParallelism()} cores; figures mean something below ${os.availableParallelism() / 2}`,
  );
  let containers = 0;
  const at = () => ({ port: azurite.port, container: `bench${++containers}` });
  const rounds = <T>(run: () => T): T[] => Array.from({ length: options.rounds }, run);
  try {
    const large = makeFiles(path.join(work, "large"), 1, options.size * MIB);
    measure("scan", { directory: large });
    cipherRatios(rounds, large);

    const uploads = rounds(() => ({
      sdk: measure("sdkUpload", { directory: large, ...at() }),
      sse: measure("publish", { directory: large, ...at() }),
      cse: measure("publish", { directory: large, ...at(), mode: "CSE" }),
    }));
    const sdk = perSecond(speed(uploads[0]!.sdk));
    line(
      "publish SSE / SDK upload, one large file",
      uploads.map(({ sdk, sse }) => speed(sse) / speed(sdk)),
      "≥ 0.9",
      `${perSecond(speed(uploads[0]!.sse))} against ${sdk}`,
    );
    line(
      "encrypt and publish CSE / SDK upload",
      uploads.map(({ sdk, cse }) => speed(cse) / speed(sdk)),
      "≥ 0.9",
      `${perSecond(speed(uploads[0]!.cse))} against ${sdk}`,
    );

    const small = makeFiles(path.join(work, "small"), options.files, SMALL_FILE);
    const digests = measure("scan", { directory: small });
    const smalls = rounds(() => ({
      sdk: measure("sdkUpload", { directory: small, ...at() }),
      sse: measure("publish", { directory: small, ...at() }),
      cse: measure("publish", { directory: small, ...at(), mode: "CSE", blockSize: SMALL_BLOCK }),
    }));
    const sdkSmall = filesPerSecond(smalls[0]!.sdk);
    line(
      "publish SSE / SDK upload, small files",
      smalls.map(({ sdk, sse }) => sdk.seconds / sse.seconds),
      "–",
      `${filesPerSecond(smalls[0]!.sse)} against ${sdkSmall}`,
    );
    line(
      `publish CSE (${SMALL_BLOCK / 1024} KiB blocks) / SDK upload`,
      smalls.map(({ sdk, cse }) => sdk.seconds / cse.seconds),
      "–",
      `${filesPerSecond(smalls[0]!.cse)} against ${sdkSmall}`,
    );
    const sizes = Array.from({ length: options.files }, () => ({ size: SMALL_FILE }));
    line(
      "blow-up of small files, 16 MiB blocks",
      [blowUpFactor(sizes)],
      "–",
      `1 MiB blocks: ${blowUpFactor(sizes, MIB).toFixed(1)}, ${SMALL_BLOCK / 1024} KiB: ${blowUpFactor(sizes, SMALL_BLOCK).toFixed(2)}`,
    );

    const again = measure("publishAgain", { directory: small, ...at() });
    line(
      "publish again with one change / first time",
      [again.seconds / smalls[0]!.sse.seconds],
      "< 0.05",
      `${again.seconds.toFixed(2)} s against ${smalls[0]!.sse.seconds.toFixed(2)} s`,
    );
    const unchanged = measure("scan", { directory: small });
    line(
      "scan with nothing changed / first scan",
      [unchanged.seconds / digests.seconds],
      "–",
      `${unchanged.files} files read, ${unchanged.seconds.toFixed(2)} s`,
    );

    const sparse = makeSparseFile(path.join(work, "sparse"), options.big * 1024 * MIB);
    const memory = {
      [`one file of ${options.big} GiB, CSE`]: measure("publish", { directory: sparse, ...at(), mode: "CSE" }),
      [`one file of ${options.size} MiB, CSE`]: uploads[0]!.cse,
      [`one file of ${options.size} MiB, SSE`]: uploads[0]!.sse,
      [`${options.files} small files, SSE`]: smalls[0]!.sse,
      [`${options.files} small files, CSE`]: smalls[0]!.cse,
    };
    for (const [what, { peakMemory }] of Object.entries(memory))
      line(`peak memory in MB, ${what}`, [peakMemory], "< 250", "");
  } finally {
    azurite.process.kill();
    await once(azurite.process, "exit");
    fs.rmSync(work, { recursive: true, force: true });
  }
}

function cipherRatios(rounds: <T>(run: () => T) => T[], large: string): void {
  const results = rounds(() => ({
    openssl: opensslSpeed(),
    cipher: measure("cipher"),
    file: measure("encryptFile", { directory: large }),
  }));
  const compared = results.flatMap(({ openssl, ...ours }) => (openssl === undefined ? [] : [{ openssl, ...ours }]));
  if (compared.length === 0) return console.log("no openssl on this machine: cipher ratios left out");
  const reference = perSecond(compared[0]!.openssl);
  line(
    "cipher, one thread / openssl",
    compared.map(({ openssl, cipher }) => speed(cipher) / openssl),
    "≥ 0.8",
    `${perSecond(speed(compared[0]!.cipher))} against ${reference}`,
  );
  line(
    "file to ciphertext file / openssl",
    compared.map(({ openssl, file }) => speed(file) / openssl),
    "≥ 0.4",
    `${perSecond(speed(compared[0]!.file))} against ${reference}`,
  );
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
