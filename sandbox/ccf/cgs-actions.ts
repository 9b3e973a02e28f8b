import { z } from "zod";
import { action, type ActionContext, type ActionSet } from "./action.ts";
import { CGS_OPTIONS } from "./options.ts";
import { changeClaim, parsePolicyChange } from "./policies.ts";
import type { Table, Transaction } from "./kv.ts";
import {
  acceptedContracts,
  acceptedMemberDocuments,
  ca,
  cgsRuntimeOptions,
  contractPolicy,
  deploymentInfos,
  deploymentSpecs,
  finalizedInvitations,
  invitationClaims,
  invitationInfos,
  loggingStatus,
  oidcIssuer,
  SETTING,
  signing,
  telemetryStatus,
  userIdentities,
  userInvitations,
  type CgsFinalVote,
  type KeySwitch,
  type Status,
} from "./tables.ts";

const id = z.string().min(1);
const contractBound = z.object({ contractId: id });
const payload = z.object({ data: z.record(z.string(), z.unknown()) });
const statusSchema = z.enum(["enabled", "disabled"]);
const invitationClaim = z.enum(["preferred_username", "email", "appid", "tid", "sub", "upn"]);
const kid = z.object({ kid: id });

/** The actions of CGS's constitution. Those bound to a contract are invalid until the contract is accepted. */
export const cgsActions: ActionSet = {
  set_contract: action(
    z.object({ contractId: id, contract: z.looseObject({ data: z.unknown() }) }),
    (args, { tx, proposalId, finalVotes }) =>
      tx.put(acceptedContracts, args.contractId, {
        data: args.contract.data,
        proposalId,
        finalVotes: votesOf(finalVotes),
      }),
    (args) => {
      if (!args.contract.data) throw new Error("contract.data is missing");
    },
  ),
  set_member_document: action(
    z.object({ documentId: id, document: z.looseObject({ contractId: id, data: z.unknown() }) }),
    (args, { tx, proposalId, finalVotes }) =>
      tx.put(acceptedMemberDocuments, args.documentId, {
        contractId: args.document.contractId,
        data: args.document.data,
        proposalId,
        finalVotes: votesOf(finalVotes),
      }),
    (args, tx) => {
      if (!args.document.data) throw new Error("document.data is missing");
      requireAcceptedContract(args.document, tx);
    },
  ),
  set_deployment_spec: action(
    z.object({ contractId: id, spec: payload }),
    (args, { tx }) => tx.put(deploymentSpecs, args.contractId, { data: args.spec.data }),
    requireAcceptedContract,
  ),
  set_deployment_info: action(
    z.object({ contractId: id, info: payload }),
    (args, { tx }) => tx.put(deploymentInfos, args.contractId, { data: args.info.data }),
    requireAcceptedContract,
  ),
  set_clean_room_policy: action(
    z.looseObject({ contractId: id }),
    (args, { tx }) => {
      const { type, claims } = parsePolicyChange(args, ["snp-caci", "snp-cvm", "jwt"]);
      changeClaims(tx, contractPolicy(args.contractId), type, claims);
    },
    (args, tx) => {
      parsePolicyChange(args, ["snp-caci", "snp-cvm", "jwt"]);
      requireAcceptedContract(args, tx);
    },
  ),
  set_contract_runtime_options_enable_logging: contractOption(loggingStatus, "enabled"),
  set_contract_runtime_options_disable_logging: contractOption(loggingStatus, "disabled"),
  set_contract_runtime_options_enable_telemetry: contractOption(telemetryStatus, "enabled"),
  set_contract_runtime_options_disable_telemetry: contractOption(telemetryStatus, "disabled"),
  set_cgs_runtime_options: action(z.object({ option: z.enum(CGS_OPTIONS), status: statusSchema }), (args, { tx }) =>
    tx.put(cgsRuntimeOptions, args.option, { status: args.status }),
  ),

  enable_oidc_issuer: action(kid, (args, { tx }) => enable(tx, oidcIssuer, args.kid)),
  set_oidc_issuer_url: action(
    z.object({ issuer_url: z.url({ protocol: /^https?$/ }) }),
    (args, { tx }) =>
      tx.put(oidcIssuer, SETTING, { ...enabled(tx, oidcIssuer, "OIDC issuer"), issuerUrl: args.issuer_url }),
    (_, tx) => enabled(tx, oidcIssuer, "OIDC issuer"),
  ),
  oidc_issuer_enable_rotate_signing_key: rotation(oidcIssuer, "OIDC issuer"),
  enable_signing: action(kid, (args, { tx }) => enable(tx, signing, args.kid)),
  signing_enable_rotate_signing_key: rotation(signing, "Signing"),
  enable_ca: action(
    contractBound,
    ({ contractId }, { tx }) => tx.put(ca, contractId, tx.get(ca, contractId) ?? { requestId: "1" }),
    requireAcceptedContract,
  ),
  ca_enable_rotate_signing_key: action(
    contractBound,
    ({ contractId }, { tx }) => tx.put(ca, contractId, { requestId: nextId(tx.get(ca, contractId)?.requestId) }),
    (args, tx) => {
      requireAcceptedContract(args, tx);
      if (!tx.has(ca, args.contractId)) throw new Error(`CA is not enabled for contract ${args.contractId}`);
    },
  ),

  set_user_identity: action(
    z.object({
      id,
      accountType: z.literal("microsoft"),
      invitationId: z.string().optional(),
      data: z.object({ tenantId: id, identifier: z.string().optional() }),
    }),
    (args, { tx }) => {
      const { id: userId, invitationId, ...identity } = args;
      tx.put(userIdentities, userId, { ...identity, ...(invitationId && { invitationId }) });
      if (invitationId) tx.put(finalizedInvitations, invitationId, { userId });
    },
  ),
  remove_user_identity: action(z.object({ id }), (args, { tx }) => tx.remove(userIdentities, args.id)),
  set_user_invitation_by_jwt_claims: action(
    z.object({
      invitationId: id,
      type: z.enum(["add", "remove"]),
      accountType: z.literal("microsoft"),
      claims: z.partialRecord(invitationClaim, z.union([z.string(), z.array(z.string())])),
    }),
    (args, { tx }) => {
      tx.put(userInvitations, args.invitationId, { accountType: args.accountType });
      changeClaims(tx, invitationClaims(args.invitationId) as Table<unknown[]>, args.type, args.claims);
    },
  ),
  remove_user_invitation_by_jwt_claims: action(z.object({ invitationId: id }), (args, { tx }) => {
    tx.remove(userInvitations, args.invitationId);
    tx.clear(invitationClaims(args.invitationId));
    tx.remove(invitationInfos, args.invitationId);
    tx.remove(finalizedInvitations, args.invitationId);
  }),
};

