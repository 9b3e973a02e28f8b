import type { VirtualAttestation } from "../../contracts.ts";
import type { Body } from "../attestation.ts";
import { callerId, type AuthPolicy, type Caller } from "../caller.ts";
import { CcfError, type CcfReply } from "../errors.ts";
import type { Transaction } from "../kv.ts";

export interface AppContext {
  readonly tx: Transaction;
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly attestation: VirtualAttestation;
  /** Whether a read of former values is asked for the first time and should be answered 202. */
  historicalPending(): boolean;
  /** The JSON request body; parsed only by handlers that look at it. @throws (500 on the wire) when it is none. */
  body(): Body;
}

/** One endpoint of the application, as `app.json` describes it. */
export interface AppRoute {
  readonly method: "GET" | "PUT" | "POST";
  /** Below `/app`, with `{parameters}`. */
  readonly path: string;
  /** M = member_cert, U = user_cert, J = jwt, N = no_auth, in this order. Empty: no authentication at all. */
  readonly auth: "" | "M" | "J" | "MUJ" | "JN" | "MUJN";
  /** Whether a token's user must be registered: always, only when authenticated, or never. */
  readonly registered: "always" | "unless no_auth" | "never";
  readonly mode: "readonly" | "readwrite";
  readonly forwarding: "sometimes" | "always";
  handler(context: AppContext): CcfReply | Promise<CcfReply>;
}

const POLICIES: Readonly<Record<string, AuthPolicy>> = { M: "member_cert", U: "user_cert", J: "jwt", N: "no_auth" };

export const policiesOf = (route: AppRoute): AuthPolicy[] =>
  [...route.auth].map((letter) => POLICIES[letter] as AuthPolicy);

type RouteOptions = Partial<Pick<AppRoute, "registered" | "forwarding">>;

/** A read endpoint. */
export function read(
  method: "GET" | "POST",
  path: string,
  auth: AppRoute["auth"],
  handler: AppRoute["handler"],
  options: RouteOptions = {},
): AppRoute {
  return {
    method,
    path,
    auth,
    registered: defaultRegistered(auth),
    mode: "readonly",
    forwarding: "sometimes",
    handler,
    ...options,
  };
}

/** A write endpoint; CCF forwards it to the primary. */
export function write(
  method: "PUT" | "POST",
  path: string,
  auth: AppRoute["auth"],
  handler: AppRoute["handler"],
  options: RouteOptions = {},
): AppRoute {
  return {
    method,
    path,
    auth,
    registered: defaultRegistered(auth),
    mode: "readwrite",
    forwarding: "always",
    handler,
    ...options,
  };
}

function defaultRegistered(auth: AppRoute["auth"]): AppRoute["registered"] {
  if (auth === "MUJN") return "unless no_auth";
  return auth === "MUJ" ? "always" : "never";
}

export const param = (context: AppContext, name: string): string => context.params[name] as string;

export const idOf = (context: AppContext): string => callerId(context.caller);

/**
 * The optimistic concurrency of drafts: the first write sends no version, every other the one it read.
 * @param what code prefix, e.g. `Contract`.
 */
export function requireVersion(current: string | undefined, sent: unknown, what: string): void {
  if (current === undefined) return;
  if (!sent)
    throw new CcfError(409, `${what}AlreadyExists`, `${what} already exists. Specify the version to update it.`);
  if (sent !== current)
    throw new CcfError(
      412,
      "PreconditionFailed",
      `The operation specified a version that is different from the version available at the server. Existing version: ${current}.`,
    );
}
