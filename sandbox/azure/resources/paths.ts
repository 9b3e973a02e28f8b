export const RESOURCE_GROUP_PATH = "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}";

export function providerPath(rest: string): string {
  return `${RESOURCE_GROUP_PATH}/providers/${rest}`;
}
