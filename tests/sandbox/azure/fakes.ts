import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { openDocument } from "../../../sandbox/host.ts";
import type {
  BlobService,
  CcfNodeSpec,
  CcfService,
  CleanRoomService,
  CleanRoomSpec,
  FederatedCredential,
  Principal,
  SandboxHost,
  StorageAccountSpec,
  TokenService,
  VaultService,
  VaultSpec,
} from "../../../sandbox/contracts.ts";
import { SandboxAzure } from "../../../sandbox/azure/index.ts";
import { Roles } from "../../../sandbox/azure/roles.ts";

export const TENANT = "aaaaaaaa-0000-4000-8000-000000000001";
export const NORTHWIND: Principal = {
  objectId: "bbbbbbbb-0000-4000-8000-000000000001",
  clientId: "cccccccc-0000-4000-8000-000000000001",
  tenantId: TENANT,
  kind: "user",
  name: "Northwind",
  email: "ana@northwind.example",
};
export const WOODGROVE: Principal = {
  objectId: "bbbbbbbb-0000-4000-8000-000000000002",
  clientId: "cccccccc-0000-4000-8000-000000000002",
  tenantId: "aaaaaaaa-0000-4000-8000-000000000002",
  kind: "user",
  name: "Woodgrove",
  email: "bo@woodgrove.example",
};

/** A host whose state folder goes with `close`; ports are free ones. */
export function openTestHost(): SandboxHost & { close(): void } {
  const stateDir = fs.mkdtempSync(path.join(os.tmpdir(), "sandbox-azure-"));
  const ports = new Map<string, Promise<number>>();
  return {
    stateDir,
    caCertificate: "",
    tls: { key: "", cert: "" },
    port(name) {
      let port = ports.get(name);
      if (!port) ports.set(name, (port = freePort()));
      return port;
    },
    document: (name, initial) => openDocument(path.join(stateDir, `${name}.json`), initial),
    log: () => undefined,
    close: () => fs.rmSync(stateDir, { recursive: true, force: true }),
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as net.AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

const started = { start: async () => undefined, stop: async () => undefined };

export class FakeTokens implements TokenService {
  readonly authority = "https://localhost";
  readonly federatedTokenFile = "token";
  readonly users = [NORTHWIND, WOODGROVE];
  readonly identities = new Map<string, Principal>();
  readonly credentials = new Map<string, readonly FederatedCredential[]>();
  readonly start = started.start;
  readonly stop = started.stop;

  findByClientId(tenantId: string, clientId: string): Principal | undefined {
    return this.#all().find((principal) => principal.tenantId === tenantId && principal.clientId === clientId);
  }

  findByObjectId(objectId: string): Principal | undefined {
    return this.#all().find((principal) => principal.objectId === objectId);
  }

  addManagedIdentity(identity: Principal): void {
    this.identities.set(identity.objectId, identity);
  }

  removeManagedIdentity(objectId: string): void {
    this.identities.delete(objectId);
  }

  setFederatedCredentials(objectId: string, credentials: readonly FederatedCredential[]): void {
    this.credentials.set(objectId, credentials);
  }

  verify(): Promise<never> {
    return Promise.reject(new Error("not needed"));
  }

  #all(): Principal[] {
    return [...this.users, ...this.identities.values()];
  }
}

export class FakeBlobs implements BlobService {
  readonly accounts = new Map<string, StorageAccountSpec>();
  readonly containers = new Map<string, string>();
  readonly websites = new Map<string, object>();
  readonly start = started.start;
  readonly stop = started.stop;

  async putAccount(spec: StorageAccountSpec): Promise<{ blob: string; web: string }> {
    this.accounts.set(spec.name, spec);
    return { blob: `https://localhost:1000/${spec.name}/`, web: `https://localhost:1001/${spec.name}/` };
  }

  async deleteAccount(name: string): Promise<void> {
    this.accounts.delete(name);
  }

  async setStaticWebsite(account: string, website: object | undefined): Promise<void> {
    if (website) this.websites.set(account, website);
    else this.websites.delete(account);
  }

  async putContainer(account: string, container: string, publicAccess: string): Promise<void> {
    this.containers.set(`${account}/${container}`, publicAccess);
  }

  async containerExists(account: string, container: string): Promise<boolean> {
    return this.containers.has(`${account}/${container}`);
  }

  async blobCount(): Promise<number> {
    return 0;
  }

  async deleteContainer(account: string, container: string): Promise<void> {
    this.containers.delete(`${account}/${container}`);
  }

  accountKeys(account: string): readonly [string, string] {
    return [`key1-of-${account}`, `key2-of-${account}`];
  }
}

export class FakeVaults implements VaultService {
  readonly vaults = new Map<string, VaultSpec>();
  readonly start = started.start;
  readonly stop = started.stop;

  async putVault(spec: VaultSpec): Promise<{ vaultUri: string }> {
    this.vaults.set(spec.name, spec);
    return { vaultUri: "https://localhost:2000/" };
  }

  async deleteVault(name: string): Promise<void> {
    this.vaults.delete(name);
  }
}

export class FakeCcf implements CcfService {
  readonly nodes = new Map<string, CcfNodeSpec>();
  readonly stopped = new Set<string>();
  readonly deletedLedgers: string[] = [];
  readonly start = started.start;
  readonly stop = started.stop;

  async startNode(spec: CcfNodeSpec): Promise<{ ports: readonly [number, number, number, number] }> {
    this.nodes.set(spec.resourceId, spec);
    return { ports: [3000, 3001, 3002, 3003] };
  }

  async stopNode(resourceId: string): Promise<void> {
    this.stopped.add(resourceId);
  }

  async deleteNode(resourceId: string): Promise<void> {
    this.nodes.delete(resourceId);
  }

  nodeState(resourceId: string): "Running" | "Stopped" | "NotFound" {
    if (!this.nodes.has(resourceId)) return "NotFound";
    return this.stopped.has(resourceId) ? "Stopped" : "Running";
  }

  async deleteLedger(account: string, share: string): Promise<void> {
    this.deletedLedgers.push(`${account}/${share}`);
  }
}

export class FakeCleanRoom implements CleanRoomService {
  readonly installed = new Map<string, CleanRoomSpec>();
  readonly start = started.start;
  readonly stop = started.stop;

  async install(spec: CleanRoomSpec): Promise<void> {
    this.installed.set(spec.id, spec);
  }

  async uninstall(id: string): Promise<void> {
    this.installed.delete(id);
  }
}

export interface TestSandbox {
  readonly host: ReturnType<typeof openTestHost>;
  readonly tokens: FakeTokens;
  readonly blobs: FakeBlobs;
  readonly vaults: FakeVaults;
  readonly ccf: FakeCcf;
  readonly cleanRoom: FakeCleanRoom;
  readonly roles: Roles;
  readonly azure: SandboxAzure;
  close(): Promise<void>;
}

/** The Azure stand-in on free ports, with fakes for every service behind it. */
export async function startTestSandbox(): Promise<TestSandbox> {
  const host = openTestHost();
  const services = {
    tokens: new FakeTokens(),
    blobs: new FakeBlobs(),
    vaults: new FakeVaults(),
    ccf: new FakeCcf(),
    cleanRoom: new FakeCleanRoom(),
  };
  const roles = new Roles(host, services.tokens);
  const azure = new SandboxAzure(host, { ...services, roles });
  await azure.start();
  return {
    host,
    ...services,
    roles,
    azure,
    async close() {
      await azure.stop();
      host.close();
    },
  };
}
