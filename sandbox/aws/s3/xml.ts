import { XMLBuilder, XMLParser } from "fast-xml-parser";
import { AwsError } from "../errors.ts";

const NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";
const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n';

const builder = new XMLBuilder({ suppressEmptyNode: true, ignoreAttributes: false });
const parser = new XMLParser({
  parseTagValue: false,
  trimValues: false,
  ignoreDeclaration: true,
  processEntities: true,
});

/** @param content element name → text, element or list of either; undefined is left out. */
export function xmlDocument(root: string, content: object, namespace = true): string {
  return DECLARATION + builder.build({ [root]: { ...(namespace && { "@_xmlns": NAMESPACE }), ...content } });
}

/** Children of the root. @throws {AwsError} 400 `MalformedXML`. */
export function parseXml(body: Buffer, root: string): Record<string, unknown> {
  try {
    const parsed = parser.parse(body.toString("utf8"), true) as Record<string, unknown>;
    if (parsed[root] === "") return {};
    if (typeof parsed[root] === "object" && parsed[root] !== null) return parsed[root] as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw malformedXml();
}

export function malformedXml(): AwsError {
  return new AwsError(
    400,
    "MalformedXML",
    "The XML you provided was not well-formed or did not validate against our published schema",
  );
}

/** A repeated element: none, one or several. */
export function listOf(value: unknown): Record<string, unknown>[] {
  if (value === undefined || value === "") return [];
  return [value].flat() as Record<string, unknown>[];
}

export function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