/** Applies a change to a table of claims, claim by claim. */
export function changeClaims(
  tx: Transaction,
  into: Table<unknown[]>,
  type: "add" | "remove",
  claims: Readonly<Record<string, unknown>>,
): void {
  for (const [name, value] of Object.entries(claims)) {
    const values = changeClaim(tx.get(into, name), type, value);
    if (values) tx.put(into, name, values);
    else tx.remove(into, name);
  }
}

const votesOf = (finalVotes: ActionContext["finalVotes"]): CgsFinalVote[] =>
  Object.entries(finalVotes).map(([memberId, vote]) => ({ memberId, vote }));

function contractOption(into: Table<{ status: Status }>, status: Status) {
  return action(
    contractBound,
    ({ contractId }, { tx }) => tx.put(into, contractId, { status }),
    requireAcceptedContract,
  );
}

function rotation(of: Table<KeySwitch>, what: string) {
  return action(
    z.object({}),
    (_, { tx }) => {
      const settings = enabled(tx, of, what);
      tx.put(of, SETTING, { ...settings, reqId: nextId(settings.reqId) });
    },
    (_, tx) => enabled(tx, of, what),
  );
}

/** Only the first time counts: later ones keep the key that exists. */
function enable(tx: Transaction, of: Table<KeySwitch>, keyId: string): void {
  if (!tx.has(of, SETTING)) tx.put(of, SETTING, { kid: keyId, reqId: "1" });
}

function enabled(tx: Transaction, of: Table<KeySwitch>, what: string): KeySwitch {
  const settings = tx.get(of, SETTING);
  if (!settings) throw new Error(`${what} is not enabled`);
  return settings;
}

const nextId = (current: string | undefined): string => String(Number(current ?? "0") + 1);

function requireAcceptedContract({ contractId }: { contractId: string }, tx: Transaction): void {
  if (!tx.has(acceptedContracts, contractId)) throw new Error(`Contract ${contractId} is not in accepted state`);
}
