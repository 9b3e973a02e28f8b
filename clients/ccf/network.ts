import https from "node:https";
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { transitionServiceToOpen } from "../../domain/governance/actions.ts";
import { CcfError, CcfUnreachableError, hasCode, OutcomeUnknownError } from "./errors.ts";
import type { Governance, ServiceInfo } from "./governance.ts";
import { CcfTransport, type CcfOptions } from "./transport.ts";

export interface NetworkStatus {
  /** `Open`, `Opening`, `Recovering`, `WaitingForRecoveryShares` … */
  readonly serviceStatus: string;
  /** PEM. */
  readonly serviceCertificate: string;
  readonly recoveryCount: number;
  readonly primaryId?: string;
}

/** The service certificate to pin. */
export interface NetworkTrust {
  readonly serviceCertificate: string;
}

/** How a network is. @throws CcfUnreachableError when no node answers that the trusted service vouches for. */
export async function networkStatus(
  endpoint: string,
  trust: NetworkTrust,
  options: CcfOptions = {},
): Promise<NetworkStatus> {
  return withTransport(endpoint, trust, options, async (transport) => {
    const { body } = await transport.get<{
      service_status: string;
      service_certificate: string;
      recovery_count?: number;
      primary_id?: string;
    }>("/node/network", "nobody");
    return {
      serviceStatus: body.service_status,
      serviceCertificate: body.service_certificate,
      recoveryCount: body.recovery_count ?? 0,
      ...(body.primary_id !== undefined && { primaryId: body.primary_id }),
    };
  });
}

const POLL_MS = 1000;

/**
 * Waits until a network answers: for governance as soon as its node has started, for the application once the service
 * is open as well.
 * @param wait.onProgress hears about every second why it is not ready yet.
 * @throws CcfUnreachableError after `timeoutSeconds` (default 300), or when `signal` aborts.
 */
export async function waitForNode(
  endpoint: string,
  trust: NetworkTrust,
  wait: { until: "gov" | "app"; timeoutSeconds?: number; signal?: AbortSignal; onProgress?: (reason: string) => void },
): Promise<void> {
  const path = `/node/ready/${wait.until}`;
  const timeoutSeconds = wait.timeoutSeconds ?? 300;
  const end = Date.now() + timeoutSeconds * 1000;
  for (;;) {
    const reason = await notReadyReason(endpoint, trust, path, wait.signal);
    if (reason === undefined) return;
    if (wait.signal?.aborted) throw new CcfUnreachableError(endpoint, `GET ${path}`, new Error("cancelled"));
    if (Date.now() + POLL_MS > end)
      throw new CcfUnreachableError(
        endpoint,
        `GET ${path}`,
        new Error(`not ready after ${timeoutSeconds} s: ${reason.message}`, { cause: reason }),
      );
    wait.onProgress?.(reason.message);
    await sleep(POLL_MS, undefined, { signal: wait.signal }).catch(() => undefined);
  }
}

async function notReadyReason(
  endpoint: string,
  trust: NetworkTrust,
  path: string,
  signal?: AbortSignal,
): Promise<Error | undefined> {
  try {
    await withTransport(endpoint, trust, { timeoutSeconds: 5, signal }, (transport) => transport.get(path, "nobody"));
    return undefined;
  } catch (error) {
    if (
      error instanceof CcfUnreachableError ||
      (error instanceof CcfError && (error.status === 503 || error.status === 404))
    )
      return error;
    throw error;
  }
}

/** What an attested node says about its network. Digests are `sha256:<hex>`. */
export interface AttestedService {
  readonly serviceCertificate: string;
  readonly constitutionDigest: string;
  readonly applicationDigest: string;
  /** Hex; which of the expected ones it was. */
  readonly hostData: string;
  readonly platform: "virtual";
}

export interface AttestationExpectation {
  /** `https://host[:port]/network/report` of the recovery agent. */
  readonly reportUrl: string;
  /** Hex SHA-256 of the confidential computing policies a node may run under. */
  readonly expectedHostData: readonly string[];
  readonly platform: "virtual" | "snp";
  readonly expectedConstitutionDigest?: string;
  readonly expectedApplicationDigest?: string;
  readonly timeoutSeconds?: number;
  readonly signal?: AbortSignal;
}

/** A report that must not be trusted. */
export class AttestationError extends Error {
  constructor(reportUrl: string, reason: string, options?: ErrorOptions) {
    super(`The attestation report at ${reportUrl} cannot be trusted: ${reason}.`, options);
    this.name = "AttestationError";
  }
}

interface NetworkReport {
  readonly platform?: string;
  readonly report?: string | { readonly attestation?: string } | null;
  /** Base64. */
  readonly reportDataPayload?: string;
}

/**
 * Learns a network's service certificate from a node that proves what it runs.
 *
 * Platform `virtual` proves nothing about hardware: its report is believed because the report endpoint's certificate
 * chains to an authority this machine trusts already (Node's default store and `NODE_EXTRA_CA_CERTS`). Host data and
 * report data are compared as for real hardware. Platform `snp` is not supported yet.
 * @throws AttestationError
 */
