import { datasetDocument, type DatasetDefinition } from "../../domain/dataset.ts";
import { queryDocument, type QueryDefinition, type Segment } from "../../domain/query.ts";
import type { LedgerDocument } from "../../domain/review.ts";

export const CONTRACT = "c-analytics";

/** A source in Azure Blob Storage that the service encrypts. */
export const source: DatasetDefinition = {
  documentId: "retail-orders",
  kind: "source",
  format: "csv",
  fields: [
    { name: "day", type: "date" },
    { name: "sku", type: "string" },
  ],
  allowedFields: ["day", "sku"],
  encryption: "SSE",
  store: { type: "Azure_BlobStorage", url: "https://acct.blob.core.windows.net", container: "orders-container" },
  identity: { name: "owner-mi", clientId: "client", tenantId: "tenant", issuerUrl: "https://issuer.example/oidc" },
};

export const segment: Segment = {
  executionSequence: 1,
  data: "SELECT sku, COUNT(*) AS n FROM orders GROUP BY sku",
  preConditions: [{ viewName: "orders", minRowCount: 50 }],
  postFilters: [{ columnName: "n", value: 3 }],
};

export const query: QueryDefinition = {
  documentId: "weekly-overlap",
  inputs: [
    { view: "orders", documentId: "retail-orders" },
    { view: "visits", documentId: "store-visits" },
  ],
  output: "overlap-out",
  segments: [
    { ...segment, data: "CREATE OR REPLACE TEMP VIEW o AS SELECT * FROM orders" },
    { ...segment, executionSequence: 2 },
  ],
};

/** A dataset document that its owner has published. */
export function acceptedDataset(
  dataset: DatasetDefinition,
  owner: string,
  changes: Partial<LedgerDocument> = {},
): LedgerDocument {
  return {
    id: dataset.documentId,
    state: "Accepted",
    contractId: CONTRACT,
    data: JSON.stringify(datasetDocument(dataset)),
    proposerId: owner,
    ...changes,
  };
}

/** A query document that waits for its approvers. */
export function proposedQuery(
  definition: QueryDefinition,
  approvers: readonly string[],
  changes: Partial<LedgerDocument> = {},
): LedgerDocument {
  return {
    id: definition.documentId,
    state: "Proposed",
    contractId: CONTRACT,
    data: JSON.stringify(queryDocument(definition)),
    proposerId: approvers[0]!,
    approvers: approvers.map((approverId) => ({ approverId, approverIdType: "user" })),
    ...changes,
  };
}
