import crypto from "node:crypto";
import type { JsonWebKey as NodeJsonWebKey } from "node:crypto";
import { AnalyticsClient } from "../../../clients/analytics.ts";
import { SandboxAttestation } from "../../../sandbox/attestation/index.ts";
import { SandboxBlob } from "../../../sandbox/blob/index.ts";
import { SandboxCcf } from "../../../sandbox/ccf/index.ts";
import { SandboxCleanRoom } from "../../../sandbox/cleanroom/index.ts";
import { Roles } from "../../../sandbox/azure/roles.ts";
import type { CleanRoomSpec, RoleBasedAccess } from "../../../sandbox/contracts.ts";
import { PERSONAS, type PersonaName } from "../../../sandbox/entra/directory.ts";
import { SandboxEntra } from "../../../sandbox/entra/index.ts";
import { SandboxKeyVault } from "../../../sandbox/keyvault/index.ts";
import { AccessTable } from "../blob/support.ts";
import { archive, CcfClient, createIdentity, type Identity } from "../ccf/client.ts";
import { acceptContract, bundle, constitution, RESOURCE_ID, serviceCertificate } from "../ccf/fixture.ts";
import { request, temporaryHost, userToken, type OpenHost } from "../entra/support.ts";

export type Owner = "northwind" | "woodgrove";
export type Encryption = "SSE" | "CPK" | "CSE";

export const CONTRACT = "c-analytics";
export const POLICY = "package policy\n# the agent";
const AUTHORITY = "https://attest.example";
const STORAGE = "https://storage.azure.com/.default";
const VAULT = "https://vault.azure.net/.default";
const hash = (text: string | Buffer): string => crypto.createHash("sha256").update(text).digest("hex");
const base64Json = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");

export interface DatasetOptions {
  readonly id: string;
  readonly owner: Owner;
  readonly access?: "read" | "write";
  readonly encryption?: Encryption;
  readonly format?: string;
  readonly fields: readonly (readonly [string, string])[];
  readonly allowedFields: readonly string[];
  readonly storeType?: string;
  readonly container?: string;
  readonly subdirectory?: string;
  /** Whose identity the document names. Default: the owner's. */
  readonly identityOf?: Owner;
}

/** The sandbox's services, a consortium with one contract, and two owners with storage, vault and identity. */
export class Environment {
  readonly host: OpenHost;
  readonly access = new AccessTable();
  /** Built-in roles, beside what the table grants. */
  readonly roles: Roles;
  readonly entra: SandboxEntra;
  readonly attestation: SandboxAttestation;
  readonly blob: SandboxBlob;
  readonly vaults: SandboxKeyVault;
  readonly ccf: SandboxCcf;
  cleanRoom: SandboxCleanRoom;
  governance!: CcfClient;
  operator!: Identity;
  members: Identity[] = [];
  issuerUrl = "";
  endpoints!: Record<Owner, { blob: string; vault: string; clientId: string; oid: string }>;

  private constructor(host: OpenHost) {
    this.host = host;
    this.entra = new SandboxEntra(host);
    this.attestation = new SandboxAttestation(host);
    this.roles = new Roles(host, this.entra);
    const access: RoleBasedAccess = {
      isAllowed: (...asked) => this.access.isAllowed(...asked) || this.roles.isAllowed(...asked),
    };
    this.blob = new SandboxBlob(host, this.entra, access);
    this.vaults = new SandboxKeyVault(host, this.entra, access, this.attestation);
    this.ccf = new SandboxCcf(host, this.attestation);
    this.cleanRoom = undefined as unknown as SandboxCleanRoom;
  }

  static async start(): Promise<Environment> {
    const environment = new Environment(await temporaryHost());
    await environment.startServices();
    await environment.startConsortium();
    await environment.startOwners();
    await environment.publishIssuer();
    return environment;
  }

  async stop(): Promise<void> {
    await this.cleanRoom.stop();
    await Promise.all([this.ccf.stop(), this.vaults.stop(), this.blob.stop()]);
    await this.entra.stop();
    this.host.close();
  }

