import { AzureBlobStore } from "../data/azure-blob.ts";
import { decryptingStore } from "../data/block-format.ts";
import type { DataStore } from "../data/store.ts";
import { federatedToken, type TokenEnvironment } from "../data/tokens.ts";
import { daysOf, type DateRange } from "../dates.ts";
import type { Dataset } from "../documents.ts";
import type { DataFile, InputDataset, QueryEngine, QueryOutcome, QueryProgress } from "../engine/contracts.ts";
import type { Governance } from "../governance.ts";
import type { EventName, Job, JobBook } from "./jobs.ts";
import type { ApprovedJob } from "./submission.ts";

export interface DriverContext {
  /** As the job's driver pod sees it: with that pod's identity. */
  readonly governance: Governance;
  readonly tokens: TokenEnvironment;
  readonly engine: QueryEngine;
  readonly book: JobBook;
  log(line: string): void;
}

type AuditId = 3001 | 3002 | 3003 | 3004 | 3005 | 3006;

const LOADER = "dataset_loader";
const QUERY = "run_query";
const PARALLEL_READS = 4;

/**
 * One run of an approved query, as the Spark driver does it: load, execute, write, and tell what happens both
 * operationally (events of the job) and to the contract's audit log.
 */
export class Driver {
  private readonly context: DriverContext;
  private readonly approved: ApprovedJob;
  private readonly secretIds: ReadonlyMap<string, string>;
  private readonly job: Job;
  private audits: Promise<void> = Promise.resolve();

  constructor(context: DriverContext, approved: ApprovedJob, secretIds: ReadonlyMap<string, string>, job: Job) {
    this.context = context;
    this.approved = approved;
    this.secretIds = secretIds;
    this.job = job;
  }

  /** Never rejects: failures end up in the job. */
  async run(): Promise<void> {
    const { book } = this.context;
    book.started(this.job);
    try {
      const outcome = await this.execute(await this.loadInputs());
      await this.write(outcome);
      this.event(
        "QUERY_EXECUTION_COMPLETED",
        `The query is done: ${outcome.rowsRead} rows read, ${outcome.rowsWritten} written.`,
      );
      this.audit(3003, QUERY, `The query ${this.approved.queryId} is done`);
      await this.audits;
      book.complete(this.job, outcome.rowsRead, outcome.rowsWritten);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.event("QUERY_EXECUTION_FAILED", `The query failed: ${reason}`);
      this.audit(3004, QUERY, `The query ${this.approved.queryId} failed: ${reason}`);
      await this.audits;
      book.fail(this.job, reason);
    }
  }

  private async loadInputs(): Promise<InputDataset[]> {
    const inputs: InputDataset[] = [];
    for (const { dataset, view } of this.approved.inputs) {
      this.event("DATASET_LOAD_STARTED", `Loading dataset ${dataset.name}.`);
      try {
        const files = await readFiles(await this.open(dataset), dataset, this.approved.dates);
        const { name, format, fields, allowedFields } = dataset;
        inputs.push({ name, view, format, fields, allowedFields, files });
      } catch (error) {
        this.loadFailed(dataset.name);
        throw error;
      }
    }
    return inputs;
  }

  private async execute(inputs: InputDataset[]): Promise<QueryOutcome> {
    const { name, format, fields, allowedFields } = this.approved.output;
    let loaded = 0;
    const onProgress = (progress: QueryProgress): void => {
      if (progress.kind === "datasetLoaded") loaded++;
      this.progress(progress);
    };
    try {
      return await this.context.engine.run(
        { inputs, segments: this.approved.segments, output: { name, format, fields, allowedFields } },
        onProgress,
      );
    } catch (error) {
      const unreadable = inputs[loaded];
      if (unreadable) this.loadFailed(unreadable.name);
      throw error;
    }
  }

  private async write(outcome: QueryOutcome): Promise<void> {
    const { output } = this.approved;
    const folder = `${this.context.governance.contractId}/${new Date().toISOString().slice(0, 10)}/${this.job.runId}`;
    this.event("DATASET_WRITE_STARTED", `Writing to dataset ${output.name}.`);
    try {
      const store = await this.open(output);
      for (const part of outcome.parts) await store.write(`${folder}/${part.path}`, part.content);
    } catch (error) {
      this.event("DATASET_WRITE_FAILED", `Writing to dataset ${output.name} failed.`);
      this.audit(3006, LOADER, `Writing to dataset ${output.name} failed`);
      throw error;
    }
    this.event(
      "DATASET_WRITE_COMPLETED",
      `${outcome.rowsWritten} rows written to dataset ${output.name} at ${folder}.`,
    );
    this.audit(3005, LOADER, `${outcome.rowsWritten} rows written to dataset ${output.name} at ${folder}`);
  }

