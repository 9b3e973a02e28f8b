import type { ResourceType } from "../resource-type.ts";
import { RESOURCE_GROUP_PATH } from "./paths.ts";

export const resourceGroup: ResourceType = {
  token: "azure-native:resources:ResourceGroup",
  path: RESOURCE_GROUP_PATH,
  apiVersion: "2024-03-01",
  name: {
    input: "resourceGroupName",
    pattern: /^[\p{L}\p{N}_\-.()]{0,89}[\p{L}\p{N}_\-()]$/u,
    rule: "1 to 90 letters, digits, '_', '-', '.', '(' or ')', not ending with '.'",
    maxLength: 90,
  },
  located: true,
  replaceOn: ["managedBy"],
  model: { client: "arm-resources", model: "ResourceGroup" },
  put: async () => ({ outputs: { properties: { provisioningState: "Succeeded" } } }),
};
