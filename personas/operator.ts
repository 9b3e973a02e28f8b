import * as pulumi from "@pulumi/pulumi";
import { AnalyticsContract } from "../components/analyticsContract.ts";
import { CleanRoomCluster } from "../components/cleanRoomCluster.ts";
import { Consortium } from "../components/consortium.ts";
import { OperatorEnvironment } from "../components/operatorEnvironment.ts";
import { HANDOFF_VERSION } from "../domain/handoff.ts";
import { pendingAcceptance, pendingSource, type Pending } from "../domain/pending.ts";
import { PUBLIC_AUTHORITY, tokenIssuers } from "../domain/tokenIssuers.ts";
import { DeploymentInformation } from "../dynamic-providers/deploymentInformation.ts";
import { UserIdentity } from "../dynamic-providers/userIdentity.ts";
import { UserInvitation } from "../dynamic-providers/userInvitation.ts";
import type { OperatorSettings } from "../settings.ts";
import { collaboratorHandoff } from "./handoffs.ts";
import { trustedRoots } from "./trustedRoots.ts";

const REGISTRY = "mcr.microsoft.com/azurecleanroom";
/** Release of the network's images. Not a setting: a network of another one is not updated but joined by new nodes. */
const IMAGES = { registry: REGISTRY, tag: "8.0.0" };

export interface OperatorOutputs {
  handoff: unknown;
  pending: Pending[];
}

/** The operator hosts: network, contract, clean room. It invites the collaborators and lets in who accepted. */
export async function operator(settings: OperatorSettings): Promise<OperatorOutputs> {
  const { persona, location, tags, contractId } = settings;
  // Depends on nobody else, so the engine works on it while it reads the other stacks.
  const environment = new OperatorEnvironment(persona, {
    location,
    tags,
    resourceGroup: settings.resourceGroup,
    oidcStorageAccount: settings.oidcStorageAccount,
    ledger: settings.ccf === undefined,
  });
  const handoffs = new Map(
    await Promise.all(
      settings.collaborators.map(async ({ name, source }) => [name, await collaboratorHandoff(source)] as const),
    ),
  );
  const consortium = new Consortium(persona, {
    environment,
    location,
    tags,
    images: IMAGES,
    service: settings.governanceService,
    tokenIssuers: tokenIssuers(process.env["AZURE_AUTHORITY_HOST"] ?? PUBLIC_AUTHORITY, tenants(handoffs.values())),
    tokenIssuerRoots: trustedRoots(),
    existing: existingNetwork(settings),
  });
  const contract = new AnalyticsContract(persona, {
    consortium,
    contractId,
    images: { registry: REGISTRY, tag: settings.cleanRoomRelease },
  });
  const cluster = new CleanRoomCluster(`${persona}-cluster`, {
    resourceGroupName: environment.resourceGroupName,
    subscriptionId: environment.subscriptionId,
    location,
    tags,
    agent: contract.agent,
    chart: `oci://${REGISTRY}/workloads/helm/cleanroom-spark-analytics-agent`,
    chartVersion: settings.cleanRoomRelease,
  });
  const member = { consortium: consortium.access, signer: consortium.signer };
  const governed: pulumi.CustomResourceOptions = {
    dependsOn: [...consortium.ready],
    ...(consortium.node && { deletedWith: consortium.node }),
  };
  new DeploymentInformation(
    `${persona}-deployment`,
    { ...member, contractId: contract.contractId, url: cluster.endpoint },
    governed,
  );

  const pending: Pending[] = [];
  const invitations: Record<string, unknown> = {};
  const users: Record<string, unknown> = {};
  for (const { name, email, source } of settings.collaborators) {
    const invitation = new UserInvitation(`${name}-invitation`, { ...member, email }, governed);
    invitations[name] = { invitationId: invitation.invitationId, email };
    const identity = handoffs.get(name)?.identity;
    if (identity?.acceptedInvitation === undefined || identity.userId === undefined) {
      pending.push(source ? pendingAcceptance(name) : pendingSource(persona, name));
      continue;
    }
    const user = new UserIdentity(
      `${name}-user`,
      { ...member, invitationId: invitation.invitationId, email, userId: identity.userId },
      governed,
    );
    users[name] = { userId: user.userId, tenantId: user.tenantId };
  }

  const handoff = {
    version: HANDOFF_VERSION,
    persona,
    consortium: {
      endpoint: consortium.access.endpoint,
      serviceCertificate: consortium.access.serviceCertificate,
      contractId: contract.contractId,
      issuerUrl: consortium.issuerUrl,
      invitations,
      users,
      analytics: {
        endpoint: cluster.endpoint,
        caCertificate: contract.caCertificate,
        measurement: contract.measurement,
        platform: consortium.platform,
      },
    },
  };
  return { handoff, pending };
}

function existingNetwork({ ccf }: OperatorSettings): ConstructorParameters<typeof Consortium>[1]["existing"] {
  if (!ccf) return undefined;
  const key = ccf.member.privateKeyConfigKey.split(":")[1]!;
  const privateKey = new pulumi.Config().requireSecret(key);
  return {
    endpoint: ccf.endpoint,
    serviceCertificate: ccf.serviceCertificate,
    member: privateKey.apply((text) => ({ certificate: ccf.member.certificate, privateKey: text })),
  };
}

function tenants(handoffs: Iterable<{ identity: { tenantId?: string | undefined } } | undefined>): string[] {
  const own = new pulumi.Config("azure-native").get("tenantId");
  const others = [...handoffs].map((handoff) => handoff?.identity.tenantId);
  return [own, ...others].filter((tenant) => tenant !== undefined);
}
