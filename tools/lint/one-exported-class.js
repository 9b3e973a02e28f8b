/** @type {import("eslint").Rule.RuleModule} */
export const oneExportedClass = {
  meta: {
    type: "suggestion",
    docs: {
      description: "A file exports one class, whose name a reader looks for; error classes may stand beside it.",
    },
    messages: { second: "This file already exports a class: give {{name}} a file of its own." },
    schema: [],
  },
  create(context) {
    let exported = 0;
    const check = (node) => {
      const declaration = node.declaration;
      if (declaration?.type !== "ClassDeclaration" || isError(declaration)) return;
      exported++;
      if (exported === 1) return;
      context.report({ node: declaration, messageId: "second", data: { name: declaration.id?.name ?? "this one" } });
    };
    return { ExportNamedDeclaration: check, ExportDefaultDeclaration: check };
  },
};

function isError(declaration) {
  return declaration.superClass?.type === "Identifier" && declaration.superClass.name.endsWith("Error");
}