  private async startServices(): Promise<void> {
    await Promise.all([this.entra.start(), this.blob.start(), this.vaults.start(), this.ccf.start()]);
    this.cleanRoom = new SandboxCleanRoom(this.host, this.attestation, this.entra.authority);
    await this.cleanRoom.start();
  }

  private async startConsortium(): Promise<void> {
    this.operator = await createIdentity("operator");
    this.members = [this.operator];
    const recovery = crypto.generateKeyPairSync("rsa", { modulusLength: 2048 });
    const configuration = {
      "operator_cert.pem": this.operator.cert,
      "operator_enc_pubk.pem": recovery.publicKey.export({ type: "spki", format: "pem" }).toString(),
      "operator_data.json": JSON.stringify({
        identifier: "operator",
        isOperator: true,
        cgsRoles: { cgsOperator: "true", contractOperator: "true" },
      }),
      "actions.js": "// actions",
      "resolve.js": "// resolve",
      "node_data.json": "{}",
      "cchost_config.json": JSON.stringify({
        node_certificate: { subject_alt_names: ["dNSName:ccf-0.example"] },
        node_data_json_file: "node_data.json",
        command: {
          type: "Start",
          start: {
            constitution_files: ["actions.js", "resolve.js"],
            members: [
              {
                certificate_file: "operator_cert.pem",
                encryption_public_key_file: "operator_enc_pubk.pem",
                data_json_file: "operator_data.json",
              },
            ],
          },
        },
      }),
    };
    const { ports } = await this.ccf.startNode({
      resourceId: RESOURCE_ID,
      name: "ccf-0",
      configuration: await archive(configuration),
      ccePolicy: "package policy",
      storage: { account: "ledgers", share: "ccf-0" },
    });
    this.governance = new CcfClient(ports[0], await serviceCertificate(ports[3], this.host.caCertificate));
    await this.governance.activate(this.operator);
    await this.pass({ name: "transition_service_to_open", args: { next_service_identity: this.governance.ca } });
    await this.pass({ name: "set_constitution", args: { constitution: constitution() } });
    await this.pass({ name: "set_js_app", args: { bundle: bundle() } });
    await acceptContract({ client: this.governance, members: this.members } as never, CONTRACT);
    await this.pass(
      { name: "set_ca_cert_bundle", args: { name: "sandbox", cert_bundle: this.host.caCertificate } },
      {
        name: "set_jwt_issuer",
        args: { issuer: `${this.entra.authority}/common/v2.0`, auto_refresh: true, ca_cert_bundle_name: "sandbox" },
      },
    );
    for (const name of ["northwind", "woodgrove"] as const) {
      const { objectId: id, tenantId } = PERSONAS[name];
      await this.pass({ name: "set_user_identity", args: { id, accountType: "microsoft", data: { tenantId } } });
    }
    await this.pass({ name: "enable_oidc_issuer", args: { kid: "oidc" } });
    await this.governance.call("POST", "/app/oidc/generateSigningKey", { member: this.operator });
  }

  pass(...actions: { name: string; args?: object }[]): Promise<unknown> {
    return this.governance.pass(this.members, ...actions);
  }

  /** What makes the clean room ready: its policy and the contract's certificate authority. */
  async admitCleanRoom(): Promise<void> {
    const claims = { "x-ms-sevsnpvm-is-debuggable": false, "x-ms-sevsnpvm-hostdata": hash(POLICY) };
    await this.pass({
      name: "set_clean_room_policy",
      args: { contractId: CONTRACT, type: "add", policyType: "snp-caci", claims },
    });
    await this.pass({ name: "enable_ca", args: { contractId: CONTRACT } });
    await this.governance.call("POST", `/app/contracts/${CONTRACT}/ca/generateSigningKey`, { member: this.operator });
  }

