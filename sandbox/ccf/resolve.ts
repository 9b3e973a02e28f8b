import crypto from "node:crypto";
import type { Action, MemberInfo } from "./tables.ts";

/** What the rules look at when they decide about one proposal. */
export interface ResolveInput {
  readonly actions: readonly Action[];
  readonly proposerId: string;
  /** Ballots that were evaluated, one a voter. */
  readonly votes: readonly { readonly memberId: string; readonly vote: boolean }[];
  readonly members: ReadonlyMap<string, MemberInfo>;
  /** Actions of the other proposals that are still open. */
  readonly otherOpenActions: readonly Action[];
  isContractAccepted(contractId: string): boolean;
  isMemberDocumentAccepted(documentId: string): boolean;
  isOptionEnabled(option: string): boolean;
}

export type Resolution = "Open" | "Accepted" | "Rejected";

const OPERATOR_ACTIONS: ReadonlySet<string> = new Set([
  "add_snp_uvm_endorsement",
  "remove_snp_uvm_endorsement",
  "set_ca_cert_bundle",
  "remove_ca_cert_bundle",
  "set_jwt_issuer",
  "remove_jwt_issuer",
  "remove_node",
  "set_snp_minimum_tcb_version",
  "set_snp_minimum_tcb_version_hex",
  "remove_snp_minimum_tcb_version",
  "set_node_certificate_validity",
  "set_node_data",
  "set_service_certificate_validity",
  "set_recovery_threshold",
  "transition_node_to_trusted",
  "transition_service_to_open",
  "trigger_ledger_chunk",
  "trigger_snapshot",
]);

const VETO_ACTIONS: ReadonlySet<string> = new Set([
  "set_contract",
  "set_clean_room_policy",
  "set_deployment_spec",
  "set_deployment_info",
  "set_contract_runtime_options_enable_logging",
  "set_contract_runtime_options_enable_telemetry",
  "set_member_document",
]);

const ALWAYS_ACCEPTED: ReadonlySet<string> = new Set([
  "set_contract_runtime_options_disable_telemetry",
  "set_contract_runtime_options_disable_logging",
]);

const CGS_OPERATOR_OPTIONS: Readonly<Record<string, string>> = {
  set_constitution: "autoapprove-constitution-proposal",
  set_js_app: "autoapprove-jsapp-proposal",
};

const CONTRACT_OPERATOR_OPTIONS: Readonly<Record<string, string>> = {
  set_deployment_spec: "autoapprove-deploymentspec-proposal",
  set_deployment_info: "autoapprove-deploymentinfo-proposal",
  set_clean_room_policy: "autoapprove-cleanroompolicy-proposal",
};

const hasRole = (info: MemberInfo | undefined, role: "cgsOperator" | "contractOperator"): boolean =>
  (info?.member_data?.["cgsRoles"] as Record<string, unknown> | undefined)?.[role] === "true";
const isOperator = (info: MemberInfo | undefined): boolean => Boolean(info?.member_data?.["isOperator"]);
const isRecoveryOperator = (info: MemberInfo | undefined): boolean =>
  Boolean(info?.member_data?.["isRecoveryOperator"]);

/** Whether the member counts when unanimity is established under CGS's constitution. */
export function isNormalMember(info: MemberInfo): boolean {
  return (
    !isOperator(info) &&
    !isRecoveryOperator(info) &&
    !hasRole(info, "cgsOperator") &&
    !hasRole(info, "contractOperator")
  );
}

/**
 * Whether an operator may pass the action alone.
 * @throws on `remove_member` without `cert`: the deployed rule derives the member's id from `args.cert`, although the
 * action itself takes `member_id`. A proposal that carries both is decided.
 */
