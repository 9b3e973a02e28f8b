import type {
  RoleBasedAccess,
  SandboxHost,
  StateDocument,
  TokenService,
  VaultService,
  VaultSpec,
  VirtualAttestation,
} from "../contracts.ts";
import { listen } from "../listener.ts";
import type { Listener } from "../listener.ts";
import type { StoredItem } from "./items.ts";
import { VaultKeys } from "./keys.ts";
import type { KeyVersion } from "./keys.ts";
import { Sealer } from "./seal.ts";
import { VaultSecrets } from "./secrets.ts";
import type { SecretVersion } from "./secrets.ts";
import { VaultFront } from "./vault.ts";

interface VaultDocument {
  spec?: VaultSpec;
  keys: Record<string, StoredItem<KeyVersion>>;
  secrets: Record<string, StoredItem<SecretVersion>>;
}

/**
 * Key Vault, data plane: one listener a vault (`https://127.0.0.1:PORT/`), keys with release policy, secrets, role based
 * access only. The boundary of the HSM and the signature of a released key are simulated; the release policy is enforced.
 * Backup, restore, rotation policies and certificates are not implemented.
 */
export class SandboxKeyVault implements VaultService {
  private readonly host: SandboxHost;
  private readonly tokens: TokenService;
  private readonly access: RoleBasedAccess;
  private readonly attestation: VirtualAttestation;
  private readonly sealer: Sealer;
  /** Which vaults there are; the deleted ones have no listener. */
  private readonly index: StateDocument<{ vaults: Record<string, { deleted: boolean }> }>;
  private readonly open = new Map<string, { document: StateDocument<VaultDocument>; listener: Listener }>();

  constructor(host: SandboxHost, tokens: TokenService, access: RoleBasedAccess, attestation: VirtualAttestation) {
    this.host = host;
    this.tokens = tokens;
    this.access = access;
    this.attestation = attestation;
    this.sealer = new Sealer(host);
    this.index = host.document("vaults", () => ({ vaults: {} }));
  }

  async start(): Promise<void> {
    const live = Object.entries(this.index.value.vaults).filter(([, { deleted }]) => !deleted);
    await Promise.all(live.map(([name]) => this.openVault(name)));
  }

  async stop(): Promise<void> {
    await Promise.all([...this.open.values()].map(({ listener }) => listener.close()));
    this.open.clear();
  }

  /** @throws when purge protection would be switched off: Azure does not allow it either. */
  async putVault(spec: VaultSpec): Promise<{ vaultUri: string }> {
    const document = this.open.get(spec.name)?.document ?? this.document(spec.name);
    if (document.value.spec?.enablePurgeProtection && !spec.enablePurgeProtection) {
      throw new Error(`Purge protection of vault '${spec.name}' cannot be disabled once it is enabled.`);
    }
    document.value.spec = spec;
    document.save();
    this.index.value.vaults[spec.name] = { deleted: false };
    this.index.save();
    const listener = this.open.get(spec.name)?.listener ?? (await this.openVault(spec.name, document));
    return { vaultUri: `${listener.url}/` };
  }

  async deleteVault(name: string): Promise<void> {
    const entry = Object.hasOwn(this.index.value.vaults, name) && this.index.value.vaults[name];
    if (!entry) return;
    entry.deleted = true;
    this.index.save();
    await this.open.get(name)?.listener.close();
    this.open.delete(name);
  }

  private document(name: string): StateDocument<VaultDocument> {
    if (!/^[0-9a-zA-Z-]{1,64}$/.test(name))
      throw new TypeError(`'${name}' is not the name of a vault: letters, digits and '-'.`);
    return this.host.document<VaultDocument>(`vaults/${name}`, () => ({ keys: {}, secrets: {} }));
  }

  private async openVault(name: string, document = this.document(name)): Promise<Listener> {
    const spec = (): VaultSpec => document.value.spec as VaultSpec;
    const vaultUri = (): string => `${this.open.get(name)?.listener.url}/`;
    const { sealer, attestation, tokens, access } = this;
    const front = new VaultFront({
      spec,
      vaultUri,
      tokens,
      access,
      keys: new VaultKeys(document.value.keys, { spec, vaultUri, sealer, attestation }),
      secrets: new VaultSecrets(document.value.secrets, { spec, vaultUri, sealer }),
      save: () => document.save(),
    });
    const listener = await listen(this.host, `vault-${name}`, (request, response, url) =>
      front.handle(request, response, url),
    );
    this.open.set(name, { document, listener });
    return listener;
  }
}
