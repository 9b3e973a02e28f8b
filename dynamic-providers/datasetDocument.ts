import type * as pulumi from "@pulumi/pulumi";
import { datasetDocument, datasetProblems, type DatasetDefinition } from "../domain/dataset.ts";
import { sha256Hex } from "../domain/json.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { ownConsent } from "./framework/review.ts";
import { nextRevision } from "./framework/revisions.ts";
import { asUser, unlessDismantled, type ConsortiumAccess } from "./framework/session.ts";

/** A dataset before it has an id of its own. */
export type DatasetContent = Omit<DatasetDefinition, "documentId">;

export interface DatasetDocumentArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  contractId: pulumi.Input<string>;
  /** The document's id without its revision. */
  baseId: string;
  dataset: pulumi.Input<DatasetContent>;
}

/**
 * A dataset as the consortium knows it: schema, allowed fields, where it is and how its keys are released.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | put, propose, own vote, consent | consent switched off by hand: on again | content changed: next revision | disable consent (accepted documents stay in the ledger) | state, content, own consent |
 */
export class DatasetDocument extends DynamicResource {
  /** Base id and revision. */
  declare readonly documentId: pulumi.Output<string>;
  /** User id of the owner. */
  declare readonly ownerId: pulumi.Output<string>;
  declare readonly state: pulumi.Output<string>;
  /** `sha256:` of the document's text. */
  declare readonly content: pulumi.Output<string>;

  constructor(name: string, args: DatasetDocumentArgs, options?: pulumi.CustomResourceOptions) {
    super(
      "datasetDocument",
      name,
      { ...args, consent: true },
      ["documentId", "ownerId", "state", "content"],
      [],
      options,
    );
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  contractId: string;
  baseId: string;
  dataset: DatasetContent;
  consent: boolean;
}

interface Outputs {
  documentId: string;
  ownerId: string;
  state: string;
  content: string;
}

export const provider = defineProvider<Inputs, Outputs>({
  name: "DatasetDocument",
  inputs: ["consortium", "contractId", "baseId", "dataset", "consent"],
  access: ["consortium"],
  replaceOn: ["contractId", "baseId", "dataset"],

  validate: ({ dataset }) => datasetProblems(dataset).map((reason) => ({ property: "dataset", reason })),

  async create({ consortium, contractId, baseId, dataset }, { config, progress }) {
    const { publishDocument } = await import("../clients/cgs/acts/documents.ts");
    const outputs = await asUser(consortium, config, async (session) => {
      const ownerId = await session.cgs.callerId();
      const document = await nextRevision(session, baseId, (id) => ({
        id,
        contractId,
        data: JSON.stringify(datasetDocument({ ...dataset, documentId: id })),
        labels: { type: "dataset" },
        approvers: [{ approverId: ownerId, approverIdType: "user" }],
      }));
      const { state } = await publishDocument(session, document);
      await session.cgs.documents.setOption(contractId, document.id, "execution", true);
      return { documentId: document.id, ownerId, state, content: contentOf(document.data) };
    });
    progress(`dataset ${outputs.documentId}: ${outputs.state}`);
    return { id: outputs.documentId, outputs };
  },

  async update(documentId, { ownerId, state, content }, { consortium, contractId }, { config }) {
    await asUser(consortium, config, ({ cgs }) => cgs.documents.setOption(contractId, documentId, "execution", true));
    return { outputs: { documentId, ownerId, state, content } };
  },

  read: (documentId, { consortium, contractId, ownerId, content }, { config }) =>
    asUser(consortium, config, async ({ cgs }) => {
      const known = await cgs.documents.get(documentId);
      if (known?.state !== "Accepted" || known.contractId !== contractId) return undefined;
      // Accepted documents cannot change: another text or owner is another document, in a network begun anew.
      if (known.proposerId !== ownerId || contentOf(known.data) !== content) return undefined;
      return {
        inputs: { consent: await ownConsent(cgs, known) },
        outputs: { documentId, ownerId, state: known.state, content },
      };
    }),

  delete: (documentId, { consortium, contractId, ownerId }, { config }) =>
    unlessDismantled(consortium, () =>
      asUser(consortium, config, async ({ cgs }) => {
        const known = await cgs.documents.get(documentId);
        if (known?.state !== "Accepted" || known.proposerId !== ownerId) return;
        await cgs.documents.setOption(contractId, documentId, "execution", false);
      }),
    ),
});

function contentOf(data: string): string {
  return `sha256:${sha256Hex(data)}`;
}
