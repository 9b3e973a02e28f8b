import { ArmError } from "../errors.ts";
import type { ResourceType } from "../resource-type.ts";
import type { Args } from "../values.ts";
import { providerPath } from "./paths.ts";

const ACCOUNT = providerPath("Microsoft.Storage/storageAccounts/{accountName}");
const API_VERSION = "2024-01-01";
const CONTAINER_PATTERN = /^(?:\$root|\$web|[a-z0-9](?:-?[a-z0-9]){2,62})$/;
const MAX_SHARE_GIB = 102_400;
const SHARE_PATTERN = /^[a-z0-9](?:-?[a-z0-9]){2,62}$/;

const ACCOUNT_NAME = {
  input: "accountName",
  pattern: /^[a-z0-9]{3,24}$/,
  rule: "3 to 24 lower-case letters and digits",
  maxLength: 24,
} as const;

export const storageAccount: ResourceType = {
  token: "azure-native:storage:StorageAccount",
  path: ACCOUNT,
  apiVersion: API_VERSION,
  name: { ...ACCOUNT_NAME, style: "lowerAlphanumeric" },
  located: true,
  computed: ["sku.tier"],
  replaceOn: ["isHnsEnabled", "extendedLocation", "enableNfsV3", "dnsEndpointType", "kind"],
  model: {
    client: "arm-storage",
    model: "StorageAccountCreateParameters",
    required: ["sku", "sku.name", "kind"],
    values: {
      kind: ["Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage"],
      "sku.name": [
        ...["Standard_LRS", "Standard_GRS", "Standard_RAGRS", "Standard_ZRS", "Standard_GZRS", "Standard_RAGZRS"],
        ...["Premium_LRS", "Premium_ZRS", "StandardV2_LRS", "StandardV2_GRS", "StandardV2_ZRS", "StandardV2_GZRS"],
        ...["PremiumV2_LRS", "PremiumV2_ZRS"],
      ],
      minimumTlsVersion: ["TLS1_0", "TLS1_1", "TLS1_2", "TLS1_3"],
      publicNetworkAccess: ["Enabled", "Disabled", "SecuredByPerimeter"],
      "networkRuleSet.defaultAction": ["Allow", "Deny"],
    },
  },

  async put({ id, path, body, caller, cloud, blobs }) {
    const name = path.accountName!;
    cloud.claim(
      "storage",
      name,
      id,
      new ArmError(409, "StorageAccountAlreadyTaken", `The storage account named ${name} is already taken.`),
    );
    const primaryEndpoints = await blobs.putAccount({
      id,
      name,
      tenantId: caller.principal.tenantId,
      // Azure's defaults: keys are allowed unless switched off, anonymous access is not unless switched on.
      allowSharedKeyAccess: body.allowSharedKeyAccess !== false,
      allowBlobPublicAccess: body.allowBlobPublicAccess === true,
    });
    return {
      outputs: {
        primaryEndpoints,
        primaryLocation: body.location,
        provisioningState: "Succeeded",
        statusOfPrimary: "available",
        sku: {
          ...(body.sku as Args),
          tier: String((body.sku as Args).name).startsWith("Premium") ? "Premium" : "Standard",
        },
        enableHttpsTrafficOnly: body.enableHttpsTrafficOnly ?? true,
        allowBlobPublicAccess: body.allowBlobPublicAccess ?? false,
        privateEndpointConnections: [],
      },
    };
  },

  remove: ({ path, blobs }) => blobs.deleteAccount(path.accountName!),
};

