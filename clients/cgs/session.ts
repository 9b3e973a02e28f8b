import { Governance } from "../ccf/governance.ts";
import type { CcfTransport } from "../ccf/transport.ts";
import { CgsClient } from "./client.ts";

/** What acts of users need. */
export interface UserSession {
  readonly cgs: CgsClient;
}

/** What acts of members need. */
export interface MemberSession extends UserSession {
  readonly governance: Governance;
}

export function userSession(transport: CcfTransport): UserSession {
  return { cgs: new CgsClient(transport) };
}

export function memberSession(transport: CcfTransport): MemberSession {
  return { cgs: new CgsClient(transport), governance: new Governance(transport) };
}