  private async startOwners(): Promise<void> {
    const endpoints = await Promise.all(
      (["northwind", "woodgrove"] as const).map(async (owner) => {
        const { tenantId, objectId } = PERSONAS[owner];
        const scope = `/subscriptions/0/resourceGroups/${owner}/providers`;
        const account = `${scope}/Microsoft.Storage/storageAccounts/${owner}store`;
        const vault = `${scope}/Microsoft.KeyVault/vaults/${owner}kv`;
        const identity = { objectId: crypto.randomUUID(), clientId: crypto.randomUUID() };
        this.entra.addManagedIdentity({ ...identity, tenantId, kind: "managedIdentity", name: `${owner}-mi` });
        for (const who of [objectId, identity.objectId]) {
          this.access.grant(who, account);
          this.access.grant(who, vault);
        }
        const { blob } = await this.blob.putAccount({
          id: account,
          name: `${owner}store`,
          tenantId,
          allowSharedKeyAccess: false,
          allowBlobPublicAccess: true,
        });
        const { vaultUri } = await this.vaults.putVault({
          id: vault,
          name: `${owner}kv`,
          tenantId,
          sku: "premium",
          enableRbacAuthorization: true,
          enablePurgeProtection: false,
          softDeleteRetentionInDays: 7,
        });
        return [owner, { blob, vault: vaultUri, clientId: identity.clientId, oid: identity.objectId }] as const;
      }),
    );
    this.endpoints = Object.fromEntries(endpoints) as Environment["endpoints"];
  }

  /** The contract's issuer documents on a static website, trusted by each owner's identity for its own subject. */
  private async publishIssuer(): Promise<void> {
    const { web } = await this.blob.putAccount({
      id: "/subscriptions/0/resourceGroups/northwind/providers/Microsoft.Storage/storageAccounts/northwindstore",
      name: "northwindstore",
      tenantId: PERSONAS.northwind.tenantId,
      allowSharedKeyAccess: false,
      allowBlobPublicAccess: true,
    });
    await this.blob.setStaticWebsite("northwindstore", { indexDocument: "index.html" });
    this.issuerUrl = `${web}oidc`;
    const keys = await this.governance.call("GET", "/app/oidc/keys");
    const metadata = { issuer: this.issuerUrl, jwks_uri: `${this.issuerUrl}/openid/v1/jwks` };
    await this.putBlob(
      "northwind",
      "$web",
      "oidc/.well-known/openid-configuration",
      Buffer.from(JSON.stringify(metadata)),
    );
    await this.putBlob("northwind", "$web", "oidc/openid/v1/jwks", Buffer.from(keys.text));
    for (const owner of ["northwind", "woodgrove"] as const)
      this.trustOwner(owner, `${CONTRACT}-${PERSONAS[owner].objectId}`);
  }

  trustOwner(owner: Owner, subject: string): void {
    const audiences = ["api://AzureADTokenExchange"];
    this.entra.setFederatedCredentials(this.endpoints[owner].oid, [
      { name: "federation", issuer: this.issuerUrl, subject, audiences },
    ]);
  }

  // ---- data ----

  async putBlob(
    owner: Owner,
    container: string,
    name: string,
    content: Buffer,
    headers: Record<string, string> = {},
  ): Promise<void> {
    const { status, body } = await this.blobRequest(
      owner,
      `${container}/${name}`,
      "PUT",
      { "x-ms-blob-type": "BlockBlob", ...headers },
      content,
    );
    if (status !== 201) throw new Error(`PUT ${name}: ${status} ${body.toString()}`);
  }

  async getBlob(owner: Owner, path: string, headers: Record<string, string> = {}): Promise<Buffer> {
    const { status, body } = await this.blobRequest(owner, path, "GET", headers);
    if (status !== 200) throw new Error(`GET ${path}: ${status} ${body.toString()}`);
    return body;
  }

  /** Names of all blobs in a container. */
  async blobNames(owner: Owner, container: string): Promise<string[]> {
    const { body } = await this.blobRequest(owner, `${container}?restype=container&comp=list`, "GET", {});
    return [...body.toString().matchAll(/<Name>([^<]*)<\/Name>/g)].map(([, name = ""]) => name);
  }

