import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import type { VirtualAttestation } from "../contracts.ts";
import { createAuthority, endorse, generateP384, type KeyedCertificate } from "./certificates.ts";
import type { NodeConfiguration } from "./configuration.ts";
import type { Transaction } from "./kv.ts";
import { Ledger } from "./ledger.ts";
import { idOfCertificate } from "./members.ts";
import { CcfNetwork, type NodeSecrets } from "./network.ts";
import { sha256 } from "./artifacts.ts";
import {
  constitution,
  memberCertificates,
  memberEncryptionKeys,
  memberInfos,
  nodes,
  service,
  SETTING,
  type ServiceInfo,
} from "./tables.ts";

/** CCF names the subject of every service certificate like this. */
const SERVICE_NAME = "CCF Service";
const NODE_NAME = "CCF Node";
/** A recovery skips views, so that no transaction id of the old service can be mistaken for one of the new. */
const RECOVERY_VIEW_STEP = 2;
const FIRST_VIEW = 2;

/** What the service needs from its surroundings. Its secrets are kept before the ledger counts on them. */
export interface Bootstrap {
  /** Where the ledger lives. */
  readonly directory: string;
  readonly attestation: VirtualAttestation;
  /** `localhost:<port>` of the RPC interface. */
  readonly rpc: string;
  persist(secrets: NodeSecrets): void;
}

/** Carries out the command of a node's configuration. @throws when the ledger does not allow it. */
export async function bootService(configuration: NodeConfiguration, bootstrap: Bootstrap): Promise<CcfNetwork> {
  const exists = Ledger.exists(bootstrap.directory);
  const name = `${path.basename(path.dirname(bootstrap.directory))}/${path.basename(bootstrap.directory)}`;
  if (configuration.command.type === "Start" && exists) {
    throw new Error(
      `The node cannot start: its ledger ${name} is not empty. Recover the service (command.type Recover), or delete the ledger's file share.`,
    );
  }
  if (configuration.command.type === "Recover" && !exists) {
    throw new Error(
      `The node cannot recover: there is no ledger in ${name}. Start a new service (command.type Start).`,
    );
  }
  return configuration.command.type === "Start"
    ? startService(configuration, bootstrap)
    : recoverService(configuration, bootstrap);
}

/**
 * Reopens the network of a node that was running when the sandbox stopped.
 * @returns `undefined` when the ledger knows nothing of the node's identity: the sandbox was killed while it booted.
 */
export async function reopenService(secrets: NodeSecrets, bootstrap: Bootstrap): Promise<CcfNetwork | undefined> {
  const network = openNetwork(secrets, bootstrap);
  if (network.store.begin().get(service, SETTING)?.certificate === secrets.serviceCertificatePem) return network;
  await network.close();
  return undefined;
}

function openNetwork(secrets: NodeSecrets, bootstrap: Bootstrap): CcfNetwork {
  return new CcfNetwork(bootstrap.directory, secrets, bootstrap.attestation, () => bootstrap.persist(secrets));
}

async function startService(configuration: NodeConfiguration, bootstrap: Bootstrap): Promise<CcfNetwork> {
  const { command } = configuration as NodeConfiguration & { command: { type: "Start" } };
  const secrets = { ...(await createIdentity(configuration)), ledgerSecret: crypto.randomBytes(32).toString("base64") };
  const network = openNetwork(secrets, bootstrap);
  bootstrap.persist(secrets);
  await network.execute((tx) => {
    for (const member of command.members) {
      const id = idOfCertificate(member.certificate);
      tx.put(memberCertificates, id, member.certificate);
      if (member.encryptionPublicKey) tx.put(memberEncryptionKeys, id, member.encryptionPublicKey);
      const recovery_role = member.recoveryRole ?? (member.encryptionPublicKey ? "Participant" : "NonParticipant");
      tx.put(memberInfos, id, { status: "Accepted", member_data: member.data, recovery_role });
    }
    tx.put(constitution, SETTING, command.constitution);
    tx.put(service, SETTING, {
      status: "Opening",
      certificate: secrets.serviceCertificatePem,
      recoveryCount: 0,
      creationTransactionId: `${FIRST_VIEW}.1`,
      serviceData: null,
      recoveryThreshold: command.recoveryThreshold || tx.keys(memberEncryptionKeys).length,
    });
    putNode(tx, secrets, configuration, bootstrap);
    return { status: 200 };
  });
  return network;
}

async function recoverService(configuration: NodeConfiguration, bootstrap: Bootstrap): Promise<CcfNetwork> {
  const { command } = configuration as NodeConfiguration & { command: { type: "Recover" } };
  const secrets: NodeSecrets = await createIdentity(configuration);
  const network = openNetwork(secrets, bootstrap);
  const previous = network.store.begin().get(service, SETTING) as ServiceInfo;
  if (idOfCertificate(command.previousServiceIdentity) !== idOfCertificate(previous.certificate)) {
    await network.close();
    throw new Error(
      "The node cannot recover: command.recover.previous_service_identity_file is not the certificate of the service that wrote the ledger.",
    );
  }
  bootstrap.persist(secrets);
  network.enterView(network.store.view + RECOVERY_VIEW_STEP);
  await network.execute((tx) => {
    for (const [id, node] of tx.entries(nodes)) tx.put(nodes, id, { ...node, status: "Retired" });
    putNode(tx, secrets, configuration, bootstrap);
    tx.put(service, SETTING, {
      ...previous,
      status: "Recovering",
      certificate: secrets.serviceCertificatePem,
      previousCertificate: previous.certificate,
      recoveryCount: previous.recoveryCount + 1,
      creationTransactionId: `${network.store.view}.${network.store.seqno + 1}`,
    });
    return { status: 200 };
  });
  return network;
}

function putNode(tx: Transaction, secrets: NodeSecrets, configuration: NodeConfiguration, { rpc }: Bootstrap): void {
  const publicKey = crypto.createPublicKey(secrets.nodeKeyPem).export({ type: "spki", format: "der" });
  tx.put(nodes, sha256(publicKey), {
    status: "Trusted",
    certificate: secrets.nodeCertificatePem,
    node_data: configuration.nodeData,
    rpc,
  });
}

/** A new service identity, and the certificate it gives its node. */
async function createIdentity({ command, alternativeNames }: NodeConfiguration): Promise<NodeSecrets> {
  const authority: KeyedCertificate = await createAuthority(SERVICE_NAME, command.validityDays);
  const nodeKey = generateP384();
  const nodeCertificatePem = await endorse(authority, {
    publicKeyPem: nodeKey.publicKeyPem,
    commonName: NODE_NAME,
    alternativeNames: [...new Set(["localhost", "127.0.0.1", ...alternativeNames])],
    validityDays: command.validityDays,
  });
  return {
    serviceKeyPem: authority.privateKeyPem,
    serviceCertificatePem: authority.certificatePem,
    nodeKeyPem: nodeKey.privateKeyPem,
    nodeCertificatePem,
  };
}

/** Removes a ledger for good. */
export function removeLedger(directory: string): void {
  fs.rmSync(directory, { recursive: true, force: true });
}
