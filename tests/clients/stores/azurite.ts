import { ContainerClient, StorageSharedKeyCredential, newPipeline, type WebResource } from "@azure/storage-blob";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import type { BlobTarget } from "../../../clients/stores/azureBlob.ts";

/** Azurite's published development account (its documentation); not a secret. */
const ACCOUNT = "devstoreaccount1";
const KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

export interface TestContainer {
  readonly client: ContainerClient;
  readonly target: BlobTarget;
  /** Of every request so far, e.g. `PUT folder/a.csv`, `GET ?restype=container&comp=list`. */
  readonly requests: string[];
  /** Called before each request is sent; may throw. */
  onRequest?: (request: WebResource) => void;
}

/** Azurite in this process, in memory, with shared key over loopback HTTP. */
export async function startAzurite(): Promise<{
  container(name: string): Promise<TestContainer>;
  stop(): Promise<void>;
}> {
  const BlobConfiguration = classOf(await import("azurite/dist/src/blob/BlobConfiguration.js"));
  const BlobServer = classOf(await import("azurite/dist/src/blob/BlobServer.js"));
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "azurite-"));
  const port = await freePort();
  const databases = [path.join(folder, "blobs.json"), path.join(folder, "extents.json")];
  const logsOff = [false, undefined, false, undefined];
  const strictSkippingVersionCheck = [false, true];
  const noTlsNoOAuth = ["", "", "", undefined];
  const configuration = new BlobConfiguration(
    ...["127.0.0.1", port, 5, ...databases, [], ...logsOff, ...strictSkippingVersionCheck, ...noTlsNoOAuth],
    ...[true, true], // path-style only, in memory
  );
  const server = new BlobServer(configuration) as { start(): Promise<void>; close(): Promise<void> };
  await server.start();
  return {
    async container(name) {
      const pipeline = newPipeline(new StorageSharedKeyCredential(ACCOUNT, KEY), { retryOptions: { maxTries: 1 } });
      const url = `http://127.0.0.1:${port}/${ACCOUNT}/${name}`;
      const requests: string[] = [];
      pipeline.factories.unshift({
        create: (next) => ({
          sendRequest(request) {
            const { pathname, search } = new URL(request.url);
            requests.push(
              `${request.method} ${decodeURIComponent(pathname.slice(`/${ACCOUNT}/${name}/`.length))}${search}`,
            );
            test.onRequest?.(request);
            return next.sendRequest(request);
          },
        }),
      });
      const client = new ContainerClient(url, pipeline);
      const test: TestContainer = { client, target: { type: "Azure_BlobStorage", client }, requests };
      await client.create();
      requests.length = 0;
      return test;
    },
    async stop() {
      await server.close();
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** CommonJS behind `import()`: where the class is depends on who compiled the import. */
function classOf(module: { default: unknown }): new (...args: unknown[]) => unknown {
  const inner = module.default as { default?: unknown };
  return (inner.default ?? inner) as new (...args: unknown[]) => unknown;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as net.AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
