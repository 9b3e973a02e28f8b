import fs from "node:fs";
import https from "node:https";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { runScript, temporaryHost, type OpenHost } from "../../sandbox/entra/support.ts";
import { makeFolder } from "../files/folder.ts";

const MIB = 1024 * 1024;

let host: OpenHost;
let server: https.Server;
let folder: ReturnType<typeof makeFolder>;

beforeAll(async () => {
  host = await temporaryHost();
  server = forgetfulStore(host.tls);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  folder = makeFolder({});
});
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
  host.close();
  folder.remove();
});

/** A blob service that counts bytes instead of keeping them; enough of one to publish a file to. */
function forgetfulStore(tls: { key: string; cert: string }): https.Server {
  const blobs = new Map<string, { length: number; disposition: string }>();
  return https.createServer(tls, (request, response) => {
    const { pathname, searchParams } = new URL(request.url!, "https://localhost");
    if (request.method === "HEAD") {
      const { length, disposition } = blobs.get(pathname)!;
      return response.writeHead(200, { "content-length": length, "content-disposition": disposition }).end();
    }
    if (searchParams.get("comp") === "list") {
      response.setHeader("content-type", "application/xml");
      return response.end('<?xml version="1.0"?><EnumerationResults><Blobs/><NextMarker/></EnumerationResults>');
    }
    let received = 0;
    request.on("data", (chunk: Buffer) => (received += chunk.length));
    request.on("end", () => {
      const isContent = searchParams.get("comp") !== "blocklist";
      const disposition = String(request.headers["x-ms-blob-content-disposition"] ?? "");
      const length = (blobs.get(pathname)?.length ?? 0) + (isContent ? received : 0);
      blobs.set(pathname, { length, disposition });
      response.writeHead(201).end();
    });
  });
}

/**
 * Megabytes (10^6) that a process publishing one file of this size (CSE, default blocks) ever had in memory.
 * From `/proc`: what `getrusage` says begins with the size of the process that forked it, here Jest.
 */
async function peakMemory(size: number): Promise<number> {
  const name = `${size}.csv`;
  fs.mkdirSync(path.join(folder.directory, String(size)));
  const file = path.join(folder.directory, String(size), name);
  fs.writeFileSync(file, "");
  fs.truncateSync(file, size);
  const script = `
    import fs from "node:fs";
    import { ContainerClient } from "@azure/storage-blob";
    import { scanDirectory } from "./clients/files/scan.ts";
    import { publishFiles } from "./clients/stores/publish.ts";
    const { directory, url } = process.env;
    const target = { type: "Azure_BlobStorage", client: new ContainerClient(url) };
    const encryption = { mode: "CSE", key: Buffer.alloc(32, 1) };
    await publishFiles({ directory, scan: await scanDirectory(directory, { format: "csv" }), target, encryption });
    console.log(Number(/VmHWM:\\s*(\\d+) kB/.exec(fs.readFileSync("/proc/self/status", "utf8"))[1]) * 1024 / 1e6);`;
  const { port } = server.address() as AddressInfo;
  const env = { directory: path.dirname(file), url: `https://localhost:${port}/account/data${size}` };
  return (await runScript(host, script, env)) as number;
}

// Linux only: elsewhere there is no `/proc` to ask.
const onLinux = process.platform === "linux" ? test : test.skip;

onLinux(
  "memory does not grow with the file",
  async () => {
    const small = await peakMemory(128 * MIB);
    const large = await peakMemory(512 * MIB);
    console.info(`peak memory: ${Math.round(small)} MB for 128 MiB, ${Math.round(large)} MB for 512 MiB`);
    expect(large).toBeLessThan(250);
    expect(large).toBeLessThan(small + 40);
  },
  60_000,
);
