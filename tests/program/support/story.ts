import { deploy, type Deployment, type Situation } from "./program.ts";

/** Every state of the three stacks on the way from nothing to the result, in the order in which they are reached. */
export interface Story {
  /** The operator before anybody has accepted, and after everybody has. */
  readonly operator: readonly [Deployment, Deployment];
  /** Alone; invited; a user; with the query approved. */
  readonly northwind: readonly [Deployment, Deployment, Deployment, Deployment];
  /** Alone; invited; a user, with the query proposed; with the run. */
  readonly woodgrove: readonly [Deployment, Deployment, Deployment, Deployment];
  readonly all: readonly Deployment[];
  /** What reviewers pin. */
  readonly digest: string;
}

/** @param config changes to every collaborator's configuration. */
export async function tell(config: (persona: string) => Situation["config"] = () => ({})): Promise<Story> {
  const settings = (persona: string) => config(persona) ?? {};
  const northwind0 = await deploy("northwind", { config: settings("northwind") });
  const woodgrove0 = await deploy("woodgrove", { config: settings("woodgrove") });
  const operator0 = await deploy("operator", { stacks: handoffs({ northwind: northwind0, woodgrove: woodgrove0 }) });
  const invited = handoffs({ operator: operator0, northwind: northwind0, woodgrove: woodgrove0 });
  const northwind1 = await deploy("northwind", { config: settings("northwind"), stacks: invited });
  const woodgrove1 = await deploy("woodgrove", { config: settings("woodgrove"), stacks: invited });
  const operator1 = await deploy("operator", { stacks: handoffs({ northwind: northwind1, woodgrove: woodgrove1 }) });
  const users = { operator: operator1, northwind: northwind1, woodgrove: woodgrove1 };
  const northwind2 = await deploy("northwind", { config: settings("northwind"), stacks: handoffs(users) });
  const woodgrove2 = await deploy("woodgrove", {
    config: settings("woodgrove"),
    stacks: handoffs({ ...users, northwind: northwind2 }),
  });
  const digest = digestOf(woodgrove2);
  const approvals = { "woodgrove/mentions": digest };
  const proposed = { operator: operator1, northwind: northwind2, woodgrove: woodgrove2 };
  const northwind3 = await deploy("northwind", {
    config: { ...settings("northwind"), approvals },
    stacks: handoffs(proposed),
  });
  const woodgrove3 = await deploy("woodgrove", {
    config: { ...settings("woodgrove"), approvals },
    stacks: handoffs({ ...proposed, northwind: northwind3 }),
  });
  const operator = [operator0, operator1] as const;
  const northwind = [northwind0, northwind1, northwind2, northwind3] as const;
  const woodgrove = [woodgrove0, woodgrove1, woodgrove2, woodgrove3] as const;
  return { operator, northwind, woodgrove, digest, all: [...operator, ...northwind, ...woodgrove] };
}

/** Stack outputs as other stacks see them. */
export function handoffs(stacks: Readonly<Record<string, Deployment>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(stacks).map(([name, { outputs }]) => [name, outputs.handoff]));
}

function digestOf(author: Deployment): string {
  const { queries } = author.outputs.handoff as { queries: Record<string, { digest: string }> };
  return queries.mentions!.digest;
}
