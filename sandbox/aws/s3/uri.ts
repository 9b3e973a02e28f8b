/** Percent-encoding as AWS signs it: everything but letters, digits and `-._~`. */
export function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** The same with slashes left alone. */
export function encodePath(path: string): string {
  return path.split("/").map(encode).join("/");
}

/** A request's address as it was sent: the URL class would tidy it up, and signatures are about what was sent. */
export interface Address {
  /** Decoded, begins with `/`. */
  readonly path: string;
  /** Decoded pairs in the order they were sent. */
  readonly query: readonly (readonly [name: string, value: string])[];
}

/** @throws URIError when an escape is broken. */
export function parseAddress(target: string): Address {
  const at = target.indexOf("?");
  const path = at < 0 ? target : target.slice(0, at);
  const pairs =
    at < 0
      ? []
      : target
          .slice(at + 1)
          .split("&")
          .filter((pair) => pair !== "");
  return {
    path: decodeURIComponent(path),
    query: pairs.map((pair) => {
      const equals = pair.indexOf("=");
      const [name, value] = equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
      return [decodeURIComponent(name), decodeURIComponent(value.replaceAll("+", "%20"))] as const;
    }),
  };
}
