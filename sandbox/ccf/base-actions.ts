import crypto from "node:crypto";
import { z } from "zod";
import { action, type ActionContext, type ActionSet } from "./action.ts";
import { bundleDigest, cgsApp, cgsConstitution, constitutionDigest } from "./artifacts.ts";
import { removeIssuerKeys, storeIssuerKeys, type PublishedKey } from "./jwt.ts";
import { activeRecoveryMembers, idOfCertificate, isRecoveryMember } from "./members.ts";
import { issueRecoveryShares } from "./recovery.ts";
import type { Table, Transaction } from "./kv.ts";
import {
  caBundles,
  constitution,
  joinPolicy,
  jsBundle,
  jsRuntimeOptions,
  jwtIssuers,
  memberAcks,
  memberCertificates,
  memberEncryptionKeys,
  memberInfos,
  nodes,
  proposalInfos,
  service,
  SETTING,
  userCertificates,
  userInfos,
  type ServiceInfo,
} from "./tables.ts";

const certificate = z.string().refine(isCertificate, "must be a PEM certificate");
const certificates = z
  .string()
  .refine((text) => pemBlocks(text).length > 0 && pemBlocks(text).every(isCertificate), "must be PEM certificates");
const publicKey = z.string().refine(isPublicKey, "must be a PEM public key");
const entityId = z.string().regex(/^[0-9a-f]{64}$/, "must be 64 lower-case hex digits");
const data = z.record(z.string(), z.unknown());
const nothing = z.object({});
const validityPeriod = { valid_from: z.string(), validity_period_days: z.int().positive().optional() };
const jwks = z.object({
  keys: z.array(
    z.looseObject({
      kty: z.string(),
      kid: z.string(),
      x5c: z.array(z.string()).optional(),
      issuer: z.string().optional(),
    }),
  ),
});
const bundle = z.object({
  metadata: z.object({ endpoints: z.record(z.string(), z.unknown()) }),
  modules: z.array(z.object({ name: z.string(), module: z.string() })),
});
const noEffect = () => undefined;

