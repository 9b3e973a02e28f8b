import { AgentError } from "./errors.ts";
import { json, send, type HttpResponse } from "./http.ts";
import type { WorkloadIdentity } from "./workload-identity.ts";

export interface GovernanceEndpoint {
  /** `https://host:port` of the CCF network. */
  readonly url: string;
  /** The network's service certificate, PEM: the only root trusted. */
  readonly serviceCertificate: string;
  readonly contractId: string;
}

/** An accepted user document. */
export interface AcceptedDocument {
  readonly id: string;
  readonly data: string;
  /** Who proposed it: its owner. */
  readonly proposerId: string;
  readonly finalVotes: readonly { readonly approverId: string; readonly ballot: string }[];
}

/** CGS as a clean room uses it: as an attested caller of one contract. */
export class Governance {
  readonly contractId: string;
  private readonly endpoint: GovernanceEndpoint;
  private readonly workload: WorkloadIdentity;

  constructor(endpoint: GovernanceEndpoint, workload: WorkloadIdentity) {
    this.endpoint = endpoint;
    this.workload = workload;
    this.contractId = endpoint.contractId;
  }

  /** Asks with the caller's own token. @throws {AgentError} 401 or 403 with the code of CGS when the caller is not active. */
  async requireActiveUser(authorization: string): Promise<void> {
    const response = await this.request("POST", "/app/users/identities/self/status", { authorization });
    if (response.status === 200 && (json(response) as { active?: boolean }).active === true) return;
    if (response.status === 401 || response.status === 403) {
      const { code, message } = errorOf(response);
      throw new AgentError(response.status, code, message);
    }
    throw unexpected("the caller's status", response);
  }

  /** Ids of the members that hold a share of the network's recovery key. */
  async recoveryMembers(): Promise<string[]> {
    const response = await this.request("GET", "/gov/service/members?api-version=2024-07-01");
    if (response.status !== 200) throw unexpected("the members of the consortium", response);
    const { value } = json(response) as { value: { memberId: string; publicEncryptionKey?: string }[] };
    return value.filter((member) => member.publicEncryptionKey).map((member) => member.memberId);
  }

  /** @throws {AgentError} with the code of CGS, e.g. 404 `UserDocumentNotFound`. */
  async acceptedDocument(id: string): Promise<AcceptedDocument> {
    const response = await this.post(`userdocuments/accepted/${encodeURIComponent(id)}`, this.workload.evidence());
    if (response.status !== 200) throw refusal(response);
    return JSON.parse(this.unwrapped(response).toString("utf8")) as AcceptedDocument;
  }

  /** Whether every approver of a document still lets it be used. */
  async consent(
    documentId: string,
    option: "execution" | "telemetry",
  ): Promise<{ status: string; reason?: { code: string; message: string } }> {
    const path = `userdocuments/${encodeURIComponent(documentId)}/runtimeoptions/${option}/status`;
    const response = await this.post(path, this.workload.evidence());
    if (response.status !== 200) throw refusal(response);
    return json(response) as { status: string; reason?: { code: string; message: string } };
  }

  /** A token of the contract's issuer, to be exchanged for one of a federated identity. Valid for five minutes. */
  async token(claims: { sub: string; tid: string; aud: string; iss: string }): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const query = new URLSearchParams({
      ...claims,
      nbf: String(now),
      iat: String(now),
      exp: String(now + 300),
      jti: globalThis.crypto.randomUUID(),
    });
    const response = await this.post(`oauth/token?${query.toString()}`, this.workload.evidence());
    if (response.status !== 200) throw refusal(response);
    return this.unwrapped(response).toString("utf8");
  }

  /** @returns the id under which the secret can be read. */
  async putSecret(name: string, value: string): Promise<string> {
    const response = await this.put(`secrets/${encodeURIComponent(name)}`, this.workload.signed({ value }));
    if (response.status !== 200) throw refusal(response);
    return (json(response) as { secretId: string }).secretId;
  }

  async secret(id: string): Promise<string> {
    const response = await this.post(`secrets/${encodeURIComponent(id)}`, this.workload.evidence());
    if (response.status !== 200) throw refusal(response);
    return this.unwrapped(response).toString("utf8");
  }

  /** Lets workloads with one of `hostData` use what the delegate policy is about. */
  async addDelegate(type: string, id: string, hostData: readonly string[]): Promise<void> {
    const claims = { "x-ms-sevsnpvm-is-debuggable": false, "x-ms-sevsnpvm-hostdata": hostData };
    const path = `cleanroompolicy/delegates/${type}/${encodeURIComponent(id)}`;
    const response = await this.put(path, this.workload.signed({ type: "add", policyType: "snp-caci", claims }));
    if (response.status !== 200) throw refusal(response);
  }

  /** Writes to the audit log of the contract. */
  async audit(source: string, message: string): Promise<void> {
    const body = { ...this.workload.signed({ source, message }), timestamp: String(Date.now()) };
    const response = await this.put("events", body);
    if (response.status !== 204) throw refusal(response);
  }

  /** A server certificate of the contract's certificate authority for the workload's own key. PEM. */
  async endorsedCertificate(request: {
    subjectName: string;
    subjectAlternateNames: string[];
    validityPeriodDays: number;
  }): Promise<string> {
    const data = { publicKey: this.workload.publicKeyPem, ...request };
    const response = await this.post("ca/generateEndorsedCert", this.workload.signed(data));
    if (response.status !== 200) throw refusal(response);
    return (JSON.parse(this.unwrapped(response).toString("utf8")) as { cert: string }).cert;
  }

  private unwrapped(response: HttpResponse): Buffer {
    return this.workload.unwrap(Buffer.from((json(response) as { value: string }).value, "base64"));
  }

  private post(path: string, body: unknown): Promise<HttpResponse> {
    return this.request("POST", this.contractPath(path), {}, body);
  }

  private put(path: string, body: unknown): Promise<HttpResponse> {
    return this.request("PUT", this.contractPath(path), {}, body);
  }

  private contractPath(path: string): string {
    return `/app/contracts/${encodeURIComponent(this.contractId)}/${path}`;
  }

  private request(
    method: string,
    path: string,
    headers: Record<string, string> = {},
    body?: unknown,
  ): Promise<HttpResponse> {
    return send(`${this.endpoint.url}${path}`, {
      method,
      ca: this.endpoint.serviceCertificate,
      anyHostName: true,
      headers: { ...headers, ...(body !== undefined && { "content-type": "application/json" }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  }
}

function errorOf(response: HttpResponse): { code: string; message: string } {
  try {
    const { error } = json(response) as { error?: { code?: string; message?: string } };
    return { code: error?.code ?? "GovernanceFailure", message: error?.message ?? `CGS answered ${response.status}.` };
  } catch {
    return { code: "GovernanceFailure", message: `CGS answered ${response.status} without an explanation.` };
  }
}

/** Passes on what CGS refused. */
function refusal(response: HttpResponse): AgentError {
  const { code, message } = errorOf(response);
  return new AgentError(response.status >= 400 ? response.status : 502, code, message);
}

function unexpected(what: string, response: HttpResponse): AgentError {
  const { code, message } = errorOf(response);
  return new AgentError(502, code, `CGS did not tell ${what}: ${message}`);
}
