import { CcfTransport } from "../clients/ccf/transport.ts";
import { userTokenSource } from "../clients/azure/credential.ts";
import { CgsClient } from "../clients/cgs/client.ts";
import type { AuditEvent } from "../clients/cgs/types.ts";
import { parseOperatorHandoff, type Consortium } from "../domain/handoff.ts";
import { StackView } from "./stack.ts";
import { auditTable } from "./tables.ts";

export async function auditCommand(options: {
  stack: string;
  project: string;
  operator?: string;
  json?: boolean;
}): Promise<void> {
  const viewer = await StackView.open(options.project, options.stack);
  const operator = await StackView.open(options.project, options.operator ?? "operator");
  const { consortium } = parseOperatorHandoff(`Stack ${operator.name}`, operator.output("handoff"));
  const events = await auditEvents(viewer, consortium);
  const lines = options.json ? events.map((event) => JSON.stringify(event)) : [auditTable(events)];
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
}

async function auditEvents(viewer: StackView, consortium: Consortium): Promise<AuditEvent[]> {
  const transport = new CcfTransport(consortium, { token: userTokenSource(viewer.credential()) });
  try {
    const events: AuditEvent[] = [];
    for await (const event of new CgsClient(transport).events.history(consortium.contractId)) events.push(event);
    return events;
  } finally {
    transport.close();
  }
}