  private async blobRequest(
    owner: Owner,
    path: string,
    method: string,
    headers: Record<string, string>,
    body?: Buffer,
  ) {
    const token = await userToken(this.host, this.entra, owner, STORAGE);
    return request(this.host, `${this.endpoints[owner].blob}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        "x-ms-version": "2025-05-05",
        ...headers,
        ...(body && { "content-length": String(body.length) }),
      },
      ...(body && { body }),
    });
  }

  /** Creates a KEK in the owner's vault, bound to `policy`, and stores the DEK wrapped for it. */
  async storeDek(owner: Owner, name: string, dek: Buffer, policy = POLICY): Promise<void> {
    const release = {
      version: "1.0.0",
      anyOf: [{ authority: AUTHORITY, allOf: [{ claim: "x-ms-sevsnpvm-hostdata", equals: hash(policy) }] }],
    };
    const key = (await this.vaultRequest(owner, "POST", `keys/${name}-kek/create`, {
      kty: "RSA-HSM",
      key_size: 2048,
      key_ops: ["encrypt", "wrapKey"],
      attributes: { exportable: true },
      release_policy: { data: Buffer.from(JSON.stringify(release)).toString("base64url") },
    })) as { key: NodeJsonWebKey };
    const publicKey = crypto.createPublicKey({
      key: { kty: "RSA", n: key.key.n, e: key.key.e } as NodeJsonWebKey,
      format: "jwk",
    });
    const wrapped = crypto.publicEncrypt(
      { key: publicKey, padding: crypto.constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" },
      dek,
    );
    await this.vaultRequest(owner, "PUT", `secrets/wrapped-${name}`, { value: wrapped.toString("base64") });
  }

  /** @returns the answer's body. @throws unless the owner may. */
  async vaultRequest(owner: Owner, method: string, path: string, body: unknown): Promise<unknown> {
    const token = await userToken(this.host, this.entra, owner, VAULT);
    const answer = await request(this.host, `${this.endpoints[owner].vault}${path}?api-version=7.4`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status} ${answer.body.toString()}`);
    return JSON.parse(answer.body.toString());
  }

  // ---- documents ----

  token(persona: PersonaName): Promise<string> {
    return userToken(this.host, this.entra, persona, "https://management.azure.com/.default");
  }

  async publishDataset(options: DatasetOptions): Promise<void> {
    const { id, owner, access = "read", encryption = "SSE" } = options;
    await this.blob.putContainer(`${owner}store`, options.container ?? id, "None");
    const { blob, vault } = this.endpoints[owner];
    const { identityOf = owner } = options;
    const identity = {
      name: `${identityOf}-identity`,
      clientId: this.endpoints[identityOf].clientId,
      tenantId: PERSONAS[identityOf].tenantId,
      tokenIssuer: {
        issuerType: "FederatedIdentityBasedTokenIssuer",
        issuer: { protocol: "AzureAD_Federated", url: this.issuerUrl, configuration: "" },
      },
    };
    const secret = (name: string, protocol: string, configuration: string) => ({
      name,
      secret: {
        secretType: "Key",
        backingResource: {
          name,
          id: "store",
          type: "AzureKeyVault",
          provider: { protocol, url: vault, configuration },
        },
      },
    });
    const direction = access === "read" ? "ReadOnly" : "ReadWrite";
    const document = {
      name: id,
      datasetSchema: {
        format: options.format ?? "csv",
        fields: options.fields.map(([fieldName, fieldType]) => ({ fieldName, fieldType })),
      },
      datasetAccessPolicy: { accessMode: access, allowedFields: options.allowedFields },
      datasetAccessPoint: {
        name: id,
        type: `Volume_${direction}`,
        path: "",
        subdirectory: options.subdirectory ?? "",
        store: {
          name: options.container ?? id,
          id,
          type: options.storeType ?? "Azure_BlobStorage",
          provider: { protocol: "Azure_BlobStorage", url: blob, configuration: "" },
        },
        identity,
        protection: {
          proxyType: `SecureVolume__${direction}__Azure__BlobStorage`,
          proxyMode: "Secure",
          privacyPolicy: null,
          configuration: base64Json({ KeyType: "KEK", EncryptionMode: encryption }),
          encryptionSecrets:
            encryption === "SSE"
              ? null
              : {
                  dek: secret(`wrapped-${id}`, "AzureKeyVault_Secret", ""),
                  kek: secret(`${id}-kek`, "AzureKeyVault_SecureKey", base64Json({ authority: AUTHORITY })),
                },
          encryptionSecretAccessIdentity: identity,
        },
      },
    };
    await this.publish(id, owner, document, "dataset", [owner]);
  }

