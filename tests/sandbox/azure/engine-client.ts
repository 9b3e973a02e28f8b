import * as grpc from "@grpc/grpc-js";
import providergrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import pb from "@pulumi/pulumi/proto/provider_pb.js";
import { fromStruct, toStruct } from "../../../sandbox/azure/values.ts";
import type { Args } from "../../../sandbox/azure/values.ts";
import { subscriptionOf } from "../../../sandbox/azure/subscriptions.ts";
import type { Principal } from "../../../sandbox/contracts.ts";

const { Kind } = pb.PropertyDiff;
const KINDS: Record<number, string> = {
  [Kind.ADD]: "add",
  [Kind.ADD_REPLACE]: "add-replace",
  [Kind.DELETE]: "delete",
  [Kind.DELETE_REPLACE]: "delete-replace",
  [Kind.UPDATE]: "update",
  [Kind.UPDATE_REPLACE]: "update-replace",
};

/** One engine's connection to a provider server, speaking the provider protocol as the engine does. */
export class EngineClient {
  readonly #client: InstanceType<typeof providergrpc.ResourceProviderClient>;

  constructor(port: number) {
    // A connection of its own, as every engine has: grpc-js would share one between clients of the same address.
    this.#client = new providergrpc.ResourceProviderClient(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  close(): void {
    this.#client.close();
  }

  async configure(config: Args): Promise<this> {
    await this.#call("configure", new pb.ConfigureRequest().setArgs(toStruct(config)).setAcceptsecrets(true));
    return this;
  }

  /** Configures azure-native for a user's own subscription. */
  signIn(user: Principal, config: Args = {}): Promise<this> {
    const { tenantId, clientId } = user;
    return this.configure({
      tenantId,
      clientId,
      subscriptionId: subscriptionOf(user),
      location: "westeurope",
      ...config,
    });
  }

  async check(type: string, name: string, news: Args, olds: Args = {}): Promise<{ inputs: Args; failures: string[] }> {
    const request = new pb.CheckRequest()
      .setUrn(urn(type, name))
      .setNews(toStruct(news))
      .setOlds(toStruct(olds))
      .setRandomseed(Buffer.from("seed"));
    const response = await this.#call<pb.CheckResponse>("check", request);
    return {
      inputs: fromStruct(response.getInputs()),
      failures: response.getFailuresList().map((failure) => `${failure.getProperty()}: ${failure.getReason()}`),
    };
  }

  async diff(type: string, name: string, id: string, oldInputs: Args, news: Args): Promise<Diff> {
    const request = new pb.DiffRequest()
      .setUrn(urn(type, name))
      .setId(id)
      .setOldInputs(toStruct(oldInputs))
      .setOlds(toStruct(oldInputs))
      .setNews(toStruct(news));
    const response = await this.#call<pb.DiffResponse>("diff", request);
    const details: Record<string, string> = {};
    response.getDetaileddiffMap().forEach((detail, path) => {
      details[path] = KINDS[detail.getKind()]!;
    });
    return {
      changed: response.getChanges() === pb.DiffResponse.DiffChanges.DIFF_SOME,
      replaces: response.getReplacesList(),
      deleteBeforeReplace: response.getDeletebeforereplace(),
      details,
    };
  }

  async create(type: string, name: string, inputs: Args, preview = false): Promise<{ id: string; outputs: Args }> {
    const request = new pb.CreateRequest().setUrn(urn(type, name)).setProperties(toStruct(inputs)).setPreview(preview);
    const response = await this.#call<pb.CreateResponse>("create", request);
    return { id: response.getId(), outputs: fromStruct(response.getProperties()) };
  }

  /** Check and create, as a program's resource does. @throws the failures of the check, too. */
  async deploy(type: string, name: string, news: Args): Promise<{ id: string; inputs: Args; outputs: Args }> {
    const { inputs, failures } = await this.check(type, name, news);
    if (failures.length > 0) throw new Error(failures.join("; "));
    return { inputs, ...(await this.create(type, name, inputs)) };
  }

  async read(
    type: string,
    name: string,
    id: string,
    inputs?: Args,
  ): Promise<{ id: string; inputs: Args; outputs: Args }> {
    const request = new pb.ReadRequest().setUrn(urn(type, name)).setId(id);
    if (inputs) request.setInputs(toStruct(inputs)).setProperties(toStruct(inputs));
    const response = await this.#call<pb.ReadResponse>("read", request);
    return {
      id: response.getId(),
      inputs: fromStruct(response.getInputs()),
      outputs: fromStruct(response.getProperties()),
    };
  }

  async update(type: string, name: string, id: string, olds: Args, news: Args, preview = false): Promise<Args> {
    const request = new pb.UpdateRequest()
      .setUrn(urn(type, name))
      .setId(id)
      .setOlds(toStruct(olds))
      .setNews(toStruct(news))
      .setPreview(preview);
    return fromStruct((await this.#call<pb.UpdateResponse>("update", request)).getProperties());
  }

  async delete(type: string, name: string, id: string): Promise<void> {
    await this.#call("delete", new pb.DeleteRequest().setUrn(urn(type, name)).setId(id));
  }

  async invoke(token: string, args: Args): Promise<Args> {
    const request = new pb.InvokeRequest().setTok(token).setArgs(toStruct(args));
    return fromStruct((await this.#call<pb.InvokeResponse>("invoke", request)).getReturn());
  }

  #call<Response>(method: string, request: unknown): Promise<Response> {
    type Method = (request: unknown, done: (error: grpc.ServiceError | null, response: Response) => void) => void;
    const methods = this.#client as unknown as Record<string, Method>;
    return new Promise((resolve, reject) => {
      methods[method]!.call(this.#client, request, (error, response) =>
        error ? reject(new Error(error.details)) : resolve(response),
      );
    });
  }
}

export interface Diff {
  readonly changed: boolean;
  readonly replaces: string[];
  readonly deleteBeforeReplace: boolean;
  readonly details: Record<string, string>;
}

function urn(type: string, name: string): string {
  return `urn:pulumi:test::sandbox::component:index:Parent$${type}::${name}`;
}
