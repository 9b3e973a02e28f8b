import type { Cloud } from "../cloud.ts";
import { ArmError } from "../errors.ts";
import { GUID } from "../guids.ts";
import type { ResourceType } from "../resource-type.ts";
import { ownerOf } from "../subscriptions.ts";
import { UNKNOWN } from "../values.ts";

const ROLE_DEFINITION =
  /\/providers\/Microsoft\.Authorization\/roleDefinitions\/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export const roleAssignment: ResourceType = {
  token: "azure-native:authorization:RoleAssignment",
  path: "/{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}",
  apiVersion: "2022-04-01",
  name: { input: "roleAssignmentName", pattern: GUID, rule: "a GUID", maxLength: 36, style: "guid" },
  located: false,
  replaceOn: ["principalId"],
  model: {
    client: "arm-authorization",
    model: "RoleAssignmentCreateParameters",
    values: { principalType: ["User", "Group", "ServicePrincipal", "ForeignGroup", "Device"] },
  },

  check({ roleDefinitionId, conditionVersion, condition }) {
    const failures = [];
    if (
      roleDefinitionId !== undefined &&
      roleDefinitionId !== UNKNOWN &&
      !ROLE_DEFINITION.test(String(roleDefinitionId))
    ) {
      const reason =
        "'roleDefinitionId' must be an ARM id ending with /providers/Microsoft.Authorization/roleDefinitions/<GUID>, not " +
        JSON.stringify(roleDefinitionId);
      failures.push({ property: "roleDefinitionId", reason });
    }
    if (condition !== undefined || conditionVersion !== undefined) {
      failures.push({
        property: "condition",
        reason: "'condition' is not simulated: the sandbox could not enforce it",
      });
    }
    return failures;
  },

  async put({ id, path, body, caller, cloud, roles, tokens }) {
    const scope = path.scope!.replace(/(?<=.)\/+$/, "");
    const principalId = String(body.principalId);
    const principal = tokens.findByObjectId(principalId);
    const tenantId = tenantOf(scope, tokens) ?? caller.principal.tenantId;
    if (!principal || principal.tenantId !== tenantId) {
      throw new ArmError(
        400,
        "PrincipalNotFound",
        `Principal ${principalId.replaceAll("-", "")} does not exist in the directory ${tenantId}. Check that you have the ` +
          "correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be " +
          "related to a replication delay. In this case, set the role assignment principalType property to a value, such as " +
          "ServicePrincipal, User, or Group.",
      );
    }
    const actual = principal.kind === "managedIdentity" ? "ServicePrincipal" : "User";
    if (body.principalType !== undefined && body.principalType !== actual) {
      throw new ArmError(
        400,
        "UnmatchedPrincipalType",
        `The PrincipalId '${principalId.replaceAll("-", "")}' has type '${actual}' , which is different from specified ` +
          `PrinciplaType '${String(body.principalType)}'.`,
      );
    }
    requireTarget(scope, cloud);
    const earlier = roles.find(id);
    if (earlier && (earlier.principalId !== principalId || earlier.scope.toLowerCase() !== scope.toLowerCase())) {
      throw new ArmError(
        400,
        "RoleAssignmentUpdateNotPermitted",
        "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
      );
    }
    const roleId = String(body.roleDefinitionId).split("/").at(-1)!.toLowerCase();
    roles.assign({ id, scope, principalId, roleId });
    return { outputs: { scope, principalType: actual } };
  },

  get: async ({ id, roles }) => (roles.find(id) ? {} : undefined),
  remove: async ({ id, roles }) => roles.unassign(id),
};

/** What has no ARM record of its own (a key, a secret, a container made by a client) is taken on trust; what it is in must exist. */
function requireTarget(scope: string, cloud: Cloud): void {
  const target = /^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+(?:\/providers\/[^/]+\/[^/]+\/[^/]+)?/i.exec(
    scope,
  )?.[0];
  if (!target || cloud.find(target)) return;
  const [, group, resource] = /resourceGroups\/([^/]+)(?:\/providers\/(.+))?$/i.exec(target)!;
  if (!resource) throw new ArmError(404, "ResourceGroupNotFound", `Resource group '${group}' could not be found.`);
  throw new ArmError(
    404,
    "ResourceNotFound",
    `The Resource '${resource}' under resource group '${group}' was not found.`,
  );
}

function tenantOf(scope: string, tokens: Parameters<typeof ownerOf>[1]): string | undefined {
  const subscription = /^\/subscriptions\/([^/]+)/i.exec(scope)?.[1];
  return subscription ? ownerOf(subscription, tokens)?.tenantId : undefined;
}
