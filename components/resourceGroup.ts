import { getResourceGroupOutput } from "@pulumi/azure-native/resources/getResourceGroup.js";
import { ResourceGroup } from "@pulumi/azure-native/resources/resourceGroup.js";
import type * as pulumi from "@pulumi/pulumi";

export interface ResourceGroupArgs {
  location: string;
  /** Name of a group that exists already. Default: a new group. */
  existing?: string | undefined;
  tags: Readonly<Record<string, string>>;
}

/** The name of the resource group everything of a persona goes into: a new one, or one that was prepared for it. */
export function resourceGroupName(
  name: string,
  args: ResourceGroupArgs,
  options: pulumi.CustomResourceOptions,
): pulumi.Output<string> {
  if (args.existing !== undefined) {
    return getResourceGroupOutput({ resourceGroupName: args.existing }, { parent: options.parent! }).name;
  }
  return new ResourceGroup(name, { location: args.location, tags: { ...args.tags } }, options).name;
}
