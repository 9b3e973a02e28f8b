import { parse } from "csv-parse/sync";
import fs from "node:fs";
import { MENTIONED, type DemoFile } from "./generate.ts";

export interface Mentions {
  readonly author: string;
  readonly mentions: number;
}

/**
 * What the demo query must answer, counted without any SQL: authors with at least two posts that mention the account,
 * most mentions first, equal counts by author.
 * @param days only these `yyyy-MM-dd`; all when left out.
 */
export function expectedMentions(files: readonly DemoFile[], days?: readonly string[]): Mentions[] {
  const counts = new Map<string, number>();
  for (const file of files) {
    if (days && !days.includes(file.day)) continue;
    for (const [, , author = "", text = ""] of parse(fs.readFileSync(file.path)) as string[][]) {
      if (text.includes(MENTIONED)) counts.set(author, (counts.get(author) ?? 0) + 1);
    }
  }
  return [...counts]
    .filter(([, mentions]) => mentions >= 2)
    .map(([author, mentions]) => ({ author, mentions }))
    .toSorted((a, b) => b.mentions - a.mentions || (a.author < b.author ? -1 : 1));
}
