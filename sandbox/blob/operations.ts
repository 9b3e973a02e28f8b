import { StorageError } from "./errors.ts";

const SERVICE = "Microsoft.Storage/storageAccounts/blobServices";
const CONTAINERS = `${SERVICE}/containers`;
const BLOBS = `${CONTAINERS}/blobs`;

type Permission = { action: string } | { dataAction: string };

/** A request of the Blob REST API, understood. */
export interface Operation {
  /** As the REST reference calls it. */
  readonly name: string;
  readonly account: string;
  readonly container: string;
  readonly blob: string;
  readonly query: URLSearchParams;
  /** What the caller must be allowed; one of them suffices. */
  readonly permissions: readonly Permission[];
  /** The lowest public access level at which everybody may do this. */
  readonly anonymous?: "blob" | "container";
}

interface Rule {
  readonly name: string;
  readonly permissions: readonly Permission[];
  readonly anonymous?: "blob" | "container";
}

const read = { dataAction: `${BLOBS}/read` };
const write = { dataAction: `${BLOBS}/write` };
const add = { dataAction: `${BLOBS}/add/action` };
const remove = { dataAction: `${BLOBS}/delete` };
const readContainer = { action: `${CONTAINERS}/read` };
const writeContainer = { action: `${CONTAINERS}/write` };

/**
 * `level method restype comp` -> what it takes. Nothing else is let through.
 * Permissions: https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory#permissions-for-blob-service-operations
 */
const RULES: Record<string, Rule> = {
  "service GET - list": { name: "List Containers", permissions: [readContainer] },
  "service GET service properties": {
    name: "Get Blob Service Properties",
    permissions: [{ action: `${SERVICE}/read` }],
  },
  "service PUT service properties": {
    name: "Set Blob Service Properties",
    permissions: [{ action: `${SERVICE}/write` }],
  },
  "service GET account properties": { name: "Get Account Information", permissions: [readContainer] },
  "service HEAD account properties": { name: "Get Account Information", permissions: [readContainer] },
  "service GET - blobs": { name: "Find Blobs by Tags", permissions: [{ dataAction: `${BLOBS}/filter/action` }] },

  "container PUT container -": { name: "Create Container", permissions: [writeContainer] },
  "container GET container -": {
    name: "Get Container Properties",
    permissions: [readContainer],
    anonymous: "container",
  },
  "container HEAD container -": {
    name: "Get Container Properties",
    permissions: [readContainer],
    anonymous: "container",
  },
  "container DELETE container -": { name: "Delete Container", permissions: [{ action: `${CONTAINERS}/delete` }] },
  "container GET container metadata": {
    name: "Get Container Metadata",
    permissions: [readContainer],
    anonymous: "container",
  },
  "container HEAD container metadata": {
    name: "Get Container Metadata",
    permissions: [readContainer],
    anonymous: "container",
  },
  "container PUT container metadata": { name: "Set Container Metadata", permissions: [writeContainer] },
  "container GET container acl": {
    name: "Get Container ACL",
    permissions: [{ action: `${CONTAINERS}/getAcl/action` }],
  },
  "container HEAD container acl": {
    name: "Get Container ACL",
    permissions: [{ action: `${CONTAINERS}/getAcl/action` }],
  },
  "container PUT container acl": {
    name: "Set Container ACL",
    permissions: [{ action: `${CONTAINERS}/setAcl/action` }],
  },
  "container PUT container lease": { name: "Lease Container", permissions: [writeContainer] },
  "container GET container list": { name: "List Blobs", permissions: [read], anonymous: "container" },

  "blob PUT - -": { name: "Put Blob", permissions: [write] },
  "blob PUT - block": { name: "Put Block", permissions: [write] },
  "blob PUT - blocklist": { name: "Put Block List", permissions: [write] },
  "blob PUT - appendblock": { name: "Append Block", permissions: [write, add] },
  "blob PUT - page": { name: "Put Page", permissions: [write] },
  "blob GET - -": { name: "Get Blob", permissions: [read], anonymous: "blob" },
  "blob HEAD - -": { name: "Get Blob Properties", permissions: [read], anonymous: "blob" },
  "blob GET - metadata": { name: "Get Blob Metadata", permissions: [read], anonymous: "blob" },
  "blob HEAD - metadata": { name: "Get Blob Metadata", permissions: [read], anonymous: "blob" },
  "blob GET - blocklist": { name: "Get Block List", permissions: [read], anonymous: "blob" },
  "blob GET - pagelist": { name: "Get Page Ranges", permissions: [read], anonymous: "blob" },
  "blob GET - tags": { name: "Get Blob Tags", permissions: [{ dataAction: `${BLOBS}/tags/read` }] },
  "blob PUT - tags": { name: "Set Blob Tags", permissions: [{ dataAction: `${BLOBS}/tags/write` }] },
  "blob PUT - metadata": { name: "Set Blob Metadata", permissions: [write] },
  "blob PUT - properties": { name: "Set Blob Properties", permissions: [write] },
  "blob PUT - tier": { name: "Set Blob Tier", permissions: [write] },
  "blob PUT - lease": { name: "Lease Blob", permissions: [write] },
  "blob PUT - snapshot": { name: "Snapshot Blob", permissions: [write] },
  "blob PUT - copy": { name: "Abort Copy Blob", permissions: [write] },
  "blob DELETE - -": { name: "Delete Blob", permissions: [remove] },
};

