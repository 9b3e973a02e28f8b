import type * as pulumi from "@pulumi/pulumi";
import type { Progress } from "../clients/stores/progress.ts";
import type { StoreTarget } from "../clients/stores/target.ts";
import { paddingWarning } from "../domain/data/padding.ts";
import type { Encryption } from "../domain/data/publishedFile.ts";
import type { DatasetFormat, EncryptionMode, Field } from "../domain/dataset.ts";
import { UserError } from "../domain/errors.ts";
import { sizeText } from "../domain/sizes.ts";
import { defineProvider, type Call, type Failure, type ProviderConfig } from "./framework/provider.ts";
import { DynamicResource } from "./framework/resource.ts";
import { signedIn } from "./framework/session.ts";

/** A container that this stack may write to. */
export interface BlobLocation {
  readonly type: "Azure_BlobStorage";
  /** `https://…/` */
  readonly blobEndpoint: string;
  readonly container: string;
}

export type StoreLocation = BlobLocation;

export interface DatasetFilesArgs {
  /** Folder with the files, relative to the project folder or absolute. */
  directory: string;
  format: DatasetFormat;
  fields: readonly Field[];
  /** A value that does not parse as its type is an error. */
  strict: boolean;
  location: pulumi.Input<StoreLocation>;
  encryption: EncryptionMode;
  /** CSE and CPK: the data encryption key, base64, secret. */
  key?: pulumi.Input<string>;
}

/**
 * The files of a source, encrypted as its dataset says, in its store.
 *
 * | create | update in place | replace when | delete | read |
 * |---|---|---|---|---|
 * | check against the schema, encrypt, upload, verify; continues an interrupted upload | only files whose content changed; removed files deleted; everything with a new key or encryption | location | delete what was uploaded | every file's digest and length against the store |
 *
 * Previews read no content of files that have not changed since the last look (size, times, inode).
 */
export class DatasetFiles extends DynamicResource {
  /** `sha256:` over path, size and digest of every file here. */
  declare readonly contentDigest: pulumi.Output<string>;
  declare readonly count: pulumi.Output<number>;
  /** Of plaintext. */
  declare readonly bytes: pulumi.Output<number>;
  /** `sha256:` over what the store says about every object. */
  declare readonly publishedDigest: pulumi.Output<string>;

  constructor(name: string, args: DatasetFilesArgs, options?: pulumi.CustomResourceOptions) {
    super(
      "datasetFiles",
      name,
      { ...args, contentDigest: undefined },
      ["count", "bytes", "publishedDigest"],
      ["key"],
      options,
    );
  }
}

interface Inputs {
  directory: string;
  format: DatasetFormat;
  fields: readonly Field[];
  strict: boolean;
  location: StoreLocation;
  encryption: EncryptionMode;
  key?: string;
  /** Filled in by check. */
  contentDigest?: string;
}

interface Outputs {
  count: number;
  bytes: number;
  publishedDigest: string;
}

const INDEX_FOLDER = ".cleanroom/index";
/** Never the digest of anything: makes the next `up` publish again. */
const DRIFTED = "differs from the store";

async function scan(inputs: Inputs): Promise<import("../clients/files/scan.ts").Scan> {
  const { scanDirectory } = await import("../clients/files/scan.ts");
  return scanDirectory(inputs.directory, { format: inputs.format, indexFile: await indexFile(inputs, "files") });
}

async function indexFile({ directory }: Inputs, kind: string): Promise<string> {
  const path = await import("node:path");
  const { sha256Hex } = await import("../domain/json.ts");
  return path.join(INDEX_FOLDER, `${sha256Hex(path.resolve(directory)).slice(0, 16)}.${kind}`);
}

async function target(location: StoreLocation, config: ProviderConfig): Promise<StoreTarget> {
  return { ...location, credential: await signedIn(config) };
}

function encryptionOf({ encryption: mode, key }: Inputs): Encryption {
  if (mode === "SSE") return { mode };
  if (key === undefined) throw new UserError(`encryption ${mode} needs a data encryption key`);
  return { mode, key: Buffer.from(key, "base64") };
}

