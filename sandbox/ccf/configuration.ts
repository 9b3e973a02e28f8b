import { text } from "node:stream/consumers";
import { Readable } from "node:stream";
import zlib from "node:zlib";
import tar from "tar-stream";
import { z } from "zod";

const member = z.object({
  certificate_file: z.string(),
  encryption_public_key_file: z.string().nullish(),
  data_json_file: z.string().nullish(),
  recovery_role: z.enum(["NonParticipant", "Participant", "Owner"]).nullish(),
});

const cchostConfig = z.looseObject({
  node_certificate: z
    .looseObject({ subject_alt_names: z.array(z.string()).default([]) })
    .default({ subject_alt_names: [] }),
  node_data_json_file: z.string().nullish(),
  command: z.looseObject({
    type: z.enum(["Start", "Join", "Recover"]),
    service_certificate_file: z.string().nullish(),
    start: z
      .looseObject({
        constitution_files: z.array(z.string()).min(1),
        members: z.array(member).min(1),
        service_configuration: z
          .looseObject({ recovery_threshold: z.int().min(0).default(0) })
          .default({ recovery_threshold: 0 }),
        initial_service_certificate_validity_days: z.int().positive().default(30),
      })
      .nullish(),
    recover: z
      .looseObject({
        previous_service_identity_file: z.string(),
        initial_service_certificate_validity_days: z.int().positive().default(30),
      })
      .nullish(),
  }),
});

export interface ConfiguredMember {
  readonly certificate: string;
  readonly encryptionPublicKey: string | undefined;
  readonly data: Record<string, unknown> | null;
  readonly recoveryRole: "NonParticipant" | "Participant" | "Owner" | undefined;
}

/** What a node is told by its `CONFIG_DATA_TGZ`, with the files it names read. */
export interface NodeConfiguration {
  /** DNS names and IP addresses of the node certificate, besides `localhost` and `127.0.0.1`. */
  readonly alternativeNames: readonly string[];
  readonly nodeData: unknown;
  readonly command:
    | {
        readonly type: "Start";
        readonly constitution: string;
        readonly members: readonly ConfiguredMember[];
        /** 0: the number of members with an encryption key. */
        readonly recoveryThreshold: number;
        readonly validityDays: number;
      }
    | { readonly type: "Recover"; readonly previousServiceIdentity: string; readonly validityDays: number };
}

/**
 * Reads the archive a CCF node starts from: `cchost_config.json` (CCF's node configuration) and the files it names,
 * relative to the archive's root or below `/app`, where the node image unpacks it.
 * @throws one error that names the archive entry or configuration key.
 */
export async function readNodeConfiguration(archive: Buffer): Promise<NodeConfiguration> {
  const files = await untar(archive);
  const file = (name: string): string => {
    const content = files.get(archivePath(name));
    if (content === undefined)
      throw new Error(
        `CONFIG_DATA_TGZ: cchost_config.json names ${name}, but the archive holds only ${[...files.keys()].join(", ")}.`,
      );
    return content;
  };
  const json = (name: string): unknown => parseJson(name, file(name));
  const parsed = cchostConfig.safeParse(json("cchost_config.json"));
  if (!parsed.success)
    throw new Error(`CONFIG_DATA_TGZ: cchost_config.json is not valid. ${z.prettifyError(parsed.error)}`);
  const { command, node_certificate, node_data_json_file } = parsed.data;
  const common = {
    alternativeNames: node_certificate.subject_alt_names.map((name) => name.replace(/^(dNSName|iPAddress):/, "")),
    nodeData: node_data_json_file && files.has(archivePath(node_data_json_file)) ? json(node_data_json_file) : null,
  };
  if (command.type === "Join") {
    throw new Error(
      "CONFIG_DATA_TGZ: command.type Join is not simulated: a network of the sandbox has one node. Use Start or Recover.",
    );
  }
  if (command.type === "Recover") {
    if (!command.recover)
      throw new Error("CONFIG_DATA_TGZ: cchost_config.json needs command.recover for command.type Recover.");
    const { previous_service_identity_file, initial_service_certificate_validity_days } = command.recover;
    return {
      ...common,
      command: {
        type: "Recover",
        previousServiceIdentity: file(previous_service_identity_file),
        validityDays: initial_service_certificate_validity_days,
      },
    };
  }
  if (!command.start)
    throw new Error("CONFIG_DATA_TGZ: cchost_config.json needs command.start for command.type Start.");
  const { constitution_files, members, service_configuration, initial_service_certificate_validity_days } =
    command.start;
  return {
    ...common,
    command: {
      type: "Start",
      constitution: constitution_files.map((name) => imageFile(name) ?? file(name)).join("\n"),
      members: members.map((entry) => ({
        certificate: file(entry.certificate_file),
        encryptionPublicKey: entry.encryption_public_key_file ? file(entry.encryption_public_key_file) : undefined,
        data: entry.data_json_file ? (json(entry.data_json_file) as Record<string, unknown>) : null,
        recoveryRole: entry.recovery_role ?? undefined,
      })),
      recoveryThreshold: service_configuration.recovery_threshold,
      validityDays: initial_service_certificate_validity_days,
    },
  };
}

/** The default constitution comes with the node image, next to what the archive is unpacked to. */
const IMAGE_FILES = ["validate.js", "apply.js", "resolve.js", "operator_resolve.js", "actions.js"];

function imageFile(name: string): string | undefined {
  return IMAGE_FILES.some((known) => name === `/app/${known}`) ? `// ${name} of the node image` : undefined;
}

const archivePath = (name: string): string => name.replace(/^\.?\//, "").replace(/^app\//, "");

async function untar(archive: Buffer): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const extract = tar.extract();
  Readable.from([gunzip(archive)]).pipe(extract);
  for await (const entry of extract) {
    if (entry.header.type === "file") files.set(archivePath(entry.header.name), await text(entry));
    else entry.resume();
  }
  return files;
}

function gunzip(archive: Buffer): Buffer {
  try {
    return zlib.gunzipSync(archive);
  } catch (error) {
    throw new Error("CONFIG_DATA_TGZ is not a gzip archive.", { cause: error });
  }
}

function parseJson(name: string, content: string): unknown {
  try {
    return JSON.parse(content.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new Error(`CONFIG_DATA_TGZ: ${name} is not JSON.`, { cause: error });
  }
}
