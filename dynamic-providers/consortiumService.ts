import type * as pulumi from "@pulumi/pulumi";
import { readFile } from "node:fs/promises";
import type { Governance } from "../clients/ccf/governance.ts";
import type { MemberSigner } from "../clients/ccf/transport.ts";
import { UserError } from "../domain/errors.ts";
import { constitutionDigest, applicationDigest } from "../domain/governance/digests.ts";
import type { ApplicationBundle } from "../domain/governance/actions.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { asMember, type ConsortiumAccess } from "./framework/session.ts";

/** A file of this machine whose content is pinned by digest; the content itself stays out of the state. */
export interface Artifact {
  /** Relative to the project folder. */
  readonly path: string;
  /** `sha256:<hex>` */
  readonly digest: string;
}

export interface ConsortiumServiceArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  signer: pulumi.Input<MemberSigner>;
  /** JavaScript text. */
  constitution: pulumi.Input<Artifact>;
  /** JSON bundle of endpoints and modules. */
  application: pulumi.Input<Artifact>;
}

/**
 * The clean room governance service on a CCF network: constitution, application, limits of its scripts.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | propose, vote; nothing where the network has the same digests | other constitution or application digest | – | none: a network cannot be without them, it goes away with its nodes | digests of what the network runs |
 */
export class ConsortiumService extends DynamicResource {
  declare readonly constitutionDigest: pulumi.Output<string>;
  declare readonly applicationDigest: pulumi.Output<string>;
  /** Ids of the members who hold a share of the key that recovers the ledger, sorted. */
  declare readonly recoveryMembers: pulumi.Output<string[]>;

  constructor(name: string, args: ConsortiumServiceArgs, options?: pulumi.CustomResourceOptions) {
    super(
      "consortiumService",
      name,
      { ...args },
      ["constitutionDigest", "applicationDigest", "recoveryMembers"],
      ["signer"],
      options,
    );
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  signer: MemberSigner;
  constitution: Artifact;
  application: Artifact;
}

interface Outputs {
  constitutionDigest: string;
  applicationDigest: string;
  recoveryMembers: string[];
}

async function install({ consortium, signer, constitution, application }: Inputs): Promise<Outputs> {
  const { installService } = await import("../clients/cgs/acts/service.ts");
  const constitutionText = await readFile(constitution.path, "utf8");
  const bundle = JSON.parse(await readFile(application.path, "utf8")) as ApplicationBundle;
  requireDigest("constitution", constitution, constitutionDigest(constitutionText));
  requireDigest("application", application, applicationDigest(bundle));
  return asMember(consortium, signer, async (session) => {
    const { waitingFor } = await installService(session, { constitution: constitutionText, application: bundle });
    if (waitingFor) {
      throw new Error(`The ${waitingFor} waits for other members' votes; run up again when they have voted.`);
    }
    return installed(session.governance);
  });
}

/** What the network says about itself. It adds defaults to the application, so that its digest may not be the file's. */
async function installed(governance: Governance): Promise<Outputs> {
  return {
    constitutionDigest: constitutionDigest(await governance.constitution()),
    applicationDigest: applicationDigest(await governance.javascriptApp()),
    recoveryMembers: await recoveryMembersOf(governance),
  };
}

async function recoveryMembersOf(governance: Governance): Promise<string[]> {
  const members = await governance.members();
  return members
    .filter((member) => member.publicEncryptionKey !== undefined)
    .map((member) => member.memberId)
    .sort();
}

function requireDigest(what: string, artifact: Artifact, found: string): void {
  if (artifact.digest === found) return;
  throw new UserError(
    `governanceService.${what}: ${artifact.path} has digest ${found}, expected ${artifact.digest}; it changed while the program ran, run it again.`,
  );
}

export const provider = defineProvider<Inputs, Outputs>({
  name: "ConsortiumService",
  inputs: ["consortium", "signer", "constitution", "application"],
  access: ["consortium", "signer"],

  async create(inputs, { progress }) {
    const outputs = await install(inputs);
    progress("clean room governance service: constitution and application accepted");
    return { id: inputs.consortium.endpoint, outputs };
  },

  update: async (_id, _olds, inputs) => ({ outputs: await install(inputs) }),

  read: (_id, { consortium, signer, constitution, application, ...olds }) =>
    asMember(consortium, signer, async ({ governance }) => {
      const outputs = await installed(governance);
      const seen = (artifact: Artifact, before: string, now: string): Artifact =>
        now === before ? artifact : { ...artifact, digest: now };
      return {
        inputs: {
          constitution: seen(constitution, olds.constitutionDigest, outputs.constitutionDigest),
          application: seen(application, olds.applicationDigest, outputs.applicationDigest),
        },
        outputs,
      };
    }),
});
