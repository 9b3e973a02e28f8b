import crypto from "node:crypto";
import path from "node:path";
import type { BlobServiceClient } from "@azure/storage-blob";
import type {
  BlobService,
  RoleBasedAccess,
  SandboxHost,
  StateDocument,
  StorageAccountSpec,
  TokenService,
} from "../contracts.ts";
import { listen } from "../listener.ts";
import type { Listener } from "../listener.ts";
import { BlobAuthorizer } from "./authorizer.ts";
import type { PublicAccessLevel } from "./authorizer.ts";
import { Backend } from "./backend.ts";
import { CustomerKeys } from "./customer-keys/index.ts";
import { MARKER_ID } from "./customer-keys/marker.ts";
import { TableStore } from "./customer-keys/tables.ts";
import { BlobFront } from "./front.ts";
import { WEB_CONTAINER, WebsiteFront } from "./website.ts";
import type { Website } from "./website.ts";

interface StoredAccount {
  spec: StorageAccountSpec;
  keys: [string, string];
  website?: Website;
}

interface BlobState {
  accounts: Record<string, StoredAccount>;
}

/**
 * Azure Blob Storage for any number of accounts, path style (`https://127.0.0.1:PORT/<account>/<container>/<blob>`):
 * Azurite behind a front that authorises every request. Shared access signatures, batches and copies between accounts
 * are refused.
 */
export class SandboxBlob implements BlobService {
  private readonly host: SandboxHost;
  private readonly state: StateDocument<BlobState>;
  private readonly backend: Backend;
  private readonly tables: TableStore;
  private readonly front: BlobFront;
  private readonly website: WebsiteFront;
  private running: { blob: Listener; web: Listener } | undefined;

  constructor(host: SandboxHost, tokens: TokenService, access: RoleBasedAccess) {
    this.host = host;
    this.state = host.document<BlobState>("blob-accounts", () => ({ accounts: {} }));
    this.backend = new Backend(host, (account) => this.find(account)?.keys);
    this.tables = new TableStore(path.join(host.stateDir, "blob-keys"));
    this.front = new BlobFront({
      backend: this.backend,
      customerKeys: new CustomerKeys(this.backend, this.tables),
      authorizer: new BlobAuthorizer(tokens, access, (account, container) => this.publicAccess(account, container)),
      findAccount: (name) => this.find(name),
      publicUrl: () => this.listeners().blob.url,
    });
    this.website = new WebsiteFront(this.backend, (account) => this.find(account)?.website);
  }

  async start(): Promise<void> {
    await this.backend.start();
    await this.sweepTables();
    this.running = {
      blob: await listen(this.host, "blob", (request, response) => this.front.handle(request, response)),
      web: await listen(this.host, "web", (request, response) => this.website.handle(request, response)),
    };
  }

  async stop(): Promise<void> {
    await this.running?.blob.close();
    await this.running?.web.close();
    this.running = undefined;
    await this.backend.stop();
  }

  async putAccount(spec: StorageAccountSpec): Promise<{ blob: string; web: string }> {
    const known = this.find(spec.name);
    this.state.value.accounts[spec.name] = known ? { ...known, spec } : { spec, keys: [randomKey(), randomKey()] };
    this.state.save();
    const { blob, web } = this.listeners();
    return { blob: `${blob.url}/${spec.name}/`, web: `${web.url}/${spec.name}/` };
  }

  async deleteAccount(name: string): Promise<void> {
    if (!this.find(name)) return;
    const service = this.backend.client(name);
    for await (const container of service.listContainers()) await service.deleteContainer(container.name);
    delete this.state.value.accounts[name];
    this.state.save();
  }

  async setStaticWebsite(
    account: string,
    website: { indexDocument?: string; error404Document?: string } | undefined,
  ): Promise<void> {
    const stored = this.require(account);
    delete stored.website;
    if (website) {
      stored.website = { ...website };
      await this.backend.client(account).getContainerClient(WEB_CONTAINER).createIfNotExists();
    }
    this.state.save();
  }

  async putContainer(account: string, container: string, publicAccess: "None" | "Blob" | "Container"): Promise<void> {
    const client = this.client(account).getContainerClient(container);
    const access = publicAccess === "None" ? undefined : (publicAccess.toLowerCase() as "blob" | "container");
    const { succeeded } = await client.createIfNotExists({ ...(access && { access }) });
    if (!succeeded) await client.setAccessPolicy(access);
  }

  containerExists(account: string, container: string): Promise<boolean> {
    return this.client(account).getContainerClient(container).exists();
  }

  async blobCount(account: string, container: string): Promise<number> {
    let count = 0;
    for await (const page of this.client(account).getContainerClient(container).listBlobsFlat().byPage()) {
      count += page.segment.blobItems.length;
    }
    return count;
  }

  async deleteContainer(account: string, container: string): Promise<void> {
    await this.client(account).getContainerClient(container).deleteIfExists();
  }

  accountKeys(account: string): readonly [string, string] {
    return this.require(account).keys;
  }

  /** Blobs that are overwritten or deleted leave their integrity data behind; nothing can refer to it by now. */
  private async sweepTables(): Promise<void> {
    const used = new Set<string | undefined>();
    for (const account of Object.keys(this.state.value.accounts)) {
      const service = this.backend.client(account);
      for await (const { name } of service.listContainers()) {
        const blobs = service.getContainerClient(name).listBlobsFlat({ includeMetadata: true, includeSnapshots: true });
        for await (const { metadata } of blobs) used.add(metadata?.[MARKER_ID]);
      }
    }
    this.tables.sweep((id) => used.has(id));
  }

  private find(account: string): StoredAccount | undefined {
    const { accounts } = this.state.value;
    return Object.hasOwn(accounts, account) ? accounts[account] : undefined;
  }

  private require(account: string): StoredAccount {
    const stored = this.find(account);
    if (!stored) throw new Error(`The sandbox has no storage account '${account}'.`);
    return stored;
  }

  private client(account: string): BlobServiceClient {
    this.require(account);
    return this.backend.client(account);
  }

  private listeners(): { blob: Listener; web: Listener } {
    if (!this.running) throw new Error("The blob service of the sandbox is not running: call start() first.");
    return this.running;
  }

  private async publicAccess(account: string, container: string): Promise<PublicAccessLevel> {
    const client = this.backend.client(account).getContainerClient(container);
    if (!(await client.exists())) return "none";
    return (await client.getProperties()).blobPublicAccess ?? "none";
  }
}

function randomKey(): string {
  return crypto.randomBytes(64).toString("base64");
}
