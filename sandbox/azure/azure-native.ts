import type { TokenService } from "../contracts.ts";
import { detailedDiff, normalizedLocation } from "./diff.ts";
import { invoke } from "./invokes.ts";
import { checkModel } from "./models.ts";
import { automaticName, checkName } from "./naming.ts";
import type { Failure, ProviderSession } from "./provider.ts";
import { without } from "./resource-manager.ts";
import type { ResourceManager } from "./resource-manager.ts";
import { REGIONS } from "./regions.ts";
import { armTypeOf, idOf, parseId, pathInputs } from "./resource-type.ts";
import type { AzureServices, Caller, ResourceType } from "./resource-type.ts";
import { RESOURCE_TYPES } from "./resources/index.ts";
import { UNKNOWN, isObject, isSecret, plain, plainArgs, withSecretsOf } from "./values.ts";
import type { Args } from "./values.ts";

/** Reads the provider's configuration and finds out who calls. @throws in Entra's words when nobody it knows. */
export function callerOf(config: Args, tokens: TokenService): Caller {
  const [tenantId, clientId, subscriptionId] = ["tenantId", "clientId", "subscriptionId"].map((key) => {
    const value = config[key];
    if (typeof value === "string" && value) return value;
    throw new Error(
      `Missing configuration azure-native:${key}; set it with 'pulumi config set azure-native:${key} <GUID>'.`,
    );
  }) as [string, string, string];
  const principal = tokens.findByClientId(tenantId, clientId);
  if (!principal) {
    throw new Error(
      `AADSTS700016: Application with identifier '${clientId}' was not found in the directory '${tenantId}'. This can happen if ` +
        "the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. " +
        "You may have sent your authentication request to the wrong tenant.",
    );
  }
  const location = typeof config.location === "string" ? config.location : undefined;
  return { principal, subscriptionId: subscriptionId.toLowerCase(), ...(location !== undefined && { location }) };
}

/** Answers the engine as the azure-native provider does: names, defaults, diffs, secrets and previews. */
export function azureNativeSession(services: AzureServices, manager: ResourceManager, caller: Caller): ProviderSession {
  return {
    async check({ type: token, name, olds, news, randomSeed }) {
      const type = resourceType(token);
      const inputs = withDefaults(type, services, caller, { name, olds, news, randomSeed });
      return { inputs, failures: failuresOf(type, plainArgs(inputs)) };
    },

    async diff({ type: token, oldInputs, news }) {
      const type = resourceType(token);
      const replaceOn = [...pathInputs(type), ...(type.replaceOn ?? []), ...(type.located ? ["location"] : [])];
      const changes = detailedDiff(oldInputs, news, replaceOn);
      // Names are usually fixed, and Azure refuses a second resource of the same name.
      return { changes, deleteBeforeReplace: Object.values(changes).some(({ replace }) => replace) };
    },

    async create({ type: token, inputs, preview }) {
      const type = resourceType(token);
      const body = bodyOf(type, inputs);
      if (preview) return { id: "", outputs: previewed(type, body) };
      refuseInvalid(type, plainArgs(inputs));
      const id = idOf(type, plainArgs(inputs), caller.subscriptionId);
      if (services.cloud.find(id)) throw new Error(`cannot create already existing resource '${id}'`);
      const resource = await manager.put(caller, type, id, plainArgs(body));
      return { id: resource.id, outputs: withSecretsOf(resource.outputs, body) as Args };
    },

    async read({ type: token, id, inputs }) {
      const type = resourceType(token);
      if (!parseId(type, id)) throw new Error(`'${id}' is not the id of a ${token}; expected ${type.path}`);
      const resource = await manager.get(caller, type, id);
      if (!resource) return undefined;
      const names = namesIn(type, resource.id, caller, inputs);
      // Azure does not give back what is write-only: on import it stays away, on refresh the program's own value stands.
      const body = inputs ? resource.body : (without(resource.body, type.writeOnly ?? []) as Args);
      const live = { ...names, ...keepLocationStyle(body, inputs) };
      return {
        id: resource.id,
        inputs: withSecretsOf(live, inputs) as Args,
        outputs: withSecretsOf(resource.outputs, inputs) as Args,
      };
    },

    async update({ type: token, id, oldOutputs, news, preview }) {
      const type = resourceType(token);
      const body = bodyOf(type, news);
      if (preview) return { ...previewed(type, body), name: oldOutputs.name, location: oldOutputs.location };
      refuseInvalid(type, plainArgs(news));
      const resource = await manager.put(caller, type, id, plainArgs(body));
      return withSecretsOf(resource.outputs, body) as Args;
    },

    async delete({ type: token, id }) {
      await manager.delete(caller, resourceType(token), id);
    },

    async invoke(token, args) {
      return invoke(token, args, { services, manager, caller });
    },
  };
}

