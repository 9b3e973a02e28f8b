import { LocalWorkspace, type EngineEvent, type Stack } from "@pulumi/pulumi/automation/index.js";
import { PERSONAS, type PersonaName } from "../demos/demos.ts";
import { UserError } from "../domain/errors.ts";
import type { CollaboratorHandoff, SharedQuery } from "../domain/handoff.ts";
import type { Pending } from "../domain/pending.ts";
import type { DemoProject } from "./demoProject.ts";

/** One `pulumi up`. */
export interface Step {
  readonly stack: PersonaName;
  readonly what: string;
  readonly changes: number;
  /** In the stack afterwards. */
  readonly resources: number;
  readonly seconds: number;
}

export interface FinishedRun {
  readonly query: string;
  readonly state: string;
  readonly rowsRead: number;
  readonly rowsWritten: number;
  readonly store: { readonly blobEndpoint: string; readonly container: string };
  readonly path: string;
}

/** What each organisation does in each of its updates, in words. */
const STORY: Readonly<Record<PersonaName, readonly string[]>> = {
  operator: ["hosts the consortium and the clean room, invites", "makes the invited people users"],
  northwind: ["prepares storage and vault, accepts the invitation", "publishes its data", "approves the query"],
  woodgrove: [
    "prepares storage and vault, accepts the invitation",
    "publishes its data, proposes the query",
    "approves the query and runs it",
  ],
};
const AUTHOR: PersonaName = "woodgrove";
const MAX_ROUNDS = 5;
/** Resources whose changes are worth a line of their own; components and providers are not. */
const NOT_SHOWN = /^(pulumi:|cleanroom:components:)/;

/** Debug messages spell out every input, secrets among them. */
const SHOWN: ReadonlySet<string> = new Set(["info", "info#err", "warning"]);

/** Drives the stacks of one collaboration with plain `pulumi up` until nothing is pending. */
export class Collaboration {
  readonly steps: Step[] = [];
  readonly #project: DemoProject;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #signal: AbortSignal;
  readonly #say: (text: string) => void;
  readonly #stacks = new Map<PersonaName, Stack>();

  constructor(
    project: DemoProject,
    environment: Readonly<Record<string, string>>,
    signal: AbortSignal,
    say: (text: string) => void,
  ) {
    this.#project = project;
    this.#environment = { ...environment, ...project.environment };
    this.#signal = signal;
    this.#say = say;
  }