/** CCF's own actions. Those that concern consensus or hardware are validated and recorded, but change nothing else here. */
export const baseActions: ActionSet = {
  set_constitution: action(
    z.object({ constitution: z.string() }),
    (args, { tx, proposalId }) => {
      tx.put(constitution, SETTING, args.constitution);
      for (const [id, info] of tx.entries(proposalInfos)) {
        if (id !== proposalId && info.state === "Open") tx.put(proposalInfos, id, { ...info, state: "Dropped" });
      }
    },
    (args) => {
      if (constitutionDigest(args.constitution) !== constitutionDigest(cgsConstitution())) {
        throw new Error(
          "the sandbox evaluates CGS natively and accepts only its own text, sandbox/artifacts/constitution.js",
        );
      }
    },
  ),
  set_member: action(
    z.object({
      cert: certificate,
      encryption_pub_key: publicKey.nullish(),
      recovery_role: z.enum(["NonParticipant", "Participant", "Owner"]).nullish(),
      member_data: data.nullish(),
    }),
    (args, { tx }) => {
      const id = idOfCertificate(args.cert);
      tx.put(memberCertificates, id, args.cert);
      if (args.encryption_pub_key) tx.put(memberEncryptionKeys, id, args.encryption_pub_key);
      else tx.remove(memberEncryptionKeys, id);
      const recovery_role = args.recovery_role ?? (args.encryption_pub_key ? "Participant" : "NonParticipant");
      tx.put(memberInfos, id, { status: "Accepted", member_data: args.member_data ?? null, recovery_role });
    },
  ),
  remove_member: action(z.object({ member_id: entityId }), (args, context) => removeMember(args.member_id, context)),
  set_member_data: action(z.object({ member_id: entityId, member_data: data }), (args, { tx }) => {
    const info = existing(tx, memberInfos, args.member_id, "Member");
    tx.put(memberInfos, args.member_id, { ...info, member_data: args.member_data });
  }),
  set_user: action(z.object({ cert: certificate, user_data: data.nullish() }), (args, { tx }) => {
    const id = idOfCertificate(args.cert);
    tx.put(userCertificates, id, args.cert);
    tx.put(userInfos, id, { user_data: args.user_data ?? null });
  }),
  remove_user: action(z.object({ user_id: entityId }), (args, { tx }) => {
    tx.remove(userCertificates, args.user_id);
    tx.remove(userInfos, args.user_id);
  }),
  set_user_data: action(z.object({ user_id: entityId, user_data: data.nullable() }), (args, { tx }) => {
    existing(tx, userCertificates, args.user_id, "User");
    tx.put(userInfos, args.user_id, { user_data: args.user_data });
  }),
  set_recovery_threshold: action(z.object({ recovery_threshold: z.int().min(1).max(254) }), (args, { tx, network }) => {
    const info = serviceInfo(tx);
    if (info.status === "WaitingForRecoveryShares")
      throw new Error("Cannot set recovery threshold if service is waiting for recovery shares");
    tx.put(service, SETTING, { ...info, recoveryThreshold: args.recovery_threshold });
    if (info.status === "Open") issueRecoveryShares(tx, network);
  }),
  trigger_recovery_shares_refresh: action(nothing, (_, { tx, network }) => issueRecoveryShares(tx, network)),
  trigger_ledger_rekey: action(nothing, (_, { tx, network }) => issueRecoveryShares(tx, network)),
  transition_service_to_open: action(
    z.object({ next_service_identity: certificate, previous_service_identity: certificate.nullish() }),
    (args, { tx, network }) => {
      const info = serviceInfo(tx);
      requireIdentity(args.next_service_identity, info.certificate, "next");
      if (info.status === "Opening") {
        issueRecoveryShares(tx, network);
        tx.put(service, SETTING, { ...info, status: "Open" });
      } else if (info.status === "Recovering") {
        if (!args.previous_service_identity || !info.previousCertificate) {
          throw new Error("Recovering a service requires both a previous_service_identity and a next_service_identity");
        }
        requireIdentity(args.previous_service_identity, info.previousCertificate, "previous");
        tx.put(service, SETTING, { ...info, status: "WaitingForRecoveryShares" });
      }
    },
  ),
  set_service_configuration: action(
    z.object({
      recent_cose_proposals_window_size: z.int().positive().optional(),
      reconfiguration_type: z.string().optional(),
    }),
    noEffect,
  ),
  assert_service_identity: action(z.object({ service_identity: certificate }), noEffect, (args, tx) =>
    requireIdentity(args.service_identity, serviceInfo(tx).certificate, "asserted"),
  ),

  set_js_app: action(
    z.object({ bundle, disable_bytecode_cache: z.boolean().optional() }),
    (args, { tx }) => tx.put(jsBundle, SETTING, args.bundle),
    (args) => {
      if (bundleDigest(args.bundle) !== bundleDigest(cgsApp())) {
        throw new Error("the sandbox serves CGS natively and accepts only its own bundle, sandbox/artifacts/app.json");
      }
    },
  ),
  remove_js_app: action(nothing, (_, { tx }) => tx.remove(jsBundle, SETTING)),
  set_js_runtime_options: action(
    z.object({
      max_heap_bytes: z.int().positive(),
      max_stack_bytes: z.int().positive(),
      max_execution_time_ms: z.int().positive(),
      log_exception_details: z.boolean().optional(),
      return_exception_details: z.boolean().optional(),
      max_cached_interpreters: z.int().positive().optional(),
    }),
    (args, { tx }) => tx.put(jsRuntimeOptions, SETTING, args),
  ),
  refresh_js_app_bytecode_cache: action(nothing, noEffect),

  set_ca_cert_bundle: action(z.object({ name: z.string(), cert_bundle: certificates }), (args, { tx }) =>
    tx.put(caBundles, args.name, args.cert_bundle),
  ),
  remove_ca_cert_bundle: action(z.object({ name: z.string() }), (args, { tx }) => tx.remove(caBundles, args.name)),
  set_jwt_issuer: action(
    z.object({
      issuer: z.string(),
      auto_refresh: z.boolean().default(false),
      ca_cert_bundle_name: z.string().nullish(),
      jwks: jwks.nullish(),
    }),
    (args, { tx }) => {
      if (args.ca_cert_bundle_name) existing(tx, caBundles, args.ca_cert_bundle_name, "CA cert bundle");
      tx.put(jwtIssuers, args.issuer, {
        auto_refresh: args.auto_refresh,
        ...(args.ca_cert_bundle_name && { ca_cert_bundle_name: args.ca_cert_bundle_name }),
      });
      if (args.jwks) storeIssuerKeys(tx, args.issuer, args.jwks.keys as PublishedKey[]);
    },
    (args) => {
      if (!args.auto_refresh) return;
      if (!args.ca_cert_bundle_name)
        throw new Error("ca_cert_bundle_name is missing but required if auto_refresh is true");
      const url = URL.parse(args.issuer);
      if (url?.protocol !== "https:")
        throw new Error("issuer must be a URL starting with https:// if auto_refresh is true");
      if (url.search || url.hash)
        throw new Error("issuer must be a URL without query/fragment if auto_refresh is true");
    },
  ),
  set_jwt_public_signing_keys: action(
    z.object({ issuer: z.string(), jwks }),
    (args, { tx }) => {
      existing(tx, jwtIssuers, args.issuer, "issuer");
      storeIssuerKeys(tx, args.issuer, args.jwks.keys as PublishedKey[]);
    },
    (args) => {
      if (args.jwks.keys.some((key) => !key.x5c?.length)) throw new Error("jwks.keys[].x5c is required");
    },
  ),
  remove_jwt_issuer: action(z.object({ issuer: z.string() }), (args, { tx }) => {
    existing(tx, jwtIssuers, args.issuer, "issuer");
    tx.remove(jwtIssuers, args.issuer);
    removeIssuerKeys(tx, args.issuer);
  }),

  transition_node_to_trusted: action(z.object({ node_id: entityId, ...validityPeriod }), (args, { tx }) => {
    const node = existing(tx, nodes, args.node_id, "Node");
    tx.put(nodes, args.node_id, { ...node, status: "Trusted" });
  }),
  remove_node: action(z.object({ node_id: entityId }), (args, { tx }) => {
    const node = existing(tx, nodes, args.node_id, "Node");
    tx.put(nodes, args.node_id, { ...node, status: "Retired" });
  }),
  set_node_data: action(z.object({ node_id: entityId, node_data: z.unknown() }), (args, { tx }) => {
    const node = existing(tx, nodes, args.node_id, "Node");
    tx.put(nodes, args.node_id, { ...node, node_data: args.node_data });
  }),
  set_node_certificate_validity: action(z.object({ node_id: entityId, ...validityPeriod }), noEffect),
  set_all_nodes_certificate_validity: action(z.object(validityPeriod), noEffect),
  set_service_certificate_validity: action(z.object(validityPeriod), noEffect),

  add_snp_host_data: action(z.object({ host_data: entityId, security_policy: z.string() }), (args, { tx }) =>
    tx.put(joinPolicy, `hostData/${args.host_data}`, args.security_policy),
  ),
  remove_snp_host_data: action(z.object({ host_data: entityId }), (args, { tx }) =>
    tx.remove(joinPolicy, `hostData/${args.host_data}`),
  ),
  add_snp_uvm_endorsement: action(z.object({ did: z.string(), feed: z.string(), svn: z.string() }), (args, { tx }) =>
    tx.put(joinPolicy, `uvmEndorsement/${args.did}/${args.feed}`, args),
  ),
  remove_snp_uvm_endorsement: action(z.object({ did: z.string(), feed: z.string() }), (args, { tx }) =>
    tx.remove(joinPolicy, `uvmEndorsement/${args.did}/${args.feed}`),
  ),
  set_snp_minimum_tcb_version: action(z.object({ cpuid: z.string(), tcb_version: data }), (args, { tx }) =>
    tx.put(joinPolicy, `tcbVersion/${args.cpuid}`, args.tcb_version),
  ),
  set_snp_minimum_tcb_version_hex: action(z.object({ cpuid: z.string(), tcb_version: z.string() }), (args, { tx }) =>
    tx.put(joinPolicy, `tcbVersion/${args.cpuid}`, args.tcb_version),
  ),
  remove_snp_minimum_tcb_version: action(z.object({ cpuid: z.string() }), (args, { tx }) =>
    tx.remove(joinPolicy, `tcbVersion/${args.cpuid}`),
  ),
  trigger_ledger_chunk: action(nothing, noEffect),
  trigger_snapshot: action(nothing, noEffect),
};

