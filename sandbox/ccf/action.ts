import type { z } from "zod";
import type { Transaction } from "./kv.ts";
import type { CcfNetwork } from "./network.ts";

export interface ActionContext {
  readonly tx: Transaction;
  readonly network: CcfNetwork;
  readonly proposalId: string;
  /** Member id to vote, fixed when the proposal was resolved. */
  readonly finalVotes: Readonly<Record<string, boolean>>;
}

/** One action of a constitution: what its arguments are, when it is valid, what it does. */
export interface ActionDefinition {
  parse(args: unknown): unknown;
  check(args: unknown, tx: Transaction): void;
  apply(args: unknown, context: ActionContext): void;
}

/** Ties the three parts of an action to one argument type. */
export function action<Shape extends z.ZodType>(
  args: Shape,
  apply: (args: z.output<Shape>, context: ActionContext) => void,
  check: (args: z.output<Shape>, tx: Transaction) => void = () => undefined,
): ActionDefinition {
  return {
    parse: (value) => args.parse(value ?? {}),
    check: (value, tx) => check(value as z.output<Shape>, tx),
    apply: (value, context) => apply(value as z.output<Shape>, context),
  };
}

export type ActionSet = Readonly<Record<string, ActionDefinition>>;
