import { constants, createHash, createPrivateKey, privateDecrypt, publicEncrypt, X509Certificate } from "node:crypto";
import { createMemberIdentity, memberIdOf } from "../../../clients/ccf/identity.ts";

it("makes a self-signed P-384 certificate for its key", async () => {
  const member = await createMemberIdentity({ name: "Northwind, Ltd. = 1", validityDays: 30 });
  const certificate = new X509Certificate(member.certificate);
  expect(certificate.checkPrivateKey(createPrivateKey(member.privateKey))).toBe(true);
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe("secp384r1");
  expect(certificate.subject).toBe("CN=Northwind\\, Ltd. = 1");
  const days = (certificate.validToDate.getTime() - certificate.validFromDate.getTime()) / 86_400_000;
  expect(days).toBeCloseTo(30, 3);
  expect(member.encryptionPublicKey).toBeUndefined();
});

it("names a member by the SHA-256 of the certificate's DER form", async () => {
  const member = await createMemberIdentity({ name: "m", validityDays: 1 });
  const der = Buffer.from(member.certificate.replace(/-----[^-]+-----|\s/g, ""), "base64");
  expect(member.memberId).toBe(createHash("sha256").update(der).digest("hex"));
  expect(memberIdOf(`${member.certificate.trim()}\n\n`)).toBe(member.memberId);
});

it("adds an encryption key pair that a recovery share can be sent to", async () => {
  const member = await createMemberIdentity({ name: "m", validityDays: 1, encryptionKey: true });
  const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
  const share = publicEncrypt({ key: member.encryptionPublicKey!, ...oaep }, Buffer.from("share"));
  expect(privateDecrypt({ key: member.encryptionPrivateKey!, ...oaep }, share).toString()).toBe("share");
});
