import { createHash } from "node:crypto";
import { plain, type Values } from "./values.ts";

export const USERS: Readonly<Record<string, string>> = {
  "nora@northwind.example": "nora",
  "wanda@woodgrove.example": "wanda",
};
export const CERTIFICATE = "-----BEGIN CERTIFICATE-----\nservice\n-----END CERTIFICATE-----\n";
export const AUTHORITY = "-----BEGIN CERTIFICATE-----\nauthority\n-----END CERTIFICATE-----\n";

export function digest(value: unknown): string {
  return `sha256:${createHash("sha256").update(JSON.stringify(value)).digest("hex")}`;
}

/** Key material that must never show. */
export function privateKey(member: string): string {
  return `private key of ${member}`;
}

export function dataKey(dataset: string): string {
  return `data encryption key of ${dataset}`;
}

/** What the providers of this project answer once something is agreed; kinds without an entry add nothing. */
export const OUTPUTS: Readonly<Record<string, (inputs: Values) => Values>> = {
  MemberKey: ({ memberName, encryptionKey }) => ({
    certificate: `certificate of ${String(memberName)}`,
    memberId: `id of ${String(memberName)}`,
    privateKey: privateKey(String(memberName)),
    ...(encryptionKey === true && {
      encryptionPublicKey: `encryption key of ${String(memberName)}`,
      encryptionPrivateKey: privateKey(`${String(memberName)}'s encryption`),
    }),
  }),
  CcfNetwork: () => ({ serviceCertificate: CERTIFICATE, serviceStatus: "Open", platform: "virtual" }),
  ConsortiumService: () => ({ recoveryMembers: ["id of ccfoperator"] }),
  OidcIssuer: ({ webEndpoint, path }) => ({ issuerUrl: `${String(webEndpoint)}${String(path)}`, keyIds: ["k"] }),
  Contract: ({ data }) => ({ state: "Accepted", digest: digest(data) }),
  CertificateAuthority: () => ({ caCertificate: AUTHORITY }),
  UserInvitation: ({ email }) => ({ invitationId: `invitation of ${String(email)}`, status: "Open" }),
  UserIdentity: ({ expectedUserId }) => ({ userId: expectedUserId, tenantId: `tenant of ${String(expectedUserId)}` }),
  InvitationAcceptance: ({ email }) => ({
    userId: USERS[String(email)],
    tenantId: `tenant of ${USERS[String(email)]}`,
  }),
  DataEncryptionKey: ({ dataset }) => ({ key: dataKey(String(dataset)) }),
  KeyEncryptionKey: ({ vaultUri, keyName }) => ({
    keyId: `${String(vaultUri)}keys/${String(keyName)}/1`,
    publicKey: { kty: "RSA", n: "n", e: "AQAB" },
  }),
  WrappedKey: ({ secretName }) => ({ version: "1", digest: digest(secretName) }),
  DatasetFiles: () => ({ contentDigest: digest("files"), count: 1, bytes: 1, publishedDigest: digest("store") }),
  DatasetDocument: ({ baseId, dataset }) => ({
    documentId: `${String(baseId)}-r1`,
    ownerId: String(baseId).includes("northwind") ? "nora" : "wanda",
    state: "Accepted",
    content: digest(dataset),
  }),
  QueryDocument: ({ baseId, contractId, inputs, output, segments }) => {
    const documentId = `${String(baseId)}-r1`;
    const review = {
      version: 1,
      contractId,
      documentId,
      inputs: (inputs as { view: string; documentId: string }[]).map(({ view, documentId: id }) => ({
        view,
        ...reviewed(id),
      })),
      output: reviewed(String(output)),
      segments,
      approvers: ["nora", "wanda"],
    };
    return { documentId, state: "Proposed", review, digest: digest(review) };
  },
  QueryApproval: () => ({ state: "Proposed" }),
  QueryRun: ({ runId }) => ({
    state: "COMPLETED",
    rowsRead: 10,
    rowsWritten: 2,
    resultPath: `out/${String(runId)}`,
    finishedAt: "2026-01-01T00:00:00Z",
  }),
};

function reviewed(documentId: string): Values {
  return {
    documentId,
    ownerId: documentId.includes("northwind") ? "nora" : "wanda",
    content: digest(documentId),
    format: "csv",
    fields: [{ name: "author", type: "string" }],
    allowedFields: ["author"],
  };
}

/** @param kind the last part of the resource's type. */
export function agreed(kind: string, inputs: Values): Values {
  return OUTPUTS[kind]?.(plain(inputs)) ?? {};
}
