import type * as pulumi from "@pulumi/pulumi";
import type { MemberSigner } from "../clients/ccf/transport.ts";
import type { MemberData } from "../domain/governance/actions.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { asMember, unlessDismantled, type ConsortiumAccess } from "./framework/session.ts";

export interface ConsortiumMemberArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  /** The member's own certificate and key: it acknowledges the state of the network with it. */
  member: pulumi.Input<MemberSigner>;
  memberData: pulumi.Input<MemberData>;
  /** An active member who proposes the membership or a change of its data. */
  proposer: pulumi.Input<MemberSigner>;
}

/**
 * A member of the consortium.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | propose and vote unless known from the network's start; acknowledge with own key | member data; acknowledges again | certificate | propose its own removal | status, data |
 */
export class ConsortiumMember extends DynamicResource {
  declare readonly memberId: pulumi.Output<string>;
  /** `Active` once it has acknowledged, `Proposed` while other members have to vote. */
  declare readonly status: pulumi.Output<string>;

  constructor(name: string, args: ConsortiumMemberArgs, options?: pulumi.CustomResourceOptions) {
    super("consortiumMember", name, { ...args, active: true }, ["memberId", "status"], ["member", "proposer"], options);
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  member: MemberSigner;
  memberData: MemberData;
  proposer: MemberSigner;
  active: boolean;
}

interface Outputs {
  memberId: string;
  status: string;
}

async function settle({ consortium, member, memberData, proposer }: Inputs): Promise<Outputs> {
  const { memberIdOf } = await import("../clients/ccf/member-id.ts");
  const { putMember } = await import("../clients/cgs/acts/service.ts");
  const memberId = memberIdOf(member.certificate);
  const isKnown = await asMember(consortium, proposer, async (session) => {
    await putMember(session, { certificate: member.certificate, memberData });
    return (await session.governance.members()).some((other) => other.memberId === memberId);
  });
  if (!isKnown) return { memberId, status: "Proposed" };
  await asMember(consortium, member, async (session) => {
    await session.governance.activate();
    // A proposer that only operates the network has no vote on this: the member's own may be the one that counts.
    await putMember(session, { certificate: member.certificate, memberData });
  });
  return { memberId, status: "Active" };
}

export const provider = defineProvider<Inputs, Outputs>({
  name: "ConsortiumMember",
  inputs: ["consortium", "member", "memberData", "proposer", "active"],
  access: ["consortium", "proposer"],
  replaces: (olds, news) => (olds.member.certificate === news.member.certificate ? [] : ["member"]),

  async create(inputs, { progress }) {
    const outputs = await settle(inputs);
    progress(`member ${inputs.memberData.identifier ?? outputs.memberId}: ${outputs.status}`);
    return { id: outputs.memberId, outputs };
  },

  update: async (_id, _olds, inputs) => ({ outputs: await settle(inputs) }),

  read: (memberId, { consortium, proposer }) =>
    asMember(consortium, proposer, async ({ governance }) => {
      const known = (await governance.members()).find((member) => member.memberId === memberId);
      if (!known) return undefined;
      const { memberData, status } = known;
      return { inputs: { memberData: memberData ?? {}, active: status === "Active" }, outputs: { memberId, status } };
    }),

  delete: (memberId, { consortium, member, proposer }) =>
    unlessDismantled(consortium, async () => {
      const { removeMember } = await import("../clients/cgs/acts/service.ts");
      const members = await asMember(consortium, proposer, ({ governance }) => governance.members());
      // Its own vote counts, while a proposer that only operates the network has none.
      const isActive = members.some((known) => known.memberId === memberId && known.status === "Active");
      await asMember(consortium, isActive ? member : proposer, (session) => removeMember(session, memberId));
    }),
});
