// Lints the snippets given as JSON on stdin, [{file, code}], under this project's rules; prints [[ruleId, ...], ...].
// A process of its own, because ESLint loads its configuration as an ES module, which jest's CommonJS world cannot.
import { text } from "node:stream/consumers";
import { ESLint } from "eslint";
import tseslint from "typescript-eslint";

// The files do not exist, so there is no type information about them.
const withoutTypes = {
  ...tseslint.configs.disableTypeChecked,
  languageOptions: { parserOptions: { projectService: false } },
};
const eslint = new ESLint({ overrideConfig: withoutTypes });
const snippets = JSON.parse(await text(process.stdin));
const answers = [];
for (const { file, code } of snippets) {
  const [result] = await eslint.lintText(code, { filePath: file });
  answers.push(result.messages.map((message) => message.ruleId ?? message.message));
}
console.log(JSON.stringify(answers));
