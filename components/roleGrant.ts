import { RoleAssignment } from "@pulumi/azure-native/authorization/roleAssignment.js";
import * as pulumi from "@pulumi/pulumi";
import { deterministicGuid } from "../domain/azure/names.ts";
import { roleDefinitionId, subscriptionOf, type RoleName } from "../domain/azure/roles.ts";

export interface RoleGrantArgs {
  role: RoleName;
  /** ARM id the role holds at and below. */
  scope: pulumi.Input<string>;
  /** Object id. */
  principalId: pulumi.Input<string>;
  /** Give it for identities made in the same deployment, which the directory may not show yet. Default: looked up by Azure. */
  principalType?: "ServicePrincipal";
}

/** Assigns a built-in role under a name that depends only on who, what and where, so that it can be repeated. */
export function grantRole(name: string, args: RoleGrantArgs, options: pulumi.CustomResourceOptions): RoleAssignment {
  const target = pulumi.all([args.scope, args.principalId]);
  return new RoleAssignment(
    name,
    {
      scope: args.scope,
      principalId: args.principalId,
      ...(args.principalType && { principalType: args.principalType }),
      roleDefinitionId: target.apply(([scope]) => roleDefinitionId(subscriptionOf(scope), args.role)),
      roleAssignmentName: target.apply(([scope, principal]) => deterministicGuid(scope, principal, args.role)),
    },
    options,
  );
}
