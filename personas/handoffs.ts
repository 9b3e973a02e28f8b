import * as pulumi from "@pulumi/pulumi";
import {
  parseCollaboratorHandoff,
  parseOperatorHandoff,
  type CollaboratorHandoff,
  type OperatorHandoff,
} from "../domain/handoff.ts";
import type { HandoffSource } from "../settings.ts";

/** What the operator says, or `undefined` while it has said nothing. */
export async function operatorHandoff(source: HandoffSource): Promise<OperatorHandoff | undefined> {
  const found = await receive(source);
  return found && parseOperatorHandoff(found.origin, found.value);
}

/** What another collaborator says, or `undefined` while it has said nothing. */
export async function collaboratorHandoff(source: HandoffSource | undefined): Promise<CollaboratorHandoff | undefined> {
  const found = source && (await receive(source));
  return found && parseCollaboratorHandoff(found.origin, found.value);
}

/** What this stack itself said after its last update. */
export function ownHandoff(): Promise<CollaboratorHandoff | undefined> {
  return collaboratorHandoff({ kind: "stack", stack: pulumi.getStack() });
}

async function receive(source: HandoffSource): Promise<{ origin: string; value: unknown } | undefined> {
  if (source.kind === "document") return { origin: source.origin, value: source.value };
  const value = (await stackOutputs(qualified(source.stack)))?.["handoff"];
  return value === undefined ? undefined : { origin: `Stack ${source.stack}`, value };
}

/**
 * The outputs of a stack, or `undefined` while there is none of that name: not to be there yet is a normal state here.
 * This is what a StackReference asks the engine, which fails the whole program then, and reads every state twice if asked
 * beforehand.
 */
async function stackOutputs(name: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  try {
    const { outputs } = await pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", { name });
    return outputs;
  } catch (error) {
    if (/unknown stack/.test(String(error))) return undefined;
    throw error;
  }
}

/** `stack` alone means a stack of this project and organisation. */
function qualified(stack: string): string {
  return stack.includes("/") ? stack : `${pulumi.getOrganization()}/${pulumi.getProject()}/${stack}`;
}
