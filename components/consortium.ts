import * as pulumi from "@pulumi/pulumi";
import type { ConsortiumAccess } from "../dynamic-providers/framework/session.ts";
import { CcfNetwork } from "../dynamic-providers/ccfNetwork.ts";
import { ConsortiumMember } from "../dynamic-providers/consortiumMember.ts";
import { ConsortiumService, type Artifact } from "../dynamic-providers/consortiumService.ts";
import { JwtIssuer } from "../dynamic-providers/jwtIssuer.ts";
import { MemberKey } from "../dynamic-providers/memberKey.ts";
import { OidcIssuer } from "../dynamic-providers/oidcIssuer.ts";
import { CcfNode } from "./ccfNode.ts";
import type { OperatorEnvironment } from "./operatorEnvironment.ts";

export interface SigningMember {
  certificate: string;
  privateKey: string;
}

export interface ConsortiumArgs {
  environment: OperatorEnvironment;
  location: string;
  tags: Readonly<Record<string, string>>;
  images: { registry: string; tag: string };
  service: { constitution: Artifact; application: Artifact };
  /** Issuers of the users' tokens, and the PEM roots the network trusts to fetch their keys. */
  tokenIssuers: readonly string[];
  tokenIssuerRoots: string;
  /** Use this network instead of starting one; its operator has registered the token issuers. */
  existing?: { endpoint: string; serviceCertificate: string; member: pulumi.Output<SigningMember> } | undefined;
}

/** The network that keeps what is agreed, running the governance service, open to users of the given issuers. */
export class Consortium extends pulumi.ComponentResource {
  declare readonly access: pulumi.Output<ConsortiumAccess>;
  /** The member that proposes and votes for the operator's organisation. Secret. */
  declare readonly signer: pulumi.Output<SigningMember>;
  /** Members who hold a share of the key that recovers the ledger. */
  declare readonly recoveryMembers: pulumi.Output<string[]>;
  declare readonly issuerUrl: pulumi.Output<string>;
  /** The governance service is there and can be used. */
  readonly ready: readonly pulumi.Resource[];
  /** Where the nodes can be asked for an attested report; absent for a network of somebody else. */
  readonly attestation: pulumi.Output<{ reportUrl: string; hostData: string }> | undefined;
  /** What vouches for what the nodes run. */
  readonly platform: "snp" | "virtual";
  /** What everything agreed in the network goes away with. */
  readonly node: pulumi.Resource | undefined;

  constructor(name: string, args: ConsortiumArgs, options?: pulumi.ComponentResourceOptions) {
    super("cleanroom:components:Consortium", name, {}, options);
    const network = args.existing ? existingNetwork(args.existing) : this.startNetwork(name, args);
    const { access, signer, node } = network;
    this.access = access;
    this.signer = signer;
    this.node = node;
    this.attestation = network.attestation;
    // Networks started here are attested virtually so far; somebody else's is taken to be on real hardware.
    this.platform = args.existing ? "snp" : "virtual";
    const governed = { parent: this, ...(node && { deletedWith: node }) };

    const service = new ConsortiumService(
      `${name}-service`,
      { consortium: access, signer, ...args.service },
      { ...governed, dependsOn: [...network.members] },
    );
    this.recoveryMembers = service.recoveryMembers;
    const issuer = new OidcIssuer(
      `${name}-issuer`,
      {
        consortium: access,
        signer,
        blobEndpoint: args.environment.issuerBlobEndpoint,
        webEndpoint: args.environment.issuerWebEndpoint,
        path: `${name}-oidc`,
      },
      // Its published documents outlive the network unless they are deleted: no deletedWith.
      { parent: this, dependsOn: [service, ...args.environment.issuerReady] },
    );
    this.issuerUrl = issuer.issuerUrl;
    this.ready = [service, ...network.issuers];
    this.registerOutputs({ access: this.access, issuerUrl: this.issuerUrl });
  }

  private startNetwork(name: string, args: ConsortiumArgs): Network {
    const parent = { parent: this };
    const { environment, location, tags } = args;
    const operatorKey = new MemberKey(
      `${name}-ccfoperator-key`,
      { memberName: "ccfoperator", encryptionKey: true },
      parent,
    );
    const memberKey = new MemberKey(`${name}-operator-key`, { memberName: "operator" }, parent);
    const operatorData = { identifier: "ccfoperator", isOperator: true };
    const memberData = environment.tenantId.apply((tenantId) => ({ identifier: "operator", tenantId }));
    const nodeName = `${name}-ccf`;
    const node = new CcfNode(
      `${nodeName}-0`,
      {
        resourceGroupName: environment.resourceGroupName,
        subscriptionId: environment.subscriptionId,
        location,
        tags,
        network: nodeName,
        ledger: environment.ledger!,
        images: args.images,
        members: pulumi
          .all([operatorKey.certificate, operatorKey.encryptionPublicKey, memberKey.certificate, memberData])
          .apply(([operatorCertificate, encryptionPublicKey, memberCertificate, data]) => [
            {
              name: "ccfoperator",
              certificate: operatorCertificate,
              encryptionPublicKey: encryptionPublicKey!,
              data: operatorData,
            },
            { name: "operator", certificate: memberCertificate, data },
          ]),
      },
      parent,
    );
    const operator = signerOf(operatorKey);
    const signer = signerOf(memberKey);
    const governed = { parent: this, deletedWith: node.group };
    const network = new CcfNetwork(
      nodeName,
      { endpoint: node.endpoint, reportUrl: node.reportUrl, hostData: node.hostData, signer: operator },
      governed,
    );
    const access = pulumi
      .all([network.endpoint, network.serviceCertificate])
      .apply(([endpoint, serviceCertificate]) => ({ endpoint, serviceCertificate }));
    const member = new ConsortiumMember(
      `${name}-operator`,
      { consortium: access, member: signer, memberData, proposer: operator },
      governed,
    );
    const issuers = args.tokenIssuers.map(
      (issuer) =>
        new JwtIssuer(
          `${name}-token-issuer-${tenantOf(issuer)}`,
          { consortium: access, signer: operator, issuer, caCertificates: args.tokenIssuerRoots },
          governed,
        ),
    );
    return {
      access,
      signer,
      members: [member],
      issuers,
      node: node.group,
      attestation: node.reportUrl.apply((reportUrl) => ({ reportUrl, hostData: node.hostData })),
    };
  }
}

interface Network {
  readonly access: pulumi.Output<ConsortiumAccess>;
  readonly signer: pulumi.Output<SigningMember>;
  readonly members: readonly pulumi.Resource[];
  readonly issuers: readonly pulumi.Resource[];
  readonly node?: pulumi.Resource;
  readonly attestation?: pulumi.Output<{ reportUrl: string; hostData: string }>;
}

function existingNetwork({ endpoint, serviceCertificate, member }: NonNullable<ConsortiumArgs["existing"]>): Network {
  return { access: pulumi.output({ endpoint, serviceCertificate }), signer: member, members: [], issuers: [] };
}

/** Tells issuers apart whatever their order: one that moved up must not be taken for another. */
function tenantOf(issuer: string): string {
  return new URL(issuer).pathname.split("/").find((part) => part !== "")!;
}

function signerOf(key: MemberKey): pulumi.Output<SigningMember> {
  return pulumi.secret(
    pulumi.all([key.certificate, key.privateKey]).apply(([certificate, privateKey]) => ({ certificate, privateKey })),
  );
}
