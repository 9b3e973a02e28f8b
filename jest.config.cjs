/** Jest compiles the ES modules to CommonJS (swc); packages that ship only ES modules are compiled too. */
const esmOnly = ["jose", "cborg", "canonicalize", "commander", "@polyglot-sql", "hyparquet"];

/** @type {import("jest").Config} */
module.exports = {
  testEnvironment: "node",
  roots: ["<rootDir>/tests"],
  testMatch: ["**/*.test.ts"],
  modulePathIgnorePatterns: ["<rootDir>/.cleanroom/"],
  transform: {
    "\\.[cm]?[jt]s$": [
      "@swc/jest",
      {
        jsc: {
          target: "es2023",
          parser: { syntax: "typescript", dynamicImport: true },
          // Class fields must not erase the outputs that Pulumi's base class sets.
          transform: { useDefineForClassFields: false },
        },
        module: { type: "commonjs" },
      },
    ],
  },
  transformIgnorePatterns: [`/node_modules/(?!(${esmOnly.join("|")})/)`],
  testTimeout: 30000,
};
