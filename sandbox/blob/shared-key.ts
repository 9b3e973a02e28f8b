import crypto from "node:crypto";
import type { OutgoingHttpHeaders } from "node:http";
import { splitTarget } from "./operations.ts";

const SIGNED_HEADERS = [
  "content-encoding",
  "content-language",
  "content-length",
  "content-md5",
  "content-type",
  "date",
  "if-modified-since",
  "if-match",
  "if-none-match",
  "if-unmodified-since",
  "range",
];

/**
 * `Authorization` header of the Shared Key scheme.
 * Specification: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
 * @param key base64.
 * @param target path and query, encoded.
 */
export function authorization(
  account: string,
  key: string,
  method: string,
  target: string,
  headers: OutgoingHttpHeaders,
): string {
  const text = stringToSign(account, method, target, headers);
  const signature = crypto.createHmac("sha256", Buffer.from(key, "base64")).update(text, "utf8").digest("base64");
  return `SharedKey ${account}:${signature}`;
}

function stringToSign(account: string, method: string, target: string, headers: OutgoingHttpHeaders): string {
  const lower = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value ?? "")]));
  const signed = SIGNED_HEADERS.map((name) => {
    const value = lower.get(name) ?? "";
    return name === "content-length" && value === "0" ? "" : value;
  });
  const custom = [...lower]
    .filter(([name]) => name.startsWith("x-ms-"))
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, value]) => `${name}:${value.trimStart()}\n`);
  return `${[method.toUpperCase(), ...signed].join("\n")}\n${custom.join("")}${canonicalResource(account, target)}`;
}

function canonicalResource(account: string, target: string): string {
  const { path, query } = splitTarget(target);
  const parameters = query
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const [name = "", ...value] = pair.split("=");
      return [name.toLowerCase(), decodeURIComponent(value.join("=").replaceAll("+", "%20"))] as const;
    })
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `/${account}${path}${parameters.map(([name, value]) => `\n${name}:${value}`).join("")}`;
}
