import { z } from "zod";
import { FIELD_TYPES } from "./dataset.ts";
import { UserError } from "./errors.ts";

/**
 * What one organisation's stack tells the others. Plain, not secret, versioned: it travels as a stack output or as a
 * JSON document. Unknown members are kept out, missing ones mean "not there yet".
 */
export const HANDOFF_VERSION = 1;

const pem = z.string().startsWith("-----BEGIN");

export const consortiumSchema = z.object({
  /** `https://host[:port]` of the CCF network. */
  endpoint: z.url(),
  /** The service identity to pin. */
  serviceCertificate: pem,
  contractId: z.string(),
  /** Issuer of the consortium's own tokens. */
  issuerUrl: z.url(),
  /** Collaborator → invitation. */
  invitations: z.record(z.string(), z.object({ invitationId: z.string(), email: z.string() })),
  /** Collaborators whose user identity has been accepted → user id. */
  users: z.record(z.string(), z.object({ userId: z.string(), tenantId: z.string() })),
  analytics: z.object({
    endpoint: z.url(),
    /** Root of the contract's certificate authority: what the endpoint's certificate chains to. */
    caCertificate: pem,
    /** Hex SHA-256 of the clean room agent's policy, as accepted in the contract. */
    measurement: z.string(),
    /** What vouches for the measurement: hardware, or a sandbox that only simulates it. */
    platform: z.enum(["snp", "virtual"]),
  }),
});
export type Consortium = z.infer<typeof consortiumSchema>;

const datasetSchema = z.object({
  documentId: z.string(),
  kind: z.enum(["source", "sink"]),
  format: z.string(),
  fields: z.array(z.object({ name: z.string(), type: z.enum(FIELD_TYPES) })),
  allowedFields: z.array(z.string()),
});
export type SharedDataset = z.infer<typeof datasetSchema>;

const sharedFields = {
  documentId: z.string(),
  ownerId: z.string(),
  content: z.string(),
  format: z.string(),
  fields: z.array(z.object({ name: z.string(), type: z.enum(FIELD_TYPES) })),
  allowedFields: z.array(z.string()),
};
const reviewSchema = z.object({
  version: z.literal(1),
  contractId: z.string(),
  documentId: z.string(),
  inputs: z.array(z.object({ view: z.string(), ...sharedFields })),
  output: z.object(sharedFields),
  segments: z.array(
    z.object({
      executionSequence: z.number(),
      data: z.string(),
      preConditions: z.array(z.object({ viewName: z.string(), minRowCount: z.number() })),
      postFilters: z.array(z.object({ columnName: z.string(), value: z.number() })),
    }),
  ),
  approvers: z.array(z.string()),
});
const querySchema = z.object({ documentId: z.string(), digest: z.string(), review: reviewSchema });
export type SharedQuery = z.infer<typeof querySchema>;

const operatorSchema = z.object({
  version: z.literal(HANDOFF_VERSION),
  persona: z.string(),
  consortium: consortiumSchema,
});

const collaboratorSchema = z.object({
  version: z.literal(HANDOFF_VERSION),
  persona: z.string(),
  identity: z.object({
    email: z.string(),
    tenantId: z.string().optional(),
    userId: z.string().optional(),
    /** The invitation this user has accepted. */
    acceptedInvitation: z.string().optional(),
  }),
  datasets: z.record(z.string(), datasetSchema).default({}),
  queries: z.record(z.string(), querySchema).default({}),
  /** `owner/query` → digest this organisation has voted for. */
  approvals: z.record(z.string(), z.string()).default({}),
});

export type OperatorHandoff = z.infer<typeof operatorSchema>;
export type CollaboratorHandoff = z.infer<typeof collaboratorSchema>;

/** @param source where it came from, named in the error. @throws UserError */
export function parseOperatorHandoff(source: string, value: unknown): OperatorHandoff {
  return parse(operatorSchema, source, value);
}

/** @param source where it came from, named in the error. @throws UserError */
export function parseCollaboratorHandoff(source: string, value: unknown): CollaboratorHandoff {
  return parse(collaboratorSchema, source, value);
}

function parse<T>(schema: z.ZodType<T>, source: string, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new UserError(`${source} is not a handoff of version ${HANDOFF_VERSION}: ${problems.join("; ")}`);
}