function operatorCanPass(action: Action, members: ReadonlyMap<string, MemberInfo>): boolean {
  if (OPERATOR_ACTIONS.has(action.name)) return true;
  if (action.name === "set_member") {
    return Boolean((action.args["member_data"] as Record<string, unknown> | undefined)?.["isOperator"]);
  }
  if (action.name !== "remove_member") return false;
  const cert = action.args["cert"];
  if (typeof cert !== "string") throw new TypeError("remove_member: args.cert is not a PEM certificate");
  const memberId = crypto.createHash("sha256").update(new crypto.X509Certificate(cert).raw).digest("hex");
  const info = members.get(memberId);
  if (!info) throw new TypeError(`remove_member: ${memberId} is not a member`);
  return isOperator(info);
}

function isOperatorChange(input: ResolveInput): boolean {
  const passable = input.actions.every((action) => operatorCanPass(action, input.members));
  return passable && isOperator(input.members.get(input.proposerId));
}

function unanimity(input: ResolveInput, counts: (info: MemberInfo) => boolean): boolean {
  const counting = [...input.members].filter(([, info]) => info.status === "Active" && counts(info)).map(([id]) => id);
  const yes = input.votes.filter(({ memberId, vote }) => vote && counting.includes(memberId)).length;
  return yes === counting.length;
}

/** The rule a network starts with: operators alone for operator changes, else every active member that is no operator. */
export function resolveBase(input: ResolveInput): Resolution {
  if (isOperatorChange(input)) return "Accepted";
  return unanimity(input, (info) => !isOperator(info) && !isRecoveryOperator(info)) ? "Accepted" : "Open";
}

/** CGS's rule: unanimity of the normal members, vetoes, and what operators may pass alone. The order of the checks is part of it. */
export function resolveCgs(input: ResolveInput): Resolution {
  const { actions, members, proposerId } = input;
  if (isOperatorChange(input)) return "Accepted";
  if (actions.some(({ name }) => VETO_ACTIONS.has(name)) && input.votes.some(({ vote }) => !vote)) return "Rejected";
  if (hasContractConflict(input) || hasDocumentConflict(input)) return "Rejected";
  if (actions.every(({ name }) => ALWAYS_ACCEPTED.has(name))) return "Accepted";

  const proposesContract = actions.some(({ name }) => name === "set_contract");
  const someoneYetToJoin = [...members.values()].some((info) => info.status === "Accepted" && isNormalMember(info));
  if (unanimity(input, isNormalMember) && !(proposesContract && someoneYetToJoin)) return "Accepted";

  const proposer = members.get(proposerId);
  const passes = (options: Readonly<Record<string, string>>) =>
    actions.every(({ name }) => options[name] !== undefined && input.isOptionEnabled(options[name]));
  if (hasRole(proposer, "cgsOperator") && passes(CGS_OPERATOR_OPTIONS)) return "Accepted";
  if (hasRole(proposer, "contractOperator") && passes(CONTRACT_OPERATOR_OPTIONS)) return "Accepted";
  return "Open";
}

function hasContractConflict({ actions, otherOpenActions, isContractAccepted }: ResolveInput): boolean {
  const ids = actions.filter(({ name }) => name === "set_contract").map(({ args }) => args["contractId"] as string);
  if (ids.length === 0) return false;
  if (ids.length !== actions.length || new Set(ids).size !== ids.length) return true;
  const proposed = otherOpenActions.filter(({ name }) => name === "set_contract").map(({ args }) => args["contractId"]);
  return ids.some((id) => isContractAccepted(id) || proposed.includes(id));
}

function hasDocumentConflict({ actions, otherOpenActions, isMemberDocumentAccepted }: ResolveInput): boolean {
  const ids = actions
    .filter(({ name }) => name === "set_member_document")
    .map(({ args }) => args["documentId"] as string);
  const proposed = otherOpenActions
    .filter(({ name }) => name === "set_member_document")
    .map(({ args }) => args["documentId"]);
  return ids.some((id) => isMemberDocumentAccepted(id) || proposed.includes(id));
}
