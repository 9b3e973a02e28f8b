import * as grpc from "@grpc/grpc-js";
import emptypb from "google-protobuf/google/protobuf/empty_pb.js";
import pluginpb from "@pulumi/pulumi/proto/plugin_pb.js";
import providergrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import pb from "@pulumi/pulumi/proto/provider_pb.js";
import type { Change } from "./diff.ts";
import { fromStruct, plainArgs, toStruct, withoutSecrets } from "./values.ts";
import type { Args } from "./values.ts";

/** Largest message either way; the engine's own limit. */
const MAX_MESSAGE_BYTES = 400 * 1024 * 1024;

export interface Failure {
  readonly property: string;
  readonly reason: string;
}

export interface DiffResult {
  readonly changes: Readonly<Record<string, Change>>;
  readonly deleteBeforeReplace: boolean;
}

/** What one resource operation is about. Property values still carry the engine's secret and unknown markers. */
export interface ResourceRequest {
  readonly type: string;
  /** The resource's name in the program. */
  readonly name: string;
}

/** A provider as one engine sees it after `Configure`: everything it does, it does with that configuration. */
export interface ProviderSession {
  check(
    request: ResourceRequest & { olds: Args; news: Args; randomSeed: Uint8Array },
  ): Promise<{ inputs: Args; failures: readonly Failure[] }>;
  diff(request: ResourceRequest & { id: string; oldInputs: Args; oldOutputs: Args; news: Args }): Promise<DiffResult>;
  create(request: ResourceRequest & { inputs: Args; preview: boolean }): Promise<{ id: string; outputs: Args }>;
  /** `undefined`: the resource is gone. `inputs` is undefined on import. */
  read(
    request: ResourceRequest & { id: string; inputs: Args | undefined },
  ): Promise<{ id: string; inputs: Args; outputs: Args } | undefined>;
  update(request: ResourceRequest & { id: string; oldOutputs: Args; news: Args; preview: boolean }): Promise<Args>;
  delete(request: ResourceRequest & { id: string; outputs: Args }): Promise<void>;
  invoke(token: string, args: Args): Promise<Args>;
}

export interface ProviderDefinition {
  /** Plugin name as in `PULUMI_DEBUG_PROVIDERS`. */
  readonly name: string;
  readonly version: string;
  /** Provider configuration without secret markers. @throws when it cannot be used. */
  configure(config: Args): ProviderSession;
  /** Configuration keys that differ so much that everything deployed with the old ones has to be replaced. */
  diffConfig(olds: Args, news: Args): readonly string[];
  log(line: string): void;
}

type Unary<Request, Response> = grpc.handleUnaryCall<Request, Response>;
type Call<Request> = grpc.ServerUnaryCall<Request, unknown>;

/**
 * Serves the Pulumi resource provider protocol (pulumi/pulumi, proto/pulumi/provider.proto) on loopback for engines that attach
 * with `PULUMI_DEBUG_PROVIDERS`. Several engines may use it at once; each has its own connection, and the connection decides
 * which configuration applies.
 */
export class ProviderServer {
  readonly #definition: ProviderDefinition;
  readonly #sessions = new Map<string, ProviderSession>();
  #server: grpc.Server | undefined;

  constructor(definition: ProviderDefinition) {
    this.#definition = definition;
  }

