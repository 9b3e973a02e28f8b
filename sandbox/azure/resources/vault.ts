import { ArmError } from "../errors.ts";
import type { ResourceType } from "../resource-type.ts";
import { UNKNOWN, isObject } from "../values.ts";
import type { Args } from "../values.ts";
import { providerPath } from "./paths.ts";

const DELETED = "deleted vault";

export const vault: ResourceType = {
  token: "azure-native:keyvault:Vault",
  path: providerPath("Microsoft.KeyVault/vaults/{vaultName}"),
  apiVersion: "2024-11-01",
  name: {
    input: "vaultName",
    pattern: /^[A-Za-z](?!.*--)[A-Za-z0-9-]{1,22}[A-Za-z0-9]$/,
    rule: "3 to 24 letters, digits and single '-', starting with a letter and not ending with '-'",
    maxLength: 24,
  },
  located: true,
  replaceOn: ["properties.tenantId"],
  computed: ["properties.vaultUri", "properties.provisioningState"],
  model: {
    client: "arm-keyvault",
    model: "VaultCreateOrUpdateParameters",
    required: ["properties", "properties.sku", "properties.sku.name", "properties.sku.family", "properties.tenantId"],
    values: { "properties.publicNetworkAccess": ["Enabled", "enabled", "Disabled", "disabled"] },
  },

  check(inputs) {
    const { properties } = inputs;
    if (!isObject(properties)) return [];
    const failures = [];
    const days = properties.softDeleteRetentionInDays;
    if (typeof days === "number" && (days < 7 || days > 90 || !Number.isInteger(days))) {
      const reason = "'properties.softDeleteRetentionInDays' must be a whole number from 7 to 90";
      failures.push({ property: "properties.softDeleteRetentionInDays", reason });
    }
    if (properties.enablePurgeProtection === false) {
      const reason =
        "'properties.enablePurgeProtection' cannot be set to false. Enabling the purge protection for a vault is an " +
        "irreversible action; leave the property out for a vault without it.";
      failures.push({ property: "properties.enablePurgeProtection", reason });
    }
    const needsPolicies = properties.enableRbacAuthorization !== true && properties.enableRbacAuthorization !== UNKNOWN;
    if (needsPolicies && properties.accessPolicies === undefined && properties.createMode !== "recover") {
      const reason = "'properties.accessPolicies' is required unless 'properties.enableRbacAuthorization' is true";
      failures.push({ property: "properties.accessPolicies", reason });
    }
    return failures;
  },

  async put({ id, path, body, caller, previous, cloud, vaults }) {
    const name = path.vaultName!;
    const properties = body.properties as Args;
    if (properties.tenantId !== caller.principal.tenantId) {
      throw new ArmError(
        400,
        "BadRequest",
        `The tenant ID '${String(properties.tenantId)}' in 'properties.tenantId' is not the tenant of the subscription ` +
          `('${caller.principal.tenantId}'); nobody could open the vault.`,
      );
    }
    refuseIrreversible(previous?.body.properties as Args | undefined, properties);
    if (!previous) refuseDeletedName(cloud.find(deletedId(name)) !== undefined, properties);
    cloud.claim(
      "vault",
      name,
      id,
      new ArmError(
        409,
        "VaultAlreadyExists",
        `The vault name '${name}' is already in use. Vault names are globally unique so it is possible that the name is already ` +
          "taken. If you are sure that the vault name was not taken then it is possible that a vault with the same name was " +
          "recently deleted but not purged after being placed in a recoverable state.",
      ),
    );
    const retention = Number(properties.softDeleteRetentionInDays ?? 90);
    const { vaultUri } = await vaults.putVault({
      id,
      name,
      tenantId: String(properties.tenantId),
      sku: (properties.sku as Args).name as "standard" | "premium",
      enableRbacAuthorization: properties.enableRbacAuthorization === true,
      enablePurgeProtection: properties.enablePurgeProtection === true,
      softDeleteRetentionInDays: retention,
    });
    cloud.remove(deletedId(name));
    return {
      outputs: {
        properties: {
          ...properties,
          vaultUri,
          provisioningState: "Succeeded",
          enableSoftDelete: true,
          softDeleteRetentionInDays: retention,
        },
      },
    };
  },

  async remove({ id, path, body, cloud, vaults }) {
    await vaults.deleteVault(path.vaultName!);
    cloud.save({ id: deletedId(path.vaultName!), token: DELETED, body, outputs: { vaultId: id }, data: {} });
  },
};

/** Where ARM lists a vault that can still be recovered; the name stays taken until then. */
function deletedId(name: string): string {
  return `/deletedVaults/${name}`;
}

function refuseDeletedName(isDeleted: boolean, properties: Args): void {
  if (!isDeleted || properties.createMode === "recover") return;
  throw new ArmError(
    409,
    "ConflictError",
    "A vault with the same name already exists in deleted state. You need to either recover or purge existing deleted vault. " +
      "Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft delete.",
  );
}

function refuseIrreversible(before: Args | undefined, now: Args): void {
  if (before?.enablePurgeProtection === true && now.enablePurgeProtection !== true) {
    throw new ArmError(
      400,
      "BadRequest",
      'The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection for a vault is an irreversible action.',
    );
  }
  const [set, wanted] = [Number(before?.softDeleteRetentionInDays ?? 90), Number(now.softDeleteRetentionInDays ?? 90)];
  if (before && set !== wanted) {
    throw new ArmError(
      400,
      "BadRequest",
      'The property "softDeleteRetentionInDays" has been set already and it can\'t be modified.',
    );
  }
}
