import { Command, CommanderError, Option } from "commander";
import { DEFAULT_DEMO } from "../demos/demos.ts";
import { UserError } from "../domain/errors.ts";

/** Exit codes: 0 done, 1 failed, 2 used wrongly, 130 interrupted. */
const USAGE = 2;

const program = new Command("cleanroom")
  .description("Multi-party confidential analytics: demo, sandbox and results. Everything else is plain `pulumi`.")
  .exitOverride()
  .configureHelp({ showGlobalOptions: true });

program
  .command("demo")
  .description("run a whole collaboration on the sandbox: three stacks, one query, its answer")
  .option("--demo <name>", "which demo", DEFAULT_DEMO)
  .option("--encryption <mode>", "CSE, CPK or SSE instead of the demo's own")
  .option(
    "--data <folder>",
    "use <folder>/<persona>/input/<yyyy-MM-dd>/*.csv (date,time,author,mentions) instead of generated data",
  )
  .option("--query <file>", "use another segmented query (YAML)")
  .option("--download", "fetch the public sample tweets instead of generating data (needs internet)")
  .option("--keep", "leave sandbox and stacks for work by hand")
  .option("--json", "print one JSON document on stdout and everything else on stderr")
  .option("--folder <folder>", "where to keep everything (default: .cleanroom/demo/<name>)")
  .action(async (options) => (await import("./demo.ts")).demo(options));

const sandbox = program.command("sandbox").description("run the sandbox, or stop one that runs");
sandbox
  .command("start", { isDefault: true })
  .description("start the sandbox and print the environment that makes pulumi use it; stops with Ctrl-C")
  .option("--folder <folder>", "state folder", ".cleanroom/sandbox")
  .addOption(new Option("--services-only", "leave backend, passphrase and data to the caller").hideHelp())
  .addOption(new Option("--until-stdin-ends", "stop when standard input is closed").hideHelp())
  .action(async (options) => (await import("./sandbox.ts")).startSandboxCommand(options));
sandbox
  .command("stop")
  .description("stop the sandbox that uses a state folder")
  .option("--folder <folder>", "state folder", ".cleanroom/sandbox")
  .action(async (options) => (await import("./sandbox.ts")).stopSandboxCommand(options));

program
  .command("output")
  .description("read the result of a run as the owner of its sink")
  .argument("[run]", "run id (default: the only one)")
  .option("--stack <stack>", "stack of the query's author", "woodgrove")
  .option("--project <folder>", "folder of Pulumi.yaml", ".")
  .option("--json", "print {columns, rows}")
  .action(async (run, options) => (await import("./output.ts")).outputCommand(run, options));

program
  .command("audit")
  .description("show the consortium's audit events of the contract")
  .option("--stack <stack>", "stack to look with", "woodgrove")
  .option("--project <folder>", "folder of Pulumi.yaml", ".")
  .option("--json", "print one JSON line an event")
  .action(async (options) => (await import("./audit.ts")).auditCommand(options));

try {
  await program.parseAsync();
} catch (error) {
  const code = report(error);
  // An interruption has set its own.
  process.exitCode ??= code;
}

/** Mistakes of the user are shown as one message; everything else with its stack. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
  if (error instanceof UserError) process.stderr.write(`cleanroom: ${error.message}\n`);
  else process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  return 1;
}