function removeMember(memberId: string, { tx, network }: ActionContext): void {
  const info = tx.get(memberInfos, memberId);
  if (!info) return;
  const wasActiveRecoveryMember = info.status === "Active" && isRecoveryMember(tx, memberId);
  for (const rows of [memberCertificates, memberInfos, memberEncryptionKeys, memberAcks]) tx.remove(rows, memberId);
  if (!wasActiveRecoveryMember) return;
  const { recoveryThreshold, status } = serviceInfo(tx);
  const left = activeRecoveryMembers(tx).length;
  if (left < recoveryThreshold) {
    throw new Error(
      `Number of active recovery members (${left}) would be less than recovery threshold (${recoveryThreshold})`,
    );
  }
  if (status === "Open") issueRecoveryShares(tx, network);
}

function existing<Row>(tx: Transaction, rows: Table<Row>, key: string, what: string): Row {
  const row = tx.get(rows, key);
  if (row === undefined) throw new Error(`${what} ${key} does not exist`);
  return row;
}

const serviceInfo = (tx: Transaction): ServiceInfo => tx.get(service, SETTING) as ServiceInfo;

function requireIdentity(given: string, expected: string, which: string): void {
  if (idOfCertificate(given) !== idOfCertificate(expected)) {
    throw new Error(
      `Service identity mismatch: the ${which} service identity of the proposal is not that of the service`,
    );
  }
}

const pemBlocks = (text: string): string[] =>
  text.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];

function isCertificate(pem: string): boolean {
  try {
    return Boolean(new crypto.X509Certificate(pem));
  } catch {
    return false;
  }
}

function isPublicKey(pem: string): boolean {
  try {
    return pem.includes("PUBLIC KEY") && Boolean(crypto.createPublicKey(pem));
  } catch {
    return false;
  }
}
