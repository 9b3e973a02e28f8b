import {
  azureCredential,
  decodeClaims,
  isPrivateAuthority,
  userTokenSource,
} from "../../../clients/azure/credential.ts";

const built: unknown[] = [];
jest.mock("@azure/identity", () => ({
  DefaultAzureCredential: class {
    constructor(options: unknown) {
      built.push(options);
    }
    async getToken(scope: string) {
      return { token: `for ${scope}`, expiresOnTimestamp: 0 };
    }
  },
}));

const authorityBefore = process.env.AZURE_AUTHORITY_HOST;
afterEach(() => {
  built.length = 0;
  if (authorityBefore === undefined) delete process.env.AZURE_AUTHORITY_HOST;
  else process.env.AZURE_AUTHORITY_HOST = authorityBefore;
});

const jwt = (claims: unknown): string => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.sig`;

it("signs in lazily, once, as the workload or managed identity named", async () => {
  delete process.env.AZURE_AUTHORITY_HOST;
  const credential = azureCredential({ tenantId: "t", clientId: "c" });
  expect(built).toHaveLength(0);
  const source = userTokenSource(credential);
  await expect(source()).resolves.toBe("for https://management.azure.com/.default");
  await source();
  expect(built).toEqual([
    { tenantId: "t", workloadIdentityClientId: "c", managedIdentityClientId: "c", disableInstanceDiscovery: false },
  ]);
});

it("skips instance discovery for private clouds only", async () => {
  process.env.AZURE_AUTHORITY_HOST = "https://localhost:8443";
  await azureCredential().getToken("s");
  expect(built).toEqual([expect.objectContaining({ disableInstanceDiscovery: true })]);
  for (const host of [
    "https://login.microsoftonline.com/",
    "login.microsoftonline.us",
    "https://login.chinacloudapi.cn",
    "",
    undefined,
  ]) {
    expect(isPrivateAuthority(host)).toBe(false);
  }
  expect(isPrivateAuthority("https://login.microsoftonline.com.evil.example")).toBe(true);
  expect(() => isPrivateAuthority("https://")).toThrow("AZURE_AUTHORITY_HOST");
});

it("says what to do when there is no token", async () => {
  await expect(userTokenSource({ getToken: async () => null })()).rejects.toThrow("az login");
});

it("reads who a token is for", () => {
  expect(decodeClaims(jwt({ oid: "o", tid: "t", upn: "a@b" }))).toMatchObject({ oid: "o", tid: "t", upn: "a@b" });
  expect(() => decodeClaims(jwt({ sub: "x" }))).toThrow("oid and tid");
  expect(() => decodeClaims("no token")).toThrow("oid and tid");
});