  private async open(dataset: Dataset): Promise<DataStore> {
    if (dataset.store.type === "Aws_S3") throw new Error(`Dataset ${dataset.id}: this clean room cannot read S3 yet.`);
    const { governance, tokens } = this.context;
    const { identity } = dataset;
    if (!identity) throw new Error(`Dataset ${dataset.id}: the document names no identity to access its store with.`);
    const token = await federatedToken(
      tokens,
      governance,
      dataset.ownerId,
      identity,
      "https://storage.azure.com/.default",
    );
    const dek = await this.dek(dataset);
    const store = new AzureBlobStore({
      endpoint: dataset.store.url,
      container: dataset.store.container,
      prefix: dataset.store.prefix,
      ca: tokens.ca,
      token: () => Promise.resolve(token),
      ...(dek && dataset.encryption === "CPK" && { customerProvidedKey: dek }),
    });
    return dek && dataset.encryption === "CSE" ? decryptingStore(store, dek) : store;
  }

  /** The agent left the key as a secret that only the pods of this job may read. */
  private async dek(dataset: Dataset): Promise<Buffer | undefined> {
    const secretId = this.secretIds.get(dataset.id);
    return secretId === undefined ? undefined : Buffer.from(await this.context.governance.secret(secretId), "base64");
  }

  private progress(progress: QueryProgress): void {
    switch (progress.kind) {
      case "datasetLoaded":
        this.event("DATASET_LOAD_COMPLETED", `${progress.rows} rows loaded from dataset ${progress.dataset}.`);
        this.audit(3001, LOADER, `Dataset ${progress.dataset} loaded`);
        return;
      case "segmentStarted":
        return this.event("QUERY_SEGMENT_EXECUTION_STARTED", `Segment ${progress.segment} started.`);
      case "segmentCompleted":
        return this.event("QUERY_SEGMENT_EXECUTION_COMPLETED", `Segment ${progress.segment} is done.`);
      case "segmentFailed":
        return this.event("QUERY_SEGMENT_EXECUTION_FAILED", `Segment ${progress.segment} failed: ${progress.reason}`);
    }
  }

  private loadFailed(dataset: string): void {
    this.event("DATASET_LOAD_FAILED", `Loading dataset ${dataset} failed.`);
    this.audit(3002, LOADER, `Loading dataset ${dataset} failed`);
  }

  private event(name: EventName, message: string): void {
    this.context.book.record(this.job, name, message);
  }

  /** In order; a failure to audit is logged and does not stop the run, as in the original. */
  private audit(id: AuditId, source: string, message: string): void {
    const { governance, log } = this.context;
    this.audits = this.audits
      .then(() => governance.audit(source, `${id}: ${message}. Job id: ${this.job.runId}`))
      .catch((error: unknown) => log(`audit event ${id} was not accepted: ${String(error)}`));
  }
}

/** Files of the days asked for. Days without a folder are skipped; without any, or without dates, everything is read. */
export async function readFiles(store: DataStore, dataset: Dataset, dates: DateRange | undefined): Promise<DataFile[]> {
  const suffix = `.${dataset.format}`;
  const wanted = (await store.list("")).filter((path) => path.endsWith(suffix) && !/(^|\/)[._]/.test(path));
  const days = dates ? daysOf(dates) : [];
  const dated = wanted.filter((path) => days.includes(path.split("/", 1)[0] ?? ""));
  return readAll(store, dated.length > 0 ? dated : wanted);
}

/** A few at a time: in order, and not all in flight at once. */
async function readAll(store: DataStore, paths: readonly string[]): Promise<DataFile[]> {
  const files: DataFile[] = [];
  for (let start = 0; start < paths.length; start += PARALLEL_READS) {
    const batch = paths.slice(start, start + PARALLEL_READS);
    files.push(...(await Promise.all(batch.map(async (path) => ({ path, content: await store.read(path) })))));
  }
  return files;
}