export async function attestedServiceCertificate(expected: AttestationExpectation): Promise<AttestedService> {
  const { reportUrl } = expected;
  if (expected.platform !== "virtual") {
    throw new AttestationError(
      reportUrl,
      `verifying reports of platform "${expected.platform}" is not supported yet; give the service certificate itself instead`,
    );
  }
  const report = await fetchReport(expected);
  if (report.platform !== expected.platform)
    throw new AttestationError(reportUrl, `its platform is "${report.platform}", expected "${expected.platform}"`);

  const payload = Buffer.from(report.reportDataPayload ?? "", "base64");
  const { hostData, reportData } = quoteClaims(report, reportUrl);
  if (!expected.expectedHostData.some((value) => value.toLowerCase() === hostData)) {
    throw new AttestationError(
      reportUrl,
      `the node runs policy ${hostData}, expected ${expected.expectedHostData.join(" or ")}`,
    );
  }
  if (reportData !== expectedReportData(payload))
    throw new AttestationError(reportUrl, "its report data does not cover the payload");

  const service = parseService(payload, reportUrl);
  requireDigest(reportUrl, "constitution", service.constitutionDigest, expected.expectedConstitutionDigest);
  requireDigest(reportUrl, "application", service.applicationDigest, expected.expectedApplicationDigest);
  return { ...service, hostData, platform: "virtual" };
}

/** SHA-256 of the payload, filled up to the 64 bytes of a report's data field; hex. */
function expectedReportData(payload: Uint8Array): string {
  return createHash("sha256").update(payload).digest("hex") + "00".repeat(32);
}

function quoteClaims(report: NetworkReport, reportUrl: string): { hostData: string; reportData: string } {
  const quote = typeof report.report === "string" ? report.report : report.report?.attestation;
  try {
    const claims = JSON.parse(Buffer.from(quote!.split(".")[1]!, "base64url").toString("utf8")) as {
      hostData: string;
      reportData: string;
    };
    return { hostData: claims.hostData.toLowerCase(), reportData: claims.reportData.toLowerCase() };
  } catch (error) {
    throw new AttestationError(reportUrl, "its quote has no hostData and reportData", { cause: error });
  }
}

function parseService(payload: Buffer, reportUrl: string): Omit<AttestedService, "hostData" | "platform"> {
  try {
    const { serviceCert, constitutionDigest, jsappBundleDigest } = JSON.parse(payload.toString("utf8")) as Record<
      string,
      string
    >;
    if (!serviceCert?.startsWith("-----BEGIN CERTIFICATE-----"))
      throw new Error("serviceCert is not a PEM certificate");
    return {
      serviceCertificate: serviceCert,
      constitutionDigest: constitutionDigest ?? "",
      applicationDigest: jsappBundleDigest ?? "",
    };
  } catch (error) {
    throw new AttestationError(reportUrl, "its payload does not describe a service", { cause: error });
  }
}

function requireDigest(reportUrl: string, what: string, found: string, expected: string | undefined): void {
  if (expected !== undefined && expected !== found)
    throw new AttestationError(reportUrl, `the ${what} is ${found}, expected ${expected}`);
}

const REPORT_TIMEOUT_SECONDS = 30;
const LARGEST_REPORT_BYTES = 1024 * 1024;

function fetchReport({
  reportUrl,
  timeoutSeconds = REPORT_TIMEOUT_SECONDS,
  signal,
}: AttestationExpectation): Promise<NetworkReport> {
  const timeout = AbortSignal.timeout(timeoutSeconds * 1000);
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void =>
      reject(new CcfUnreachableError(new URL(reportUrl).origin, `GET ${reportUrl}`, cause));
    const request = https.get(
      reportUrl,
      { signal: signal ? AbortSignal.any([signal, timeout]) : timeout, rejectUnauthorized: true },
      (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size > LARGEST_REPORT_BYTES) response.destroy(new Error("the report is larger than a megabyte"));
          chunks.push(chunk);
        });
        response.on("error", fail);
        response.on("end", () => {
          if (response.statusCode !== 200) return fail(new Error(`status ${response.statusCode}`));
          try {
            resolve(JSON.parse(Buffer.concat(chunks).toString("utf8")) as NetworkReport);
          } catch (error) {
            reject(new AttestationError(reportUrl, "it is not JSON", { cause: error }));
          }
        });
      },
    );
    request.on("error", fail);
  });
}

/**
 * Opens a network for users. An open one is left alone.
 * @param identities.previousServiceCertificate after a recovery: the certificate from before it.
 * @returns the status afterwards: `Open`, `Opening` while other members have yet to vote, or
 * `WaitingForRecoveryShares` when a recovery goes on with `Governance.submitRecoveryShare`.
 */
export async function openService(
  governance: Governance,
  identities: { previousServiceCertificate?: string } = {},
): Promise<ServiceInfo["status"]> {
  for (let round = 1; ; round++) {
    const { status, certificate } = await governance.serviceInfo();
    if (status === "Open" || status === "WaitingForRecoveryShares") return status;
    try {
      await governance.proposeAndAccept([
        transitionServiceToOpen({ next: certificate, previous: identities.previousServiceCertificate }),
      ]);
      return (await governance.serviceInfo()).status;
    } catch (error) {
      // Another attempt may have opened it between the read and the proposal.
      if (round === 3 || !(error instanceof OutcomeUnknownError || hasCode(error, "ProposalFailedToValidate")))
        throw error;
    }
  }
}

async function withTransport<T>(
  endpoint: string,
  { serviceCertificate }: NetworkTrust,
  options: CcfOptions,
  use: (transport: CcfTransport) => Promise<T>,
): Promise<T> {
  const transport = new CcfTransport({ endpoint, serviceCertificate }, {}, options);
  try {
    return await use(transport);
  } finally {
    transport.close();
  }
}
