import { ArmError } from "../errors.ts";
import type { ResourceType } from "../resource-type.ts";
import type { Args } from "../values.ts";
import { providerPath } from "./paths.ts";

/** Exists; nothing can be pushed to or pulled from it. */
export const registry: ResourceType = {
  token: "azure-native:containerregistry:Registry",
  path: providerPath("Microsoft.ContainerRegistry/registries/{registryName}"),
  apiVersion: "2023-01-01-preview",
  name: {
    input: "registryName",
    pattern: /^[A-Za-z0-9]{5,50}$/,
    rule: "5 to 50 letters and digits",
    maxLength: 50,
    style: "alphanumeric",
  },
  located: true,
  computed: ["sku.tier"],
  model: {
    client: "arm-containerregistry",
    model: "Registry",
    required: ["sku", "sku.name"],
    newer: ["policies.softDeletePolicy"],
    values: {
      "sku.name": ["Basic", "Standard", "Premium", "Classic"],
      publicNetworkAccess: ["Enabled", "Disabled"],
      zoneRedundancy: ["Enabled", "Disabled"],
    },
  },
  async put({ id, path, body, cloud }) {
    const loginServer = `${path.registryName!.toLowerCase()}.azurecr.io`;
    cloud.claim(
      "registry",
      path.registryName!,
      id,
      new ArmError(409, "AlreadyInUse", `The registry DNS name ${loginServer} is already in use.`),
    );
    const { name } = body.sku as Args;
    return { outputs: { loginServer, provisioningState: "Succeeded", sku: { name, tier: name } } };
  },
};
