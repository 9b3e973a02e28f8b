import { BUILTIN_ROLES } from "../../../sandbox/azure/builtin-roles.ts";
import { Roles, permits } from "../../../sandbox/azure/roles.ts";
import { ownerOf, subscriptionOf } from "../../../sandbox/azure/subscriptions.ts";
import { FakeTokens, NORTHWIND, WOODGROVE, openTestHost } from "./fakes.ts";

const SUBSCRIPTION = `/subscriptions/${subscriptionOf(NORTHWIND)}`;
const ACCOUNT = `${SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/data`;
const READ = { dataAction: "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read" };
const WRITE = { dataAction: "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write" };

function role(name: string) {
  return BUILTIN_ROLES.find((candidate) => candidate.name === name)!;
}

describe("built-in roles", () => {
  test("ids are unique GUIDs", () => {
    const ids = BUILTIN_ROLES.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  });

  test.each([
    ["Owner", { action: "Microsoft.Authorization/roleAssignments/write" }, true],
    ["Owner", READ, false],
    ["Contributor", { action: "Microsoft.Storage/storageAccounts/write" }, true],
    ["Contributor", { action: "Microsoft.Authorization/roleAssignments/write" }, false],
    ["Reader", { action: "Microsoft.Storage/storageAccounts/read" }, true],
    ["Reader", { action: "Microsoft.Storage/storageAccounts/listKeys/action" }, false],
    ["Storage Account Contributor", { action: "microsoft.storage/storageaccounts/LISTKEYS/action" }, true],
    ["Storage Blob Data Reader", READ, true],
    ["Storage Blob Data Reader", WRITE, false],
    ["Storage Blob Data Contributor", WRITE, true],
    ["Key Vault Crypto User", { dataAction: "Microsoft.KeyVault/vaults/keys/release/action" }, false],
    ["Key Vault Crypto Service Release User", { dataAction: "Microsoft.KeyVault/vaults/keys/release/action" }, true],
    ["Key Vault Crypto Service Release User", { dataAction: "Microsoft.KeyVault/vaults/keys/read" }, false],
    ["Key Vault Secrets User", { dataAction: "Microsoft.KeyVault/vaults/secrets/getSecret/action" }, true],
    ["Key Vault Secrets User", { dataAction: "Microsoft.KeyVault/vaults/secrets/setSecret/action" }, false],
    ["Key Vault Administrator", { dataAction: "Microsoft.KeyVault/vaults/keys/create/action" }, true],
  ])("%s and %j: %s", (name, operation, allowed) => {
    expect(permits(role(name), operation)).toBe(allowed);
  });

  test("a dot in an operation is a dot, and exclusions win", () => {
    const custom = { id: "", name: "", actions: ["A.B/*"], notActions: ["*/delete"] };
    expect(permits(custom, { action: "AxB/c" })).toBe(false);
    expect(permits(custom, { action: "A.B/c/write" })).toBe(true);
    expect(permits(custom, { action: "A.B/c/delete" })).toBe(false);
  });
});

describe("assignments", () => {
  const host = openTestHost();
  const tokens = new FakeTokens();
  const roles = new Roles(host, tokens);
  const reader = role("Storage Blob Data Reader").id;
  const id = `${ACCOUNT}/providers/Microsoft.Authorization/roleAssignments/1`;

  afterAll(() => host.close());

  test("every user owns the own subscription and no other", () => {
    expect(ownerOf(subscriptionOf(WOODGROVE), tokens)).toBe(WOODGROVE);
    const operation = { action: "Microsoft.Storage/storageAccounts/write" };
    expect(roles.isAllowed(NORTHWIND.objectId, operation, ACCOUNT)).toBe(true);
    expect(roles.isAllowed(WOODGROVE.objectId, operation, ACCOUNT)).toBe(false);
    expect(roles.isAllowed(NORTHWIND.objectId, READ, ACCOUNT)).toBe(false);
  });

  test("take effect at and below their scope, and end when taken back", () => {
    roles.assign({ id, scope: ACCOUNT, principalId: WOODGROVE.objectId, roleId: reader });
    expect(roles.isAllowed(WOODGROVE.objectId, READ, ACCOUNT.toUpperCase())).toBe(true);
    expect(roles.isAllowed(WOODGROVE.objectId, READ, `${ACCOUNT}/blobServices/default/containers/input`)).toBe(true);
    expect(roles.isAllowed(WOODGROVE.objectId, READ, `${ACCOUNT}2`)).toBe(false);
    expect(roles.isAllowed(WOODGROVE.objectId, READ, SUBSCRIPTION)).toBe(false);
    expect(roles.isAllowed(WOODGROVE.objectId, WRITE, ACCOUNT)).toBe(false);
    expect(new Roles(host, tokens).isAllowed(WOODGROVE.objectId, READ, ACCOUNT)).toBe(true);
    roles.unassign(id);
    expect(roles.isAllowed(WOODGROVE.objectId, READ, ACCOUNT)).toBe(false);
  });

  test("end with the resource they were made on", () => {
    roles.assign({ id, scope: ACCOUNT, principalId: WOODGROVE.objectId, roleId: reader });
    roles.unassignBelow(`${SUBSCRIPTION}/resourceGroups/r`);
    expect(roles.find(id)).toBeDefined();
    roles.unassignBelow(`${SUBSCRIPTION}/resourceGroups/rg`);
    expect(roles.find(id)).toBeUndefined();
  });

  test("a second one for the same is refused, so is one of an unknown role", () => {
    roles.assign({ id, scope: ACCOUNT, principalId: WOODGROVE.objectId, roleId: reader });
    const twin = { id: `${id}2`, scope: ACCOUNT.toLowerCase(), principalId: WOODGROVE.objectId, roleId: reader };
    expect(() => roles.assign(twin)).toThrow('Code="RoleAssignmentExists"');
    expect(() => roles.assign({ ...twin, roleId: "f0f0f0f0-0000-4000-8000-000000000000" })).toThrow(
      'Code="RoleDefinitionDoesNotExist"',
    );
  });

  test("of a principal that left the directory are worth nothing", () => {
    tokens.users.splice(tokens.users.indexOf(WOODGROVE), 1);
    expect(roles.isAllowed(WOODGROVE.objectId, READ, ACCOUNT)).toBe(false);
  });
});
