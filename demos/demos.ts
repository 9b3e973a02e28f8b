import type { EncryptionMode } from "../domain/dataset.ts";

export const PERSONAS = ["operator", "northwind", "woodgrove"] as const;
export type PersonaName = (typeof PERSONAS)[number];

export interface Demo {
  readonly title: string;
  readonly encryption: EncryptionMode;
}

/** What can be shown. The stack configurations are the checked-in ones; a demo says what it does differently. */
export const DEMOS: Readonly<Record<string, Demo>> = {
  analytics: { title: "Azure Blob Storage, encrypted before it leaves its owner (CSE)", encryption: "CSE" },
  "analytics-sse": { title: "Azure Blob Storage, encrypted by the service", encryption: "SSE" },
};

export const DEFAULT_DEMO = "analytics";

/** Sample posts the original demo uses; `--download` fetches them. One file a day from the first day on. */
export const SAMPLE = {
  base: "https://github.com/Azure-Samples/Synapse/raw/refs/heads/main/Data/Tweets",
  firstDay: "2025-09-01",
  files: {
    northwind: ["BrigitMurtaughTweets", "FranmerMSTweets", "JeremyLiknessTweets", "mwinkleTweets"],
    woodgrove: ["RahulPotharajuTweets", "raghurwiTweets", "MikeDoesBigDataTweets", "SQLCindyTweets"],
  },
} as const;
