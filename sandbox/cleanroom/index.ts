import { isDeepStrictEqual } from "node:util";
import type { CleanRoomService, CleanRoomSpec, SandboxHost, StateDocument, VirtualAttestation } from "../contracts.ts";
import { selectEngine } from "./engine/index.ts";
import { Release } from "./release.ts";

/**
 * Stands in for the confidential analytics workload on the cluster: agent, Spark and their sidecars. It goes through the
 * same doors (CGS as an attested caller, federated tokens, key release); attestation and pods are simulated.
 *
 * It accepts client-side encryption (CSE) of datasets, which release 8.0.0 of the original refuses on its Spark path.
 * The query engine is chosen by `CLEANROOM_QUERY_ENGINE`: `duckdb` (default) or `spark`.
 */
export class SandboxCleanRoom implements CleanRoomService {
  private readonly host: SandboxHost;
  private readonly attestation: VirtualAttestation;
  private readonly entraAuthority: string;
  private readonly installed: StateDocument<{ releases: Record<string, CleanRoomSpec> }>;
  private readonly releases = new Map<string, Release>();
  private started = false;

  /** @param entraAuthority `https://host[:port]`, as `AZURE_AUTHORITY_HOST`. */
  constructor(host: SandboxHost, attestation: VirtualAttestation, entraAuthority: string) {
    this.host = host;
    this.attestation = attestation;
    this.entraAuthority = entraAuthority;
    this.installed = host.document("cleanroom", () => ({ releases: {} }));
  }

  async start(): Promise<void> {
    this.started = true;
    for (const spec of Object.values(this.installed.value.releases)) this.launch(spec);
  }

  async stop(): Promise<void> {
    this.started = false;
    await Promise.all([...this.releases.values()].map((release) => release.stop()));
    this.releases.clear();
  }

  /** Installs, or replaces when something differs. Resolves at once: the release is ready when `/ready` answers. */
  async install(spec: CleanRoomSpec): Promise<void> {
    const known = this.installed.value.releases[spec.id];
    if (known && isDeepStrictEqual(known, structuredClone(spec))) return;
    await this.releases.get(spec.id)?.stop();
    this.installed.value.releases[spec.id] = structuredClone(spec);
    this.installed.save();
    if (this.started) this.launch(spec);
  }

  /** The job history goes with the release's id, should it be installed again. */
  async uninstall(id: string): Promise<void> {
    await this.releases.get(id)?.stop();
    this.releases.delete(id);
    delete this.installed.value.releases[id];
    this.installed.save();
  }

  private launch(spec: CleanRoomSpec): void {
    const { host, attestation, entraAuthority } = this;
    const release = new Release(spec, {
      host,
      attestation,
      entraAuthority,
      engine: selectEngine(process.env["CLEANROOM_QUERY_ENGINE"]),
    });
    this.releases.set(spec.id, release);
    release.start();
  }
}
