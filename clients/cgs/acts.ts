/**
 * What providers do with the governance service: acts of several requests each. Every act reads before it writes,
 * adopts what is there already, and may be repeated after a failure between any two of its requests.
 */
export type { Agreement } from "./acts/agree.ts";
export * from "./acts/contracts.ts";
export * from "./acts/documents.ts";
export * from "./acts/keys.ts";
export * from "./acts/service.ts";
export * from "./acts/users.ts";
