import { unlessCode } from "../ccf/errors.ts";
import type { CcfTransport } from "../ccf/transport.ts";
import { contractPath } from "./contracts.ts";
import type { CertificateAuthorityStatus, OidcIssuerInfo, OpenIdConfiguration, PublicSigningKey } from "./types.ts";

/** The consortium's own token issuer. */
export class OidcIssuer {
  private readonly transport: CcfTransport;

  constructor(transport: CcfTransport) {
    this.transport = transport;
  }

  /** Public. */
  async configuration(): Promise<OpenIdConfiguration> {
    return (await this.transport.get<OpenIdConfiguration>("/app/oidc/.well-known/openid-configuration", "nobody")).body;
  }

  /** Public. Empty before a key has been generated. */
  async keys(): Promise<PublicSigningKey[]> {
    const response = unlessCode(
      this.transport.get<{ keys: PublicSigningKey[] }>("/app/oidc/keys", "nobody"),
      "SigningKeyNotAvailable",
    );
    return (await response)?.body.keys ?? [];
  }

  /** Members only. Repeating it without a rotation in between gives the same key. */
  async generateSigningKey(): Promise<{ reqId: string; kid: string }> {
    return (
      await this.transport.post<{ reqId: string; kid: string }>("/app/oidc/generateSigningKey", undefined, "member")
    ).body;
  }

  /** For the caller's own tenant; needs no proposal. */
  async setIssuerUrl(url: string): Promise<void> {
    await this.transport.post("/app/oidc/setIssuerUrl", { url });
  }

  async info(): Promise<OidcIssuerInfo> {
    return (await this.transport.read<OidcIssuerInfo>("/app/oidc/issuerInfo")).body;
  }
}

/** The consortium's key for signing payloads of clean rooms. */
export class Signing {
  private readonly transport: CcfTransport;

  constructor(transport: CcfTransport) {
    this.transport = transport;
  }

  /** Members only. */
  async generateSigningKey(): Promise<{ reqId: string; kid: string }> {
    return (
      await this.transport.post<{ reqId: string; kid: string }>("/app/signing/generateSigningKey", undefined, "member")
    ).body;
  }

  /** `publicKeyPem` is empty before a key has been generated. */
  async info(): Promise<{ enabled: boolean; publicKeyPem: string }> {
    return (await this.transport.read<{ enabled: boolean; publicKeyPem: string }>("/app/signing/info")).body;
  }
}

/** The certificate authority of a contract, which vouches for its clean rooms. */
export class CertificateAuthority {
  private readonly transport: CcfTransport;

  constructor(transport: CcfTransport) {
    this.transport = transport;
  }

  async status(contractId: string): Promise<CertificateAuthorityStatus> {
    return (await this.transport.read<CertificateAuthorityStatus>(`${contractPath(contractId)}/ca/status`)).body;
  }

  /** Members only. */
  async generateSigningKey(contractId: string): Promise<{ requestId: string }> {
    const path = `${contractPath(contractId)}/ca/generateSigningKey`;
    return (await this.transport.post<{ requestId: string }>(path, undefined, "member")).body;
  }
}
