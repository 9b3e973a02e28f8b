import { isObject } from "../azure/values.ts";
import type { Args } from "../azure/values.ts";
import type { KubernetesType } from "./index.ts";

/** A DNS label, RFC 1123. */
export const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export const namespace: KubernetesType = {
  token: "kubernetes:core/v1:Namespace",
  replaceOn: ["metadata.name"],

  defaults(inputs, olds, automatic) {
    const metadata = isObject(inputs.metadata) ? inputs.metadata : {};
    const before = isObject(olds.metadata) ? olds.metadata.name : undefined;
    return { ...inputs, metadata: { ...metadata, name: metadata.name ?? before ?? automatic } };
  },

  check({ metadata }) {
    const name = String((metadata as Args).name);
    if (DNS_LABEL.test(name)) return [];
    return [
      {
        property: "metadata.name",
        reason: `'metadata.name' must be a DNS label of at most 63 characters, not "${name}"`,
      },
    ];
  },

  id: ({ metadata }) => String((metadata as Args).name),
  put: async (_, __, inputs) => ({ ...inputs, status: { phase: "Active" } }),
};
