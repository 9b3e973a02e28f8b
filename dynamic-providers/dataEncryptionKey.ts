import type * as pulumi from "@pulumi/pulumi";
import { randomBytes } from "node:crypto";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";

export interface DataEncryptionKeyArgs {
  /** Dataset the key is for: one key each. */
  dataset: string;
  /** Raise it for a new key: everything that is encrypted with it is then published again. Default 0. */
  generation?: number;
}

/**
 * The key that encrypts one dataset: 256 random bits.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | generate | – | dataset, generation | forget: what it encrypted becomes unreadable to its owner | as stored: nothing remote |
 *
 * It exists only as an encrypted secret of this stack's state and, wrapped, in the owner's vault.
 */
export class DataEncryptionKey extends DynamicResource {
  /** base64, secret. */
  declare readonly key: pulumi.Output<string>;

  constructor(name: string, args: DataEncryptionKeyArgs, options?: pulumi.CustomResourceOptions) {
    super("dataEncryptionKey", name, { generation: 0, ...args }, ["key"], ["key"], options);
  }
}

interface Inputs {
  dataset: string;
  generation: number;
}

const KEY_BYTES = 32;

export const provider = defineProvider<Inputs, { key: string }>({
  name: "DataEncryptionKey",
  inputs: ["dataset", "generation"],
  replaceOn: ["dataset", "generation"],

  create: async ({ dataset, generation }) => ({
    id: `${dataset}/${generation}`,
    outputs: { key: randomBytes(KEY_BYTES).toString("base64") },
  }),
});
