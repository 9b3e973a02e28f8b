/** Jest compiles the ES modules to CommonJS (swc); packages that ship only ES modules are compiled too. */
const esmOnly = ["jose", "cborg", "canonicalize", "commander", "@noble", "hyparquet", "hyparquet-writer"];

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
  // Its package.json names no entry for `require`.
  moduleNameMapper: { "^cborg$": "<rootDir>/node_modules/cborg/cborg.js" },
  transformIgnorePatterns: [`/node_modules/(?!(${esmOnly.join("|")})/)`],
  testTimeout: 30000,
  maxWorkers: 2,
  // A suite that fails before it stops its servers must not keep the run alive for ever.
  forceExit: true,
};
