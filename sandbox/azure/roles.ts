import { isDeepStrictEqual } from "node:util";
import type { RoleBasedAccess, SandboxHost, StateDocument, TokenService } from "../contracts.ts";
import { BUILTIN_ROLES } from "./builtin-roles.ts";
import type { RoleDefinition } from "./builtin-roles.ts";
import { ArmError } from "./errors.ts";
import { ownerOf } from "./subscriptions.ts";

export interface RoleAssignment {
  /** ARM id: `<scope>/providers/Microsoft.Authorization/roleAssignments/<GUID>`. */
  readonly id: string;
  /** ARM id; `/` is the tenant root. */
  readonly scope: string;
  readonly principalId: string;
  /** GUID of a built-in role. */
  readonly roleId: string;
}

const OWNER = BUILTIN_ROLES.find(({ name }) => name === "Owner")!;

/**
 * Azure role-based access control: who may do what where. Assignments take effect at once and are kept in the state folder;
 * every seeded user owns the own subscription without an assignment. Conditions and deny assignments are not simulated.
 */
export class Roles implements RoleBasedAccess {
  readonly #state: StateDocument<{ assignments: RoleAssignment[] }>;
  readonly #tokens: Pick<TokenService, "users" | "findByObjectId">;

  constructor(host: Pick<SandboxHost, "document">, tokens: Pick<TokenService, "users" | "findByObjectId">) {
    this.#state = host.document("azure-roles", () => ({ assignments: [] }));
    this.#tokens = tokens;
  }

  isAllowed(objectId: string, operation: { action: string } | { dataAction: string }, scope: string): boolean {
    if (!this.#tokens.findByObjectId(objectId)) return false;
    return this.#rolesOf(objectId, scope).some((role) => permits(role, operation));
  }

  find(id: string): RoleAssignment | undefined {
    return this.#state.value.assignments.find((assignment) => sameText(assignment.id, id));
  }

  /** Creates or replaces an assignment. @throws {ArmError} as Azure refuses it. */
  assign(assignment: RoleAssignment): void {
    const { scope, principalId, roleId } = assignment;
    if (!BUILTIN_ROLES.some(({ id }) => id === roleId)) {
      throw new ArmError(
        404,
        "RoleDefinitionDoesNotExist",
        `The specified role definition with ID '${roleId}' does not exist.`,
      );
    }
    const twin = this.#state.value.assignments.find(
      (other) =>
        sameText(other.scope, scope) && sameText(other.principalId, principalId) && sameText(other.roleId, roleId),
    );
    if (twin && !sameText(twin.id, assignment.id)) {
      const name = twin.id.slice(twin.id.lastIndexOf("/") + 1);
      throw new ArmError(
        409,
        "RoleAssignmentExists",
        `The role assignment already exists. The ID of the existing role assignment is ${name.replaceAll("-", "")}.`,
      );
    }
    this.#save([...this.#without(assignment.id), assignment]);
  }

  unassign(id: string): void {
    this.#save(this.#without(id));
  }

  /** What was granted on a resource disappears with it. */
  unassignBelow(scope: string): void {
    this.#save(this.#state.value.assignments.filter((assignment) => !isWithin(assignment.scope, scope)));
  }

  #rolesOf(objectId: string, scope: string): RoleDefinition[] {
    const assigned = this.#state.value.assignments
      .filter((assignment) => sameText(assignment.principalId, objectId) && isWithin(scope, assignment.scope))
      .map(({ roleId }) => BUILTIN_ROLES.find(({ id }) => id === roleId)!);
    const subscription = /^\/subscriptions\/([^/]+)/i.exec(scope)?.[1];
    const owner = subscription ? ownerOf(subscription, this.#tokens) : undefined;
    return owner && sameText(owner.objectId, objectId) ? [OWNER, ...assigned] : assigned;
  }

  #without(id: string): RoleAssignment[] {
    return this.#state.value.assignments.filter((assignment) => !sameText(assignment.id, id));
  }

  #save(assignments: RoleAssignment[]): void {
    if (isDeepStrictEqual(assignments, this.#state.value.assignments)) return;
    this.#state.value.assignments = assignments;
    this.#state.save();
  }
}

/** Whether one role alone permits an operation. Operations are compared without regard to case; `*` matches anything, `/` too. */
export function permits(role: RoleDefinition, operation: { action: string } | { dataAction: string }): boolean {
  if ("action" in operation) {
    return matchesAny(role.actions, operation.action) && !matchesAny(role.notActions, operation.action);
  }
  return matchesAny(role.dataActions, operation.dataAction) && !matchesAny(role.notDataActions, operation.dataAction);
}

function matchesAny(patterns: readonly string[] | undefined, operation: string): boolean {
  return (patterns ?? []).some((pattern) => expressionOf(pattern).test(operation));
}

/** Every blob request asks; the few patterns there are get compiled once. */
const expressions = new Map<string, RegExp>();

function expressionOf(pattern: string): RegExp {
  let expression = expressions.get(pattern);
  if (!expression) {
    const parts = pattern.split("*").map((part) => part.replaceAll(/[.+?^${}()|[\]\\]/g, "\\$&"));
    expression = new RegExp(`^${parts.join(".*")}$`, "i");
    expressions.set(pattern, expression);
  }
  return expression;
}

/** Whether `scope` is `ancestor` itself or lies below it. */
function isWithin(scope: string, ancestor: string): boolean {
  const root = ancestor.replace(/\/+$/, "").toLowerCase();
  const candidate = scope.replace(/\/+$/, "").toLowerCase();
  return candidate === root || candidate.startsWith(`${root}/`);
}

function sameText(left: string, right: string): boolean {
  return left.toLowerCase() === right.toLowerCase();
}
