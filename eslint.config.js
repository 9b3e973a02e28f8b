import js from "@eslint/js";
import tseslint from "typescript-eslint";
import { moduleBoundaries } from "./tools/lint/module-boundaries.js";
import { oneExportedClass } from "./tools/lint/one-exported-class.js";

const house = { rules: { "module-boundaries": moduleBoundaries, "one-exported-class": oneExportedClass } };

const wholePackages = ["@pulumi/azure-native", "@pulumi/aws"].map((name) => ({
  name,
  message: `Import the files of single resources (${name}/<module>/<resource>.js): the whole package costs a third of a second at every start.`,
}));

const wholeModules = {
  regex: "^@pulumi/(azure-native|aws|kubernetes)(/.+)?/index(\\.js)?$",
  allowTypeImports: true,
  message:
    "Import the file of the one resource (…/storage/storageAccount.js): an ES module import evaluates all of an index at every start.",
};

const neverAnywhere = [
  {
    // A server that asks for a client certificate may judge it itself.
    selector:
      "ObjectExpression:not(:has(> Property[key.name='requestCert'])) > Property[key.name='rejectUnauthorized'][value.value=false]",
    message: "TLS verification stays on: trust the certificate you expect with `ca`.",
  },
  {
    selector: "Identifier[name='NODE_TLS_REJECT_UNAUTHORIZED'], Literal[value='NODE_TLS_REJECT_UNAUTHORIZED']",
    message: "TLS verification stays on: trust the certificate you expect with NODE_EXTRA_CA_CERTS or `ca`.",
  },
  ...wholePackages.map(({ name, message }) => ({ selector: `ImportExpression[source.value='${name}']`, message })),
];

const plainField =
  "PropertyDefinition[declare!=true][static!=true][value=null][key.type='Identifier'] > TSTypeAnnotation > TSTypeReference";
const outputField = {
  selector: `${plainField}[typeName.name='Output'], ${plainField}[typeName.right.name='Output']`,
  message:
    "Write `declare readonly`: a plain class field is set to undefined after Pulumi's constructor has filled it.",
};

const worldOutside = [
  {
    selector: "CallExpression[callee.object.name='Date'][callee.property.name='now']",
    message: "domain/ has no clock: take the time as an argument.",
  },
  {
    selector: "NewExpression[callee.name='Date'][arguments.length=0]",
    message: "domain/ has no clock: take the time as an argument.",
  },
  {
    selector: "CallExpression[callee.object.name='Math'][callee.property.name='random']",
    message: "domain/ has no randomness: take it as an argument.",
  },
  { selector: "CallExpression[callee.name='fetch']", message: "domain/ does no I/O: that is a client's work." },
];

const ioModules = [
  "fs",
  "fs/promises",
  "net",
  "tls",
  "http",
  "https",
  "http2",
  "dgram",
  "dns",
  "child_process",
  "worker_threads",
];

export default tseslint.config(
  { ignores: ["node_modules/", ".cleanroom/", "coverage/"] },
  js.configs.recommended,
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommended],
    rules: {
      "@typescript-eslint/consistent-type-imports": ["error", { disallowTypeAnnotations: false }],
      "@typescript-eslint/no-unused-vars": [
        "error",
        { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrorsIgnorePattern: "^_" },
      ],
      "@typescript-eslint/no-useless-constructor": "error",
      "@typescript-eslint/unified-signatures": "error",
      "@typescript-eslint/no-invalid-void-type": "error",
      "@typescript-eslint/no-unused-expressions": ["error", { allowShortCircuit: true, allowTernary: true }],
      // A promise that nobody waits for is an error that nobody sees: worth the type information that these rules need.
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: false }],
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/no-restricted-imports": ["error", { patterns: [wholeModules] }],
      "no-undef": "off",
      // Names from outside are checked for control characters on purpose.
      "no-control-regex": "off",
    },
    languageOptions: { parserOptions: { projectService: true } },
  },
  {
    files: ["tests/**/*.ts"],
    rules: {
      "@typescript-eslint/no-explicit-any": "off",
      "no-loss-of-precision": "off",
      "no-useless-assignment": "off",
    },
  },
  {
    plugins: { house },
    rules: {
      eqeqeq: "error",
      "no-throw-literal": "error",
      "prefer-const": "error",
      "no-var": "error",
      "no-console": "off",
      "no-restricted-imports": ["error", { paths: wholePackages }],
      "no-restricted-syntax": ["error", ...neverAnywhere],
      "house/module-boundaries": "error",
    },
  },
  {
    files: ["components/**/*.ts", "dynamic-providers/**/*.ts"],
    rules: {
      "no-restricted-syntax": ["error", ...neverAnywhere, outputField],
      "house/one-exported-class": "error",
    },
  },
  {
    files: ["domain/**/*.ts"],
    rules: {
      "no-restricted-syntax": ["error", ...neverAnywhere, ...worldOutside],
      "no-restricted-imports": [
        "error",
        {
          paths: [
            ...wholePackages,
            ...ioModules
              .flatMap((name) => [name, `node:${name}`])
              .map((name) => ({ name, message: "domain/ does no I/O: that is a client's work." })),
          ],
        },
      ],
    },
  },
  { files: ["**/*.mjs"], languageOptions: { globals: { process: "readonly", console: "readonly" } } },
  {
    files: ["tools/**/*.cjs", "*.cjs"],
    languageOptions: {
      sourceType: "commonjs",
      // What the oldest supported starting point understands; the files run before a newer Node.js is there.
      ecmaVersion: 2020,
      globals: {
        require: "readonly",
        module: "writable",
        process: "readonly",
        __dirname: "readonly",
        setTimeout: "readonly",
      },
    },
    rules: { "no-unused-vars": ["error", { caughtErrorsIgnorePattern: "^_" }] },
  },
);
