import type { Encryption } from "../../domain/data/publishedFile.ts";
import { azureBlobStore, type BlobTarget } from "./azureBlob.ts";
import type { ObjectStore } from "./objectStore.ts";

/** Where a dataset's objects are: one member a kind of store. */
export type StoreTarget = BlobTarget;

export function openStore(target: StoreTarget, encryption: Encryption, signal?: AbortSignal): ObjectStore {
  switch (target.type) {
    case "Azure_BlobStorage":
      return azureBlobStore(target, encryption, signal);
  }
}
