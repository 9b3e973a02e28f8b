import { ArmError } from "../errors.ts";
import { guidOf } from "../guids.ts";
import type { ResourceContext, ResourceType } from "../resource-type.ts";
import { UNKNOWN } from "../values.ts";
import type { Args } from "../values.ts";
import { providerPath } from "./paths.ts";

const IDENTITY = providerPath("Microsoft.ManagedIdentity/userAssignedIdentities/{resourceName}");
const API_VERSION = "2023-01-31";
const MAX_CREDENTIALS = 20;
const MAX_TEXT = 600;

export const userAssignedIdentity: ResourceType = {
  token: "azure-native:managedidentity:UserAssignedIdentity",
  path: IDENTITY,
  apiVersion: API_VERSION,
  name: {
    input: "resourceName",
    pattern: /^[A-Za-z0-9][A-Za-z0-9_-]{2,127}$/,
    rule: "3 to 128 letters, digits, '-' and '_', starting with a letter or digit",
    maxLength: 128,
  },
  located: true,
  model: { client: "arm-msi", model: "Identity" },

  async put({ id, path, caller, previous, cloud, tokens }) {
    const generation = Number(previous?.data.generation ?? cloud.nextGeneration(id));
    const principalId = guidOf(`principal ${generation} of ${id.toLowerCase()}`);
    const clientId = guidOf(`client ${generation} of ${id.toLowerCase()}`);
    const { tenantId } = caller.principal;
    tokens.addManagedIdentity({
      objectId: principalId,
      clientId,
      tenantId,
      kind: "managedIdentity",
      name: path.resourceName!,
    });
    return { outputs: { principalId, clientId, tenantId }, data: { generation } };
  },

  async remove({ id, cloud, tokens }) {
    tokens.removeManagedIdentity(String(cloud.find(id)!.outputs.principalId));
  },
};

export const federatedIdentityCredential: ResourceType = {
  token: "azure-native:managedidentity:FederatedIdentityCredential",
  path: `${IDENTITY}/federatedIdentityCredentials/{federatedIdentityCredentialResourceName}`,
  apiVersion: API_VERSION,
  name: {
    input: "federatedIdentityCredentialResourceName",
    pattern: /^[A-Za-z0-9][A-Za-z0-9_-]{2,119}$/,
    rule: "3 to 120 letters, digits, '-' and '_', starting with a letter or digit",
    maxLength: 120,
  },
  located: false,
  model: { client: "arm-msi", model: "FederatedIdentityCredential", required: ["issuer", "subject", "audiences"] },

  check({ issuer, subject, audiences }) {
    const failures = [];
    if (typeof issuer === "string" && issuer !== UNKNOWN && !isHttpsUrl(issuer)) {
      failures.push({ property: "issuer", reason: "'issuer' must be an https URL of at most 600 characters" });
    }
    if (typeof subject === "string" && (subject === "" || subject.length > MAX_TEXT)) {
      failures.push({ property: "subject", reason: "'subject' must have 1 to 600 characters" });
    }
    if (Array.isArray(audiences) && audiences.length !== 1) {
      failures.push({ property: "audiences", reason: "'audiences' must hold exactly one audience" });
    }
    return failures;
  },

  async put(context) {
    const { id, body } = context;
    const others = siblings(context).filter((other) => other.id.toLowerCase() !== id.toLowerCase());
    if (others.some((other) => other.body.issuer === body.issuer && other.body.subject === body.subject)) {
      throw new ArmError(
        409,
        "Conflict",
        "Issuer and subject combination already exists for this Managed Identity: they must be unique among its federated " +
          "identity credentials.",
      );
    }
    if (others.length >= MAX_CREDENTIALS) {
      throw new ArmError(
        400,
        "BadRequest",
        `Too many federated identity credentials: a managed identity can have at most ${MAX_CREDENTIALS}.`,
      );
    }
    register(context, [...others, { id, body }]);
    return { outputs: {} };
  },

  async remove(context) {
    register(
      context,
      siblings(context).filter((other) => other.id.toLowerCase() !== context.id.toLowerCase()),
    );
  },
};

function identityId(context: ResourceContext): string {
  return context.id.split("/").slice(0, -2).join("/");
}

/** All credentials of the identity this one belongs to. */
function siblings(context: ResourceContext): { id: string; body: Args }[] {
  return context.cloud.below(identityId(context)).filter(({ token }) => token === federatedIdentityCredential.token);
}

function register(context: ResourceContext, credentials: readonly { id: string; body: Args }[]): void {
  const principalId = String(context.cloud.find(identityId(context))!.outputs.principalId);
  context.tokens.setFederatedCredentials(
    principalId,
    credentials.map(({ id, body }) => ({
      name: id.slice(id.lastIndexOf("/") + 1),
      issuer: String(body.issuer),
      subject: String(body.subject),
      audiences: body.audiences as string[],
    })),
  );
}

function isHttpsUrl(text: string): boolean {
  return text.length <= MAX_TEXT && URL.canParse(text) && new URL(text).protocol === "https:";
}
