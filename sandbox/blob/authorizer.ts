import crypto from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { RoleBasedAccess, StorageAccountSpec, TokenClaims, TokenService } from "../contracts.ts";
import { StorageError } from "./errors.ts";
import { READ_BLOB } from "./operations.ts";
import type { Operation } from "./operations.ts";
import { authorization } from "./shared-key.ts";

const STORAGE_RESOURCE = "https://storage.azure.com";

export interface Account {
  readonly spec: StorageAccountSpec;
  readonly keys: readonly [string, string];
}

export type PublicAccessLevel = "none" | "blob" | "container";

/** Decides who may do what, as the storage service decides it. */
export class BlobAuthorizer {
  private readonly tokens: TokenService;
  private readonly access: RoleBasedAccess;
  private readonly publicAccess: (account: string, container: string) => Promise<PublicAccessLevel>;

  constructor(
    tokens: TokenService,
    access: RoleBasedAccess,
    publicAccess: (account: string, container: string) => Promise<PublicAccessLevel>,
  ) {
    this.tokens = tokens;
    this.access = access;
    this.publicAccess = publicAccess;
  }

  /**
   * @param endpoint the account's own URL, an audience besides the general one.
   * @returns whether the same caller may also read a copy source in a container of this account.
   * @throws StorageError
   */
  async authorize(
    request: IncomingMessage,
    operation: Operation,
    account: Account,
    endpoint: string,
  ): Promise<(sourceContainer: string) => boolean> {
    const header = request.headers.authorization ?? "";
    if (header.startsWith("Bearer ")) {
      const { oid } = await this.verifyToken(header.slice("Bearer ".length), account.spec, endpoint);
      const mayDo = (permission: Operation["permissions"][number], container: string): boolean =>
        this.access.isAllowed(oid, permission, scopeOf(account.spec, container));
      if (!operation.permissions.some((permission) => mayDo(permission, operation.container))) {
        throw new StorageError(
          403,
          "AuthorizationPermissionMismatch",
          "This request is not authorized to perform this operation using this permission.",
        );
      }
      return (container) => mayDo(READ_BLOB, container);
    }
    if (header.startsWith("SharedKey") || operation.query.has("sig")) {
      checkSharedKey(request, operation, account);
      return () => true;
    }
    if (header !== "")
      throw new StorageError(
        400,
        "InvalidAuthenticationInfo",
        "Authentication information is not given in the correct format.",
      );
    await this.checkAnonymous(operation, account.spec);
    return () => false;
  }

  private async verifyToken(token: string, spec: StorageAccountSpec, endpoint: string): Promise<TokenClaims> {
    let claims: TokenClaims;
    try {
      claims = await this.tokens.verify(token, [STORAGE_RESOURCE, endpoint]);
    } catch (error) {
      throw this.challenge(
        spec,
        "InvalidAuthenticationInfo",
        `Server failed to authenticate the request: ${(error as Error).message}.`,
      );
    }
    if (claims.tid !== spec.tenantId) {
      throw this.challenge(
        spec,
        "InvalidAuthenticationInfo",
        "Issuer validation failed. Issuer did not match: the token is of another tenant than the account.",
      );
    }
    return claims;
  }

  private async checkAnonymous(operation: Operation, spec: StorageAccountSpec): Promise<void> {
    if (operation.anonymous) {
      if (!spec.allowBlobPublicAccess) {
        throw new StorageError(
          409,
          "PublicAccessNotPermitted",
          "Public access is not permitted on this storage account.",
        );
      }
      const level = await this.publicAccess(operation.account, operation.container);
      if (level === "container" || (level === "blob" && operation.anonymous === "blob")) return;
    }
    throw this.challenge(
      spec,
      "NoAuthenticationInformation",
      "Server failed to authenticate the request. Please refer to the information in the www-authenticate header.",
    );
  }

  private challenge(spec: StorageAccountSpec, code: string, message: string): StorageError {
    return new StorageError(401, code, message, {
      "www-authenticate": `Bearer authorization_uri=${this.tokens.authority}/${spec.tenantId}/oauth2/authorize resource_id=${STORAGE_RESOURCE}`,
    });
  }
}

function scopeOf(spec: StorageAccountSpec, container: string): string {
  const service = `${spec.id}/blobServices/default`;
  return container === "" ? service : `${service}/containers/${container}`;
}

function checkSharedKey(request: IncomingMessage, operation: Operation, account: Account): void {
  if (!account.spec.allowSharedKeyAccess) {
    throw new StorageError(
      403,
      "KeyBasedAuthenticationNotPermitted",
      "Key based authentication is not permitted on this storage account.",
    );
  }
  if (operation.query.has("sig")) {
    throw new StorageError(
      403,
      "AuthenticationFailed",
      "The sandbox does not accept shared access signatures; sign in or use the account key.",
    );
  }
  const given = Buffer.from(request.headers.authorization ?? "");
  const matches = account.keys.some((key) => {
    const expected = authorization(operation.account, key, request.method ?? "", request.url ?? "", request.headers);
    return given.length === expected.length && crypto.timingSafeEqual(given, Buffer.from(expected));
  });
  if (!matches) {
    throw new StorageError(
      403,
      "AuthenticationFailed",
      "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature.",
    );
  }
}
