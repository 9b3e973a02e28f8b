import { execFile } from "node:child_process";
import fs from "node:fs";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import type { SandboxHost } from "../../../sandbox/contracts.ts";
import { openSandboxHost } from "../../../sandbox/host.ts";
import { PERSONAS } from "../../../sandbox/entra/directory.ts";
import type { SandboxEntra } from "../../../sandbox/entra/index.ts";

export type OpenHost = Awaited<ReturnType<typeof openSandboxHost>>;

/** A sandbox folder that is gone once the host is closed. */
export async function temporaryHost(): Promise<OpenHost> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "sandbox-"));
  const host = await openSandboxHost(path.join(folder, "state"));
  const close = (): void => {
    host.close();
    fs.rmSync(folder, { recursive: true, force: true });
  };
  return { ...host, close };
}

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | undefined>;
  readonly body: Buffer;
}

/** One request that trusts the sandbox's root, and only it. */
export function request(
  host: SandboxHost,
  url: string,
  options: { method?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = https.request(
      url,
      { method: options.method ?? "GET", headers: options.headers ?? {}, ca: host.caCertificate, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers as Record<string, string>,
            body: Buffer.concat(chunks),
          }),
        );
      },
    );
    outgoing.on("error", reject);
    outgoing.end(options.body);
  });
}

/** Asks the token endpoint for a token with a client assertion. */
export async function exchange(
  host: SandboxHost,
  entra: SandboxEntra,
  client: { tenantId: string; clientId: string },
  assertion: string,
  scope: string,
): Promise<{ status: number; json: Record<string, unknown> }> {
  const form = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: client.clientId,
    scope,
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    client_assertion: assertion,
  });
  const answer = await request(host, `${entra.authority}/${client.tenantId}/oauth2/v2.0/token`, {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: form.toString(),
  });
  return { status: answer.status, json: JSON.parse(answer.body.toString()) as Record<string, unknown> };
}

/** Access token of a seeded user. */
export async function userToken(
  host: SandboxHost,
  entra: SandboxEntra,
  persona: keyof typeof PERSONAS,
  scope: string,
): Promise<string> {
  const proof = fs.readFileSync(entra.federatedTokenFile, "utf8");
  const { status, json } = await exchange(host, entra, PERSONAS[persona], proof, scope);
  if (status !== 200) throw new Error(String(json.error_description));
  return String(json.access_token);
}

/**
 * Runs a script against the sandbox as a process of its own would: it trusts the root only through its environment.
 * @returns what the script printed, as JSON.
 */
export async function runScript(host: SandboxHost, script: string, env: Record<string, string>): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], {
    cwd: process.cwd(),
    env: { PATH: process.env.PATH, NODE_EXTRA_CA_CERTS: path.join(host.stateDir, "ca.pem"), ...env },
  });
  return JSON.parse(stdout);
}

/** Environment with which the default credential chain signs a seeded user in. */
export function userEnvironment(entra: SandboxEntra, persona: keyof typeof PERSONAS): Record<string, string> {
  return {
    AZURE_AUTHORITY_HOST: entra.authority,
    AZURE_FEDERATED_TOKEN_FILE: entra.federatedTokenFile,
    AZURE_TENANT_ID: PERSONAS[persona].tenantId,
    AZURE_CLIENT_ID: PERSONAS[persona].clientId,
  };
}
