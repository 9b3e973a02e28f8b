import { createPrivateKey, X509Certificate } from "node:crypto";
import { provider as authorities } from "../../dynamic-providers/certificateAuthority.ts";
import { provider as memberKeys } from "../../dynamic-providers/memberKey.ts";
import { provider as issuers } from "../../dynamic-providers/oidcIssuer.ts";
import { issuerInputs, Storage } from "../support/cleanRoom.ts";
import { Resource } from "../support/engine.ts";
import { CONTRACT, Lab } from "../support/lab.ts";

let lab: Lab;
let storage: Storage;
beforeAll(async () => {
  jest.spyOn(console, "log").mockImplementation(() => undefined);
  lab = await Lab.start();
  storage = await Storage.start(lab, "operator");
  await storage.blobs.setStaticWebsite("operatorstore", { indexDocument: "index.html" });
});
afterAll(async () => {
  await storage?.blobs.stop();
  await lab?.stop();
});

describe("a member's key", () => {
  const inputs = { memberName: "operator", validityDays: 30, encryptionKey: true };
  const key = (): Resource => new Resource(memberKeys, lab.config("operator"), ["privateKey", "encryptionPrivateKey"]);

  test("is generated with its certificate; then nothing changes any more", async () => {
    const own = key();
    expect(await own.up(inputs)).toBe("create");
    const { certificate, privateKey, memberId, encryptionPublicKey } = own.outputs as Record<string, string>;
    const parsed = new X509Certificate(certificate!);
    expect(parsed.subject).toBe("CN=operator");
    expect(parsed.checkPrivateKey(createPrivateKey(privateKey!))).toBe(true);
    expect(memberId).toBe(parsed.fingerprint256.replaceAll(":", "").toLowerCase());
    expect(Date.parse(parsed.validTo) - Date.parse(parsed.validFrom)).toBe(30 * 86_400_000);
    expect(encryptionPublicKey).toContain("BEGIN PUBLIC KEY");
    expect(await own.up(inputs)).toBe("same");
    expect(await own.refresh()).toBe("same");
    expect(own.outputs).toMatchObject({ certificate, privateKey });
    await own.destroy();
  });

  test("without recovery has no pair for shares", async () => {
    const own = key();
    await own.up({ ...inputs, encryptionKey: false });
    expect(Object.keys(own.outputs).sort()).toEqual([
      "certificate",
      "encryptionKey",
      "memberId",
      "memberName",
      "privateKey",
      "validityDays",
    ]);
  });

  test.each([{ memberName: "other" }, { validityDays: 60 }, { encryptionKey: false }])(
    "with %j is another key",
    async (change) => {
      const own = key();
      await own.up(inputs);
      const before = own.id;
      expect(await own.up({ ...inputs, ...change })).toBe("replace");
      expect(own.id).not.toBe(before);
    },
  );
});

describe("a contract's certificate authority", () => {
  const inputs = (): object => ({ consortium: lab.access, signer: lab.operator, contractId: CONTRACT });
  const authority = (): Resource => new Resource(authorities, lab.config("operator"), ["signer"]);

  test("is enabled with a key; a repeated one is the same; it stays when it is deleted", async () => {
    const own = authority();
    expect(await own.up(inputs())).toBe("create");
    const { caCertificate } = own.outputs as { caCertificate: string };
    expect(new X509Certificate(caCertificate).ca).toBe(true);
    expect(await own.up(inputs())).toBe("same");
    expect(await own.refresh()).toBe("same");
    await own.upAfterCrash(inputs());
    expect(own.outputs).toMatchObject({ caCertificate });
    expect(await own.preview({ ...inputs(), contractId: "another" })).toBe("replace");
    await own.destroy();
    await own.destroy();
    expect(await lab.member().cgs.ca.status(CONTRACT)).toMatchObject({ enabled: true, caCert: caCertificate });
  });

  test("with another key than before is seen", async () => {
    const own = authority();
    await own.up(inputs());
    own.state = { ...own.state!, outputs: { ...own.outputs, caCertificate: "an older root" } };
    await own.refresh();
    expect(String(own.outputs["caCertificate"])).toContain("BEGIN CERTIFICATE");
  });

  test("that is not there is gone", async () => {
    const own = authority();
    await own.up(inputs());
    own.state = { ...own.state!, id: "never-agreed" };
    expect(await own.refresh()).toBe("gone");
  });
});

