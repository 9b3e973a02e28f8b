import { requireAttestedCaller, wrap } from "../attestation.ts";
import { CcfError, ok, type CcfReply } from "../errors.ts";
import type { Transaction } from "../kv.ts";
import { openProposalsWith } from "../proposals.ts";
import { acceptedMemberDocuments, contracts, memberDocuments, type MemberDocument } from "../tables.ts";
import { param, read, requireVersion, write, type AppContext, type AppRoute } from "./route.ts";

const IN_CONTRACT = "/contracts/{contractId}/memberdocuments";

/** The paths below a contract are aliases: ids are global and the contract of the path counts only for `accepted`. */
export const memberDocumentRoutes: readonly AppRoute[] = [
  read("GET", IN_CONTRACT, "MUJ", list),
  write("PUT", `${IN_CONTRACT}/{documentId}`, "M", put),
  read("POST", `${IN_CONTRACT}/{documentId}`, "MUJ", get),
  read("POST", `${IN_CONTRACT}/accepted/{documentId}`, "", getAccepted),
  read("GET", "/memberdocuments", "MUJ", list),
  write("PUT", "/memberdocuments/{documentId}", "M", put),
  read("GET", "/memberdocuments/{documentId}", "MUJ", get),
];

/** A bare array, unlike every other list. */
function list({ tx }: AppContext): CcfReply {
  return ok([...new Set([...tx.keys(memberDocuments), ...tx.keys(acceptedMemberDocuments)])].map((id) => ({ id })));
}

function put(context: AppContext): CcfReply {
  const { tx } = context;
  const id = param(context, "documentId");
  if (tx.has(acceptedMemberDocuments, id))
    throw new CcfError(405, "DocumentAlreadyAccepted", "An accepted document cannot be changed.");
  const { contractId, data, version } = context.body();
  if (!contractId) throw new CcfError(400, "ContractIdMissing", "Contract Id must be specified.");
  if (!data) throw new CcfError(400, "DataMissing", "Document data must be supplied.");
  if (!tx.has(contracts, String(contractId)))
    throw new CcfError(404, "ContractNotFound", "A contract with the specified id was not found.");
  requireVersion(tx.version(memberDocuments, id), version, "Document");
  tx.put(memberDocuments, id, { contractId: String(contractId), data });
  return ok();
}

function get(context: AppContext): CcfReply {
  const { tx } = context;
  const id = param(context, "documentId");
  const accepted = describeAccepted(tx, id);
  if (accepted) return ok(accepted);
  const open = openProposalsWith(
    tx,
    ({ name, args }) => name === "set_member_document" && args["documentId"] === id,
  )[0];
  if (open) {
    const { contractId, data, version } = open.action.args["document"] as MemberDocument & { version?: string };
    return ok({ id, version, state: "Proposed", contractId, data, proposalId: open.id });
  }
  const draft = tx.get(memberDocuments, id);
  if (!draft) throw notFound();
  return ok({ id, version: tx.version(memberDocuments, id), state: "Draft", ...draft, proposalId: "" });
}

function getAccepted(context: AppContext): CcfReply {
  const contractId = param(context, "contractId");
  const publicKey = requireAttestedCaller(context, contractId, context.body());
  const document = describeAccepted(context.tx, param(context, "documentId"));
  if (!document) throw notFound();
  if (document.contractId !== contractId) {
    throw new CcfError(
      400,
      "ContractIdMismatch",
      `Document belongs to contract ${document.contractId}, not ${contractId}.`,
    );
  }
  return ok({ value: wrap(publicKey, JSON.stringify(document)) });
}

function describeAccepted(tx: Transaction, id: string) {
  const accepted = tx.get(acceptedMemberDocuments, id);
  return accepted && { id, version: tx.version(acceptedMemberDocuments, id), state: "Accepted", ...accepted };
}

const notFound = (): CcfError =>
  new CcfError(404, "DocumentNotFound", "A document with the specified id was not found.");
