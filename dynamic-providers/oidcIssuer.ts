import type * as pulumi from "@pulumi/pulumi";
import type { MemberSigner } from "../clients/ccf/transport.ts";
import { sameJson, sha256Hex } from "../domain/json.ts";
import { discoveryDocuments } from "../domain/governance/discovery.ts";
import { defineProvider } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { asMember, signedIn, type ConsortiumAccess } from "./framework/session.ts";

export interface OidcIssuerArgs {
  consortium: pulumi.Input<ConsortiumAccess>;
  signer: pulumi.Input<MemberSigner>;
  /** Blob endpoint of the account whose static website publishes the documents, with a trailing slash. */
  blobEndpoint: pulumi.Input<string>;
  /** Web endpoint of the same account, with a trailing slash. */
  webEndpoint: pulumi.Input<string>;
  /** First path segment of the issuer URL, so that one account can serve several issuers. */
  path: pulumi.Input<string>;
  /** Raise it to have the consortium sign with a new key. Default 0. */
  keyGeneration?: pulumi.Input<number>;
}

/**
 * The consortium's token issuer: attested code gets tokens from the governance service, cloud providers verify them
 * with the discovery documents published here.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | propose, vote, generate the signing key, publish the documents | key generation: rotate, publish again; documents that somebody changed: publish again | website or path | remove the documents (the service keeps its key) | keys, published documents |
 */
export class OidcIssuer extends DynamicResource {
  /** `<webEndpoint><path>` */
  declare readonly issuerUrl: pulumi.Output<string>;
  /** Ids of the keys in force. */
  declare readonly keyIds: pulumi.Output<string[]>;
  /** Whether the published documents were those of the service at the last look. */
  declare readonly published: pulumi.Output<boolean>;

  constructor(name: string, args: OidcIssuerArgs, options?: pulumi.CustomResourceOptions) {
    super(
      "oidcIssuer",
      name,
      { keyGeneration: 0, ...args, published: true },
      ["issuerUrl", "keyIds"],
      ["signer"],
      options,
    );
  }
}

interface Inputs {
  consortium: ConsortiumAccess;
  signer: MemberSigner;
  blobEndpoint: string;
  webEndpoint: string;
  path: string;
  keyGeneration: number;
  published: boolean;
}

interface Outputs {
  issuerUrl: string;
  keyIds: string[];
}

export const provider = defineProvider<Inputs, Outputs>({
  name: "OidcIssuer",
  inputs: ["consortium", "signer", "blobEndpoint", "webEndpoint", "path", "keyGeneration", "published"],
  access: ["consortium", "signer"],
  replaceOn: ["blobEndpoint", "webEndpoint", "path"],

  async create(inputs, { config, progress }) {
    const { enableOidcIssuer } = await import("../clients/cgs/acts/keys.ts");
    const issuerUrl = issuerUrlOf(inputs);
    const { keys } = await asMember(inputs.consortium, inputs.signer, (session) =>
      enableOidcIssuer(session, { kid: sha256Hex(issuerUrl).slice(0, 32) }),
    );
    if (keys.length === 0)
      throw new Error("The token issuer waits for other members' votes; run up again when they have voted.");
    await (await website(inputs, config)).publish(discoveryDocuments(issuerUrl, keys));
    progress(`token issuer of the consortium: ${issuerUrl}`);
    return { id: issuerUrl, outputs: { issuerUrl, keyIds: keys.map(({ kid }) => kid) } };
  },

  async read(issuerUrl, olds, { config }) {
    const keys = await asMember(olds.consortium, olds.signer, ({ cgs }) => cgs.oidc.keys());
    if (keys.length === 0) return undefined;
    const published = await (await website(olds, config)).read(Object.keys(discoveryDocuments(issuerUrl, keys)));
    return {
      inputs: { published: sameJson(published, discoveryDocuments(issuerUrl, keys)) },
      outputs: { issuerUrl, keyIds: keys.map(({ kid }) => kid) },
    };
  },

  async update(issuerUrl, olds, news, { config, progress }) {
    const { rotateOidcKey } = await import("../clients/cgs/acts/keys.ts");
    const keys = await asMember(news.consortium, news.signer, async (session) =>
      news.keyGeneration > olds.keyGeneration
        ? (await rotateOidcKey(session, olds.keyIds)).keys
        : session.cgs.oidc.keys(),
    );
    await (await website(news, config)).publish(discoveryDocuments(issuerUrl, keys));
    progress(`token issuer of the consortium: signs with ${keys.map(({ kid }) => kid).join(", ")}`);
    return { outputs: { issuerUrl, keyIds: keys.map(({ kid }) => kid) } };
  },

  async delete(issuerUrl, olds, { config }) {
    await (await website(olds, config)).remove(Object.keys(discoveryDocuments(issuerUrl, [])));
  },
});

function issuerUrlOf({ webEndpoint, path }: Inputs): string {
  return `${webEndpoint.replace(/\/?$/, "/")}${path}`;
}

async function website(
  inputs: Inputs,
  config: Parameters<typeof signedIn>[0],
): Promise<import("../clients/stores/website.ts").Website> {
  const { Website } = await import("../clients/stores/website.ts");
  return new Website({ blobEndpoint: inputs.blobEndpoint, path: inputs.path, credential: await signedIn(config) });
}