  async start(port: number): Promise<void> {
    const server = new grpc.Server({
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    });
    server.addService(providergrpc.ResourceProviderService as unknown as grpc.ServiceDefinition, this.#handlers());
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      );
    });
    this.#server = server;
  }

  async stop(): Promise<void> {
    this.#server?.forceShutdown();
    this.#server = undefined;
    this.#sessions.clear();
  }

  #handlers(): grpc.UntypedServiceImplementation {
    const session = (call: Call<unknown>): ProviderSession => this.#session(call);
    return {
      handshake: this.#unary("Handshake", async () => new pb.ProviderHandshakeResponse().setAcceptSecrets(true)),
      attach: this.#unary("Attach", async () => new emptypb.Empty()),
      cancel: this.#unary("Cancel", async () => new emptypb.Empty()),
      getPluginInfo: this.#unary("GetPluginInfo", async () =>
        new pluginpb.PluginInfo().setVersion(this.#definition.version),
      ),
      getSchema: this.#unary("GetSchema", async () => new pb.GetSchemaResponse().setSchema("{}")),
      getMapping: this.#unary("GetMapping", async () => new pb.GetMappingResponse()),
      getMappings: this.#unary("GetMappings", async () => new pb.GetMappingsResponse()),
      checkConfig: this.#unary("CheckConfig", async ({ request }: Call<pb.CheckRequest>) =>
        new pb.CheckResponse().setInputs(request.getNews()),
      ),
      diffConfig: this.#unary("DiffConfig", async ({ request }: Call<pb.DiffRequest>) => {
        const [olds, news] = [plainArgs(fromStruct(request.getOldInputs())), plainArgs(fromStruct(request.getNews()))];
        // Unknown: the engine compares the values itself.
        return new pb.DiffResponse()
          .setChanges(pb.DiffResponse.DiffChanges.DIFF_UNKNOWN)
          .setReplacesList([...this.#definition.diffConfig(olds, news)]);
      }),
      configure: this.#unary("Configure", async (call: Call<pb.ConfigureRequest>) => {
        const config = plainArgs(fromStruct(call.request.getArgs()));
        this.#sessions.set(call.getPeer(), this.#definition.configure(config));
        return new pb.ConfigureResponse().setAcceptsecrets(true).setSupportspreview(true);
      }),
      check: this.#unary("Check", async (call: Call<pb.CheckRequest>) => check(session(call), call.request)),
      diff: this.#unary("Diff", async (call: Call<pb.DiffRequest>) => diff(session(call), call.request)),
      create: this.#unary("Create", async (call: Call<pb.CreateRequest>) => create(session(call), call.request)),
      read: this.#unary("Read", async (call: Call<pb.ReadRequest>) => read(session(call), call.request)),
      update: this.#unary("Update", async (call: Call<pb.UpdateRequest>) => update(session(call), call.request)),
      delete: this.#unary("Delete", async (call: Call<pb.DeleteRequest>) => {
        const outputs = plainArgs(fromStruct(call.request.getProperties()));
        await session(call).delete({ ...subject(call.request), id: call.request.getId(), outputs });
        return new emptypb.Empty();
      }),
      invoke: this.#unary("Invoke", async (call: Call<pb.InvokeRequest>) => {
        const result = await session(call).invoke(call.request.getTok(), plainArgs(fromStruct(call.request.getArgs())));
        return new pb.InvokeResponse().setReturn(toStruct(result));
      }),
    };
  }

  #session(call: Call<unknown>): ProviderSession {
    const session = this.#sessions.get(call.getPeer());
    if (!session) throw new Error(`The ${this.#definition.name} provider was not configured on this connection.`);
    return session;
  }

  #unary<Request, Response>(
    method: string,
    handle: (call: Call<Request>) => Promise<Response>,
  ): Unary<Request, Response> {
    return (call, callback) => {
      handle(call).then(
        (response) => {
          this.#definition.log(`${method} ${describe(call.request)} ok`);
          callback(null, response);
        },
        (error: Error) => {
          this.#definition.log(`${method} ${describe(call.request)} ${error.name}`);
          callback({ code: grpc.status.UNKNOWN, details: error.message });
        },
      );
    };
  }
}

function describe(request: unknown): string {
  const { getUrn, getTok } = request as { getUrn?(): string; getTok?(): string };
  return getUrn?.call(request) ?? getTok?.call(request) ?? "";
}

