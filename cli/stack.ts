import { LocalWorkspace, type OutputMap, type Stack } from "@pulumi/pulumi/automation/index.js";
import type { TokenCredential } from "@azure/identity";
import path from "node:path";
import { azureCredential } from "../clients/azure/credential.ts";
import { UserError } from "../domain/errors.ts";

interface StateResource {
  readonly type: string;
  readonly inputs?: Readonly<Record<string, unknown>>;
  readonly outputs?: Readonly<Record<string, unknown>>;
}

/** A stack as the commands look at it: configuration and outputs, nothing is changed. */
export class StackView {
  readonly name: string;
  readonly outputs: OutputMap;
  readonly #stack: Stack;
  readonly #config: Readonly<Record<string, string>>;

  private constructor(stack: Stack, outputs: OutputMap, config: Readonly<Record<string, string>>) {
    this.name = stack.name;
    this.outputs = outputs;
    this.#stack = stack;
    this.#config = config;
  }

  /** @throws UserError when there is no such stack. */
  static async open(project: string, name: string): Promise<StackView> {
    let stack: Stack;
    try {
      stack = await LocalWorkspace.selectStack({ stackName: name, workDir: path.resolve(project) });
    } catch (error) {
      throw new UserError(
        `Stack ${name} cannot be opened in ${project}: ${firstLine(error)}. Name it with --stack and its folder with --project.`,
        {
          cause: error,
        },
      );
    }
    const config = await stack.getAllConfig();
    return new StackView(
      stack,
      await stack.outputs(),
      Object.fromEntries(Object.entries(config).map(([key, { value }]) => [key, value])),
    );
  }

  /** @throws UserError when the stack has no such output yet. */
  output<T>(name: string): T {
    const output = this.outputs[name];
    if (!output)
      throw new UserError(`Stack ${this.name} has no output ${name} yet: run pulumi up --stack ${this.name} first.`);
    return output.value as T;
  }

  setting(key: string): string | undefined {
    return this.#config[key];
  }

  /**
   * The key of one of this stack's datasets, decrypted from its state with the stack's own secrets provider.
   * @param dataset name in the collaboration.
   */
  async dataEncryptionKey(dataset: string): Promise<Buffer> {
    const { deployment } = (await this.#stack.exportStack()) as { deployment: { resources?: StateResource[] } };
    const found = deployment.resources?.find(
      ({ type, inputs }) => type.endsWith(":DataEncryptionKey") && inputs?.["dataset"] === dataset,
    );
    const key = found?.outputs?.["key"] as { plaintext?: string } | string | undefined;
    const text = typeof key === "object" && key.plaintext !== undefined ? (JSON.parse(key.plaintext) as string) : key;
    if (typeof text !== "string") throw new UserError(`Stack ${this.name} holds no key for dataset ${dataset}.`);
    return Buffer.from(text, "base64");
  }

  credential(): TokenCredential {
    const tenantId = this.setting("azure-native:tenantId");
    const clientId = this.setting("azure-native:clientId");
    return azureCredential({ ...(tenantId && { tenantId }), ...(clientId && { clientId }) });
  }
}

function firstLine(error: unknown): string {
  const lines = String((error as { message?: string }).message ?? error).split("\n");
  return (lines.find((line) => line.includes("error:"))?.replace(/^.*error: /, "") ?? lines[0] ?? "").trim();
}
