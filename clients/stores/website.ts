import type { TokenCredential } from "@azure/identity";
import { ContainerClient, RestError } from "@azure/storage-blob";
import { setTimeout as sleep } from "node:timers/promises";

const WEB_CONTAINER = "$web";
/** Role assignments take minutes to reach a storage account. */
const PERMISSION_SECONDS = 300;
const PERMISSION_RETRY_MS = 5000;

/** Small public documents below one path of a storage account's static website. */
export class Website {
  readonly #container: ContainerClient;
  readonly #path: string;

  /** @param site.path first segment, without slashes. */
  constructor(site: { blobEndpoint: string; path: string; credential: TokenCredential }) {
    this.#container = new ContainerClient(`${site.blobEndpoint.replace(/\/$/, "")}/${WEB_CONTAINER}`, site.credential);
    this.#path = site.path;
  }

  /** @param documents path below the site's path → JSON text. */
  async publish(documents: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, text] of Object.entries(documents)) {
      const content = Buffer.from(text, "utf8");
      await whenPermitted(() =>
        this.#blob(name).upload(content, content.length, {
          blobHTTPHeaders: { blobContentType: "application/json", blobCacheControl: "no-cache" },
        }),
      );
    }
  }

  /** @returns the documents that are there, as published. */
  async read(names: readonly string[]): Promise<Record<string, string>> {
    const found: Record<string, string> = {};
    for (const name of names) {
      try {
        found[name] = (await this.#blob(name).downloadToBuffer()).toString("utf8");
      } catch (error) {
        if (!isGone(error)) throw error;
      }
    }
    return found;
  }

  /** Succeeds when they are gone already, with or without their account. */
  async remove(names: readonly string[]): Promise<void> {
    for (const name of names) {
      try {
        await this.#blob(name).deleteIfExists();
      } catch (error) {
        if (!isGone(error)) throw error;
      }
    }
  }

  #blob(name: string): ReturnType<ContainerClient["getBlockBlobClient"]> {
    return this.#container.getBlockBlobClient(`${this.#path}/${name}`);
  }
}

function isGone(error: unknown): boolean {
  return error instanceof RestError && error.statusCode === 404;
}

async function whenPermitted<T>(write: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + PERMISSION_SECONDS * 1000;
  for (;;) {
    try {
      return await write();
    } catch (error) {
      const isPropagating =
        error instanceof RestError && error.code === "AuthorizationPermissionMismatch" && Date.now() < deadline;
      if (!isPropagating) throw error;
      await sleep(PERMISSION_RETRY_MS);
    }
  }
}
