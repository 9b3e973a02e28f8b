import { verifyEvidence } from "../attestation.ts";
import { CcfError, ok, type CcfReply } from "../errors.ts";
import { openProposalsWith } from "../proposals.ts";
import { CGS_OPTIONS } from "../options.ts";
import {
  acceptedContracts,
  cgsRuntimeOptions,
  contracts,
  deploymentInfos,
  deploymentSpecs,
  executionStatus,
  loggingStatus,
  telemetryStatus,
  type Status,
} from "../tables.ts";
import { idOf, param, read, requireVersion, write, type AppContext, type AppRoute } from "./route.ts";

const STATES = ["Draft", "Proposed", "Accepted"];

export const contractRoutes: readonly AppRoute[] = [
  read("GET", "/contracts", "MUJ", listContracts),
  write("PUT", "/contracts/{contractId}", "M", putContract),
  read("POST", "/contracts/{contractId}", "MUJ", getContract),
  read("POST", "/contracts/{contractId}/runtimeoptions/{option}/status", "MUJN", getContractOption),
  write("POST", "/contracts/{contractId}/runtimeoptions/{option}/enable", "M", (context) =>
    setExecution(context, "enabled"),
  ),
  write("POST", "/contracts/{contractId}/runtimeoptions/{option}/disable", "M", (context) =>
    setExecution(context, "disabled"),
  ),
  read("POST", "/contracts/{contractId}/deploymentspec", "", (context) => deployment(context, "set_deployment_spec")),
  read("POST", "/contracts/{contractId}/deploymentinfo", "", (context) => deployment(context, "set_deployment_info")),
  read("POST", "/runtimeoptions/{option}/status", "MUJ", getCgsOption),
];

const proposedContracts = (context: AppContext) => openProposalsWith(context.tx, ({ name }) => name === "set_contract");

function listContracts(context: AppContext): CcfReply {
  const { tx } = context;
  const state = context.query.get("state");
  if (state !== null && !STATES.includes(state))
    throw new CcfError(400, "InvalidParameter", `State must be one of ${STATES.join(", ")}.`);
  const accepted = tx.keys(acceptedContracts);
  const drafts = tx.keys(contracts).filter((id) => !accepted.includes(id));
  const proposed = proposedContracts(context).map(({ action }) => action.args["contractId"]);
  const ids = {
    Draft: drafts.filter((id) => !proposed.includes(id)),
    Proposed: drafts.filter((id) => proposed.includes(id)),
    Accepted: accepted,
  };
  const selected = state === null ? [...drafts, ...accepted] : ids[state as keyof typeof ids];
  return ok({ value: selected.map((id) => ({ id })) });
}

function putContract(context: AppContext): CcfReply {
  const { tx } = context;
  const id = param(context, "contractId");
  if (tx.has(acceptedContracts, id))
    throw new CcfError(405, "ContractAlreadyAccepted", "An accepted contract cannot be changed.");
  const { data, version } = context.body();
  if (!data) throw new CcfError(400, "DataMissing", "Contract data must be supplied.");
  requireVersion(tx.version(contracts, id), version, "Contract");
  tx.put(contracts, id, { data });
  return ok();
}

function getContract(context: AppContext): CcfReply {
  const { tx } = context;
  const id = param(context, "contractId");
  const accepted = tx.get(acceptedContracts, id);
  if (accepted) return ok({ id, version: tx.version(acceptedContracts, id), state: "Accepted", ...accepted });
  const proposed = proposedContracts(context).find(({ action }) => action.args["contractId"] === id);
  if (proposed) {
    const { data, version } = proposed.action.args["contract"] as { data: unknown; version?: string };
    return ok({ id, state: "Proposed", data, version, proposalId: proposed.id });
  }
  const draft = tx.get(contracts, id);
  if (!draft) throw new CcfError(404, "ContractNotFound", "A contract with the specified id was not found.");
  return ok({ id, state: "Draft", version: tx.version(contracts, id), data: draft.data, proposalId: "" });
}

function getContractOption(context: AppContext): CcfReply {
  const { tx } = context;
  if (context.caller.policy === "no_auth")
    verifyEvidence(context.body(), context.attestation, { platformRequired: false });
  const contractId = param(context, "contractId");
  const option = param(context, "option");
  if (option !== "execution" && option !== "logging" && option !== "telemetry") throw invalidOption(option);
  if (!tx.has(acceptedContracts, contractId)) {
    return ok({
      status: "disabled",
      reason: { code: "ContractNotAccepted", message: "Contract is not in accepted state." },
    });
  }
  if (option === "execution") {
    const disabledBy = executionMap(context, contractId)
      .filter(([, status]) => status === "disabled")
      .map(([memberId]) => memberId);
    if (disabledBy.length === 0) return ok({ status: "enabled" });
    const message = `Contract has been disabled by the following member(s): m[${disabledBy.join(",")}]`;
    return ok({ status: "disabled", reason: { code: "ContractDisabled", message } });
  }
  const status = tx.get(option === "logging" ? loggingStatus : telemetryStatus, contractId)?.status ?? "disabled";
  const enabling = openProposalsWith(
    tx,
    ({ name, args }) => name === `set_contract_runtime_options_enable_${option}` && args["contractId"] === contractId,
  );
  return ok({ status, proposalIds: enabling.map(({ id }) => id) });
}

function setExecution(context: AppContext, status: Status): CcfReply {
  const contractId = param(context, "contractId");
  if (param(context, "option") !== "execution") throw invalidOption(param(context, "option"));
  if (!context.tx.has(acceptedContracts, contractId)) {
    throw new CcfError(400, "ContractNotAccepted", "Contract is not in accepted state.");
  }
  const statuses = new Map(executionMap(context, contractId)).set(idOf(context), status);
  context.tx.put(executionStatus, contractId, { serializedMemberToStatusMap: JSON.stringify([...statuses]) });
  return ok();
}

function executionMap(context: AppContext, contractId: string): [memberId: string, status: Status][] {
  const row = context.tx.get(executionStatus, contractId);
  return row ? (JSON.parse(row.serializedMemberToStatusMap) as [string, Status][]) : [];
}

function getCgsOption(context: AppContext): CcfReply {
  const option = param(context, "option");
  if (!(CGS_OPTIONS as readonly string[]).includes(option)) throw invalidOption(option);
  return ok({ status: context.tx.get(cgsRuntimeOptions, option)?.status ?? "disabled" });
}

const invalidOption = (option: string): CcfError =>
  new CcfError(400, "InvalidOption", `Option '${option}' is not supported.`);

function deployment(context: AppContext, action: "set_deployment_spec" | "set_deployment_info"): CcfReply {
  const contractId = param(context, "contractId");
  const open = openProposalsWith(context.tx, ({ name, args }) => name === action && args["contractId"] === contractId);
  const accepted = context.tx.get(action === "set_deployment_spec" ? deploymentSpecs : deploymentInfos, contractId);
  return ok({ proposalIds: open.map(({ id }) => id), data: accepted?.data ?? {} });
}
