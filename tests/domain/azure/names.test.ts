import fc from "fast-check";
import { deterministicGuid, uniqueString } from "../../../domain/azure/names.ts";
import { ROLES, roleDefinitionId, subscriptionOf } from "../../../domain/azure/roles.ts";

describe("unique strings", () => {
  test.each([
    ["operator-12345678", "dclzlrndfkicc"],
    ["northwind-12345678", "fbepnxdherxht"],
  ])("of %s are those of the clean room tools", (id, expected) => {
    expect(uniqueString(id)).toBe(expected);
  });

  test("have 13 lower-case letters", () => {
    fc.assert(fc.property(fc.string(), (id) => /^[a-z]{13}$/.test(uniqueString(id))));
  });
});

describe("deterministic GUIDs", () => {
  test("depend on their parts only, whatever their case, as ARM ids do", () => {
    const guid = deterministicGuid("/subscriptions/S/resourceGroups/Group", "role", "principal");
    expect(deterministicGuid("/subscriptions/s/resourcegroups/group", "ROLE", "principal")).toBe(guid);
    expect(deterministicGuid("/subscriptions/s/resourcegroups/group", "role", "other")).not.toBe(guid);
    expect(deterministicGuid("/subscriptions/s/resourcegroups/group", "roleprincipal")).not.toBe(guid);
  });

  test("have the form and version bits of RFC 9562", () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (parts) =>
        /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(deterministicGuid(...parts)),
      ),
    );
  });
});

describe("roles", () => {
  test("are named by their definition below a subscription", () => {
    expect(roleDefinitionId("sub", "Storage Blob Data Reader")).toBe(
      `/subscriptions/sub/providers/Microsoft.Authorization/roleDefinitions/${ROLES["Storage Blob Data Reader"]}`,
    );
  });

  test("take the subscription from any ARM id below one", () => {
    expect(subscriptionOf("/subscriptions/sub/resourceGroups/group/providers/a/b/c")).toBe("sub");
    expect(() => subscriptionOf("/providers/Microsoft.Management/managementGroups/g")).toThrow(
      "not an ARM id below a subscription",
    );
  });
});
