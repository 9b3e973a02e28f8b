import { createHash, randomBytes, randomInt } from "node:crypto";
import type { SandboxHost, StateDocument } from "../contracts.ts";
import { PERSONAS, type PersonaName } from "../entra/directory.ts";
import { AwsError } from "./errors.ts";
import { parsePolicy } from "./policy/document.ts";
import type { Identity } from "./policy/evaluate.ts";

export interface UserRecord {
  readonly accountId: string;
  readonly uniqueId: string;
  name: string;
  path: string;
  tags: Record<string, string>;
  /** Inline policies, name → document. */
  policies: Record<string, string>;
}

export interface AccessKeyRecord {
  readonly id: string;
  readonly secret: string;
  readonly createDate: string;
  /** `uniqueId` of the user. */
  readonly owner: string;
  status: "Active" | "Inactive";
}

interface Directory {
  users: UserRecord[];
  keys: AccessKeyRecord[];
}

export type UserIdentity = Extract<Identity, { kind: "user" }>;

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const MOST_KEYS = 2;
const ADMINISTRATOR = JSON.stringify({
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }],
});

/**
 * AWS Identity and Access Management, as far as users, their inline policies and access keys go. Every persona has an account of
 * its own with an administrator, whose access key is made once. Groups, roles, managed policies, boundaries and sessions are not
 * simulated, nor the seconds a change takes to reach every endpoint.
 */
export class Iam {
  readonly #document: StateDocument<Directory>;

  constructor(host: SandboxHost) {
    this.#document = host.document<Directory>("aws-iam", () => ({ users: [], keys: [] }));
    for (const persona of Object.keys(PERSONAS) as PersonaName[]) this.#seed(persona);
  }

  /** Account and access key of a persona's administrator. */
  administrator(persona: PersonaName): { accountId: string; key: AccessKeyRecord } {
    const accountId = accountOf(persona);
    const user = this.user(accountId, persona);
    return { accountId, key: this.keysOf(user)[0]! };
  }

  findKey(id: string): AccessKeyRecord | undefined {
    return this.#directory.keys.find((key) => key.id === id);
  }

  /** Who uses the key, with the policies of this moment. */
  identityOf(key: AccessKeyRecord): UserIdentity {
    const user = this.#directory.users.find(({ uniqueId }) => uniqueId === key.owner)!;
    return {
      kind: "user",
      accountId: user.accountId,
      arn: arnOf(user),
      name: user.name,
      policies: Object.values(user.policies).map((text) => parsePolicy(text, "identity")),
    };
  }

  uniqueIdOf(key: AccessKeyRecord): string {
    return key.owner;
  }

  /** Whether a bucket policy may name this: an account, or a user that exists. */
  isPrincipal(arn: string): boolean {
    const { users } = this.#directory;
    if (arn === "*" || users.some(({ accountId }) => accountId === arn)) return true;
    return users.some((user) => arn === arnOf(user) || arn === `arn:aws:iam::${user.accountId}:root`);
  }

  findUser(accountId: string, name: string): UserRecord | undefined {
    return this.#directory.users.find(
      (user) => user.accountId === accountId && user.name.toLowerCase() === name.toLowerCase(),
    );
  }

  /** @throws {AwsError} `NoSuchEntity`. */
  user(accountId: string, name: string): UserRecord {
    const user = this.findUser(accountId, name);
    if (user) return user;
    throw new AwsError(404, "NoSuchEntity", `The user with name ${name} cannot be found.`);
  }

  createUser(accountId: string, { name, path, tags }: Pick<UserRecord, "name" | "path" | "tags">): UserRecord {
    this.#requireFree(accountId, name);
    const user = { accountId, uniqueId: `AIDA${randomText(17)}`, name, path, tags, policies: {} };
    this.#directory.users.push(user);
    this.#document.save();
    return user;
  }

  updateUser(user: UserRecord, change: Partial<Pick<UserRecord, "name" | "path" | "tags">>): void {
    if (change.name !== undefined && change.name !== user.name) this.#requireFree(user.accountId, change.name);
    Object.assign(user, change);
    this.#document.save();
  }

  /** @param force takes keys and policies along. @throws {AwsError} `DeleteConflict`. */
  deleteUser(user: UserRecord, force: boolean): void {
    const conflict =
      this.keysOf(user).length > 0 ? "access keys" : Object.keys(user.policies).length > 0 ? "policies" : "";
    if (conflict && !force) {
      throw new AwsError(409, "DeleteConflict", `Cannot delete entity, must delete ${conflict} first.`);
    }
    const { users, keys } = this.#directory;
    this.#document.value.keys = keys.filter(({ owner }) => owner !== user.uniqueId);
    this.#document.value.users = users.filter((other) => other !== user);
    this.#document.save();
  }

  /** @throws {AwsError} `MalformedPolicyDocument`. */
  putUserPolicy(user: UserRecord, name: string, document: string): void {
    parsePolicy(document, "identity");
    user.policies[name] = document;
    this.#document.save();
  }

  deleteUserPolicy(user: UserRecord, name: string): void {
    delete user.policies[name];
    this.#document.save();
  }

  keysOf(user: UserRecord): AccessKeyRecord[] {
    return this.#directory.keys.filter(({ owner }) => owner === user.uniqueId);
  }

  /** @throws {AwsError} `LimitExceeded`: a user has at most two. */
  createAccessKey(user: UserRecord): AccessKeyRecord {
    if (this.keysOf(user).length >= MOST_KEYS) {
      throw new AwsError(409, "LimitExceeded", `Cannot exceed quota for AccessKeysPerUser: ${MOST_KEYS}`);
    }
    const key: AccessKeyRecord = {
      id: `AKIA${randomText(16)}`,
      secret: randomBytes(30).toString("base64"),
      createDate: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
      owner: user.uniqueId,
      status: "Active",
    };
    this.#directory.keys.push(key);
    this.#document.save();
    return key;
  }

  setAccessKeyStatus(key: AccessKeyRecord, status: AccessKeyRecord["status"]): void {
    key.status = status;
    this.#document.save();
  }

  deleteAccessKey(key: AccessKeyRecord): void {
    this.#document.value.keys = this.#directory.keys.filter((other) => other !== key);
    this.#document.save();
  }

  get #directory(): Directory {
    return this.#document.value;
  }

  #requireFree(accountId: string, name: string): void {
    if (!this.findUser(accountId, name)) return;
    throw new AwsError(409, "EntityAlreadyExists", `User with name ${name} already exists.`);
  }

  #seed(persona: PersonaName): void {
    const accountId = accountOf(persona);
    if (this.findUser(accountId, persona)) return;
    const user = this.createUser(accountId, { name: persona, path: "/", tags: {} });
    this.putUserPolicy(user, "AdministratorAccess", ADMINISTRATOR);
    this.createAccessKey(user);
  }
}

export function arnOf({ accountId, path, name }: Pick<UserRecord, "accountId" | "path" | "name">): string {
  return `arn:aws:iam::${accountId}:user${path}${name}`;
}

/** Twelve digits that belong to the persona. */
export function accountOf(persona: PersonaName): string {
  const digest = createHash("sha256").update(`aws account of ${PERSONAS[persona].tenantId}`).digest();
  return String(100_000_000_000 + (digest.readUIntBE(0, 6) % 900_000_000_000));
}

function randomText(length: number): string {
  return Array.from({ length }, () => BASE32[randomInt(BASE32.length)]).join("");
}
