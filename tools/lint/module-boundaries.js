import path from "node:path";

/**
 * Which of our folders a file may import from, by the folder it is in; "." stands for the modules at the top level.
 * The reasons stand in docs: what is deployed does not know how it is agreed, and the program does not know the sandbox.
 */
export const mayImport = {
  domain: ["domain"],
  clients: ["clients", "domain"],
  "dynamic-providers": ["dynamic-providers", "clients", "domain"],
  components: ["components", "dynamic-providers", "domain", "."],
  personas: ["personas", "components", "dynamic-providers", "domain", "."],
  ".": [".", "tools", "personas", "components", "dynamic-providers", "domain"],
  policies: ["policies", "domain"],
  demos: ["demos", "clients", "domain", "."],
  sandbox: ["sandbox", "domain"],
  cli: ["cli", "sandbox", "demos", "policies", "clients", "domain", "."],
  bench: ["bench", "cli", "demos", "clients", "domain", "."],
  tools: ["tools"],
};

/** @type {import("eslint").Rule.RuleModule} */
export const moduleBoundaries = {
  meta: {
    type: "problem",
    docs: { description: "A folder imports only from the folders below it." },
    messages: { forbidden: "{{from}} must not import from {{to}} (it may from: {{allowed}})." },
    schema: [],
  },
  create(context) {
    const from = topFolder(context.cwd, context.filename);
    const allowed = mayImport[from];
    if (!allowed) return {};
    const check = (source) => {
      if (typeof source?.value !== "string" || !source.value.startsWith(".")) return;
      const to = topFolder(context.cwd, path.resolve(path.dirname(context.filename), source.value));
      if (allowed.includes(to)) return;
      context.report({ node: source, messageId: "forbidden", data: { from, to, allowed: allowed.join(", ") } });
    };
    return {
      ImportDeclaration: (node) => check(node.source),
      ExportNamedDeclaration: (node) => check(node.source),
      ExportAllDeclaration: (node) => check(node.source),
      ImportExpression: (node) => check(node.source),
      TSImportType: (node) => check(node.source),
    };
  },
};

function topFolder(root, file) {
  const relative = path.relative(root, file);
  return relative.includes(path.sep) ? relative.split(path.sep)[0] : ".";
}
