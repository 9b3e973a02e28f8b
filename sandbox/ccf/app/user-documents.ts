import { requireAttestedCaller, verifyEvidence, wrap } from "../attestation.ts";
import { CcfError, ok, type CcfReply } from "../errors.ts";
import type { Transaction } from "../kv.ts";
import {
  acceptedUserDocuments,
  contracts,
  userDocumentOptions,
  userDocuments,
  userProposalInfos,
  userProposals,
  type Status,
  type UserDocument,
  type UserProposal,
  type UserProposalInfo,
} from "../tables.ts";
import { idOf, param, read, requireVersion, write, type AppContext, type AppRoute } from "./route.ts";

const IN_CONTRACT = "/contracts/{contractId}/userdocuments";
const OPTION = `${IN_CONTRACT}/{documentId}/runtimeoptions/{option}`;
const OPTIONS = ["execution", "telemetry"];

/** The paths below a contract are aliases: ids are global and the contract of the path counts only where said. */
export const userDocumentRoutes: readonly AppRoute[] = [
  read("GET", IN_CONTRACT, "MUJ", list),
  write("PUT", `${IN_CONTRACT}/{documentId}`, "MUJ", put),
  read("POST", `${IN_CONTRACT}/{documentId}`, "MUJ", get),
  read("POST", `${IN_CONTRACT}/accepted/{documentId}`, "", getAccepted),
  read("GET", "/userdocuments", "MUJ", list),
  write("PUT", "/userdocuments/{documentId}", "MUJ", put),
  read("GET", "/userdocuments/{documentId}", "MUJ", get),
  read("POST", `${OPTION}/status`, "MUJN", optionStatus),
  write("POST", `${OPTION}/enable`, "MUJ", (context) => setOption(context, "enabled")),
  write("POST", `${OPTION}/disable`, "MUJ", (context) => setOption(context, "disabled")),
];

export interface OpenUserProposal {
  readonly id: string;
  readonly info: UserProposalInfo;
  readonly proposal: UserProposal;
}

export function openUserProposals(tx: Transaction): OpenUserProposal[] {
  return tx.entries(userProposalInfos).flatMap(([id, info]) => {
    const proposal = tx.get(userProposals, id)?.actions[0];
    return info.state === "Open" && proposal ? [{ id, info, proposal }] : [];
  });
}

function list(context: AppContext): CcfReply {
  const { tx } = context;
  const selectors = parseSelectors(context.query.get("labelSelector"));
  const rows = new Map<string, UserDocument>([...tx.entries(userDocuments), ...tx.entries(acceptedUserDocuments)]);
  const selected = [...rows].filter(([, { labels }]) => selectors.every(([name, value]) => labels?.[name] === value));
  return ok({ value: selected.map(([id, { labels }]) => ({ id, ...(labels && { labels }) })) });
}

function parseSelectors(text: string | null): [name: string, value: string][] {
  if (text === null) return [];
  return text.split(",").map((selector) => {
    const [name, value, ...rest] = selector.split(":");
    if (!name || !value || rest.length > 0) {
      throw new CcfError(400, "InvalidParameter", `Label selector '${selector}' must have the form name:value.`);
    }
    return [name, value];
  });
}

function put(context: AppContext): CcfReply {
  const { tx } = context;
  const id = param(context, "documentId");
  if (tx.has(acceptedUserDocuments, id)) throw alreadyAccepted();
  const { contractId, data, version, labels, approvers } = context.body();
  if (!contractId) throw new CcfError(400, "ContractIdMissing", "Contract Id must be specified.");
  if (!data) throw new CcfError(400, "DataMissing", "Document data must be supplied.");
  if (!tx.has(contracts, String(contractId)))
    throw new CcfError(404, "ContractNotFound", "A contract with the specified id was not found.");
  requireVersion(tx.version(userDocuments, id), version, "UserDocument");
  tx.put(userDocuments, id, { contractId, data, labels, approvers } as UserDocument);
  return ok();
}