/** URN: `urn:pulumi:<stack>::<project>::[<parent type>$]<type>::<name>`; type and name fields are empty in older engines. */
function subject(request: { getUrn(): string; getType(): string; getName(): string }): ResourceRequest {
  const [, , qualifiedType = "", ...name] = request.getUrn().split("::");
  return {
    type: request.getType() || qualifiedType.slice(qualifiedType.lastIndexOf("$") + 1),
    name: request.getName() || name.join("::"),
  };
}

/** Runs an operation whose errors may quote the values it was given: what is secret among them is masked. */
async function masking<T>(values: Args, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    if (error instanceof Error) error.message = withoutSecrets(error.message, values);
    throw error;
  }
}

async function check(session: ProviderSession, request: pb.CheckRequest): Promise<pb.CheckResponse> {
  const news = fromStruct(request.getNews());
  const { inputs, failures } = await session.check({
    ...subject(request),
    olds: fromStruct(request.getOlds()),
    news,
    randomSeed: request.getRandomseed_asU8(),
  });
  return new pb.CheckResponse()
    .setInputs(toStruct(inputs))
    .setFailuresList(
      failures.map(({ property, reason }) =>
        new pb.CheckFailure().setProperty(property).setReason(withoutSecrets(reason, news)),
      ),
    );
}

async function diff(session: ProviderSession, request: pb.DiffRequest): Promise<pb.DiffResponse> {
  const { changes, deleteBeforeReplace } = await session.diff({
    ...subject(request),
    id: request.getId(),
    oldInputs: fromStruct(request.getOldInputs()),
    oldOutputs: fromStruct(request.getOlds()),
    news: fromStruct(request.getNews()),
  });
  const { DIFF_NONE, DIFF_SOME } = pb.DiffResponse.DiffChanges;
  const response = new pb.DiffResponse()
    .setChanges(Object.keys(changes).length === 0 ? DIFF_NONE : DIFF_SOME)
    .setHasdetaileddiff(true)
    .setDeletebeforereplace(deleteBeforeReplace);
  for (const [path, change] of Object.entries(changes)) {
    response.getDetaileddiffMap().set(path, new pb.PropertyDiff().setKind(changeKind(change)).setInputdiff(true));
    response.addDiffs(path);
    if (change.replace) response.addReplaces(path);
  }
  return response;
}

function changeKind({ kind, replace }: Change): pb.PropertyDiff.Kind {
  const { Kind } = pb.PropertyDiff;
  if (kind === "add") return replace ? Kind.ADD_REPLACE : Kind.ADD;
  if (kind === "delete") return replace ? Kind.DELETE_REPLACE : Kind.DELETE;
  return replace ? Kind.UPDATE_REPLACE : Kind.UPDATE;
}

async function create(session: ProviderSession, request: pb.CreateRequest): Promise<pb.CreateResponse> {
  const inputs = fromStruct(request.getProperties());
  const { id, outputs } = await masking(inputs, () =>
    session.create({ ...subject(request), inputs, preview: request.getPreview() }),
  );
  return new pb.CreateResponse().setId(id).setProperties(toStruct(outputs));
}

async function read(session: ProviderSession, request: pb.ReadRequest): Promise<pb.ReadResponse> {
  const known = fromStruct(request.getInputs());
  const result = await session.read({
    ...subject(request),
    id: request.getId(),
    inputs: Object.keys(known).length === 0 ? undefined : known,
  });
  if (!result) return new pb.ReadResponse();
  return new pb.ReadResponse()
    .setId(result.id)
    .setProperties(toStruct(result.outputs))
    .setInputs(toStruct(result.inputs));
}

async function update(session: ProviderSession, request: pb.UpdateRequest): Promise<pb.UpdateResponse> {
  const [oldOutputs, news] = [fromStruct(request.getOlds()), fromStruct(request.getNews())];
  const outputs = await masking(news, () =>
    session.update({ ...subject(request), id: request.getId(), oldOutputs, news, preview: request.getPreview() }),
  );
  return new pb.UpdateResponse().setProperties(toStruct(outputs));
}
