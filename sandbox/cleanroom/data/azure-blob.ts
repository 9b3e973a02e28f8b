import crypto from "node:crypto";
import { XMLParser } from "fast-xml-parser";
import { send, type HttpResponse } from "../http.ts";
import type { DataStore } from "./store.ts";

const API_VERSION = "2025-05-05";

export interface AzureBlobOptions {
  /** Blob endpoint of the account. */
  readonly endpoint: string;
  readonly container: string;
  /** Folder of the dataset inside the container, without outer slashes; "" for the whole container. */
  readonly prefix: string;
  /** PEM of the roots trusted for the endpoint. */
  readonly ca: string;
  /** Access token for storage. */
  token(): Promise<string>;
  /** 32 bytes: the service encrypts with this key and does not keep it. */
  readonly customerProvidedKey?: Buffer;
}

/** Azure Blob Storage over its REST API. https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api */
export class AzureBlobStore implements DataStore {
  private readonly options: AzureBlobOptions;
  private readonly containerUrl: string;
  private readonly root: string;

  constructor(options: AzureBlobOptions) {
    this.options = options;
    this.containerUrl = `${options.endpoint.replace(/\/+$/, "")}/${encodeURIComponent(options.container)}`;
    this.root = options.prefix === "" ? "" : `${options.prefix}/`;
  }

  async list(folder: string): Promise<string[]> {
    const names: string[] = [];
    let marker = "";
    do {
      const query = new URLSearchParams({
        restype: "container",
        comp: "list",
        prefix: this.root + (folder === "" ? "" : `${folder}/`),
      });
      if (marker !== "") query.set("marker", marker);
      const page = parseList((await this.request("GET", `?${query.toString()}`, {})).body.toString("utf8"));
      names.push(...page.names);
      marker = page.nextMarker;
    } while (marker !== "");
    return names.map((name) => name.slice(this.root.length));
  }

  async read(path: string): Promise<Buffer> {
    return (await this.request("GET", this.blob(path), this.keyHeaders())).body;
  }

  async write(path: string, content: Buffer): Promise<void> {
    await this.request(
      "PUT",
      this.blob(path),
      { ...this.keyHeaders(), "x-ms-blob-type": "BlockBlob", "content-type": "application/octet-stream" },
      content,
    );
  }

  private blob(path: string): string {
    return `/${`${this.root}${path}`.split("/").map(encodeURIComponent).join("/")}`;
  }

  private keyHeaders(): Record<string, string> {
    const key = this.options.customerProvidedKey;
    if (!key) return {};
    return {
      "x-ms-encryption-key": key.toString("base64"),
      "x-ms-encryption-key-sha256": crypto.createHash("sha256").update(key).digest("base64"),
      "x-ms-encryption-algorithm": "AES256",
    };
  }

  private async request(
    method: string,
    suffix: string,
    headers: Record<string, string>,
    body?: Buffer,
  ): Promise<HttpResponse> {
    const response = await send(`${this.containerUrl}${suffix}`, {
      method,
      ca: this.options.ca,
      headers: { ...headers, authorization: `Bearer ${await this.options.token()}`, "x-ms-version": API_VERSION },
      ...(body && { body }),
    });
    if (response.status >= 200 && response.status < 300) return response;
    const code = response.headers["x-ms-error-code"] ?? response.status;
    throw new Error(`Container ${this.options.container}: the blob service answered ${String(code)}.`);
  }
}

interface BlobList {
  EnumerationResults: { Blobs: "" | { Blob?: { Name: string }[] }; NextMarker?: string };
}

const xml = new XMLParser({ parseTagValue: false, trimValues: false, isArray: (name) => name === "Blob" });

function parseList(text: string): { names: string[]; nextMarker: string } {
  const { Blobs, NextMarker } = (xml.parse(text) as BlobList).EnumerationResults;
  const blobs = typeof Blobs === "string" ? [] : (Blobs.Blob ?? []);
  return { names: blobs.map((blob) => blob.Name), nextMarker: NextMarker ?? "" };
}
