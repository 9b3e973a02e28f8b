import type { CgsWideOption, PolicyClaims } from "../../domain/governance/actions.ts";
import { unlessCode } from "../ccf/errors.ts";
import type { CcfTransport } from "../ccf/transport.ts";
import type { CleanRoomPolicy, Contract, DocumentState, OptionStatus, PolicyDelegate, ProposedData } from "./types.ts";

/** Contracts and what hangs on one: switches, deployment template and information, clean room policy. */
export class Contracts {
  private readonly transport: CcfTransport;

  constructor(transport: CcfTransport) {
    this.transport = transport;
  }

  async get(contractId: string): Promise<Contract | undefined> {
    const response = unlessCode(this.transport.read<Contract>(contractPath(contractId)), "ContractNotFound");
    return (await response)?.body;
  }

  async list(state?: DocumentState): Promise<string[]> {
    const query = state === undefined ? "" : `?state=${state}`;
    const { body } = await this.transport.get<{ value: { id: string }[] }>(`/app/contracts${query}`);
    return body.value.map(({ id }) => id);
  }

  /** Members only. @param draft.version of the draft that is replaced; left out for the first one. */
  async putDraft(contractId: string, draft: { data: unknown; version?: string }): Promise<void> {
    await this.transport.put(contractPath(contractId), draft, "member");
  }

  async option(contractId: string, option: "execution" | "logging" | "telemetry"): Promise<OptionStatus> {
    return (await this.transport.read<OptionStatus>(`${contractPath(contractId)}/runtimeoptions/${option}/status`))
      .body;
  }

  /** Sets this member's own switch; execution is on while no member's is off. */
  async setExecution(contractId: string, enabled: boolean): Promise<void> {
    const verb = enabled ? "enable" : "disable";
    await this.transport.post(`${contractPath(contractId)}/runtimeoptions/execution/${verb}`, undefined, "member");
  }

  async cgsOption(option: CgsWideOption): Promise<OptionStatus> {
    return (await this.transport.read<OptionStatus>(`/app/runtimeoptions/${option}/status`)).body;
  }

  /** Public: needs no credentials. `data` is `{}` while none is accepted. */
  async deploymentSpec<T = unknown>(contractId: string): Promise<ProposedData<T>> {
    return (await this.transport.read<ProposedData<T>>(`${contractPath(contractId)}/deploymentspec`, "nobody")).body;
  }

  /** Public: needs no credentials. `data` is `{}` while none is accepted. */
  async deploymentInfo<T = unknown>(contractId: string): Promise<ProposedData<T>> {
    return (await this.transport.read<ProposedData<T>>(`${contractPath(contractId)}/deploymentinfo`, "nobody")).body;
  }

  async cleanRoomPolicy(contractId: string): Promise<CleanRoomPolicy> {
    return (await this.transport.read<CleanRoomPolicy>(`${contractPath(contractId)}/cleanroompolicy`)).body;
  }

  async policyDelegates(contractId: string): Promise<PolicyDelegate[]> {
    const path = `${contractPath(contractId)}/cleanroompolicy/delegates`;
    return (await this.transport.get<{ value: PolicyDelegate[] }>(path)).body.value;
  }

  async delegatePolicy(contractId: string, delegate: PolicyDelegate): Promise<PolicyClaims> {
    const type = encodeURIComponent(delegate.delegateType);
    const id = encodeURIComponent(delegate.delegateId);
    const path = `${contractPath(contractId)}/cleanroompolicy/delegates/${type}/${id}`;
    return (await this.transport.read<{ claims: PolicyClaims }>(path)).body.claims;
  }
}

export const contractPath = (contractId: string): string => `/app/contracts/${encodeURIComponent(contractId)}`;
