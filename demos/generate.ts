import fs from "node:fs";
import path from "node:path";

/**
 * Data for the demos: short posts of invented accounts, one file a day and owner, the same bytes on every machine.
 * CSV without header, columns `date (dd/MM/yyyy), time (HH:mm), author, text`; RFC 4180 quoting, UTF-8, CRLF.
 *
 * Spark's reader does not know doubled quotes and ends such a field at the next comma. Here a mention always stands
 * before any quotation mark, so that both readings find the same mentions.
 */

export interface DemoFile {
  readonly persona: "northwind" | "woodgrove";
  /** `yyyy-MM-dd`. */
  readonly day: string;
  /** Absolute path. */
  readonly path: string;
  readonly rows: number;
}

/** The account that the demo query looks for. */
export const MENTIONED = "MikeDoesBigData";

const MENTION_SHARE = 0.06;

const FILES: readonly { persona: DemoFile["persona"]; day: string; handle: string; rows: number }[] = [
  { persona: "northwind", day: "2025-09-01", handle: "HarborlightNotes", rows: 392 },
  { persona: "northwind", day: "2025-09-02", handle: "QuietCompilers", rows: 1077 },
  { persona: "northwind", day: "2025-09-03", handle: "TerraceDataClub", rows: 3981 },
  { persona: "northwind", day: "2025-09-04", handle: "LanternPipeline", rows: 3987 },
  { persona: "woodgrove", day: "2025-09-01", handle: "MillpondAnalytics", rows: 147 },
  { persona: "woodgrove", day: "2025-09-02", handle: "CopperQueries", rows: 48 },
  { persona: "woodgrove", day: "2025-09-03", handle: "OrchardLakehouse", rows: 1885 },
  { persona: "woodgrove", day: "2025-09-04", handle: "SundialSql", rows: 2355 },
];

const ADJECTIVES = [
  "Amber",
  "Brisk",
  "Calm",
  "Dappled",
  "Eager",
  "Fabled",
  "Gentle",
  "Hushed",
  "Ivory",
  "Jolly",
  "Keen",
  "Lucid",
  "Mellow",
  "Nimble",
  "Opal",
];
const NOUNS = [
  "Badger",
  "Cedar",
  "Delta",
  "Ember",
  "Falcon",
  "Grove",
  "Heron",
  "Inlet",
  "Juniper",
  "Kestrel",
  "Lichen",
  "Meadow",
];
const OPENINGS = [
  "Reading about",
  "Still thinking about",
  "A short thread on",
  "Today I learned about",
  "Great session on",
  "Slides are up for",
  "Notes from",
];
const TOPICS = [
  "columnar storage",
  "query plans",
  "late binding views",
  "window functions",
  "key rotation",
  "streaming joins",
  "schema drift",
  "café-sized clusters",
  "データの品質",
  "naïve sampling",
];
const CLOSINGS = [
  "worth a look",
  "more tomorrow",
  "thoughts?",
  "it just works 🎉",
  "see you in Zürich",
  "the demo gods were kind",
  "thank you all",
];
const QUOTATIONS = ['"measure twice, cut once"', '"it depends"', '"simple, not easy"', '"one more index"'];

/**
 * @param directory receives `<persona>/input/<day>/<handle>.csv`; existing files are replaced.
 */
export function generateDemoData(directory: string): { files: DemoFile[] } {
  const files = FILES.map(({ persona, day, handle, rows }) => {
    const folder = path.resolve(directory, persona, "input", day);
    fs.mkdirSync(folder, { recursive: true });
    const file = path.join(folder, `${handle}.csv`);
    fs.writeFileSync(file, renderFile(`${persona}/${day}`, rows));
    return { persona, day, path: file, rows };
  });
  return { files };
}

function renderFile(seed: string, rows: number): string {
  const random = generator(seed);
  return Array.from({ length: rows }, () => `${renderRow(random).map(quoteField).join(",")}\r\n`).join("");
}

function renderRow(random: () => number): string[] {
  const date = [two(1 + whole(random, 28)), two(1 + whole(random, 12)), String(2019 + whole(random, 3))].join("/");
  const time = `${two(whole(random, 24))}:${two(whole(random, 60))}`;
  return [date, time, author(random), text(random)];
}

/** Some accounts write far more than others: the square of an evenly spread number favours the first names. */
function author(random: () => number): string {
  const index = Math.floor(random() ** 2 * ADJECTIVES.length * NOUNS.length);
  return `${ADJECTIVES[Math.floor(index / NOUNS.length)]}${NOUNS[index % NOUNS.length]}`;
}

function text(random: () => number): string {
  const mention = random() < MENTION_SHARE ? `${random() < 0.5 ? "RT " : ""}@${MENTIONED}: ` : "";
  const separator = random() < 0.5 ? ", " : " - ";
  const quotation = random() < 0.15 ? `${separator}${pick(random, QUOTATIONS)}` : "";
  return `${mention}${pick(random, OPENINGS)} ${pick(random, TOPICS)}${quotation}${separator}${pick(random, CLOSINGS)}`;
}

function quoteField(value: string): string {
  return /[",]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

const two = (value: number): string => String(value).padStart(2, "0");
const whole = (random: () => number, below: number): number => Math.floor(random() * below);
const pick = (random: () => number, values: readonly string[]): string => values[whole(random, values.length)] ?? "";

/** Evenly spread numbers in [0, 1): mulberry32, seeded with the FNV-1a hash of the text. */
function generator(seed: string): () => number {
  let state = 2166136261;
  for (const character of seed) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 16777619);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
