import type { Principal } from "../contracts.ts";

/** A seeded user of the sandbox: what a stack's configuration quotes of it. */
export interface Persona {
  readonly tenantId: string;
  readonly clientId: string;
  readonly objectId: string;
  readonly email: string;
  readonly displayName: string;
}

/** Every organisation has a tenant of its own and one user in it. The identifiers never change. */
export const PERSONAS = {
  operator: {
    tenantId: "0a1e6a52-5a0f-4c53-9d3b-6f0d5b1c0a01",
    clientId: "1b2f7b63-6b10-4d64-8e4c-701e6c2d1b01",
    objectId: "2c308c74-7c21-4e75-9f5d-812f7d3e2c01",
    email: "olivia@operator.example",
    displayName: "Olivia Operator",
  },
  northwind: {
    tenantId: "0a1e6a52-5a0f-4c53-9d3b-6f0d5b1c0a02",
    clientId: "1b2f7b63-6b10-4d64-8e4c-701e6c2d1b02",
    objectId: "2c308c74-7c21-4e75-9f5d-812f7d3e2c02",
    email: "nora@northwind.example",
    displayName: "Nora Northwind",
  },
  woodgrove: {
    tenantId: "0a1e6a52-5a0f-4c53-9d3b-6f0d5b1c0a03",
    clientId: "1b2f7b63-6b10-4d64-8e4c-701e6c2d1b03",
    objectId: "2c308c74-7c21-4e75-9f5d-812f7d3e2c03",
    email: "wanda@woodgrove.example",
    displayName: "Wanda Woodgrove",
  },
  contoso: {
    tenantId: "0a1e6a52-5a0f-4c53-9d3b-6f0d5b1c0a04",
    clientId: "1b2f7b63-6b10-4d64-8e4c-701e6c2d1b04",
    objectId: "2c308c74-7c21-4e75-9f5d-812f7d3e2c04",
    email: "carla@contoso.example",
    displayName: "Carla Contoso",
  },
  fabrikam: {
    tenantId: "0a1e6a52-5a0f-4c53-9d3b-6f0d5b1c0a05",
    clientId: "1b2f7b63-6b10-4d64-8e4c-701e6c2d1b05",
    objectId: "2c308c74-7c21-4e75-9f5d-812f7d3e2c05",
    email: "fay@fabrikam.example",
    displayName: "Fay Fabrikam",
  },
} as const satisfies Record<string, Persona>;

export type PersonaName = keyof typeof PERSONAS;

export const SEEDED_USERS: readonly Principal[] = Object.values(PERSONAS).map(
  ({ tenantId, clientId, objectId, email, displayName }) => ({
    tenantId,
    clientId,
    objectId,
    email,
    name: displayName,
    kind: "user" as const,
  }),
);
