import path from "node:path";
import { SandboxAttestation } from "./attestation/index.ts";
import { SandboxAzure } from "./azure/index.ts";
import { Roles } from "./azure/roles.ts";
import { SandboxBlob } from "./blob/index.ts";
import { SandboxCcf } from "./ccf/index.ts";
import { SandboxCleanRoom } from "./cleanroom/index.ts";
import type { SandboxHost, SandboxService } from "./contracts.ts";
import { SandboxEntra } from "./entra/index.ts";
import { openSandboxHost } from "./host.ts";
import { SandboxKeyVault } from "./keyvault/index.ts";

/** A running sandbox. */
export interface Sandbox {
  /** What a process needs in its environment to work with this sandbox instead of the clouds. */
  readonly environment: Readonly<Record<string, string>>;
  readonly azure: SandboxAzure;
  readonly ccf: SandboxCcf;
  stop(): Promise<void>;
}

/**
 * Starts everything the program talks to, on loopback, with its state in one folder: Azure Resource Manager (as the
 * Pulumi providers), Entra, Blob Storage, Key Vault, CCF with the governance service, and the clean room.
 *
 * Simulated, and said so wherever it matters: hardware attestation, consensus between nodes, and people's sign-in.
 * @param stateDir absolute; one process at a time. What is in it survives a restart, the ports included.
 */
export async function startSandbox(stateDir: string): Promise<Sandbox> {
  const host = await openSandboxHost(stateDir);
  const started: SandboxService[] = [];
  const start = async <T extends SandboxService>(service: T): Promise<T> => {
    await service.start();
    started.push(service);
    return service;
  };
  const stop = async (): Promise<void> => {
    for (const service of started.reverse()) await service.stop();
    host.close();
  };
  try {
    return { ...(await startServices(host, start)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startServices(
  host: SandboxHost,
  start: <T extends SandboxService>(service: T) => Promise<T>,
): Promise<Omit<Sandbox, "stop">> {
  const attestation = new SandboxAttestation(host);
  const tokens = await start(new SandboxEntra(host));
  const roles = new Roles(host, tokens);
  const blobs = await start(new SandboxBlob(host, tokens, roles));
  const vaults = await start(new SandboxKeyVault(host, tokens, roles, attestation));
  const ccf = await start(new SandboxCcf(host, attestation));
  const cleanRoom = await start(new SandboxCleanRoom(host, attestation, tokens.authority));
  const azure = await start(new SandboxAzure(host, { roles, tokens, blobs, vaults, ccf, cleanRoom }));
  const providers = Object.entries(azure.providers).map(([plugin, port]) => `${plugin}:${port}`);
  return {
    azure,
    ccf,
    environment: {
      PULUMI_DEBUG_PROVIDERS: providers.join(","),
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      AZURE_AUTHORITY_HOST: tokens.authority,
      AZURE_FEDERATED_TOKEN_FILE: tokens.federatedTokenFile,
      NODE_EXTRA_CA_CERTS: path.join(host.stateDir, "ca.pem"),
    },
  };
}
