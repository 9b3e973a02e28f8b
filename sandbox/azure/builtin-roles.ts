export interface RoleDefinition {
  /** The GUID Azure publishes; the same in every tenant. */
  readonly id: string;
  readonly name: string;
  readonly actions: readonly string[];
  readonly notActions?: readonly string[];
  readonly dataActions?: readonly string[];
  readonly notDataActions?: readonly string[];
}

const BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs";
const CONTAINERS = "Microsoft.Storage/storageAccounts/blobServices/containers";
const DELEGATION_KEY = "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action";
const KEYS = "Microsoft.KeyVault/vaults/keys";
const SECRETS = "Microsoft.KeyVault/vaults/secrets";
const VAULT_READER = [
  "Microsoft.Authorization/*/read",
  "Microsoft.Insights/alertRules/*",
  "Microsoft.Resources/deployments/*",
  "Microsoft.Resources/subscriptions/resourceGroups/read",
  "Microsoft.Support/*",
  "Microsoft.KeyVault/checkNameAvailability/read",
  "Microsoft.KeyVault/deletedVaults/read",
  "Microsoft.KeyVault/locations/*/read",
  "Microsoft.KeyVault/vaults/*/read",
  "Microsoft.KeyVault/operations/read",
];

/**
 * The built-in roles this project has a use for, with the permissions Azure documents.
 * Source: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
 */
