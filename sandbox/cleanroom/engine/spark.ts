import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import readline from "node:readline";
import {
  executionOrder,
  QueryError,
  type QueryEngine,
  type QueryJob,
  type QueryOutcome,
  type QueryProgress,
} from "./contracts.ts";
import { sparkTypes } from "./types.ts";

/** A line of the script's standard output. */
type ScriptMessage =
  | { readonly progress: QueryProgress }
  | { readonly failed: string }
  | { readonly rowsRead: number; readonly rowsWritten: number };

/**
 * Runs the query on real Spark (`pyspark`, local mode) in a child process. Opt-in: needs Java 17 and a Python with
 * pyspark 4.0, named by `CLEANROOM_SPARK_PYTHON` (default `python3`). Data passes through a private temporary folder.
 */
export class SparkEngine implements QueryEngine {
  readonly name = "spark";

  async run(job: QueryJob, onProgress: (progress: QueryProgress) => void): Promise<QueryOutcome> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "cleanroom-spark-"));
    try {
      fs.writeFileSync(path.join(folder, "job.json"), JSON.stringify(stage(job, folder)), { mode: 0o600 });
      const { rowsRead, rowsWritten } = await runScript(folder, onProgress);
      const output = path.join(folder, "output");
      const parts = fs.readdirSync(output).filter((name) => name.startsWith("part-"));
      return {
        rowsRead,
        rowsWritten,
        parts: parts.sort().map((name) => ({ path: name, content: fs.readFileSync(path.join(output, name)) })),
      };
    } finally {
      fs.rmSync(folder, { recursive: true, force: true });
    }
  }
}

function stage(job: QueryJob, folder: string): unknown {
  const schema = (fields: QueryJob["output"]["fields"]): unknown =>
    fields.map(({ name, type }) => [name, sparkTypes[type]]);
  const inputs = job.inputs.map((input, index) => {
    const directory = path.join(folder, `input-${index}`);
    fs.mkdirSync(directory, { mode: 0o700 });
    const files = input.files.map((file, number) => {
      const name = path.join(directory, `${number}.${input.format}`);
      fs.writeFileSync(name, file.content, { mode: 0o600 });
      return name;
    });
    return {
      name: input.name,
      view: input.view,
      format: input.format,
      schema: schema(input.fields),
      allowedFields: input.allowedFields,
      files,
    };
  });
  const { name, format, fields, allowedFields } = job.output;
  return {
    inputs,
    segments: executionOrder(job.segments),
    output: { name, format, schema: schema(fields), allowedFields },
  };
}

function runScript(
  folder: string,
  onProgress: (progress: QueryProgress) => void,
): Promise<{ rowsRead: number; rowsWritten: number }> {
  const script = path.join(import.meta.dirname, "spark_runner.py");
  const child = spawn(process.env["CLEANROOM_SPARK_PYTHON"] ?? "python3", [script, folder], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let result: { rowsRead: number; rowsWritten: number } | undefined;
  let failed: string | undefined;
  let complaints = "";
  child.stderr.on("data", (chunk: Buffer) => (complaints = (complaints + chunk.toString()).slice(-2000)));
  readline.createInterface({ input: child.stdout }).on("line", (line) => {
    if (!line.startsWith("{")) return;
    const message = JSON.parse(line) as ScriptMessage;
    if ("progress" in message) onProgress(message.progress);
    else if ("failed" in message) failed = message.failed;
    else result = message;
  });
  return new Promise((resolve, reject) => {
    child.once("error", (error) =>
      reject(new Error(`Python cannot be started (CLEANROOM_SPARK_PYTHON): ${error.message}`)),
    );
    child.once("close", (code) => {
      if (failed !== undefined) reject(new QueryError(failed));
      else if (result) resolve(result);
      else reject(new Error(`Spark ended with exit code ${code} and no result: ${complaints.trim()}`));
    });
  });
}
