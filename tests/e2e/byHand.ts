import { ContainerClient } from "@azure/storage-blob";
import tls from "node:tls";
import { azureCredential, userTokenSource } from "../../clients/azure/credential.ts";
import { CcfTransport } from "../../clients/ccf/transport.ts";
import type { CgsClient } from "../../clients/cgs/client.ts";
import { userSession } from "../../clients/cgs/session.ts";
import type { Consortium } from "../../domain/handoff.ts";
import { PERSONAS, type PersonaName } from "../../sandbox/entra/directory.ts";

/** Makes this process trust a sandbox and sign in there, as its environment does for a process that is started in it. */
export function signIn(environment: Readonly<Record<string, string>>, caCertificate: string): () => void {
  const trusted = tls.getCACertificates("default");
  tls.setDefaultCACertificates([...trusted, caCertificate]);
  const names = ["AZURE_AUTHORITY_HOST", "AZURE_FEDERATED_TOKEN_FILE"] as const;
  const before = names.map((name) => process.env[name]);
  for (const name of names) process.env[name] = environment[name];
  return () => {
    tls.setDefaultCACertificates(trusted);
    names.forEach((name, index) => {
      if (before[index] === undefined) delete process.env[name];
      else process.env[name] = before[index];
    });
  };
}

/** What a persona does in the consortium without its stack. */
export async function inConsortium<T>(
  consortium: Consortium,
  persona: PersonaName,
  act: (cgs: CgsClient) => Promise<T>,
): Promise<T> {
  const transport = new CcfTransport(consortium, { token: userTokenSource(azureCredential(PERSONAS[persona])) });
  try {
    return await act(userSession(transport).cgs);
  } finally {
    transport.close();
  }
}

export function containerOf(store: { blobEndpoint: string; container: string }, persona: PersonaName): ContainerClient {
  return new ContainerClient(`${store.blobEndpoint}${store.container}`, azureCredential(PERSONAS[persona]));
}

export async function blobNames(container: ContainerClient): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of container.listBlobsFlat()) names.push(name);
  return names.sort();
}
