import { CcfError, ok, type CcfReply } from "./errors.ts";
import type { Transaction } from "./kv.ts";
import { parseCoseSign1, verifyCoseSign1, type CoseSign1 } from "./cose.ts";
import { activeRecoveryMembers, isRecoveryMember, members } from "./members.ts";
import type { CcfNetwork } from "./network.ts";
import { createProposal, describeProposal, requireProposal, submitBallot, withdrawProposal } from "./proposals.ts";
import { issueRecoveryShares, type ShareCollector } from "./recovery.ts";
import {
  constitution,
  coseHistory,
  joinPolicy,
  jsBundle,
  jsRuntimeOptions,
  memberAcks,
  memberCertificates,
  memberEncryptionKeys,
  memberInfos,
  proposalInfos,
  proposals,
  recoveryShares,
  service,
  SETTING,
  type MemberInfo,
  type ServiceInfo,
} from "./tables.ts";
import { transactionStatus } from "./transactions.ts";

export interface GovContext {
  readonly tx: Transaction;
  readonly network: CcfNetwork;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly contentType: string | undefined;
  readonly body: Buffer;
  readonly shares: ShareCollector;
}

export interface GovRoute {
  readonly method: "GET" | "POST";
  /** The verb after the last colon of CCF's paths is written `/~verb` here; a router takes a colon for a parameter. */
  readonly path: string;
  /** Routes from before the versioned API take no `api-version`. */
  readonly unversioned?: boolean;
  handler(context: GovContext): CcfReply;
}

type MessageType = "proposal" | "ballot" | "withdrawal" | "ack" | "state_digest" | "recovery_share";
const ONLY_ACTIVE: readonly MessageType[] = ["proposal", "ballot", "withdrawal", "recovery_share"];
const HEX_ID = /^[0-9a-f]{64}$/;

