import type { ArmResource } from "./cloud.ts";
import { normalizedLocation } from "./diff.ts";
import { ArmError } from "./errors.ts";
import { armTypeOf, parseId } from "./resource-type.ts";
import type { AzureServices, Caller, ResourceContext, ResourceType } from "./resource-type.ts";
import { RESOURCE_TYPES } from "./resources/index.ts";
import { ownerOf } from "./subscriptions.ts";
import { isObject } from "./values.ts";
import type { Args } from "./values.ts";

const RESOURCE_GROUP = /^(\/subscriptions\/[^/]+\/resourceGroups\/([^/]+))\//i;

/** A resource as Azure shows it. */
export interface LiveResource {
  readonly id: string;
  readonly body: Args;
  readonly outputs: Args;
}

/**
 * Azure Resource Manager: authorizes the caller, keeps resource groups and parents in order, and hands each resource to its type.
 * Everything takes effect at once: there are no long-running operations, quotas, policies, locks or regions that differ.
 */
export class ResourceManager {
  readonly #services: AzureServices;

  constructor(services: AzureServices) {
    this.#services = services;
  }

  async put(caller: Caller, type: ResourceType, id: string, body: Args): Promise<LiveResource> {
    this.authorize(caller, type.writeAction ?? actionOf(type, "write"), id);
    this.#requireAncestors(type, id);
    const { cloud } = this.#services;
    const existing = cloud.find(id);
    const previous = existing && { body: existing.body, data: existing.data };
    try {
      const { outputs, data = {} } = await type.put({ ...this.#context(caller, type, id), body, previous });
      const resource = { id: existing?.id ?? id, token: type.token, body, outputs, data };
      cloud.save(resource);
      return this.#show(type, resource, {});
    } catch (error) {
      if (!existing) cloud.release(id);
      throw error;
    }
  }

  async get(caller: Caller, type: ResourceType, id: string): Promise<LiveResource | undefined> {
    this.authorize(caller, actionOf(type, "read"), id);
    const resource = this.#services.cloud.find(id);
    if (!resource || resource.token !== type.token) return undefined;
    const live = type.get ? await type.get(this.#context(caller, type, resource.id)) : {};
    return live && this.#show(type, resource, live);
  }

  /** Deletes a resource and everything below it; nothing happens when it is gone already. */
  async delete(caller: Caller, type: ResourceType, id: string): Promise<void> {
    this.authorize(caller, type.writeAction ?? actionOf(type, "delete"), id);
    if (this.#services.cloud.find(id)) await this.#cascade(caller, id);
  }

  /** As `delete`, by whoever owns the subscription. @throws when there is no such resource. */
  async deleteUnasked(id: string): Promise<void> {
    const subscriptionId = id.split("/")[2] ?? "";
    const principal = ownerOf(subscriptionId, this.#services.tokens);
    if (!principal || !this.#services.cloud.find(id)) throw new Error(`There is no resource '${id}'.`);
    await this.#cascade({ principal, subscriptionId }, id);
  }

  /** @throws 401, 403 or 404 as Azure words it. */
  authorize(caller: Caller, action: string, scope: string): void {
    const subscription = /^\/subscriptions\/([^/]+)/i.exec(scope)?.[1];
    const owner = subscription ? ownerOf(subscription, this.#services.tokens) : undefined;
    if (subscription && !owner) {
      throw new ArmError(404, "SubscriptionNotFound", `The subscription '${subscription}' could not be found.`);
    }
    const { principal } = caller;
    if (this.#services.roles.isAllowed(principal.objectId, { action }, scope)) return;
    throw new ArmError(
      403,
      "AuthorizationFailed",
      `The client '${principal.email ?? principal.clientId}' with object id '${principal.objectId}' does not have authorization ` +
        `to perform action '${action}' over scope '${scope}' or the scope is invalid. If access was recently granted, please ` +
        "refresh your credentials.",
    );
  }

  async #cascade(caller: Caller, id: string): Promise<void> {
    for (const child of this.#services.cloud.below(id)) await this.#remove(caller, child);
    await this.#remove(caller, this.#services.cloud.find(id)!);
  }

  async #remove(caller: Caller, resource: ArmResource): Promise<void> {
    const type = RESOURCE_TYPES.find(({ token }) => token === resource.token)!;
    await type.remove?.({ ...this.#context(caller, type, resource.id), body: resource.body });
    this.#services.roles.unassignBelow(resource.id);
    this.#services.cloud.release(resource.id);
    this.#services.cloud.remove(resource.id);
  }

  #requireAncestors(type: ResourceType, id: string): void {
    const [, group, name] = RESOURCE_GROUP.exec(id) ?? [];
    if (group && !this.#services.cloud.find(group)) {
      throw new ArmError(404, "ResourceGroupNotFound", `Resource group '${name}' could not be found.`);
    }
    const parent = parentOf(type, id);
    if (parent && !this.#services.cloud.find(parent)) {
      throw new ArmError(
        404,
        "ParentResourceNotFound",
        `Failed to perform 'write' on resource(s) of type '${armTypeOf(type).replace(/^[^/]+\//, "")}', because the parent ` +
          `resource '${parent}' could not be found.`,
      );
    }
  }

  #context(caller: Caller, type: ResourceType, id: string): ResourceContext {
    return { ...this.#services, caller, id, path: parseId(type, id)! };
  }

  #show(type: ResourceType, resource: ArmResource, live: Args): LiveResource {
    const outputs = {
      ...resource.body,
      name: resource.id.slice(resource.id.lastIndexOf("/") + 1),
      type: armTypeOf(type),
      ...(typeof resource.body.location === "string" && { location: normalizedLocation(resource.body.location) }),
      azureApiVersion: type.apiVersion,
      ...resource.outputs,
      ...live,
    };
    return { id: resource.id, body: resource.body, outputs: without(outputs, type.writeOnly ?? []) as Args };
  }
}

function actionOf(type: ResourceType, verb: "read" | "write" | "delete"): string {
  const armType = armTypeOf(type);
  // Resource groups are the one type whose operations are named differently from the type.
  const prefix =
    armType === "Microsoft.Resources/resourceGroups" ? "Microsoft.Resources/subscriptions/resourceGroups" : armType;
  return `${prefix}/${verb}`;
}

/** The nearest resource (not group) above, if its type is one that exists here. */
function parentOf(type: ResourceType, id: string): string | undefined {
  const parents = RESOURCE_TYPES.filter(({ path }) => path.includes("/providers/") && type.path.startsWith(`${path}/`));
  const nearest = parents.sort((left, right) => right.path.length - left.path.length)[0];
  return nearest && id.split("/").slice(0, nearest.path.split("/").length).join("/");
}

/** Copies a value without the properties of the given names, at any depth. */
export function without(value: unknown, names: readonly string[]): unknown {
  if (names.length === 0) return value;
  if (Array.isArray(value)) return value.map((item) => without(item, names));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !names.includes(key))
      .map(([key, item]) => [key, without(item, names)]),
  );
}