describe("the consortium's token issuer", () => {
  const issuer = (): Resource => new Resource(issuers, lab.config("operator"), ["signer"]);
  const inputs = (change: object = {}): object => ({ ...issuerInputs(lab, storage), published: true, ...change });
  const fetched = async (
    own: Resource,
  ): Promise<{ configuration: Record<string, string>; keys: { kid: string }[] }> => {
    const configuration = (await (await fetch(`${own.id}/.well-known/openid-configuration`)).json()) as Record<
      string,
      string
    >;
    const { keys } = (await (await fetch(configuration["jwks_uri"]!)).json()) as { keys: { kid: string }[] };
    return { configuration, keys };
  };
  const deleteDocument = async (name: string): Promise<void> => {
    const { Website } = await import("../../clients/stores/website.ts");
    const { azureCredential } = await import("../../clients/azure/credential.ts");
    const config = lab.config("operator");
    const credential = azureCredential({
      tenantId: config.get("azure-native:tenantId")!,
      clientId: config.get("azure-native:clientId")!,
    });
    await new Website({ blobEndpoint: storage.endpoint("operator").blob, path: "operator-oidc", credential }).remove([
      name,
    ]);
  };

  test("has a key, and everybody can read who it is; then nothing changes any more", async () => {
    const own = issuer();
    expect(await own.up(inputs())).toBe("create");
    const { configuration, keys } = await fetched(own);
    expect(configuration["issuer"]).toBe(own.id);
    expect(own.outputs).toMatchObject({ issuerUrl: own.id, keyIds: keys.map(({ kid }) => kid), published: true });
    expect(own.id).toBe(`${storage.endpoint("operator").web}operator-oidc`);
    expect(await own.up(inputs())).toBe("same");
    expect(await own.refresh()).toBe("same");
    const { keyIds } = own.outputs;
    await own.upAfterCrash(inputs());
    expect(own.outputs).toMatchObject({ keyIds });
  });

  test("signs with a new key when it is told to, and publishes it", async () => {
    const own = issuer();
    await own.up(inputs());
    const before = own.outputs["keyIds"];
    expect(await own.up(inputs({ keyGeneration: 1 }))).toBe("update");
    expect(own.outputs["keyIds"]).not.toEqual(before);
    expect((await fetched(own)).keys.map(({ kid }) => kid)).toEqual(own.outputs["keyIds"]);
    expect(await own.up(inputs({ keyGeneration: 1 }))).toBe("same");
    expect(await own.refresh()).toBe("same");
  });

  test("whose rotation was interrupted before its key was published is completed, not rotated again", async () => {
    const own = issuer();
    await own.up(inputs());
    const state = own.state!;
    await own.up(inputs({ keyGeneration: 1 }));
    const { keyIds } = own.outputs;
    await deleteDocument("openid/v1/jwks");
    own.state = state;
    await own.up(inputs({ keyGeneration: 1 }));
    expect(own.outputs).toMatchObject({ keyIds });
    expect((await fetched(own)).keys.map(({ kid }) => kid)).toEqual(keyIds);
  });

  test("whose documents somebody took away drifts, and publishes them again with the same key", async () => {
    const own = issuer();
    await own.up(inputs());
    const { keyIds } = own.outputs;
    await deleteDocument(".well-known/openid-configuration");
    expect(await own.refresh()).toBe("drifted");
    expect(own.outputs).toMatchObject({ published: false });
    expect(await own.up(inputs())).toBe("update");
    expect((await fetched(own)).keys.map(({ kid }) => kid)).toEqual(keyIds);
    expect(await own.refresh()).toBe("same");
  });

  test("that has to be published again and signs with a new key does both", async () => {
    const own = issuer();
    await own.up(inputs());
    const { keyIds } = own.outputs;
    await deleteDocument(".well-known/openid-configuration");
    await own.refresh();
    await own.up(inputs({ keyGeneration: 7 }));
    expect(own.outputs["keyIds"]).not.toEqual(keyIds);
    expect((await fetched(own)).configuration["issuer"]).toBe(own.id);
  });

  test("at another place is another issuer; nothing is left at the old one", async () => {
    const own = issuer();
    await own.up(inputs());
    const old = own.id;
    expect(await own.up(inputs({ path: "moved" }))).toBe("replace");
    expect((await fetched(own)).configuration["issuer"]).toBe(own.id);
    expect((await fetch(`${old}/.well-known/openid-configuration`)).status).toBe(404);
    await own.destroy();
    await own.destroy();
    expect((await fetch(`${own.id}/.well-known/openid-configuration`)).status).toBe(404);
  });

  test("can be deleted where its network is gone already: the documents are what counts", async () => {
    const own = issuer();
    await own.up(inputs({ path: "orphan" }));
    own.state = {
      ...own.state!,
      outputs: { ...own.outputs, consortium: { ...lab.access, endpoint: "https://localhost:1" } },
    };
    await own.destroy();
    expect((await fetch(`${own.id}/.well-known/openid-configuration`)).status).toBe(404);
  });
});
