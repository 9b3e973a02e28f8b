import * as pulumi from "@pulumi/pulumi";

/**
 * A resource whose provider is TypeScript of this checkout.
 *
 * Pulumi stores the text of a dynamic provider in the state and runs the stored text for read and delete. Ours is a
 * constant: it loads the module named by `kind` from the program's folder when it is called. So code changes never
 * show up as differences, no build can be stale, and nothing is captured from the program. `pulumi.dynamic.Resource`
 * would derive such a text from a closure at every start, at the price of loading the TypeScript compiler.
 */
export abstract class DynamicResource extends pulumi.CustomResource {
  /**
   * @param kind file in `dynamic-providers/` (camel case) that exports `provider`; its capitalised form is the type.
   * @param outputs names of the properties that only the provider sets.
   * @param secrets names of properties that hold key material: encrypted in the state, never shown.
   */
  protected constructor(
    kind: string,
    name: string,
    inputs: Record<string, unknown>,
    outputs: readonly string[],
    secrets: readonly string[],
    options?: pulumi.CustomResourceOptions,
  ) {
    const properties: Record<string, unknown> = { __provider: providerText(kind), ...inputs };
    for (const output of outputs) properties[output] = undefined;
    for (const secret of secrets) {
      if (properties[secret] !== undefined) properties[secret] = pulumi.secret(properties[secret]);
    }
    super(
      `pulumi-nodejs:dynamic/cleanroom:${kind[0]!.toUpperCase()}${kind.slice(1)}`,
      name,
      properties,
      pulumi.mergeOptions(options, { additionalSecretOutputs: [...secrets] }),
    );
  }
}

/** CommonJS text that the dynamic provider host evaluates; every method forwards to the module on disk. */
export function providerText(kind: string): string {
  const methods = ["check", "diff", "create", "read", "update", "delete"];
  return [
    `exports.handler=()=>{let config;`,
    `const load=()=>import(require("url").pathToFileURL(require("path").join(process.cwd(),"dynamic-providers","${kind}.ts")));`,
    `const call=async(method,args)=>(await load()).provider[method](config,...args);`,
    `return{configure:async(request)=>{config=request.config;},`,
    ...methods.map((method) => `${method}:(...args)=>call("${method}",args),`),
    `};};`,
  ].join("");
}
