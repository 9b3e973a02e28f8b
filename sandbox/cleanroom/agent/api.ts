import type { IncomingMessage, ServerResponse } from "node:http";
import findMyWay from "find-my-way";
import { z } from "zod";
import { readBody, sendJson } from "../../listener.ts";
import { AgentError } from "../errors.ts";
import type { Agent } from "./agent.ts";

const MAX_BODY_BYTES = 64 * 1024;
/** Custom because the API server in front of the cluster strips `Authorization`. */
const AUTHORIZATION_HEADER = "x-ms-cleanroom-authorization";

/** The run id becomes part of the result's path. */
const runSchema = z.object({
  runId: z
    .string()
    .regex(/^[A-Za-z0-9][\w.-]*$/, "must consist of letters, digits, '.', '_' and '-'")
    .nullish(),
  startDate: z.unknown().optional(),
  endDate: z.unknown().optional(),
  useOptimizer: z.boolean().nullish(),
  dryRun: z.boolean().nullish(),
});

type Route = (
  request: IncomingMessage,
  params: Readonly<Record<string, string | undefined>>,
) => Promise<Record<string, unknown>>;

/** The REST API of the analytics agent. */
export function agentApi(agent: Agent): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const router = findMyWay();
  const on = (method: "GET" | "POST", path: string, route: Route): void => {
    router.on(method, path, () => undefined, { route });
  };
  on("GET", "/ready", async () => ({ status: "ready" }));
  on("GET", "/show", async () => agent.show());
  on("POST", "/queries/:queryId/run", async (request, { queryId = "" }) => {
    const { runId, startDate, endDate, useOptimizer, dryRun } = await runBody(request);
    const options = { useOptimizer: useOptimizer ?? false, dryRun: dryRun ?? false };
    return agent.run(authorizationOf(request), { queryId, ...(runId && { runId }), startDate, endDate, ...options });
  });
  on("POST", "/queries/:queryId/generateSecurityPolicy", async (request, { queryId = "" }) =>
    agent.securityPolicy(authorizationOf(request), queryId),
  );
  on("GET", "/status/:jobId", async (request, { jobId = "" }) => agent.status(authorizationOf(request), jobId));
  on("GET", "/queries/:queryId/runs", async (request, { queryId = "" }) =>
    agent.runs(authorizationOf(request), queryId),
  );

  return async (request, response) => {
    try {
      const [path = "/"] = (request.url ?? "/").split("?", 1);
      const found = router.find(request.method as "GET", path);
      if (!found) throw new AgentError(404, "ResourceNotFound", `There is no ${request.method} ${path}.`);
      const { route } = found.store as { route: Route };
      sendJson(response, 200, await route(request, found.params));
    } catch (error) {
      const failure = error instanceof AgentError ? error : agent.internalError(error);
      sendJson(response, failure.status, failure.toBody());
    }
  };
}

function authorizationOf(request: IncomingMessage): string {
  const value = request.headers[AUTHORIZATION_HEADER];
  if (typeof value === "string" && value.startsWith("Bearer ")) return value;
  throw new AgentError(401, "AuthorizationMissing", `The header ${AUTHORIZATION_HEADER} must carry 'Bearer <token>'.`);
}

async function runBody(request: IncomingMessage): Promise<z.infer<typeof runSchema>> {
  let body: unknown;
  try {
    body = JSON.parse((await readBody(request, MAX_BODY_BYTES)).toString("utf8") || "{}");
  } catch {
    throw new AgentError(400, "InvalidRequest", "The body must be JSON.");
  }
  const parsed = runSchema.safeParse(body);
  if (!parsed.success) throw new AgentError(400, "InvalidRequest", z.prettifyError(parsed.error));
  return parsed.data;
}
