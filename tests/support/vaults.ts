import { KeyClient } from "@azure/keyvault-keys";
import { SecretClient } from "@azure/keyvault-secrets";
import { azureCredential } from "../../clients/azure/credential.ts";
import { DEFAULT_ATTESTATION_AUTHORITY } from "../../domain/keys.ts";
import type { SandboxAttestation } from "../../sandbox/attestation/index.ts";
import { unwrapDek } from "../../sandbox/cleanroom/data/keys.ts";
import type { EncryptionKeys } from "../../sandbox/cleanroom/documents.ts";
import { WorkloadIdentity } from "../../sandbox/cleanroom/workload-identity.ts";
import type { VaultSpec } from "../../sandbox/contracts.ts";
import { PERSONAS, type PersonaName } from "../../sandbox/entra/directory.ts";
import type { SandboxEntra } from "../../sandbox/entra/index.ts";
import type { openSandboxHost } from "../../sandbox/host.ts";
import { SandboxKeyVault } from "../../sandbox/keyvault/index.ts";
import { AccessTable } from "../sandbox/blob/support.ts";

export interface VaultServices {
  readonly host: Awaited<ReturnType<typeof openSandboxHost>>;
  readonly entra: SandboxEntra;
  readonly attestation: SandboxAttestation;
}

export const vaultId = (persona: PersonaName): string =>
  `/subscriptions/s/resourceGroups/${persona}/providers/Microsoft.KeyVault/vaults/${persona}kv`;

/** Key Vault of the sandbox: a premium vault for each organisation, in which its own user may do everything. */
export class Vaults {
  readonly access = new AccessTable();
  readonly service: SandboxKeyVault;
  readonly uris: Partial<Record<PersonaName, string>> = {};
  readonly #services: VaultServices;

  private constructor(services: VaultServices) {
    const { host, entra, attestation } = services;
    this.#services = services;
    this.service = new SandboxKeyVault(host, entra, this.access, attestation);
  }

  static async start(services: VaultServices, ...personas: PersonaName[]): Promise<Vaults> {
    const vaults = new Vaults(services);
    await vaults.service.start();
    for (const persona of personas) {
      const { vaultUri } = await vaults.service.putVault(vaultSpec(persona));
      vaults.uris[persona] = vaultUri;
      vaults.access.grant(PERSONAS[persona].objectId, vaultId(persona));
    }
    return vaults;
  }

  uri(persona: PersonaName): string {
    return this.uris[persona]!;
  }

  /** The official client, as somebody who works by hand. */
  keys(persona: PersonaName): KeyClient {
    return new KeyClient(this.uri(persona), azureCredential(PERSONAS[persona]), CUSTOM_DOMAIN);
  }

  secrets(persona: PersonaName): SecretClient {
    return new SecretClient(this.uri(persona), azureCredential(PERSONAS[persona]), CUSTOM_DOMAIN);
  }

  /** Whether each version of a key or secret is enabled, oldest first. */
  async enabled(kind: "keys" | "secrets", persona: PersonaName, name: string): Promise<(boolean | undefined)[]> {
    const versions =
      kind === "keys"
        ? this.keys(persona).listPropertiesOfKeyVersions(name)
        : this.secrets(persona).listPropertiesOfSecretVersions(name);
    const found: (boolean | undefined)[] = [];
    for await (const { enabled } of versions) found.push(enabled);
    return found;
  }

  /** The data encryption key that a clean room with this policy gets, or why it gets none. */
  async unwrap(persona: PersonaName, names: { key: string; secret: string }, policy: string): Promise<Buffer> {
    const { host, attestation } = this.#services;
    const vaultUrl = this.uri(persona);
    const token = await azureCredential(PERSONAS[persona]).getToken("https://vault.azure.net/.default");
    const keys = {
      kek: { name: names.key, vaultUrl, authority: DEFAULT_ATTESTATION_AUTHORITY },
      wrappedDek: { name: names.secret, vaultUrl },
    } as EncryptionKeys;
    return unwrapDek(keys, new WorkloadIdentity(attestation, policy), token!.token, host.caCertificate);
  }
}

const CUSTOM_DOMAIN = { disableChallengeResourceVerification: true };

export const vaultSpec = (persona: PersonaName, change: Partial<VaultSpec> = {}): VaultSpec => ({
  id: vaultId(persona),
  name: `${persona}kv`,
  tenantId: PERSONAS[persona].tenantId,
  sku: "premium",
  enableRbacAuthorization: true,
  enablePurgeProtection: true,
  softDeleteRetentionInDays: 90,
  ...change,
});
