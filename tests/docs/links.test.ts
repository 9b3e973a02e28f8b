import fs from "node:fs";
import path from "node:path";

const root = path.join(__dirname, "..", "..");
const documents = ["README.md", ...fs.readdirSync(path.join(root, "docs")).map((file) => `docs/${file}`)];

test.each(documents.filter((file) => file.endsWith(".md")))("files that %s points to are there", (document) => {
  const text = fs.readFileSync(path.join(root, document), "utf8");
  const targets = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1]!);
  const local = targets.filter((target) => !/^[a-z]+:/.test(target));
  const missing = local.filter((target) => !fs.existsSync(path.join(root, path.dirname(document), target)));
  expect(missing).toEqual([]);
});

test("the README names every document", () => {
  const readme = fs.readFileSync(path.join(root, "README.md"), "utf8");
  expect(documents.slice(1).filter((file) => !readme.includes(`](${file})`))).toEqual([]);
});
