/** Built-in Azure roles by their documented name. */
export const ROLES = {
  "Key Vault Administrator": "00482a5a-887f-4fb3-b363-3b7fe8e74483",
  "Key Vault Crypto Service Release User": "08bbd89e-9f13-488c-ac41-acfcb10c90ab",
  "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
  "Network Contributor": "4d97b98b-1d4f-4787-a291-c67834d212e7",
  "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
  "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
} as const;

export type RoleName = keyof typeof ROLES;

export function roleDefinitionId(subscriptionId: string, role: RoleName): string {
  return `/subscriptions/${subscriptionId}/providers/Microsoft.Authorization/roleDefinitions/${ROLES[role]}`;
}

/** @param scope any ARM id below a subscription. */
export function subscriptionOf(scope: string): string {
  const match = /^\/subscriptions\/([^/]+)/.exec(scope);
  if (!match) throw new Error(`${scope} is not an ARM id below a subscription`);
  return match[1]!;
}