  async create(): Promise<void> {
    for (const stackName of PERSONAS) {
      const stack = await LocalWorkspace.createStack(
        { stackName, workDir: this.#project.folder },
        { envVars: { ...this.#environment } },
      );
      this.#stacks.set(stackName, stack);
    }
  }

  /**
   * Updates every stack that has something to do, again and again, until nothing waits for another stack.
   * @throws UserError with what is still pending when an entire round changes nothing.
   */
  async settle(
    stacks: readonly PersonaName[] = PERSONAS,
    until: (pending: readonly Pending[]) => boolean = (pending) => pending.length === 0,
  ): Promise<void> {
    let waiting: readonly PersonaName[] = stacks;
    for (let round = 1; round <= MAX_ROUNDS; round++) {
      let changes = 0;
      for (const stack of waiting) changes += await this.#up(stack);
      const pending = await this.pending();
      if (until(pending.map(({ reason }) => reason))) return;
      if (changes === 0)
        throw new UserError(
          `Nothing moves any more, but this is pending:\n${pending.map(({ stack, reason }) => `  ${stack}: ${reason.what}`).join("\n")}`,
        );
      waiting = PERSONAS.filter((stack) => pending.some((entry) => entry.stack === stack));
    }
  }

  async pending(): Promise<{ stack: PersonaName; reason: Pending }[]> {
    const entries = await Promise.all(
      PERSONAS.map(
        async (stack) => (await this.#output<Pending[]>(stack, "pending"))?.map((reason) => ({ stack, reason })) ?? [],
      ),
    );
    return entries.flat();
  }

  /** The query as its author offers it. */
  async query(): Promise<{ reference: string; query: SharedQuery; names: ReadonlyMap<string, string> }> {
    const handoffs = await Promise.all(
      PERSONAS.filter((name) => name !== "operator").map(
        async (name) => [name, await this.#output<CollaboratorHandoff>(name, "handoff")] as const,
      ),
    );
    const names = new Map(handoffs.map(([name, handoff]) => [handoff?.identity.userId ?? "", name]));
    const author = handoffs.find(([name]) => name === AUTHOR)?.[1];
    const [name, query] = Object.entries(author?.queries ?? {})[0] ?? [];
    if (name === undefined || query === undefined) throw new UserError(`Stack ${AUTHOR} offers no query.`);
    return { reference: `${AUTHOR}/${name}`, query, names };
  }

  /** Writes the reviewed digest into the configuration of everybody who has to approve, as their pull requests would. */
  async pin(reference: string, query: SharedQuery, names: ReadonlyMap<string, string>): Promise<PersonaName[]> {
    const approvers = PERSONAS.filter((name) => query.review.approvers.some((id) => names.get(id) === name));
    for (const name of approvers) {
      await this.#stacks.get(name)!.setConfig(`cleanroom:approvals["${reference}"]`, { value: query.digest }, true);
    }
    return approvers;
  }

  async finishedRun(): Promise<{ id: string; run: FinishedRun }> {
    const results = await this.#output<Record<string, FinishedRun>>(AUTHOR, "results");
    const [id, run] = Object.entries(results ?? {})[0] ?? [];
    if (id === undefined || run === undefined) throw new UserError(`Stack ${AUTHOR} has no finished run.`);
    return { id, run };
  }

  async #output<T>(stack: PersonaName, name: string): Promise<T | undefined> {
    return (await this.#stacks.get(stack)!.outputs())[name]?.value as T | undefined;
  }

  async #up(name: PersonaName): Promise<number> {
    const number = this.steps.filter(({ stack }) => stack === name).length;
    const what = STORY[name][number] ?? "looks again";
    this.#say(`\n● ${name} ${what}`);
    const started = Date.now();
    const errors: string[] = [];
    const stack = this.#stacks.get(name)!;
    try {
      const { summary } = await stack.up({ signal: this.#signal, onEvent: (event) => this.#tell(event, errors) });
      const counts = summary.resourceChanges ?? {};
      const { same = 0, read: _read = 0, delete: deleted = 0, ...changed } = counts as Record<string, number>;
      const changes = Object.values(changed).reduce((sum, count) => sum + count, 0);
      this.steps.push({
        stack: name,
        what,
        changes: changes + deleted,
        resources: same + changes,
        seconds: (Date.now() - started) / 1000,
      });
      return changes + deleted;
    } catch (error) {
      this.#signal.throwIfAborted();
      throw new UserError(`pulumi up of stack ${name} failed:\n${errors.join("\n") || (error as Error).message}`, {
        cause: error,
      });
    }
  }

  /** One line a change, and what providers have to say. */
  #tell({ resOutputsEvent, diagnosticEvent }: EngineEvent, errors: string[]): void {
    if (resOutputsEvent && !resOutputsEvent.planning) {
      const { op, urn, type } = resOutputsEvent.metadata;
      if (op !== "same" && op !== "read" && !NOT_SHOWN.test(type))
        this.#say(`  ${op.padEnd(7)} ${type.split(":").at(-1)} ${urn.split("::").at(-1)}`);
    }
    if (diagnosticEvent) {
      const message = diagnosticEvent.message.replace(/<\{%.*?%\}>/g, "").trimEnd();
      if (diagnosticEvent.severity === "error") errors.push(message);
      else if (message !== "" && SHOWN.has(diagnosticEvent.severity)) this.#say(message.replace(/^/gm, "    "));
    }
  }
}
