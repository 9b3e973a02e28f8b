import type { StateDocument } from "../../contracts.ts";

/** Operational events and their ids, as the analytics application numbers them. */
export const EVENT_IDS = {
  DATASET_LOAD_STARTED: 1001,
  DATASET_LOAD_COMPLETED: 1002,
  DATASET_LOAD_FAILED: 1003,
  DATASET_WRITE_STARTED: 1004,
  DATASET_WRITE_COMPLETED: 1005,
  DATASET_WRITE_FAILED: 1006,
  QUERY_SEGMENT_EXECUTION_STARTED: 1007,
  QUERY_SEGMENT_EXECUTION_COMPLETED: 1008,
  QUERY_SEGMENT_EXECUTION_FAILED: 1009,
  QUERY_EXECUTION_COMPLETED: 1011,
  QUERY_EXECUTION_FAILED: 1012,
  QUERY_STATISTICS: 2001,
} as const;

export type EventName = keyof typeof EVENT_IDS;

export interface JobEvent {
  readonly name: string;
  readonly reason: string;
  readonly message: string;
  readonly type: "Normal" | "Warning";
  readonly firstTimestamp: string;
  readonly lastTimestamp: string;
  readonly count: number;
}

export type JobState = "SUBMITTED" | "RUNNING" | "COMPLETED" | "FAILED";

export interface Job {
  readonly jobId: string;
  /** As given by the caller: names the result folder. */
  readonly runId: string;
  readonly queryId: string;
  readonly submittedAt: string;
  state: JobState;
  errorMessage: string;
  terminatedAt?: string;
  statistics?: { rowsRead: number; rowsWritten: number; durationSeconds: number };
  events: JobEvent[];
  /** Whether the run history has it. */
  recorded: boolean;
}

interface Run {
  readonly runId: string;
  readonly startTime: string;
  readonly endTime: string;
  readonly isSuccessful: boolean;
  readonly durationSeconds: number;
  readonly error?: { readonly code: string; readonly message: string };
  readonly stats?: { readonly rowsRead: number; readonly rowsWritten: number };
}

export interface JobsState {
  jobs: Record<string, Job>;
  /** By query id, newest first. */
  runs: Record<string, Run[]>;
}

const HISTORY_LIMIT = 20;

/** What the cluster remembers about jobs. A run enters the history when somebody asks for the status of a finished job. */
export class JobBook {
  private readonly document: StateDocument<JobsState>;

  /** Jobs that were under way when the sandbox stopped are lost. */
  constructor(document: StateDocument<JobsState>) {
    this.document = document;
    for (const job of Object.values(document.value.jobs)) {
      if (job.state === "SUBMITTED" || job.state === "RUNNING")
        this.fail(job, "The clean room stopped while the query ran.");
    }
  }

  find(jobId: string): Job | undefined {
    return Object.hasOwn(this.document.value.jobs, jobId) ? this.document.value.jobs[jobId] : undefined;
  }

  submit(jobId: string, runId: string, queryId: string): Job {
    const job: Job = {
      jobId,
      runId,
      queryId,
      submittedAt: now(),
      state: "SUBMITTED",
      errorMessage: "",
      events: [],
      recorded: false,
    };
    this.document.value.jobs[jobId] = job;
    this.document.save();
    return job;
  }

  started(job: Job): void {
    job.state = "RUNNING";
    this.document.save();
  }

  record(job: Job, event: EventName, message: string): void {
    const time = now();
    const type = event.endsWith("_FAILED") ? "Warning" : "Normal";
    const name = `${job.jobId}.${EVENT_IDS[event]}.${job.events.length}`;
    job.events.push({ name, reason: event, message, type, firstTimestamp: time, lastTimestamp: time, count: 1 });
    this.document.save();
  }

  complete(job: Job, rowsRead: number, rowsWritten: number): void {
    const durationSeconds = (Date.now() - Date.parse(job.submittedAt)) / 1000;
    job.statistics = { rowsRead, rowsWritten, durationSeconds };
    const statistics = { duration_sec: durationSeconds, num_rows_read: rowsRead, num_rows_written: rowsWritten };
    this.record(job, "QUERY_STATISTICS", JSON.stringify(statistics));
    this.finish(job, "COMPLETED");
  }

  fail(job: Job, reason: string): void {
    job.errorMessage = reason;
    this.finish(job, "FAILED");
  }

  private finish(job: Job, state: JobState): void {
    job.state = state;
    job.terminatedAt = now();
    this.document.save();
  }

  /** Body of `GET /status/{jobId}`. */
  status(job: Job): Record<string, unknown> {
    if (job.terminatedAt && !job.recorded) this.addToHistory(job, job.terminatedAt);
    return {
      id: job.jobId,
      status: {
        applicationState: { state: job.state, errorMessage: job.errorMessage },
        driverInfo: { podName: `${job.jobId}-driver` },
        executorState: {},
        executionAttempts: 1,
        submissionAttempts: 1,
        lastSubmissionAttemptTime: job.submittedAt,
        terminationTime: job.terminatedAt ?? null,
      },
      events: job.events,
    };
  }

  private addToHistory(job: Job, endTime: string): void {
    const runs = (this.document.value.runs[job.queryId] ??= []);
    const { rowsRead, rowsWritten } = job.statistics ?? {};
    runs.unshift({
      runId: job.jobId,
      startTime: job.submittedAt,
      endTime,
      isSuccessful: job.state === "COMPLETED",
      durationSeconds: (Date.parse(endTime) - Date.parse(job.submittedAt)) / 1000,
      ...(job.state === "FAILED" && { error: { code: "SPARK_JOB_FAILED", message: job.errorMessage } }),
      ...(rowsRead !== undefined && rowsWritten !== undefined && { stats: { rowsRead, rowsWritten } }),
    });
    runs.splice(HISTORY_LIMIT);
    job.recorded = true;
    this.document.save();
  }

  /** Body of `GET /queries/{queryId}/runs`; undefined when nothing is recorded. */
  history(queryId: string): Record<string, unknown> | undefined {
    const recorded = Object.hasOwn(this.document.value.runs, queryId) ? (this.document.value.runs[queryId] ?? []) : [];
    if (recorded.length === 0) return undefined;
    const sum = (of: (run: Run) => number): number => recorded.reduce((total, run) => total + of(run), 0);
    const totalRuntimeSeconds = sum((run) => run.durationSeconds);
    const successfulRuns = sum((run) => Number(run.isSuccessful));
    const runs = recorded.map(({ durationSeconds: _, ...run }) => run);
    return {
      queryId,
      latestRun: runs[0],
      runs,
      summary: {
        totalRuns: recorded.length,
        successfulRuns,
        failedRuns: recorded.length - successfulRuns,
        totalRuntimeSeconds,
        avgDurationSeconds: totalRuntimeSeconds / recorded.length,
        totalRowsRead: sum((run) => run.stats?.rowsRead ?? 0),
        totalRowsWritten: sum((run) => run.stats?.rowsWritten ?? 0),
      },
    };
  }
}

const now = (): string => new Date().toISOString();
