import type { QueryEngine } from "./contracts.ts";
import { DuckDbEngine } from "./duckdb.ts";
import { SparkEngine } from "./spark.ts";

/** @param name `duckdb` (default) or `spark`. */
export function selectEngine(name: string | undefined): QueryEngine {
  switch (name || "duckdb") {
    case "duckdb":
      return new DuckDbEngine();
    case "spark":
      return new SparkEngine();
    default:
      throw new TypeError(`CLEANROOM_QUERY_ENGINE must be 'duckdb' or 'spark', got '${name}'.`);
  }
}
