/**
 * What the parts of the sandbox promise each other. Each service lives in its own folder and knows the others
 * only through these interfaces, so that the blob front, say, can be tested with three lines of authorizer.
 */

/** What every service gets from the process that hosts it. */
export interface SandboxHost {
  /** The folder that holds everything the sandbox remembers. */
  readonly stateDir: string;
  /** PEM of the sandbox's own root certificate (what `NODE_EXTRA_CA_CERTS` points at). */
  readonly caCertificate: string;
  /** TLS server identity for `localhost` and `127.0.0.1`, issued by the root above. */
  readonly tls: { readonly key: string; readonly cert: string };
  /** Port of a named listener: picked free once, the same again after every restart. */
  port(name: string): Promise<number>;
  /** A JSON document in the state folder, replaced atomically on `save`. */
  document<T extends object>(name: string, initial: () => T): StateDocument<T>;
  /** One line of the request log. Never pass a token, key or secret value. */
  log(service: string, line: string): void;
}

export interface StateDocument<T> {
  readonly value: T;
  /** Writes to a temporary file, syncs, renames. */
  save(): void;
}

export interface SandboxService {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Somebody or something Entra can issue a token to. */
export interface Principal {
  readonly objectId: string;
  readonly tenantId: string;
  readonly clientId: string;
  readonly kind: "user" | "managedIdentity";
  readonly name: string;
  /** Users only: sign-in name, becomes the claim `preferred_username`. */
  readonly email?: string;
}

/** A federated identity credential: which foreign token may be exchanged for the principal's own. */
export interface FederatedCredential {
  readonly name: string;
  readonly issuer: string;
  readonly subject: string;
  readonly audiences: readonly string[];
}

/** Claims of a verified access token that services decide on. */
export interface TokenClaims {
  readonly oid: string;
  readonly tid: string;
  readonly aud: string;
  readonly appid?: string;
}

/** Entra: the directory and the token endpoint. */
export interface TokenService extends SandboxService {
  /** What `AZURE_AUTHORITY_HOST` is set to, without a trailing slash. */
  readonly authority: string;
  /** File that `AZURE_FEDERATED_TOKEN_FILE` points at: proves to this sandbox only that its user is at the keyboard. */
  readonly federatedTokenFile: string;
  findByClientId(tenantId: string, clientId: string): Principal | undefined;
  findByObjectId(objectId: string): Principal | undefined;
  /** The users known from the start (the three personas and spare ones). */
  readonly users: readonly Principal[];
  addManagedIdentity(identity: Principal): void;
  removeManagedIdentity(objectId: string): void;
  setFederatedCredentials(objectId: string, credentials: readonly FederatedCredential[]): void;
  /** Verifies signature, times, issuer and audience (one of `audiences`, trailing slash ignored). Throws on anything else. */
  verify(token: string, audiences: readonly string[]): Promise<TokenClaims>;
}

/** Azure role-based access control over ARM scopes. */
export interface RoleBasedAccess {
  /**
   * Whether a role assignment at `scope` or above allows the operation.
   * @param scope ARM id, e.g. `/subscriptions/…/storageAccounts/x/blobServices/default/containers/y`.
   */
  isAllowed(objectId: string, operation: { action: string } | { dataAction: string }, scope: string): boolean;
}

export interface StorageAccountSpec {
  /** ARM id. */
  readonly id: string;
  readonly name: string;
  readonly tenantId: string;
  readonly allowSharedKeyAccess: boolean;
  readonly allowBlobPublicAccess: boolean;
}

/** Azure Blob Storage, data plane. */
export interface BlobService extends SandboxService {
  /** Creates or updates; endpoints end with `/`. Account data survives an update. */
  putAccount(spec: StorageAccountSpec): Promise<{ blob: string; web: string }>;
  deleteAccount(name: string): Promise<void>;
  /** Turns the static website on (creates `$web`, readable by everyone at the web endpoint) or off. */
  setStaticWebsite(
    account: string,
    website: { indexDocument?: string; error404Document?: string } | undefined,
  ): Promise<void>;
  putContainer(account: string, container: string, publicAccess: "None" | "Blob" | "Container"): Promise<void>;
  containerExists(account: string, container: string): Promise<boolean>;
  /** Number of blobs in it; ARM deletes containers whatever they hold, callers decide. */
  blobCount(account: string, container: string): Promise<number>;
  deleteContainer(account: string, container: string): Promise<void>;
  /** Base64 account keys, stable. */
  accountKeys(account: string): readonly [string, string];
}

export interface VaultSpec {
  readonly id: string;
  readonly name: string;
  readonly tenantId: string;
  readonly sku: "standard" | "premium";
  readonly enableRbacAuthorization: boolean;
  readonly enablePurgeProtection: boolean;
  readonly softDeleteRetentionInDays: number;
}

/** Key Vault, data plane: one listener a vault. */
export interface VaultService extends SandboxService {
  /** Creates, updates or recovers; the URI ends with `/`. Keys survive. */
  putVault(spec: VaultSpec): Promise<{ vaultUri: string }>;
  /** Soft delete: the listener closes, the content stays recoverable. */
  deleteVault(name: string): Promise<void>;
}

/**
 * Stands in for the AMD SEV-SNP report and for Microsoft Azure Attestation. Virtual: it proves that this sandbox
 * measured the workload, nothing about hardware.
 */
export interface VirtualAttestation {
  /** Compact JWS over what a workload is (`hostData`: hex SHA-256 of its policy) and what it says (`reportData`: hex, 64 bytes). */
  quote(evidence: { hostData: string; reportData: string }): string;
  /** @throws when the quote was not made by this sandbox. */
  verifyQuote(quote: string): { hostData: string; reportData: string };
  /**
   * The attestation token for a quote, as the authority would issue it: `iss` = authority, `x-ms-sevsnpvm-hostdata`,
   * `x-ms-attestation-type`, `x-ms-compliance-status`, `x-ms-runtime.keys` = [runtimeKey].
   */
  attest(quote: string, runtimeKey: JsonWebKey, authority: string): Promise<string>;
  /** Claims of such a token. @throws when it was not issued by this sandbox or has expired. */
  verifyToken(token: string): Promise<Record<string, unknown>>;
}

export interface CcfNodeSpec {
  /** ARM id of the container group. */
  readonly resourceId: string;
  /** Name of the container group. */
  readonly name: string;
  /** `CONFIG_DATA_TGZ`: tar.gz with `cchost_config.json`, constitution, member certificates and data. */
  readonly configuration: Buffer;
  /** Decoded confidential computing enforcement policy; its SHA-256 is the node's host data. */
  readonly ccePolicy: string;
  /** Where the ledger lives: storage account and file share. */
  readonly storage: { readonly account: string; readonly share: string };
}

/** CCF networks running CGS. */
export interface CcfService extends SandboxService {
  /** Starts (or restarts) the node; resolves when it listens. Ports in the order RPC, node-to-node, debug, recovery agent. */
  startNode(spec: CcfNodeSpec): Promise<{ ports: readonly [number, number, number, number] }>;
  /** Stops the node as a crash of the host would: its memory and with it the service identity are lost. */
  stopNode(resourceId: string): Promise<void>;
  deleteNode(resourceId: string): Promise<void>;
  nodeState(resourceId: string): "Running" | "Stopped" | "NotFound";
  /** Removes a ledger for good (its file share or storage account was deleted). */
  deleteLedger(account: string, share: string): Promise<void>;
}

export interface CleanRoomSpec {
  /** Unique: cluster ARM id + helm release. */
  readonly id: string;
  /** Decoded policy of the agent; its SHA-256 is what the agent's attestation carries. */
  readonly ccePolicy: string;
  /** Helm values of the agent chart (facts/data-and-infrastructure.md 7.9). */
  readonly values: {
    readonly ccrgovEndpoint: string;
    /** `/app/contracts/<contractId>` */
    readonly ccrgovApiPathPrefix: string;
    /** PEM, base64 encoded. */
    readonly ccrgovServiceCert: string;
    /** base64 JSON array of member ids. */
    readonly ccfNetworkRecoveryMembers: string;
  };
  /** Port the public address of the workload was given. */
  readonly port: number;
}

/** The analytics workload: agent API, query execution. */
export interface CleanRoomService extends SandboxService {
  install(spec: CleanRoomSpec): Promise<void>;
  uninstall(id: string): Promise<void>;
}
