import { requireAttestedData } from "../attestation.ts";
import { changeClaims } from "../cgs-actions.ts";
import { ok, type CcfReply } from "../errors.ts";
import { parsePolicyChange } from "../policies.ts";
import { openProposalsWith } from "../proposals.ts";
import { contractPolicy, delegateList, delegatePolicy } from "../tables.ts";
import { param, read, write, type AppContext, type AppRoute } from "./route.ts";

const DELEGATE = "/contracts/{contractId}/cleanroompolicy/delegates/{delegateType}/{delegateId}";

export const policyRoutes: readonly AppRoute[] = [
  read("POST", "/contracts/{contractId}/cleanroompolicy", "MUJ", getPolicy),
  read("GET", "/contracts/{contractId}/cleanroompolicy/delegates", "MUJ", (context) =>
    ok({ value: context.tx.entries(delegateList(param(context, "contractId"))).map(([, delegate]) => delegate) }),
  ),
  read("POST", DELEGATE, "MUJ", (context) =>
    ok({ claims: Object.fromEntries(context.tx.entries(delegateTable(context))) }),
  ),
  write("PUT", DELEGATE, "", putDelegate),
];

function getPolicy(context: AppContext): CcfReply {
  const contractId = param(context, "contractId");
  const open = openProposalsWith(
    context.tx,
    ({ name, args }) => name === "set_clean_room_policy" && args["contractId"] === contractId,
  );
  return ok({
    proposalIds: open.map(({ id }) => id),
    policy: Object.fromEntries(context.tx.entries(contractPolicy(contractId))),
  });
}

/** The clean room itself admits other workloads; only the contract's main policy counts here. */
function putDelegate(context: AppContext): CcfReply {
  const contractId = param(context, "contractId");
  const { data: change } = requireAttestedData(context, contractId, context.body());
  const delegateType = param(context, "delegateType");
  const delegateId = param(context, "delegateId");
  context.tx.put(delegateList(contractId), `${delegateType}_${delegateId}`, { delegateType, delegateId });
  const { type, claims } = parsePolicyChange(change, ["snp-caci", "snp-cvm"]);
  changeClaims(context.tx, delegateTable(context), type, claims);
  return ok();
}

const delegateTable = (context: AppContext) =>
  delegatePolicy(param(context, "contractId"), param(context, "delegateType"), param(context, "delegateId"));
