import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { openSandboxHost } from "../../sandbox/host.ts";

describe("the state folder of a sandbox", () => {
  const dir = path.join(fs.mkdtempSync(path.join(os.tmpdir(), "sandbox ")), "state");

  test("gives a listener the same port after a restart and never one port to two names", async () => {
    const first = await openSandboxHost(dir);
    const [a, again, b] = await Promise.all([first.port("a"), first.port("a"), first.port("b")]);
    first.close();
    const second = await openSandboxHost(dir);
    expect(again).toBe(a);
    expect(b).not.toBe(a);
    expect(await second.port("a")).toBe(a);
    expect(second.caCertificate).toBe(first.caCertificate);
    second.close();
  });

  test("is held by one process at a time", async () => {
    const first = await openSandboxHost(dir);
    fs.writeFileSync(path.join(dir, "lock"), String(process.ppid));
    await expect(openSandboxHost(dir)).rejects.toThrow(/already uses/);
    first.close();
  });
});
