"use strict";

const fs = require("fs");
const os = require("os");
const path = require("path");

/** The checkout this script belongs to. */
const root = path.dirname(__dirname);

/** Where this user's downloads and builds live: the platform's usual cache folder, `XDG_CACHE_HOME` first. */
function cacheFolder(env, platform, home) {
  if (env.XDG_CACHE_HOME && path.isAbsolute(env.XDG_CACHE_HOME)) return path.join(env.XDG_CACHE_HOME, "cleanroom");
  if (platform === "win32")
    return path.join(env.LOCALAPPDATA || path.join(home, "AppData", "Local"), "cleanroom", "Cache");
  if (platform === "darwin") return path.join(home, "Library", "Caches", "cleanroom");
  return path.join(home, ".cache", "cleanroom");
}

/** The key under which `env` holds the search path (`Path` on Windows, usually). */
function pathKey(env) {
  return Object.keys(env).find((key) => key.toUpperCase() === "PATH") || "PATH";
}

/** The first executable called `name` in the folders of `searchPath`, or undefined. */
function findExecutable(name, searchPath) {
  const suffixes = process.platform === "win32" ? [".exe", ".cmd", ""] : [""];
  for (const folder of searchPath.split(path.delimiter)) {
    if (!folder) continue;
    for (const suffix of suffixes) {
      const candidate = path.join(folder, name + suffix);
      if (isExecutable(candidate)) return candidate;
    }
  }
  return undefined;
}

function isExecutable(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch (_error) {
    return false;
  }
}

/** `folders` in front of a search path; folders that are undefined are left out. */
function prependPath(folders, searchPath) {
  return folders
    .filter(Boolean)
    .concat(searchPath || [])
    .join(path.delimiter);
}

module.exports = { root, cacheFolder, findExecutable, isExecutable, pathKey, prependPath, home: os.homedir };
