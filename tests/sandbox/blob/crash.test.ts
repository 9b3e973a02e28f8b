import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { openSandboxHost } from "../../../sandbox/host.ts";
import { request, userToken } from "../entra/support.ts";
import { ACCOUNT, startServices, STORAGE_SCOPE } from "./support.ts";

/** Twice what the backend may keep to itself. */
const SAVED_AFTER_MS = 1_000;

test("what was written a second before the process is killed is still there afterwards", async () => {
  const stateDir = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "sandbox-")), "state");
  const script = `
    import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
    import { openSandboxHost } from "./sandbox/host.ts";
    import { accountSpec, startServices } from "./tests/sandbox/blob/support.ts";
    const host = await openSandboxHost(process.env.stateDir);
    const { blob } = await startServices(host);
    const { blob: endpoint } = await blob.putAccount(accountSpec({ allowSharedKeyAccess: true }));
    await blob.putContainer("${ACCOUNT}", "data", "None");
    const credential = new StorageSharedKeyCredential("${ACCOUNT}", blob.accountKeys("${ACCOUNT}")[0]);
    const options = { tlsOptions: { ca: host.caCertificate } };
    const container = new BlobServiceClient(endpoint, credential, options).getContainerClient("data");
    await container.getBlockBlobClient("durable").upload("still here", 10);
    console.log("written");`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    cwd: process.cwd(),
    env: { PATH: process.env.PATH, stateDir },
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  await delay(SAVED_AFTER_MS);
  child.kill("SIGKILL");
  await once(child, "exit");

  const host = await openSandboxHost(stateDir);
  const { blob, entra, endpoint } = await startServices(host);
  const token = await userToken(host, entra, "northwind", STORAGE_SCOPE);
  const headers = { authorization: `Bearer ${token}`, "x-ms-version": "2025-11-05" };
  const { body } = await request(host, `${endpoint}data/durable`, { headers });
  await blob.stop();
  await entra.stop();
  host.close();
  fs.rmSync(path.dirname(stateDir), { recursive: true });
  expect(body.toString()).toBe("still here");
});