export const govRoutes: readonly GovRoute[] = [
  {
    method: "POST",
    path: "/gov/members/proposals/~create",
    handler: (context) => {
      const message = signedMessage(context, "proposal");
      return ok(describeProposal(context.tx, createProposal(context.tx, context.network, message)));
    },
  },
  {
    method: "GET",
    path: "/gov/members/proposals",
    handler: ({ tx }) => ok({ value: tx.keys(proposalInfos).map((id) => describeProposal(tx, id)) }),
  },
  {
    method: "GET",
    path: "/gov/members/proposals/:proposalId",
    handler: ({ tx, params }) => ok(describeProposal(tx, proposalId(params))),
  },
  {
    method: "GET",
    path: "/gov/members/proposals/:proposalId/actions",
    handler: ({ tx, params }) => {
      requireProposal(tx, proposalId(params));
      return ok(JSON.stringify(tx.get(proposals, proposalId(params))));
    },
  },
  {
    method: "POST",
    path: "/gov/members/proposals/:proposalId/ballots/:memberId/~submit",
    handler: (context) => {
      const message = signedMessage(context, "ballot");
      requireSigner(message, context.params);
      submitBallot(context.tx, context.network, proposalId(context.params), message);
      return ok(describeProposal(context.tx, proposalId(context.params)));
    },
  },
  {
    method: "GET",
    path: "/gov/members/proposals/:proposalId/ballots/:memberId",
    handler: ({ tx, params }) => {
      const ballot = requireProposal(tx, proposalId(params)).ballots[params["memberId"] ?? ""];
      if (ballot === undefined)
        throw new CcfError(
          404,
          "VoteNotFound",
          `Member ${params["memberId"]} has not voted for proposal ${params["proposalId"]}.`,
        );
      return ok(ballot, { "content-type": "text/javascript" });
    },
  },
  {
    method: "POST",
    path: "/gov/members/proposals/:proposalId/~withdraw",
    handler: (context) => {
      const message = signedMessage(context, "withdrawal");
      const id = proposalId(context.params);
      if (!context.tx.has(proposalInfos, id)) return { status: 204 };
      withdrawProposal(context.tx, id, message.kid);
      return ok(describeProposal(context.tx, id));
    },
  },
  {
    method: "POST",
    path: "/gov/members/state-digests/:memberId/~update",
    handler: (context) => {
      const message = signedMessage(context, "state_digest");
      requireSigner(message, context.params);
      const stateDigest = context.network.ledgerRoot;
      context.tx.put(memberAcks, message.kid, { stateDigest });
      return ok({ memberId: message.kid, stateDigest });
    },
  },
  { method: "POST", path: "/gov/members/state-digests/:memberId/~ack", handler: acknowledge },
  {
    method: "GET",
    path: "/gov/members/state-digests/:memberId",
    handler: ({ tx, params }) => {
      const ack = tx.get(memberAcks, params["memberId"] ?? "");
      if (!ack) throw new CcfError(404, "ResourceNotFound", `No ACK record exists for member ${params["memberId"]}.`);
      return ok({ memberId: params["memberId"], stateDigest: ack.stateDigest });
    },
  },
  {
    method: "GET",
    path: "/gov/service/members",
    handler: ({ tx }) => ok({ value: members(tx).map(([id, info]) => describeMember(tx, id, info)) }),
  },
  {
    method: "GET",
    path: "/gov/service/members/:memberId",
    handler: ({ tx, params }) => {
      const info = tx.get(memberInfos, params["memberId"] ?? "");
      if (!info) throw new CcfError(404, "ResourceNotFound", `Member ${params["memberId"]} doesn't exist.`);
      return ok(describeMember(tx, params["memberId"] ?? "", info));
    },
  },
  { method: "GET", path: "/gov/service/info", handler: ({ tx }) => ok(describeService(tx)) },
  {
    method: "GET",
    path: "/gov/service/constitution",
    handler: ({ tx }) => ok(tx.get(constitution, SETTING) ?? "", { "content-type": "text/javascript" }),
  },
  { method: "GET", path: "/gov/service/javascript-app", handler: ({ tx }) => ok({ endpoints: describeEndpoints(tx) }) },
  {
    method: "GET",
    path: "/gov/service/javascript-modules",
    handler: ({ tx }) =>
      ok({ value: (tx.get(jsBundle, SETTING)?.modules ?? []).map(({ name }) => ({ moduleName: moduleName(name) })) }),
  },
  {
    method: "GET",
    path: "/gov/service/javascript-modules/:moduleName",
    handler: ({ tx, params }) => {
      const found = tx
        .get(jsBundle, SETTING)
        ?.modules.find(({ name }) => moduleName(name) === moduleName(params["moduleName"] ?? ""));
      if (!found) throw new CcfError(404, "ResourceNotFound", `Module ${params["moduleName"]} does not exist.`);
      return ok(found.module, { "content-type": "text/javascript" });
    },
  },
  {
    method: "GET",
    path: "/gov/service/transactions/:transactionId",
    handler: ({ tx, params }) => {
      const { status, transaction_id } = transactionStatus(tx.store, params["transactionId"]);
      return ok({ status, transactionId: transaction_id });
    },
  },
  {
    method: "GET",
    path: "/gov/service/transactions/commit",
    handler: ({ tx }) => ok({ status: "Committed", transactionId: tx.store.lastTransaction }),
  },
  { method: "GET", path: "/gov/service/join-policy", handler: ({ tx }) => ok(describeJoinPolicy(tx)) },
  {
    method: "GET",
    path: "/gov/recovery/encrypted-shares/:memberId",
    handler: ({ tx, params }) => {
      const encryptedShare = tx.get(recoveryShares, SETTING)?.shares[params["memberId"] ?? ""];
      if (!encryptedShare)
        throw new CcfError(404, "ResourceNotFound", `Recovery share not found for member ${params["memberId"]}.`);
      return ok({ memberId: params["memberId"], encryptedShare });
    },
  },
  {
    method: "POST",
    path: "/gov/recovery/members/:memberId/~recover",
    handler: (context) => {
      const message = signedMessage(context, "recovery_share");
      requireSigner(message, context.params);
      const { share } = JSON.parse(message.payload.toString("utf8")) as { share?: string };
      if (typeof share !== "string")
        throw new CcfError(400, "InvalidInput", 'The signed body has no text field "share".');
      return ok(context.shares.submit(context.tx, context.network, message.kid, Buffer.from(share, "base64")));
    },
  },
  {
    method: "GET",
    path: "/gov/proposals/:proposalId",
    unversioned: true,
    handler: ({ tx, params }) => ok({ ...requireProposal(tx, proposalId(params)) }),
  },
];

function acknowledge(context: GovContext): CcfReply {
  const { tx, network } = context;
  const message = signedMessage(context, "ack");
  requireSigner(message, context.params);
  const payload = JSON.parse(message.payload.toString("utf8")) as { stateDigest?: string };
  const expected = tx.get(memberAcks, message.kid);
  if (!expected) throw new CcfError(404, "ResourceNotFound", `No ACK record exists for member ${message.kid}.`);
  if (payload.stateDigest !== expected.stateDigest) {
    throw new CcfError(400, "StateDigestMismatch", "Submitted state digest is not valid.");
  }
  const info = tx.get(memberInfos, message.kid) as MemberInfo;
  if (info.status === "Accepted") {
    tx.put(memberInfos, message.kid, { ...info, status: "Active" });
    if (isRecoveryMember(tx, message.kid) && tx.get(service, SETTING)?.status === "Open")
      issueRecoveryShares(tx, network);
  }
  return { status: 204 };
}

