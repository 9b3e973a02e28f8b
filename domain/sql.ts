import { UserError } from "./errors.ts";
import type { Segment } from "./query.ts";

/** Names one statement makes and reads, lower case as Spark compares them. */
interface Names {
  readonly creates: string[];
  readonly reads: string[];
}

/**
 * Views the segments read that neither an input nor an earlier segment provides. The SQL is parsed in Spark's dialect.
 * @returns lower-case names, sorted, each once.
 * @throws UserError when a segment is not SQL.
 */
export async function unknownViews(segments: readonly Segment[], inputs: readonly string[]): Promise<string[]> {
  // WebAssembly of some size: loaded only where a query is looked at.
  const { init, parse, Dialect } = await import("@polyglot-sql/sdk");
  await init();
  const known = new Set(inputs.map((view) => view.toLowerCase()));
  const unknown = new Set<string>();
  const ordered = [...segments].sort((a, b) => a.executionSequence - b.executionSequence);
  for (const segment of ordered) {
    const parsed = parse(segment.data, Dialect.Spark);
    if (!parsed.success)
      throw new UserError(
        `The segment with executionSequence ${segment.executionSequence} is not Spark SQL: ${parsed.error}`,
      );
    const { creates, reads } = namesIn(parsed.ast);
    for (const name of reads) if (!known.has(name)) unknown.add(name);
    for (const name of creates) known.add(name);
  }
  return [...unknown].sort();
}

/** Walks a syntax tree: tables stand below `table`, views below `create_view`, common table expressions below `ctes`. */
function namesIn(ast: unknown): Names {
  const creates: string[] = [];
  const reads: string[] = [];
  const local = new Set<string>();
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (typeof node !== "object" || node === null) return;
    for (const [key, value] of Object.entries(node)) {
      if (key === "create_view") creates.push(tableName((value as { name: unknown }).name)!);
      if (key === "ctes")
        for (const cte of value as { alias: { name: string } }[]) local.add(cte.alias.name.toLowerCase());
      const name = key === "table" ? tableName(value) : undefined;
      if (name !== undefined) reads.push(name);
      visit(value);
    }
  };
  visit(ast);
  return { creates, reads: reads.filter((name) => !local.has(name)) };
}

/** A table reference names itself by an identifier node; the qualifier of a column has a plain text there. */
function tableName(node: unknown): string | undefined {
  const identifier = (node as { name?: { name?: unknown } } | null)?.name;
  if (typeof identifier !== "object" || typeof identifier?.name !== "string") return undefined;
  const { schema, catalog } = node as { schema?: { name: string } | null; catalog?: { name: string } | null };
  return [catalog?.name, schema?.name, identifier.name]
    .filter((part) => part !== undefined)
    .join(".")
    .toLowerCase();
}