/** Known to azure-native only: the static website is a setting of the account's blob service, not an ARM resource. */
export const staticWebsite: ResourceType = {
  token: "azure-native:storage:StorageAccountStaticWebsite",
  path: `${ACCOUNT}/staticWebsite`,
  apiVersion: API_VERSION,
  name: { ...ACCOUNT_NAME, style: "given" },
  located: false,
  writeAction: "Microsoft.Storage/storageAccounts/blobServices/write",
  check: (inputs) =>
    ["indexDocument", "error404Document"].flatMap((property) => {
      const value = inputs[property];
      return value === undefined || typeof value === "string"
        ? []
        : [{ property, reason: `'${property}' must be a string` }];
    }),

  async put({ id, path, body, blobs, cloud }) {
    const { kind } = cloud.find(id.slice(0, id.lastIndexOf("/")))!.body;
    if (kind !== "StorageV2" && kind !== "BlockBlobStorage") {
      throw new ArmError(
        400,
        "FeatureNotSupportedForAccount",
        `A static website needs an account of kind StorageV2 or BlockBlobStorage, not ${String(kind)}.`,
      );
    }
    await blobs.setStaticWebsite(path.accountName!, {
      ...(body.indexDocument !== undefined && { indexDocument: String(body.indexDocument) }),
      ...(body.error404Document !== undefined && { error404Document: String(body.error404Document) }),
    });
    return { outputs: { containerName: "$web" } };
  },

  remove: ({ path, blobs }) => blobs.setStaticWebsite(path.accountName!, undefined),
};

export const blobContainer: ResourceType = {
  token: "azure-native:storage:BlobContainer",
  path: `${ACCOUNT}/blobServices/default/containers/{containerName}`,
  apiVersion: API_VERSION,
  name: {
    input: "containerName",
    pattern: CONTAINER_PATTERN,
    rule: "3 to 63 lower-case letters, digits and single '-' between them",
    maxLength: 63,
  },
  located: false,
  model: { client: "arm-storage", model: "BlobContainer" },

  async put({ path, body, cloud, blobs, id }) {
    const access = (body.publicAccess ?? "None") as "None" | "Blob" | "Container";
    const account = cloud.find(id.slice(0, id.toLowerCase().indexOf("/blobservices/")))!;
    if (access !== "None" && account.body.allowBlobPublicAccess !== true) {
      throw new ArmError(409, "PublicAccessNotPermitted", "Public access is not permitted on this storage account.");
    }
    await blobs.putContainer(path.accountName!, path.containerName!, access);
    return {
      outputs: {
        publicAccess: access,
        hasImmutabilityPolicy: false,
        hasLegalHold: false,
        leaseState: "Available",
        leaseStatus: "Unlocked",
        deleted: false,
      },
    };
  },

  get: async ({ path, blobs }) =>
    (await blobs.containerExists(path.accountName!, path.containerName!)) ? {} : undefined,

  remove: ({ path, blobs }) => blobs.deleteContainer(path.accountName!, path.containerName!),
};

/** Exists, and its deletion takes a ledger kept in it along; the share itself has no data plane here. */
export const fileShare: ResourceType = {
  token: "azure-native:storage:FileShare",
  path: `${ACCOUNT}/fileServices/default/shares/{shareName}`,
  apiVersion: API_VERSION,
  name: {
    input: "shareName",
    pattern: SHARE_PATTERN,
    rule: "3 to 63 lower-case letters, digits and single '-' between them",
    maxLength: 63,
  },
  located: false,
  replaceOn: ["enabledProtocols"],
  model: {
    client: "arm-storage",
    model: "FileShare",
    values: {
      accessTier: ["TransactionOptimized", "Hot", "Cool", "Premium"],
      enabledProtocols: ["SMB", "NFS"],
      rootSquash: ["NoRootSquash", "RootSquash", "AllSquash"],
    },
    newer: ["expand"],
  },
  check({ shareQuota }) {
    if (typeof shareQuota !== "number" || (shareQuota >= 1 && shareQuota <= MAX_SHARE_GIB)) return [];
    return [
      { property: "shareQuota", reason: `'shareQuota' must be from 1 to ${MAX_SHARE_GIB} GiB, not ${shareQuota}` },
    ];
  },
  put: async ({ body }) => ({
    outputs: {
      shareQuota: body.shareQuota ?? 5120,
      accessTier: body.accessTier ?? "TransactionOptimized",
      enabledProtocols: body.enabledProtocols ?? "SMB",
      leaseState: "available",
      leaseStatus: "unlocked",
      deleted: false,
    },
  }),
  remove: ({ path, ccf }) => ccf.deleteLedger(path.accountName!, path.shareName!),
};