  async publishQuery(
    id: string,
    inputs: Record<string, string>,
    output: string | undefined,
    segments: unknown,
    voters: Owner[],
  ): Promise<void> {
    const document = {
      name: id,
      application: {
        applicationType: "Spark-SQL",
        inputDataset: Object.entries(inputs).map(([view, specification]) => ({ specification, view })),
        ...(output && { outputDataset: { specification: output, view: "sink" } }),
        query: typeof segments === "string" ? segments : base64Json({ segments }),
      },
    };
    await this.publish(id, "woodgrove", document, "spark-application", voters);
  }

  /** Draft, proposal, and a vote of each approver. */
  private async publish(
    id: string,
    proposer: Owner,
    document: unknown,
    type: string,
    approvers: Owner[],
  ): Promise<void> {
    const token = await this.token(proposer);
    const approverList = approvers.map((name) => ({ approverId: PERSONAS[name].objectId, approverIdType: "user" }));
    const path = `/app/userdocuments/${id}`;
    const call = async (
      method: string,
      target: string,
      body: unknown,
      bearer = token,
    ): Promise<{ json: any; text: string }> => {
      const answer = await this.governance.call(method, target, { token: bearer, ...(body !== undefined && { body }) });
      if (answer.status !== 200) throw new Error(`${method} ${target}: ${answer.status} ${answer.text}`);
      return answer;
    };
    await call("PUT", path, {
      contractId: CONTRACT,
      data: JSON.stringify(document),
      labels: { type },
      approvers: approverList,
    });
    const draft = (await call("GET", path, undefined)).json;
    const proposal = crypto.randomUUID().replaceAll("-", "");
    await call("PUT", `/app/users/proposals/${proposal}`, {
      name: "set_user_document",
      approvers: approverList,
      args: { documentId: id, document: draft },
    });
    for (const voter of approvers)
      await call(
        "POST",
        `/app/users/proposals/${proposal}/ballots/submit`,
        { ballot: "accepted" },
        await this.token(voter),
      );
  }

  async setConsent(document: string, owner: Owner, status: "enable" | "disable"): Promise<void> {
    const path = `/app/contracts/${CONTRACT}/userdocuments/${document}/runtimeoptions/execution/${status}`;
    const answer = await this.governance.call("POST", path, { token: await this.token(owner) });
    if (answer.status !== 200) throw new Error(answer.text);
  }

  /** Messages of the contract's audit log, oldest first. */
  async audit(): Promise<string[]> {
    for (;;) {
      const answer = await this.governance.call("GET", `/app/contracts/${CONTRACT}/events?from_seqno=1`, {
        token: await this.token("northwind"),
      });
      if (answer.status === 202) continue;
      return (answer.json.value as { data: unknown }[]).map(({ data }) => {
        const { source, message } = (typeof data === "string" ? JSON.parse(data) : data) as {
          source: string;
          message: string;
        };
        return `${source}: ${message}`;
      });
    }
  }

  // ---- the clean room ----

  async spec(changes: { ccePolicy?: string; recoveryMembers?: string[] } = {}): Promise<CleanRoomSpec> {
    return {
      id: "cluster/cleanroom-spark-analytics-agent",
      ccePolicy: changes.ccePolicy ?? POLICY,
      port: await this.host.port("test-agent"),
      values: {
        ccrgovEndpoint: `https://localhost:${this.governance.port}`,
        ccrgovApiPathPrefix: `/app/contracts/${CONTRACT}`,
        ccrgovServiceCert: Buffer.from(this.governance.ca).toString("base64"),
        ccfNetworkRecoveryMembers: base64Json(changes.recoveryMembers ?? [this.operator.id]),
      },
    };
  }

  /** The program's own client, which shares no code with the stand-in. */
  async client(persona: PersonaName): Promise<AnalyticsClient> {
    const status = await this.governance.call("POST", `/app/contracts/${CONTRACT}/ca/status`, {
      member: this.operator,
    });
    const endpoint = `https://localhost:${await this.host.port("test-agent")}`;
    return new AnalyticsClient({
      endpoint,
      caCertificate: status.json.caCert,
      token: () => this.token(persona),
    } as never);
  }
}