function resourceType(token: string): ResourceType {
  const type = RESOURCE_TYPES.find((candidate) => candidate.token === token);
  if (type) return type;
  const known = RESOURCE_TYPES.map((candidate) => candidate.token).join(", ");
  throw new Error(`The sandbox does not simulate ${token}. It knows ${known}.`);
}

function withDefaults(
  type: ResourceType,
  { cloud }: AzureServices,
  caller: Caller,
  { name, olds, news, randomSeed }: { name: string; olds: Args; news: Args; randomSeed: Uint8Array },
): Args {
  const inputs = { ...news };
  const { input, style } = type.name;
  if (inputs[input] === undefined && style !== "given") {
    inputs[input] = olds[input] ?? automaticName(type.name, name, randomSeed);
  }
  if (type.located && inputs.location === undefined) {
    const group = `/subscriptions/${caller.subscriptionId}/resourceGroups/${String(plain(inputs.resourceGroupName))}`;
    const location = olds.location ?? caller.location ?? cloud.find(group)?.body.location;
    if (location !== undefined) inputs.location = location;
  }
  return inputs;
}

function failuresOf(type: ResourceType, inputs: Args): Failure[] {
  const failures: Failure[] = [];
  for (const property of pathInputs(type)) {
    const value = inputs[property];
    if (value === UNKNOWN) continue;
    if (value === undefined) failures.push({ property, reason: `missing required property '${property}'` });
    else if (property === type.name.input) failures.push(...checkName(type.name, value));
    else if (typeof value !== "string" || !value)
      failures.push({ property, reason: `'${property}' must be a non-empty string` });
  }
  if (type.located) failures.push(...checkRegion(type, inputs.location));
  if (type.model) failures.push(...checkModel(type.model, bodyOf(type, inputs)));
  failures.push(...(type.check?.(inputs) ?? []));
  return failures;
}

function checkRegion(type: ResourceType, location: unknown): Failure[] {
  if (typeof location !== "string" || location === UNKNOWN || REGIONS.has(normalizedLocation(location))) return [];
  const reason = `The provided location '${location}' is not available for resource type '${armTypeOf(type)}'.`;
  return [{ property: "location", reason }];
}

/** Check judged what was known then; now everything is. */
function refuseInvalid(type: ResourceType, inputs: Args): void {
  const failures = failuresOf(type, inputs);
  if (type.located && inputs.location === undefined) {
    failures.push({
      property: "location",
      reason: "missing required property 'location'; set it or azure-native:location",
    });
  }
  if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join("; "));
}

/**
 * What a preview can say about outputs: the inputs, and that more will be added to some of them. Outputs that are no inputs are
 * left out, which the engine takes as unknown.
 */
function previewed(type: ResourceType, body: Args): Args {
  const outputs = { ...body };
  for (const path of type.computed ?? []) {
    const [parent, property] = path.split(".") as [string, string];
    const value = outputs[parent];
    if (isObject(value) && !isSecret(value)) outputs[parent] = { [property]: UNKNOWN, ...value };
  }
  return outputs;
}

/** The inputs that make the id: the program's own spelling when it is that of the id, what the id says otherwise. */
function namesIn(type: ResourceType, id: string, caller: Caller, inputs: Args | undefined): Args {
  const own = inputs && plainArgs(inputs);
  if (own && idOf(type, own, caller.subscriptionId).toLowerCase() === id.toLowerCase()) {
    return Object.fromEntries(pathInputs(type).map((property) => [property, own[property]]));
  }
  const { subscriptionId: _, ...names } = parseId(type, id)!;
  return names;
}

function bodyOf(type: ResourceType, inputs: Args): Args {
  const path = pathInputs(type);
  return Object.fromEntries(Object.entries(inputs).filter(([key]) => !path.includes(key)));
}

function keepLocationStyle(body: Args, inputs: Args | undefined): Args {
  const [now, known] = [body.location, plain(inputs?.location)];
  const same =
    typeof now === "string" && typeof known === "string" && normalizedLocation(now) === normalizedLocation(known);
  return same ? { ...body, location: known } : body;
}