/** Verifies the signed request body. 401 says who was refused and why; a body that is no envelope at all is a 500. */
function signedMessage({ tx, contentType, body, params }: GovContext, type: MessageType): CoseSign1 {
  if (contentType !== "application/cose") throw unauthenticated("Missing content-type: application/cose");
  const message = parseCoseSign1(body);
  const certificate = tx.get(memberCertificates, message.kid);
  if (!certificate) throw unauthenticated("Signer is not a known member");
  if (!verifyCoseSign1(message, certificate)) throw unauthenticated("Failed to validate COSE_Sign1");
  if (ONLY_ACTIVE.includes(type) && tx.get(memberInfos, message.kid)?.status !== "Active") {
    throw unauthenticated("Signer is not an ACTIVE member");
  }
  if (message.type !== type) throw unauthenticated(`Unexpected message type: ${message.type}`);
  tx.put(coseHistory, message.kid, body.toString("base64"));
  if (type !== "ballot" && type !== "withdrawal") return message;
  if (message.proposalId === undefined) throw new Error("Missing ccf.gov.msg.proposal_id in protected header");
  if (message.proposalId !== params["proposalId"]) {
    throw new CcfError(400, "InvalidResourceName", "Authenticated proposal id does not match URL");
  }
  return message;
}

const unauthenticated = (message: string): CcfError =>
  new CcfError(401, "InvalidAuthenticationInfo", "Invalid authentication credentials.", {
    details: [{ auth_policy: "member_cose_sign1", code: "InvalidAuthenticationInfo", message }],
    headers: { "www-authenticate": 'COSE-SIGN1 realm="Signed request access"' },
  });

function requireSigner(message: CoseSign1, params: GovContext["params"]): void {
  if (message.kid !== params["memberId"]) {
    throw new CcfError(
      400,
      "InvalidAuthenticationInfo",
      `Member id ${params["memberId"]} of the URL does not match signer ${message.kid}.`,
    );
  }
}

function proposalId(params: GovContext["params"]): string {
  const id = params["proposalId"] ?? "";
  if (!HEX_ID.test(id)) throw new CcfError(400, "InvalidResourceName", `'${id}' is not a valid hex-encoded digest`);
  return id;
}

function describeMember(tx: Transaction, memberId: string, info: MemberInfo): object {
  const publicEncryptionKey = tx.get(memberEncryptionKeys, memberId);
  return {
    memberId,
    status: info.status,
    memberData: info.member_data,
    certificate: tx.get(memberCertificates, memberId),
    ...(publicEncryptionKey && { publicEncryptionKey }),
    recoveryRole: info.recovery_role,
  };
}

function describeService(tx: Transaction): object {
  const info = tx.get(service, SETTING) as ServiceInfo;
  return {
    status: info.status,
    certificate: info.certificate,
    recoveryCount: info.recoveryCount,
    creationTransactionId: info.creationTransactionId,
    serviceData: info.serviceData,
    configuration: {
      recoveryThreshold: info.recoveryThreshold,
      activeRecoveryMembers: activeRecoveryMembers(tx).length,
      javascriptRuntimeOptions: tx.get(jsRuntimeOptions, SETTING) ?? {},
    },
  };
}

function describeJoinPolicy(tx: Transaction): object {
  const rows = tx.entries(joinPolicy);
  const pick = (kind: string) =>
    Object.fromEntries(
      rows.filter(([key]) => key.startsWith(`${kind}/`)).map(([key, value]) => [key.slice(kind.length + 1), value]),
    );
  return {
    snp: { hostData: pick("hostData"), uvmEndorsements: pick("uvmEndorsement"), tcbVersions: pick("tcbVersion") },
  };
}

/** Bundles name methods in lower case; CCF stores and answers them in upper case. */
function describeEndpoints(tx: Transaction): object {
  const endpoints = (tx.get(jsBundle, SETTING)?.metadata.endpoints ?? {}) as Record<string, object>;
  const upperCase = (methods: object) =>
    Object.fromEntries(Object.entries(methods).map(([method, value]) => [method.toUpperCase(), value as unknown]));
  return Object.fromEntries(Object.entries(endpoints).map(([route, methods]) => [route, upperCase(methods)]));
}

const moduleName = (name: string): string => name.replace(/^\//, "");
