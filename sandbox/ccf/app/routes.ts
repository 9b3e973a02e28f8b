import { caRoutes } from "./ca.ts";
import { contractRoutes } from "./contracts.ts";
import { eventRoutes } from "./events.ts";
import { memberDocumentRoutes } from "./member-documents.ts";
import { oidcRoutes, signingRoutes } from "./oidc.ts";
import { policyRoutes } from "./policies.ts";
import type { AppRoute } from "./route.ts";
import { secretRoutes } from "./secrets.ts";
import { userDocumentRoutes } from "./user-documents.ts";
import { userProposalRoutes } from "./user-proposals.ts";
import { userRoutes } from "./users.ts";

/** Every endpoint of the Clean Room Governance Service. */
export const appRoutes: readonly AppRoute[] = [
  ...contractRoutes,
  ...eventRoutes,
  ...secretRoutes,
  ...policyRoutes,
  ...oidcRoutes,
  ...signingRoutes,
  ...memberDocumentRoutes,
  ...userDocumentRoutes,
  ...caRoutes,
  ...userRoutes,
  ...userProposalRoutes,
];
