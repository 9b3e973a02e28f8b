import { CcfError, ok, type CcfReply } from "./errors.ts";
import type { Transaction } from "./kv.ts";
import { nodes, recoveryShares, service, SETTING, type ServiceInfo } from "./tables.ts";

export interface NodeRoute {
  readonly path: string;
  handler(context: { tx: Transaction; params: Readonly<Record<string, string>> }): CcfReply;
}

const info = (tx: Transaction): ServiceInfo => tx.get(service, SETTING) as ServiceInfo;

/** CCF's unauthenticated endpoints below `/node`; all GET. */
export const nodeRoutes: readonly NodeRoute[] = [
  { path: "/node/network", handler: ({ tx }) => ok(describeNetwork(tx)) },
  { path: "/node/network/nodes", handler: ({ tx }) => ok({ nodes: listNodes(tx) }) },
  { path: "/node/network/nodes/primary", handler: ({ tx }) => ok(primary(tx)) },
  { path: "/node/network/nodes/self", handler: ({ tx }) => ok(primary(tx)) },
  {
    path: "/node/network/nodes/:nodeId",
    handler: ({ tx, params }) => {
      const node = listNodes(tx).find(({ node_id }) => node_id === params["nodeId"]);
      if (!node) throw new CcfError(404, "ResourceNotFound", `Node ${params["nodeId"]} not found`);
      return ok(node);
    },
  },
  { path: "/node/ready/app", handler: ({ tx }) => ({ status: info(tx).status === "Open" ? 204 : 503 }) },
  { path: "/node/ready/gov", handler: () => ({ status: 204 }) },
  {
    path: "/node/version",
    handler: () => ok({ ccf_version: "ccf-6.0.26-sandbox", quickjs_version: "", unsafe: false }),
  },
  { path: "/node/state", handler: ({ tx }) => ok(describeState(tx)) },
  { path: "/node/quotes", handler: ({ tx }) => ok({ quotes: listNodes(tx).map(quoteOf) }) },
  { path: "/node/quotes/self", handler: ({ tx }) => ok(quoteOf(primary(tx))) },
];

function describeNetwork(tx: Transaction): object {
  const { status, certificate, recoveryCount, serviceData, creationTransactionId } = info(tx);
  return {
    service_status: status,
    service_certificate: certificate,
    current_view: tx.store.view,
    primary_id: primary(tx).node_id,
    recovery_count: recoveryCount,
    service_data: serviceData,
    current_service_create_txid: creationTransactionId,
  };
}

function describeState(tx: Transaction): object {
  const recovering = info(tx).status === "Recovering" || info(tx).status === "WaitingForRecoveryShares";
  return {
    node_id: primary(tx).node_id,
    state: recovering ? "PartOfPublicNetwork" : "PartOfNetwork",
    last_signed_seqno: tx.store.seqno,
    startup_seqno: 0,
    ...(recovering && { last_recovered_seqno: tx.has(recoveryShares, SETTING) ? tx.store.seqno : 0 }),
  };
}

function listNodes(tx: Transaction) {
  return tx
    .entries(nodes)
    .filter(([, node]) => node.status !== "Retired")
    .map(([node_id, node]) => ({
      node_id,
      status: node.status,
      primary: true,
      node_data: node.node_data,
      rpc_interfaces: {
        primary_rpc_interface: { bind_address: node.rpc, published_address: node.rpc, protocol: "tcp" },
      },
    }));
}

function primary(tx: Transaction) {
  const node = listNodes(tx)[0];
  if (!node) throw new CcfError(500, "InternalError", "Primary node not found.");
  return node;
}

/** No hardware, no quote: the platform says so. */
const quoteOf = ({ node_id }: { node_id: string }): object => ({
  node_id,
  format: "Insecure_Virtual",
  raw: "",
  endorsements: "",
});
