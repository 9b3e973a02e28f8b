// The smallest program with `FLOOR_RESOURCES` dynamic resources: what any program with as many must at least cost.
import * as pulumi from "@pulumi/pulumi";

const provider = [
  `exports.handler=()=>{`,
  `const load=()=>import(require("url").pathToFileURL(require("path").join(process.cwd(),"provider.ts")));`,
  `const call=async(method,args)=>(await load())[method](...args);`,
  `return{`,
  ...["diff", "create", "read", "update", "delete"].map((method) => `${method}:(...args)=>call("${method}",args),`),
  `};};`,
].join("");

class Trivial extends pulumi.CustomResource {
  constructor(name: string, value: string) {
    super("pulumi-nodejs:dynamic/floor:Trivial", name, { __provider: provider, value });
  }
}

for (let index = 0; index < Number(process.env.FLOOR_RESOURCES); index++) {
  new Trivial(`trivial-${index}`, process.env.FLOOR_VALUE ?? "");
}
