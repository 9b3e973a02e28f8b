import { ArmError } from "../errors.ts";
import { GUID } from "../guids.ts";
import type { ResourceType } from "../resource-type.ts";
import { ownerOf } from "../subscriptions.ts";

export const roleAssignment: ResourceType = {
  token: "azure-native:authorization:RoleAssignment",
  path: "/{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}",
  apiVersion: "2022-04-01",
  name: { input: "roleAssignmentName", pattern: GUID, rule: "a GUID", maxLength: 36, style: "guid" },
  located: false,
  replaceOn: ["principalId", "roleDefinitionId", "principalType"],
  model: {
    client: "arm-authorization",
    model: "RoleAssignmentCreateParameters",
    values: { principalType: ["User", "Group", "ServicePrincipal", "ForeignGroup", "Device"] },
  },

  async put({ id, path, body, caller, roles, tokens }) {
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
    const roleId = String(body.roleDefinitionId).split("/").at(-1)!.toLowerCase();
    roles.assign({ id, scope, principalId, roleId });
    return { outputs: { scope, principalType: actual } };
  },

  get: async ({ id, roles }) => (roles.find(id) ? {} : undefined),
  remove: async ({ id, roles }) => roles.unassign(id),
};

function tenantOf(scope: string, tokens: Parameters<typeof ownerOf>[1]): string | undefined {
  const subscription = /^\/subscriptions\/([^/]+)/i.exec(scope)?.[1];
  return subscription ? ownerOf(subscription, tokens)?.tenantId : undefined;
}
