import {
  claimsOf,
  requirePolicy,
  requireReportData,
  requireSignaturePart,
  requireSignedData,
  verifyEvidence,
  type Body,
} from "../attestation.ts";
import { CcfError, ok, type CcfReply } from "../errors.ts";
import { pageOf } from "../paging.ts";
import { events } from "../tables.ts";
import { param, read, write, type AppContext, type AppRoute } from "./route.ts";

const PATH = "/contracts/{contractId}/events";
const WRITERS = [{ delegateType: "events", delegateId: "writer" }];
const MAX_TIMESTAMP = 9_999_999_999_999;

export const eventRoutes: readonly AppRoute[] = [
  read("GET", PATH, "MUJ", listEvents),
  write("PUT", PATH, "JN", putEvent),
];

function putEvent(context: AppContext): CcfReply {
  const { tx, caller } = context;
  const contractId = param(context, "contractId");
  const body = context.body();
  if (caller.policy === "no_auth") {
    if (!body["attestation"]) throw new CcfError(400, "AttestationMissing", "Attestation payload must be supplied.");
    requireSignaturePart(body);
  } else if (caller.policy === "jwt") {
    requireSignaturePart(body);
  } else {
    throw new CcfError(400, "UnsupportedAuthPolicy", `Auth policy '${caller.policy}' is not supported.`);
  }
  const timestamp = requireTimestamp(body);
  if (caller.policy === "jwt") {
    requireTokenPolicy(context, contractId, caller.payload);
  } else {
    const quote = verifyEvidence(body, context.attestation, { platformRequired: true });
    requirePolicy(tx, contractId, claimsOf(quote), WRITERS);
    requireReportData(quote, (body["sign"] as Body)["publicKey"]);
  }
  const data = requireSignedData(body);
  const { key, table } = locate(context);
  tx.put(table, key, { timestamp, data });
  return { status: 204 };
}

function requireTokenPolicy(context: AppContext, contractId: string, payload: Readonly<Record<string, unknown>>): void {
  try {
    requirePolicy(context.tx, contractId, payload, WRITERS);
  } catch (error) {
    throw new CcfError(400, "VerifyJwtAttestationFailed", (error as Error).message);
  }
}

function requireTimestamp(body: Body): string {
  const timestamp = body["timestamp"];
  if (!timestamp) throw new CcfError(400, "TimestampMissing", "Timestamp payload must be supplied.");
  const milliseconds = Number(timestamp);
  if (!Number.isInteger(milliseconds) || milliseconds < 0)
    throw new Error(`Timestamp '${String(timestamp)}' is not a number of milliseconds`);
  if (milliseconds > MAX_TIMESTAMP)
    throw new CcfError(400, "TimestampTooLarge", `Timestamp must be at most ${MAX_TIMESTAMP}.`);
  return String(milliseconds).padStart(13, "0");
}

/** The map keeps one current value a key; what it held before is read from the ledger, by range. */
function listEvents(context: AppContext): CcfReply {
  const { tx, query } = context;
  const { key, table, scope } = locate(context);
  const common = { scope: scope ?? "", id: key };
  if (!query.has("from_seqno") && !query.has("to_seqno")) {
    const current = tx.get(table, key);
    if (!current) return ok({ value: [] });
    const seqno = Number(tx.version(table, key)?.split(".")[1]);
    return ok({
      value: [
        { ...common, seqno, timestamp: current.timestamp, timestamp_iso: iso(current.timestamp), data: current.data },
      ],
    });
  }
  const page = pageOf(query, tx.store.seqno);
  if (context.historicalPending()) return { status: 202, headers: { "retry-after": "1" } };
  const value = tx.store
    .revisions(table, key, page.from, page.to)
    .flatMap(({ value: event, seqno }) =>
      event
        ? [{ ...common, seqno, timestamp: event.timestamp, timestampIso: iso(event.timestamp), data: event.data }]
        : [],
    );
  const tail = `&id=${encodeURIComponent(key)}${scope ? `&scope=${encodeURIComponent(scope)}` : ""}`;
  const path = `/app/contracts/${encodeURIComponent(param(context, "contractId"))}/events`;
  return ok({ value, ...(page.next && { nextLink: `${path}?${page.next}${tail}` }) });
}

function locate(context: AppContext) {
  const contractId = param(context, "contractId");
  const scope = context.query.get("scope") ?? undefined;
  return { key: context.query.get("id") ?? contractId, scope, table: events(contractId, scope) };
}

const iso = (timestamp: string): string => new Date(Number(timestamp)).toISOString();