/** @param published digest of what the store held after the last publication, as far as this stack knows. */
async function publish(inputs: Inputs, { config, progress }: Call, published?: string): Promise<Outputs> {
  const { publishFiles } = await import("../clients/stores/publish.ts");
  const { container } = inputs.location;
  const result = await publishFiles({
    directory: inputs.directory,
    scan: await scan(inputs),
    target: await target(inputs.location, config),
    encryption: encryptionOf(inputs),
    last: { file: await indexFile(inputs, "published"), ...(published !== undefined && { contentDigest: published }) },
    onProgress: (now) => progress(`${container}: ${progressText(now)}`),
  });
  progress(`${container}: ${result.uploaded.count} files uploaded, ${result.deleted} removed, ${result.count} in all`);
  for (const name of result.foreign) {
    progress(
      `warning: ${container} also holds ${name}, which this stack did not write: the clean room reads it as part of the dataset`,
    );
  }
  return { count: result.count, bytes: result.bytes, publishedDigest: result.contentDigest };
}

function progressText({ files, totalFiles, bytes, totalBytes, bytesPerSecond, secondsLeft }: Progress): string {
  const left = secondsLeft === undefined ? "" : `, ${Math.ceil(secondsLeft)} s left`;
  return `${files} of ${totalFiles} files, ${sizeText(bytes)} of ${sizeText(totalBytes)}, ${sizeText(bytesPerSecond)}/s${left}`;
}

export const provider = defineProvider<Inputs, Outputs>({
  name: "DatasetFiles",
  inputs: ["directory", "format", "fields", "strict", "location", "encryption", "key", "contentDigest"],
  // Where the files lie here and how strictly they are read decides nothing about the store.
  access: ["directory", "strict"],
  // Not encryption: in the same container, what the old object takes along would be the files of the new one.
  replaceOn: ["location"],

  complete: {
    needs: ["directory", "format", "fields", "strict"],
    async run(inputs, _olds, progress) {
      const { checkFiles } = await import("../clients/files/check.ts");
      const found = await scan(inputs);
      const { errors, warnings } = await checkFiles(
        inputs.directory,
        found,
        { format: inputs.format, fields: inputs.fields },
        { strict: inputs.strict, indexFile: await indexFile(inputs, "check") },
      );
      const padding = inputs.encryption === "CSE" ? paddingWarning(found.files) : undefined;
      for (const warning of [...warnings, ...(padding ? [padding] : [])]) progress(`warning: ${warning}`);
      const failures: Failure[] = errors.map((reason) => ({ property: "directory", reason }));
      return { inputs: { ...inputs, contentDigest: found.contentDigest }, failures };
    },
  },

  async create(inputs, call) {
    const outputs = await publish(inputs, call);
    return { id: `${inputs.location.blobEndpoint}${inputs.location.container}`, outputs };
  },

  async update(_id, olds, inputs, call) {
    // After drift the store has to be looked at again, whatever is remembered of it.
    const published = olds.contentDigest === DRIFTED ? undefined : olds.publishedDigest;
    return { outputs: await publish(inputs, call, published) };
  },

  async read(_id, olds, { config }) {
    const { readPublished } = await import("../clients/stores/verify.ts");
    const published = await readPublished(await target(olds.location, config));
    if (!published || (published.count === 0 && olds.count > 0)) return undefined;
    const isAsPublished =
      published.contentDigest === olds.publishedDigest &&
      published.foreign.length === 0 &&
      published.damaged.length === 0;
    return {
      inputs: isAsPublished ? {} : { contentDigest: DRIFTED },
      outputs: { count: published.count, bytes: published.bytes, publishedDigest: published.contentDigest },
    };
  },

  async delete(_id, olds, { config, progress }) {
    const { deletePublished } = await import("../clients/stores/remove.ts");
    const count = await deletePublished(await target(olds.location, config));
    progress(`${olds.location.container}: ${count} files removed`);
  },
});
