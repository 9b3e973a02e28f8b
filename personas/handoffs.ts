import * as pulumi from "@pulumi/pulumi";
import {
  parseCollaboratorHandoff,
  parseOperatorHandoff,
  type CollaboratorHandoff,
  type OperatorHandoff,
} from "../domain/handoff.ts";
import type { HandoffSource } from "../settings.ts";

const references = new Map<string, pulumi.StackReference>();

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
  const name = qualified(source.stack);
  if (!(await exists(name))) return undefined;
  let reference = references.get(name);
  if (!reference) references.set(name, (reference = new pulumi.StackReference(name)));
  const { value } = await reference.getOutputDetails("handoff");
  return value === undefined ? undefined : { origin: `Stack ${source.stack}`, value };
}

/** A reference to a stack that does not exist fails the whole program; not to be there yet is a normal state here. */
async function exists(stack: string): Promise<boolean> {
  try {
    await pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", { name: stack });
    return true;
  } catch (error) {
    if (/unknown stack/.test(String(error))) return false;
    throw error;
  }
}

/** `stack` alone means a stack of this project and organisation. */
function qualified(stack: string): string {
  return stack.includes("/") ? stack : `${pulumi.getOrganization()}/${pulumi.getProject()}/${stack}`;
}
