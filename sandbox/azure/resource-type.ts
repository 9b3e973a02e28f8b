import type { BlobService, CcfService, Principal, SandboxHost, TokenService, VaultService } from "../contracts.ts";
import type { Cloud } from "./cloud.ts";
import type { ModelReference } from "./models.ts";
import type { Failure } from "./provider.ts";
import type { Roles } from "./roles.ts";
import type { Args } from "./values.ts";

/** Who calls Azure Resource Manager, as the provider was configured. */
export interface Caller {
  readonly principal: Principal;
  readonly subscriptionId: string;
  /** Default for resources that name none. */
  readonly location?: string;
}

/** What resources are made of. */
export interface AzureServices {
  readonly host: SandboxHost;
  readonly tokens: TokenService;
  readonly blobs: BlobService;
  readonly vaults: VaultService;
  readonly ccf: CcfService;
  readonly roles: Roles;
  readonly cloud: Cloud;
  /** Takes along what is installed on a cluster that is deleted. */
  clusterDeleted(clusterId: string): Promise<void>;
}

/** One PUT, GET or DELETE on a resource. */
export interface ResourceContext extends AzureServices {
  readonly caller: Caller;
  /** ARM id. */
  readonly id: string;
  /** Values in the id, by the name of the input that holds them; `subscriptionId` too. */
  readonly path: Readonly<Record<string, string>>;
}

export interface PutContext extends ResourceContext {
  /** Inputs that are not part of the id, without secret markers. */
  readonly body: Args;
  /** What an earlier PUT kept; undefined when the resource is new. */
  readonly previous: { readonly body: Args; readonly data: Args } | undefined;
}

export interface PutResult {
  /** Properties Azure adds to, or changes in, those it was given. */
  readonly outputs: Args;
  /** What the service remembers and no client ever sees. */
  readonly data?: Args;
}

export interface NameRule {
  /** The input that holds the name, e.g. `accountName`. */
  readonly input: string;
  readonly pattern: RegExp;
  /** The rule in words, for the error text. */
  readonly rule: string;
  readonly maxLength: number;
  /** Shapes the name made up when the program gives none; `given`: the program has to. */
  readonly style?: "lowerAlphanumeric" | "alphanumeric" | "guid" | "given";
}

/** What the stand-in knows about one azure-native resource type. */
export interface ResourceType {
  /** Pulumi type, e.g. `azure-native:storage:StorageAccount`. */
  readonly token: string;
  /** ARM id with the names of inputs in braces. */
  readonly path: string;
  /** API version azure-native 3.28 uses. */
  readonly apiVersion: string;
  readonly name: NameRule;
  /** Whether it lives in a region: `location` is defaulted and, once set, forces replacement. */
  readonly located: boolean;
  /** Undefined for what only azure-native knows, no Azure API. */
  readonly model?: ModelReference;
  /** Body properties that cannot be changed in place, see `detailedDiff`. */
  readonly replaceOn?: readonly string[];
  /** Output-only properties inside objects that are inputs as well (`identity.principalId`): unknown in a preview. */
  readonly computed?: readonly string[];
  /** Names of properties Azure accepts and never gives back. */
  readonly writeOnly?: readonly string[];
  /** Rules beyond the model; must cope with unknown values. */
  check?(inputs: Args): Failure[];
  /** ARM operation that writes it, where it is not `<type>/write`. */
  readonly writeAction?: string;
  put(context: PutContext): Promise<PutResult>;
  /** Live properties to lay over the stored ones; `undefined` when it vanished behind ARM's back. */
  get?(context: ResourceContext): Promise<Args | undefined>;
  /** Whatever has to go besides the record. Children are gone already. */
  remove?(context: ResourceContext & { readonly body: Args }): Promise<void>;
}

/** `Microsoft.Storage/storageAccounts/blobServices/containers` from the path template. */
export function armTypeOf(type: Pick<ResourceType, "path">): string {
  const [, provider] = type.path.split("/providers/");
  if (!provider) return "Microsoft.Resources/resourceGroups";
  const [namespace, ...segments] = provider.split("/");
  return [namespace, ...segments.filter((_, index) => index % 2 === 0)].join("/");
}

/** Names of the inputs in the id. */
export function pathInputs(type: Pick<ResourceType, "path">): string[] {
  return [...type.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!).filter((name) => name !== "subscriptionId");
}

export function idOf(type: Pick<ResourceType, "path">, inputs: Args, subscriptionId: string): string {
  return type.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    name === "subscriptionId" ? subscriptionId : String(inputs[name]).replace(/^\//, ""),
  );
}

/** The values in an ARM id; undefined when the id is not of this type. Fixed segments are compared without regard to case. */
export function parseId(type: Pick<ResourceType, "path">, id: string): Record<string, string> | undefined {
  const pattern = type.path.replaceAll(".", "\\.").replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    return `(?<${name}>${name === "scope" ? ".+" : "[^/]+"})`;
  });
  const groups = new RegExp(`^${pattern}$`, "i").exec(id)?.groups;
  if (!groups) return undefined;
  return groups.scope === undefined ? { ...groups } : { ...groups, scope: `/${groups.scope}` };
}
