import type { CcfTransport } from "../ccf/transport.ts";
import { contractPath } from "./contracts.ts";
import type { AuditEvent, ProposalHistoryEntry } from "./types.ts";

interface EventRecord extends Omit<AuditEvent, "timestamp"> {
  /** Milliseconds since 1970, 13 digits. */
  readonly timestamp: string;
}

export interface HistoryRange {
  /** First ledger position; default 1. */
  readonly from?: number;
  /** Last one, which must be committed; default the present. */
  readonly to?: number;
}

/** Audit events of a contract's clean rooms. */
export class Events {
  private readonly transport: CcfTransport;

  constructor(transport: CcfTransport) {
    this.transport = transport;
  }

  /** The last event written under an id and scope. */
  async latest(contractId: string, key: { id?: string; scope?: string } = {}): Promise<AuditEvent | undefined> {
    const path = `${contractPath(contractId)}/events${query(key)}`;
    const { body } = await this.transport.get<{ value: EventRecord[] }>(path);
    return body.value[0] && toEvent(body.value[0]);
  }

  /** Every event, oldest first as the ledger holds them; read in pages. */
  async *history(
    contractId: string,
    range: HistoryRange & { id?: string; scope?: string } = {},
  ): AsyncGenerator<AuditEvent> {
    const path = `${contractPath(contractId)}/events${query({ ...rangeQuery(range), id: range.id, scope: range.scope })}`;
    for await (const record of this.transport.pages<EventRecord>(path)) yield toEvent(record);
  }
}

/** How governance proposals went; the network itself forgets resolved ones. */
export class ProposalHistory {
  private readonly transport: CcfTransport;

  constructor(transport: CcfTransport) {
    this.transport = transport;
  }

  of(proposalId: string, range: HistoryRange = {}): AsyncGenerator<ProposalHistoryEntry> {
    return this.transport.pages(
      `/app/proposals/${encodeURIComponent(proposalId)}/historical${query(rangeQuery(range))}`,
    );
  }
}

/** Secrets that only attested clean rooms can read. */
export class Secrets {
  private readonly transport: CcfTransport;

  constructor(transport: CcfTransport) {
    this.transport = transport;
  }

  /** Ids of every owner's secrets, no values. */
  async list(contractId: string): Promise<string[]> {
    const { body } = await this.transport.get<{ value: { secretId: string }[] }>(`${contractPath(contractId)}/secrets`);
    return body.value.map(({ secretId }) => secretId);
  }

  /** Creates or overwrites the caller's secret. @param value at most 25600 characters. @returns `<caller id>_<name>` */
  async put(contractId: string, name: string, value: string): Promise<{ secretId: string }> {
    const path = `${contractPath(contractId)}/secrets/${encodeURIComponent(name)}`;
    return (await this.transport.put<{ secretId: string }>(path, { value })).body;
  }
}

const rangeQuery = (range: HistoryRange): Record<string, number | undefined> => ({
  from_seqno: range.from ?? 1,
  to_seqno: range.to,
});

function query(parameters: Record<string, string | number | undefined>): string {
  const pairs = Object.entries(parameters)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(value!)}`);
  return pairs.length > 0 ? `?${pairs.join("&")}` : "";
}

function toEvent(record: EventRecord): AuditEvent {
  const { scope, id, seqno, timestamp, data } = record;
  return {
    ...(scope !== undefined && { scope }),
    id,
    seqno,
    timestamp: new Date(Number(timestamp)).toISOString(),
    data,
  };
}