export const BUILTIN_ROLES: readonly RoleDefinition[] = [
  { id: "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", name: "Owner", actions: ["*"] },
  {
    id: "b24988ac-6180-42a0-ab88-20f7382dd24c",
    name: "Contributor",
    actions: ["*"],
    notActions: [
      "Microsoft.Authorization/*/Delete",
      "Microsoft.Authorization/*/Write",
      "Microsoft.Authorization/elevateAccess/Action",
      "Microsoft.Blueprint/blueprintAssignments/write",
      "Microsoft.Blueprint/blueprintAssignments/delete",
      "Microsoft.Compute/galleries/share/action",
    ],
  },
  { id: "acdd72a7-3385-48ef-bd42-f606fba81ae7", name: "Reader", actions: ["*/read"] },
  {
    id: "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
    name: "User Access Administrator",
    actions: ["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
  },
  {
    id: "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
    name: "Role Based Access Control Administrator",
    actions: [
      "Microsoft.Authorization/roleAssignments/write",
      "Microsoft.Authorization/roleAssignments/delete",
      "*/read",
      "Microsoft.Support/*",
    ],
  },
  {
    id: "17d1049b-9a84-46fb-8f53-869881c3d3ab",
    name: "Storage Account Contributor",
    actions: [
      "Microsoft.Authorization/*/read",
      "Microsoft.Insights/alertRules/*",
      "Microsoft.Insights/diagnosticSettings/*",
      "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action",
      "Microsoft.ResourceHealth/availabilityStatuses/read",
      "Microsoft.Resources/deployments/*",
      "Microsoft.Resources/subscriptions/resourceGroups/read",
      "Microsoft.Storage/storageAccounts/*",
      "Microsoft.Support/*",
    ],
  },
  {
    id: "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    name: "Storage Blob Data Owner",
    actions: [`${CONTAINERS}/*`, DELEGATION_KEY],
    dataActions: [`${BLOBS}/*`],
  },
  {
    id: "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    name: "Storage Blob Data Contributor",
    actions: [`${CONTAINERS}/delete`, `${CONTAINERS}/read`, `${CONTAINERS}/write`, DELEGATION_KEY],
    dataActions: [`${BLOBS}/delete`, `${BLOBS}/read`, `${BLOBS}/write`, `${BLOBS}/move/action`, `${BLOBS}/add/action`],
  },
  {
    id: "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    name: "Storage Blob Data Reader",
    actions: [`${CONTAINERS}/read`, DELEGATION_KEY],
    dataActions: [`${BLOBS}/read`],
  },
  {
    id: "00482a5a-887f-4fb3-b363-3b7fe8e74483",
    name: "Key Vault Administrator",
    actions: VAULT_READER,
    dataActions: ["Microsoft.KeyVault/vaults/*"],
  },
  {
    id: "21090545-7ca7-4776-b22c-e363652d74d2",
    name: "Key Vault Reader",
    actions: VAULT_READER,
    dataActions: ["Microsoft.KeyVault/vaults/*/read", `${SECRETS}/readMetadata/action`],
  },
  {
    id: "14b46e9e-c2b7-41b4-b07b-48a6ebf60603",
    name: "Key Vault Crypto Officer",
    actions: VAULT_READER,
    dataActions: [`${KEYS}/*`, "Microsoft.KeyVault/vaults/keyrotationpolicies/*"],
  },
  {
    id: "12338af0-0e69-4776-bea7-57ae8d297424",
    name: "Key Vault Crypto User",
    actions: [],
    dataActions: [
      `${KEYS}/read`,
      `${KEYS}/update/action`,
      `${KEYS}/backup/action`,
      `${KEYS}/encrypt/action`,
      `${KEYS}/decrypt/action`,
      `${KEYS}/wrap/action`,
      `${KEYS}/unwrap/action`,
      `${KEYS}/sign/action`,
      `${KEYS}/verify/action`,
    ],
  },
  {
    id: "e147488a-f6f5-4113-8e2d-b22465e65bf6",
    name: "Key Vault Crypto Service Encryption User",
    actions: [
      "Microsoft.EventGrid/eventSubscriptions/write",
      "Microsoft.EventGrid/eventSubscriptions/read",
      "Microsoft.EventGrid/eventSubscriptions/delete",
    ],
    dataActions: [`${KEYS}/read`, `${KEYS}/wrap/action`, `${KEYS}/unwrap/action`],
  },
  {
    id: "08bbd89e-9f13-488c-ac41-acfcb10c90ab",
    name: "Key Vault Crypto Service Release User",
    actions: [],
    dataActions: [`${KEYS}/release/action`],
  },
  {
    id: "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    name: "Key Vault Secrets Officer",
    actions: VAULT_READER,
    dataActions: [`${SECRETS}/*`],
  },
  {
    id: "4633458b-17de-408a-b874-0445c86b69e6",
    name: "Key Vault Secrets User",
    actions: [],
    dataActions: [`${SECRETS}/getSecret/action`, `${SECRETS}/readMetadata/action`],
  },
  {
    id: "4d97b98b-1d4f-4787-a291-c67834d212e7",
    name: "Network Contributor",
    actions: [
      "Microsoft.Authorization/*/read",
      "Microsoft.Insights/alertRules/*",
      "Microsoft.Network/*",
      "Microsoft.ResourceHealth/availabilityStatuses/read",
      "Microsoft.Resources/deployments/*",
      "Microsoft.Resources/subscriptions/resourceGroups/read",
      "Microsoft.Support/*",
    ],
  },
  {
    id: "b12aa53e-6015-4669-85d0-8515ebb3ae7f",
    name: "Private DNS Zone Contributor",
    actions: [
      "Microsoft.Insights/alertRules/*",
      "Microsoft.Resources/deployments/*",
      "Microsoft.Resources/subscriptions/resourceGroups/read",
      "Microsoft.Support/*",
      "Microsoft.Network/privateDnsZones/*",
      "Microsoft.Network/privateDnsOperationResults/*",
      "Microsoft.Network/privateDnsOperationStatuses/*",
      "Microsoft.Network/virtualNetworks/read",
      "Microsoft.Network/virtualNetworks/join/action",
      "Microsoft.Authorization/*/read",
    ],
  },
  {
    id: "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    name: "AcrPull",
    actions: ["Microsoft.ContainerRegistry/registries/pull/read"],
  },
  {
    id: "f1a07417-d97a-45cb-824c-7a7467783830",
    name: "Managed Identity Operator",
    actions: [
      "Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
      "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
      "Microsoft.Authorization/*/read",
      "Microsoft.Insights/alertRules/*",
      "Microsoft.Resources/subscriptions/resourceGroups/read",
      "Microsoft.Resources/deployments/*",
      "Microsoft.Support/*",
    ],
  },
];
