import { ENTRA_ROOTS, PUBLIC_AUTHORITY, tokenIssuers } from "../../domain/tokenIssuers.ts";

describe("issuers of users' tokens", () => {
  test("in the public cloud include the older form, once for each tenant", () => {
    expect(tokenIssuers(PUBLIC_AUTHORITY, ["b", "a", "b"])).toEqual([
      "https://login.microsoftonline.com/common/v2.0",
      "https://sts.windows.net/a/",
      "https://sts.windows.net/b/",
    ]);
  });

  test("of any other authority are its own only", () => {
    expect(tokenIssuers("https://login.example:8443/", ["a"])).toEqual(["https://login.example:8443/common/v2.0"]);
  });

  test("do not depend on how the authority is written", () => {
    expect(tokenIssuers(`${PUBLIC_AUTHORITY}/`, [])).toEqual(tokenIssuers(PUBLIC_AUTHORITY, []));
  });

  test("chain to roots that are named once each", () => {
    expect(new Set(ENTRA_ROOTS).size).toBe(ENTRA_ROOTS.length);
    expect(ENTRA_ROOTS).toContain("DigiCert Global Root G2");
  });
});
