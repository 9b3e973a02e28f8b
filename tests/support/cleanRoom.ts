import { randomUUID } from "node:crypto";
import { AnalyticsClient } from "../../clients/analytics.ts";
import { azureCredential, userTokenSource } from "../../clients/azure/credential.ts";
import { provider as authorities } from "../../dynamic-providers/certificateAuthority.ts";
import { provider as policies } from "../../dynamic-providers/cleanRoomPolicy.ts";
import { provider as issuers } from "../../dynamic-providers/oidcIssuer.ts";
import { agentPolicy, agentValues, cleanRoomClaims } from "../../domain/confidential/agent.ts";
import { measurementOf } from "../../domain/confidential/policy.ts";
import type { AccessIdentity } from "../../domain/dataset.ts";
import { SandboxBlob } from "../../sandbox/blob/index.ts";
import { SandboxCleanRoom } from "../../sandbox/cleanroom/index.ts";
import { PERSONAS, type PersonaName } from "../../sandbox/entra/directory.ts";
import { AccessTable } from "../sandbox/blob/support.ts";
import { Resource } from "./engine.ts";
import { CONTRACT, type Lab } from "./lab.ts";

/** Blob storage of the sandbox: an account for each organisation, in which its own user may do everything. */
export class Storage {
  readonly access = new AccessTable();
  readonly blobs: SandboxBlob;
  readonly endpoints: Partial<Record<PersonaName, { blob: string; web: string }>> = {};

  private constructor(lab: Lab) {
    this.blobs = new SandboxBlob(lab.host, lab.entra, this.access);
  }

  static async start(lab: Lab, ...personas: PersonaName[]): Promise<Storage> {
    const storage = new Storage(lab);
    await storage.blobs.start();
    for (const persona of personas) {
      const id = accountId(persona);
      const { tenantId, objectId } = PERSONAS[persona];
      const name = `${persona}store`;
      storage.endpoints[persona] = await storage.blobs.putAccount({
        id,
        name,
        tenantId,
        allowSharedKeyAccess: false,
        allowBlobPublicAccess: true,
      });
      storage.access.grant(objectId, id);
    }
    return storage;
  }

  endpoint(persona: PersonaName): { blob: string; web: string } {
    return this.endpoints[persona]!;
  }

  async container(persona: PersonaName, container: string): Promise<void> {
    await this.blobs.putContainer(`${persona}store`, container, "None");
  }
}

export const accountId = (persona: PersonaName): string =>
  `/subscriptions/s/resourceGroups/${persona}/providers/Microsoft.Storage/storageAccounts/${persona}store`;

export const issuerInputs = (lab: Lab, storage: Storage): object => ({
  consortium: lab.access,
  signer: lab.operator,
  blobEndpoint: storage.endpoint("operator").blob,
  webEndpoint: storage.endpoint("operator").web,
  path: "operator-oidc",
  keyGeneration: 0,
});

/** The contract's clean room, with an issuer, a certificate authority and a policy that admits it. */
export class CleanRoomLab {
  readonly analytics: { endpoint: string; caCertificate: string };
  readonly issuerUrl: string;
  readonly #clients: AnalyticsClient[] = [];
  readonly #lab: Lab;
  readonly #service: SandboxCleanRoom;

  private constructor(
    lab: Lab,
    service: SandboxCleanRoom,
    issuerUrl: string,
    analytics: { endpoint: string; caCertificate: string },
  ) {
    this.#lab = lab;
    this.#service = service;
    this.issuerUrl = issuerUrl;
    this.analytics = analytics;
  }

  static async start(lab: Lab, storage: Storage): Promise<CleanRoomLab> {
    await storage.blobs.setStaticWebsite("operatorstore", { indexDocument: "index.html" });
    const up = async (provider: ConstructorParameters<typeof Resource>[0], inputs: object): Promise<Resource> => {
      const resource = new Resource(provider, lab.config("operator"), ["signer"]);
      await resource.up(inputs);
      return resource;
    };
    const issuer = await up(issuers, issuerInputs(lab, storage));
    const governed = { consortium: lab.access, signer: lab.operator, contractId: CONTRACT };
    const authority = await up(authorities, governed);
    const agent = {
      ccfEndpoint: lab.access.endpoint,
      serviceCertificate: lab.access.serviceCertificate,
      contractId: CONTRACT,
      recoveryMembers: [lab.ccfOperator.memberId],
      image: "registry.example/agent:1",
    };
    const policy = agentPolicy(agent);
    await up(policies, { ...governed, claims: cleanRoomClaims(measurementOf(policy)) });
    const service = new SandboxCleanRoom(lab.host, lab.attestation, lab.entra.authority);
    await service.start();
    const port = await lab.host.port("agent");
    const values = agentValues(agent) as Parameters<SandboxCleanRoom["install"]>[0]["values"];
    await service.install({ id: "cluster/agent", ccePolicy: policy, port, values });
    const analytics = {
      endpoint: `https://localhost:${port}`,
      caCertificate: String(authority.outputs["caCertificate"]),
    };
    const room = new CleanRoomLab(lab, service, String(issuer.outputs["issuerUrl"]), analytics);
    while (!(await room.client("operator").ready())) await new Promise((resolve) => setTimeout(resolve, 100));
    return room;
  }

  client(persona: PersonaName): AnalyticsClient {
    const client = new AnalyticsClient({
      ...this.analytics,
      token: userTokenSource(azureCredential(PERSONAS[persona])),
    });
    this.#clients.push(client);
    return client;
  }

  /** The identity the clean room takes to reach an organisation's data, as its owner sets it up. */
  identityOf(persona: PersonaName, storage: Storage): AccessIdentity {
    const { tenantId, objectId: owner } = PERSONAS[persona];
    const identity = { objectId: randomUUID(), clientId: randomUUID(), tenantId, name: `${persona}-cleanroom` };
    this.#lab.entra.addManagedIdentity({ ...identity, kind: "managedIdentity" });
    this.#lab.entra.setFederatedCredentials(identity.objectId, [
      {
        name: "cleanroom",
        issuer: this.issuerUrl,
        subject: `${CONTRACT}-${owner}`,
        audiences: ["api://AzureADTokenExchange"],
      },
    ]);
    storage.access.grant(identity.objectId, accountId(persona));
    return { name: identity.name, clientId: identity.clientId, tenantId, issuerUrl: this.issuerUrl };
  }

  stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    return this.#service.stop();
  }
}
