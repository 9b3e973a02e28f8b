import fs from "node:fs";
import type { RoleBasedAccess, SandboxHost } from "../../../sandbox/contracts.ts";
import { SandboxBlob } from "../../../sandbox/blob/index.ts";
import { PERSONAS } from "../../../sandbox/entra/directory.ts";
import { SandboxEntra } from "../../../sandbox/entra/index.ts";

export const ACCOUNT = "northwindstore";
export const ACCOUNT_ID = `/subscriptions/0/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/${ACCOUNT}`;
export const STORAGE_SCOPE = "https://storage.azure.com/.default";

/** Grants as plain rows: who, which operation (or `*`), at which scope and below. */
export class AccessTable implements RoleBasedAccess {
  rows: { objectId: string; operation: string; scope: string }[] = [];

  isAllowed(objectId: string, operation: { action: string } | { dataAction: string }, scope: string): boolean {
    const name = "action" in operation ? operation.action : operation.dataAction;
    return this.rows.some(
      (row) =>
        row.objectId === objectId &&
        (row.operation === "*" || row.operation === name) &&
        (scope === row.scope || scope.startsWith(`${row.scope}/`)),
    );
  }

  grant(objectId: string, scope: string, operation = "*"): void {
    this.rows.push({ objectId, operation, scope });
  }
}

export interface Services {
  entra: SandboxEntra;
  blob: SandboxBlob;
  access: AccessTable;
  endpoint: string;
  web: string;
}

/** A storage account of northwind: its own user may do everything in it. */
export async function startServices(host: SandboxHost): Promise<Services> {
  const access = new AccessTable();
  access.grant(PERSONAS.northwind.objectId, ACCOUNT_ID);
  const entra = new SandboxEntra(host);
  const blob = new SandboxBlob(host, entra, access);
  await Promise.all([entra.start(), blob.start()]);
  const { blob: endpoint, web } = await blob.putAccount(accountSpec());
  return { entra, blob, access, endpoint, web };
}

export function accountSpec(changes: { allowSharedKeyAccess?: boolean; allowBlobPublicAccess?: boolean } = {}) {
  return {
    id: ACCOUNT_ID,
    name: ACCOUNT,
    tenantId: PERSONAS.northwind.tenantId,
    allowSharedKeyAccess: false,
    allowBlobPublicAccess: false,
    ...changes,
  };
}

/** All bytes below a folder, to look for what must not be there. */
export function bytesBelow(dir: string): Buffer {
  const files = fs.readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Buffer.concat(files.map((entry) => fs.readFileSync(`${entry.parentPath}/${entry.name}`)));
}