function get(context: AppContext): CcfReply {
  const { tx } = context;
  const id = param(context, "documentId");
  const accepted = describeAccepted(tx, id);
  if (accepted) return ok(accepted);
  const open = openUserProposals(tx).find(({ proposal }) => proposal.args.documentId === id);
  if (open) {
    const { contractId, data, labels, version } = open.proposal.args.document;
    const { approvers } = open.proposal;
    return ok({
      id,
      state: "Proposed",
      contractId,
      data,
      labels,
      version,
      approvers,
      proposalId: open.id,
      proposerId: open.info.proposerId,
    });
  }
  const draft = tx.get(userDocuments, id);
  if (!draft) throw notFound();
  return ok({ id, state: "Draft", version: tx.version(userDocuments, id), ...draft, proposalId: "", proposerId: "" });
}

function getAccepted(context: AppContext): CcfReply {
  const contractId = param(context, "contractId");
  const publicKey = requireAttestedCaller(context, contractId, context.body());
  const document = describeAccepted(context.tx, param(context, "documentId"));
  if (!document) throw notFound();
  requireContract(document, contractId);
  return ok({ value: wrap(publicKey, JSON.stringify(document)) });
}

function describeAccepted(tx: Transaction, id: string) {
  const accepted = tx.get(acceptedUserDocuments, id);
  return accepted && { id, version: tx.version(acceptedUserDocuments, id), state: "Accepted", ...accepted };
}

function optionStatus(context: AppContext): CcfReply {
  const { tx } = context;
  if (context.caller.policy === "no_auth")
    verifyEvidence(context.body(), context.attestation, { platformRequired: false });
  const accepted = tx.get(acceptedUserDocuments, param(context, "documentId"));
  if (!accepted)
    return ok({
      status: "disabled",
      reason: { code: "UserDocumentNotAccepted", message: "User document is not in accepted state." },
    });
  const option = requireOption(context);
  requireContract(accepted, param(context, "contractId"));
  const disabledBy = optionMap(context, option)
    .filter(([, status]) => status === "disabled")
    .map(([approverId]) => approverId);
  if (disabledBy.length === 0) return ok({ status: "enabled" });
  const message = `User document runtime option ${option} has been disabled by the following approver(s): a[${disabledBy.join(",")}]`;
  return ok({ status: "disabled", reason: { code: "UserDocumentRuntimeOptionDisabled", message } });
}

function setOption(context: AppContext, status: Status): CcfReply {
  const { tx } = context;
  const id = param(context, "documentId");
  const option = requireOption(context);
  const accepted = tx.get(acceptedUserDocuments, id);
  if (!accepted) throw new CcfError(400, "UserDocumentNotAccepted", "User document is not in accepted state.");
  if (!accepted.approvers?.length) throw new CcfError(400, "ApproversNotFound", "The user document has no approvers.");
  const caller = idOf(context);
  if (!accepted.approvers.some(({ approverId }) => approverId === caller)) {
    throw new CcfError(403, "NotUserDocumentApprover", "Caller is not an approver of the user document.");
  }
  const statuses = new Map(optionMap(context, option)).set(caller, status);
  tx.put(userDocumentOptions, `${id}_${option}`, { serializedApproverToStatusMap: JSON.stringify([...statuses]) });
  return ok();
}

function optionMap(context: AppContext, option: string): [approverId: string, status: Status][] {
  const row = context.tx.get(userDocumentOptions, `${param(context, "documentId")}_${option}`);
  return row ? (JSON.parse(row.serializedApproverToStatusMap) as [string, Status][]) : [];
}

function requireOption(context: AppContext): string {
  const option = param(context, "option");
  if (!OPTIONS.includes(option))
    throw new CcfError(400, "InvalidUserDocumentRuntimeOption", `Option '${option}' is not supported.`);
  return option;
}

function requireContract(document: UserDocument, contractId: string): void {
  if (document.contractId !== contractId) {
    throw new CcfError(
      400,
      "ContractIdMismatch",
      `Document belongs to contract ${document.contractId}, not ${contractId}.`,
    );
  }
}

const notFound = (): CcfError =>
  new CcfError(404, "UserDocumentNotFound", "A user document with the specified id was not found.");

export const alreadyAccepted = (): CcfError =>
  new CcfError(405, "UserDocumentAlreadyAccepted", "An accepted user document cannot be changed.");
