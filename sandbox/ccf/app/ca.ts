import crypto from "node:crypto";
import { requireAttestedData, wrap } from "../attestation.ts";
import { createAuthority, endorse } from "../certificates.ts";
import { CcfError, ok, type CcfReply } from "../errors.ts";
import { openProposalsWith } from "../proposals.ts";
import { ca, caKeys } from "../tables.ts";
import { param, read, write, type AppContext, type AppRoute } from "./route.ts";

const CA_NAME = "Azure Clean Room CA";
const CA_VALIDITY_DAYS = 100;
const CERTIFICATE_DELEGATE = { delegateType: "ca", delegateId: "endorsed-cert" };

interface EndorsementRequest {
  publicKey: string;
  subjectName: string;
  subjectAlternateNames?: string[];
  validityPeriodDays: number;
}

export const caRoutes: readonly AppRoute[] = [
  write("POST", "/contracts/{contractId}/ca/generateSigningKey", "M", generateKey),
  read("POST", "/contracts/{contractId}/ca/generateEndorsedCert", "", endorseKey, { forwarding: "always" }),
  read("POST", "/contracts/{contractId}/ca/status", "MUJ", status, { registered: "never", forwarding: "always" }),
];

async function generateKey(context: AppContext): Promise<CcfReply> {
  const contractId = param(context, "contractId");
  const requestId = context.tx.get(ca, contractId)?.requestId;
  if (requestId === undefined)
    throw new CcfError(405, "CANotEnabled", "CA has not been enabled by a proposal for this contract.");
  if (context.tx.get(caKeys, contractId)?.requestId !== requestId) {
    const { privateKeyPem, certificatePem } = await createAuthority(CA_NAME, CA_VALIDITY_DAYS);
    const publicKeyPem = crypto.createPublicKey(privateKeyPem).export({ type: "spki", format: "pem" }).toString();
    context.tx.put(caKeys, contractId, { requestId, privateKeyPem, publicKeyPem, caCert: certificatePem });
  }
  return ok({ requestId });
}

function status(context: AppContext): CcfReply {
  const contractId = param(context, "contractId");
  const key = context.tx.get(caKeys, contractId);
  const open = openProposalsWith(
    context.tx,
    ({ name, args }) => name === "enable_ca" && args["contractId"] === contractId,
  );
  return ok({
    enabled: context.tx.has(ca, contractId),
    proposalIds: open.map(({ id }) => id),
    ...(key && { caCert: key.caCert, publicKey: key.publicKeyPem }),
  });
}

async function endorseKey(context: AppContext): Promise<CcfReply> {
  const contractId = param(context, "contractId");
  const { publicKey: wrappingKey, data } = requireAttestedData(context, contractId, context.body(), [
    CERTIFICATE_DELEGATE,
  ]);
  const request = data as unknown as EndorsementRequest;
  const key = context.tx.get(caKeys, contractId);
  if (!key) throw new CcfError(404, "NoCASigningKey", "No CA signing key was generated for this contract.");
  const cert = await endorse(
    { privateKeyPem: key.privateKeyPem, certificatePem: key.caCert },
    {
      publicKeyPem: request.publicKey,
      commonName: request.subjectName.replace(/^CN=/i, ""),
      alternativeNames: request.subjectAlternateNames ?? [],
      validityDays: request.validityPeriodDays,
    },
  );
  return ok({ value: wrap(wrappingKey, JSON.stringify({ cert })) });
}
