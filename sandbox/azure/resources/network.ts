import { ArmError } from "../errors.ts";
import type { ModelReference } from "../models.ts";
import type { Failure } from "../provider.ts";
import type { NameRule, ResourceType } from "../resource-type.ts";
import { UNKNOWN, isObject } from "../values.ts";
import type { Args } from "../values.ts";
import { providerPath } from "./paths.ts";

const API_VERSION = "2024-05-01";

function networkName(input: string, minimum: number, maximum: number): NameRule {
  return {
    input,
    pattern: new RegExp(`^(?=.{${minimum},${maximum}}$)[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?$`),
    rule: `${minimum} to ${maximum} letters, digits, '_', '.' and '-', starting with a letter or digit`,
    maxLength: maximum,
  };
}

function networkModel(model: string, additional: Partial<ModelReference> = {}): ModelReference {
  return { client: "arm-network", model, ...additional };
}

/** Listener name (see `SandboxHost.port`) behind a public IP address. */
export function publicIpListener(id: string): string {
  return `public-ip-${id.toLowerCase()}`;
}

export const publicIpAddress: ResourceType = {
  token: "azure-native:network:PublicIPAddress",
  path: providerPath("Microsoft.Network/publicIPAddresses/{publicIpAddressName}"),
  apiVersion: API_VERSION,
  name: networkName("publicIpAddressName", 1, 80),
  located: true,
  replaceOn: ["publicIPAddressVersion", "publicIPPrefix", "sku", "zones"],
  computed: ["dnsSettings.fqdn"],
  model: networkModel("PublicIPAddress", {
    values: {
      "sku.name": ["Basic", "Standard", "StandardV2"],
      "sku.tier": ["Regional", "Global"],
      publicIPAllocationMethod: ["Static", "Dynamic"],
      publicIPAddressVersion: ["IPv4", "IPv6"],
    },
  }),

  check({ dnsSettings, sku, publicIPAllocationMethod }) {
    const failures = [];
    const label = isObject(dnsSettings) ? dnsSettings.domainNameLabel : undefined;
    if (label !== undefined && label !== UNKNOWN && !/^[a-z][a-z0-9-]{1,61}[a-z0-9]$/.test(String(label))) {
      const reason = `'dnsSettings.domainNameLabel' must match ^[a-z][a-z0-9-]{1,61}[a-z0-9]$, not ${JSON.stringify(label)}`;
      failures.push({ property: "dnsSettings.domainNameLabel", reason });
    }
    if (
      isObject(sku) &&
      sku.name === "Standard" &&
      ![undefined, "Static", UNKNOWN].includes(publicIPAllocationMethod as string)
    ) {
      const reason = "'publicIPAllocationMethod' must be Static for the sku Standard";
      failures.push({ property: "publicIPAllocationMethod", reason });
    }
    return failures;
  },

  async put({ id, body, cloud, host }) {
    const label = (body.dnsSettings as Args | undefined)?.domainNameLabel;
    cloud.release(id, "public-dns");
    if (label !== undefined) {
      const record = `${String(label)}.${String(body.location)}.cloudapp.azure.com`;
      cloud.claim(
        "public-dns",
        record,
        id,
        new ArmError(400, "DnsRecordInUse", `DNS record ${record} is already used by another public IP.`),
      );
    }
    // Loopback has no free port 443, so where Azure answers a host name, the sandbox answers an authority with a port;
    // `https://` followed by it is a working address in either world.
    const authority = `localhost:${await host.port(publicIpListener(id))}`;
    return {
      outputs: {
        ipAddress: "127.0.0.1",
        provisioningState: "Succeeded",
        idleTimeoutInMinutes: body.idleTimeoutInMinutes ?? 4,
        publicIPAddressVersion: body.publicIPAddressVersion ?? "IPv4",
        publicIPAllocationMethod: body.publicIPAllocationMethod ?? "Dynamic",
        ...(body.dnsSettings !== undefined && {
          dnsSettings: { ...(body.dnsSettings as Args), ...(label !== undefined && { fqdn: authority }) },
        }),
      },
    };
  },
};

/** Networks exist as records only: on loopback everything reaches everything. */
function recordOnly(type: Omit<ResourceType, "put" | "apiVersion">, apiVersion = API_VERSION): ResourceType {
  return { ...type, apiVersion, put: async () => ({ outputs: { provisioningState: "Succeeded" } }) };
}

const NETWORK = providerPath("Microsoft.Network/virtualNetworks/{virtualNetworkName}");
const ZONE = providerPath("Microsoft.Network/privateDnsZones/{privateZoneName}");

export const virtualNetwork = recordOnly({
  token: "azure-native:network:VirtualNetwork",
  path: NETWORK,
  name: networkName("virtualNetworkName", 2, 64),
  located: true,
  model: networkModel("VirtualNetwork", { required: ["addressSpace"] }),
});

export const subnet = recordOnly({
  token: "azure-native:network:Subnet",
  path: `${NETWORK}/subnets/{subnetName}`,
  name: networkName("subnetName", 1, 80),
  located: false,
  model: networkModel("Subnet", { newer: ["type"] }),
  check: ({ addressPrefix, addressPrefixes }) =>
    addressPrefix === undefined && addressPrefixes === undefined
      ? [{ property: "addressPrefix", reason: "'addressPrefix' (or 'addressPrefixes') is required" }]
      : [],
});

export const natGateway = recordOnly({
  token: "azure-native:network:NatGateway",
  path: providerPath("Microsoft.Network/natGateways/{natGatewayName}"),
  name: networkName("natGatewayName", 1, 80),
  located: true,
  replaceOn: ["sku", "zones"],
  model: networkModel("NatGateway", { values: { "sku.name": ["Standard", "StandardV2"] } }),
});

/** Private zones are global: their location is the word "global", and the program has to say so. */
function checkGlobal({ location }: Args): Failure[] {
  if (location === UNKNOWN || String(location).toLowerCase() === "global") return [];
  return [{ property: "location", reason: "'location' must be 'global' for private DNS zones and their links" }];
}

export const privateZone = recordOnly(
  {
    token: "azure-native:privatedns:PrivateZone",
    path: ZONE,
    name: {
      input: "privateZoneName",
      pattern: /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})+$/,
      rule: "a DNS name of at least two labels",
      maxLength: 63,
      style: "given",
    },
    located: false,
    replaceOn: ["location"],
    check: checkGlobal,
  },
  "2024-06-01",
);

export const virtualNetworkLink = recordOnly(
  {
    token: "azure-native:privatedns:VirtualNetworkLink",
    path: `${ZONE}/virtualNetworkLinks/{virtualNetworkLinkName}`,
    name: networkName("virtualNetworkLinkName", 1, 80),
    located: false,
    replaceOn: ["location", "virtualNetwork"],
    check: checkGlobal,
  },
  "2024-06-01",
);
