import { z } from "zod";
import type { ActionContext, ActionDefinition, ActionSet } from "./action.ts";
import { baseActions } from "./base-actions.ts";
import { cgsActions } from "./cgs-actions.ts";
import type { Transaction } from "./kv.ts";
import type { Action } from "./tables.ts";

/** The actions a constitution knows: CGS adds its own to those of CCF. */
export const actionsOf = (isCgs: boolean): ActionSet => (isCgs ? { ...baseActions, ...cgsActions } : baseActions);

/** @returns the reasons why the proposal is not valid, in CCF's words; empty when it is. */
export function validateActions(actions: readonly Action[], known: ActionSet, tx: Transaction): string[] {
  return actions.flatMap(({ name, args }, position) => {
    const definition = Object.hasOwn(known, name) ? known[name] : undefined;
    if (!definition) return [`${name}: no such action`];
    try {
      definition.check(definition.parse(args), tx);
      return [];
    } catch (error) {
      return [`${name} at position ${position} failed validation: ${reasonOf(error)}`];
    }
  });
}

export function applyActions(actions: readonly Action[], known: ActionSet, context: ActionContext): void {
  for (const { name, args } of actions) {
    const definition = known[name] as ActionDefinition;
    definition.apply(definition.parse(args), context);
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof z.ZodError)) return `Error: ${(error as Error).message}`;
  return error.issues.map((issue) => `${issue.path.join(".") || "args"}: ${issue.message}`).join(", ");
}