export const READ_BLOB: Permission = read;

/**
 * @param target path and query as received. The path is decoded as a whole before it is cut, as the backend does it: the
 *   two must never differ about which blob is meant.
 * @throws StorageError
 */
export function parseOperation(method: string, target: string): Operation {
  const { path, query: rawQuery } = splitTarget(target);
  const { account, container, blob } = parsePath(path);
  const query = parseQuery(rawQuery);
  const level = blob !== "" ? "blob" : container !== "" ? "container" : "service";
  const key = [level, method, query.get("restype") ?? "-", query.get("comp") ?? "-"].join(" ");
  const rule = RULES[key];
  if (!rule) throw new StorageError(501, "NotImplemented", `The sandbox does not implement the operation '${key}'.`);
  return { ...rule, account, container, blob, query };
}

/** Path and query as received, without the first `?`. */
export function splitTarget(target: string): { path: string; query: string } {
  const mark = target.indexOf("?");
  return mark < 0 ? { path: target, query: "" } : { path: target.slice(0, mark), query: target.slice(mark + 1) };
}

export function parsePath(rawPath: string): { account: string; container: string; blob: string } {
  const decoded = decodePath(rawPath);
  const [account = "", container = "", ...blob] = decoded.slice(1).split("/");
  return { account, container, blob: blob.join("/").replaceAll("\\", "/") };
}

/** Printable ASCII without `#`: what else a client might send, URL parsers disagree about. */
function decodePath(rawPath: string): string {
  try {
    if (/^\/[!"$-~]*$/.test(rawPath)) return decodeURIComponent(rawPath);
  } catch {
    // Answered below.
  }
  throw new StorageError(400, "InvalidUri", "The requested URI does not represent any resource on the server.");
}

/** Two spellings or values of one parameter could be read differently by the backend: refused. */
function parseQuery(rawQuery: string): URLSearchParams {
  const query = new URLSearchParams(rawQuery);
  const names = [...query.keys()].map((name) => name.toLowerCase());
  const ambiguous = ["comp", "restype"].some((name) => names.includes(name) && !query.has(name));
  const isPlain = names.every((name) => /^[a-z0-9_$-]+$/.test(name));
  if (ambiguous || !isPlain || new Set(names).size !== names.length) {
    throw new StorageError(
      400,
      "InvalidQueryParameterValue",
      "Value for one of the query parameters specified in the request URI is invalid.",
    );
  }
  return query;
}
