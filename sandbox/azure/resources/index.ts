import type { ResourceType } from "../resource-type.ts";
import { containerGroup } from "./container-group.ts";
import { registry } from "./container-registry.ts";
import { federatedIdentityCredential, userAssignedIdentity } from "./identity.ts";
import { agentPool, managedCluster } from "./managed-cluster.ts";
import { natGateway, privateZone, publicIpAddress, subnet, virtualNetwork, virtualNetworkLink } from "./network.ts";
import { resourceGroup } from "./resource-group.ts";
import { roleAssignment } from "./role-assignment.ts";
import { blobContainer, fileShare, staticWebsite, storageAccount } from "./storage.ts";
import { vault } from "./vault.ts";

/** Every azure-native resource the sandbox answers for. */
export const RESOURCE_TYPES: readonly ResourceType[] = [
  resourceGroup,
  storageAccount,
  staticWebsite,
  blobContainer,
  fileShare,
  vault,
  userAssignedIdentity,
  federatedIdentityCredential,
  roleAssignment,
  registry,
  containerGroup,
  managedCluster,
  agentPool,
  publicIpAddress,
  virtualNetwork,
  subnet,
  natGateway,
  privateZone,
  virtualNetworkLink,
];
