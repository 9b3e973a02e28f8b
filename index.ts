import * as pulumi from "@pulumi/pulumi";
import { readFileSync } from "node:fs";
import { UserError } from "./domain/errors.ts";
import { parseSettings } from "./settings.ts";

// The sources run as they are written. Pulumi would look for source maps each time it notes where a promise was made,
// hundreds of times: a tenth of the start-up.
Object.assign(Error, { prepareStackTrace: undefined });

const outputs = await program().catch((error: unknown) => {
  // Mistakes of the user are shown as they are; everything else keeps its stack.
  throw error instanceof UserError ? new pulumi.RunError(error.message) : error;
});

async function program(): Promise<{
  handoff: unknown;
  pending: unknown;
  pendingApprovals?: unknown;
  results?: unknown;
}> {
  const settings = parseSettings(pulumi.runtime.allConfig(), { read: (path) => readFileSync(path, "utf8") });
  if (settings.role === "operator") return (await import("./personas/operator.ts")).operator(settings);
  return (await import("./personas/collaborator.ts")).collaborator(settings);
}

export const handoff = outputs.handoff;
export const pending = outputs.pending;
export const pendingApprovals = outputs.pendingApprovals ?? [];
export const results = outputs.results ?? {};
