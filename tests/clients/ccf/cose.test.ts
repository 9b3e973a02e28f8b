/**
 * The recorded envelopes come from CCF's own Python tools (see `origin` in the file). To check both directions against
 * the tools themselves:
 *
 *   python3 -m venv ~/.cache/ccf-tools && ~/.cache/ccf-tools/bin/pip install ccf==6.0.28 'cbor2<6'
 *   CLEANROOM_TEST_CCF_TOOLS=1 CCF_TOOLS=~/.cache/ccf-tools/bin npx jest tests/clients/ccf/cose
 *
 * (With cbor2 6 the tools cannot read any envelope, not even their own.)
 */
import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { decode, encode, Tagged } from "cborg";
import fc from "fast-check";
import {
  signMessage,
  verifyMessage,
  type GovernanceMessage,
  type GovernanceMessageType,
} from "../../../clients/ccf/cose.ts";
import { createMemberIdentity, memberIdOf, type MemberIdentity } from "../../../clients/ccf/identity.ts";
import vectors from "./vectors/cose-sign1.json" with { type: "json" };

let member: MemberIdentity;
beforeAll(async () => {
  member = await createMemberIdentity({ name: "northwind", validityDays: 1 });
});

describe("envelopes made by CCF's own tools", () => {
  it.each(vectors.messages)("reads a $type", (recorded) => {
    const message = verifyMessage(Buffer.from(recorded.envelope, "hex"), vectors.certificate);
    expect(message).toEqual({
      type: recorded.type,
      createdAt: recorded.createdAt,
      ...(recorded.proposalId !== undefined && { proposalId: recorded.proposalId }),
      payload: new Uint8Array(Buffer.from(recorded.payload, "utf8")),
    });
  });

  it("has the same header labels, label types and key id form as ours", () => {
    const ours = headerOf(
      signMessage({ type: "ballot", createdAt: 1795464001, proposalId: "ab", payload: new Uint8Array() }, member),
    );
    const theirs = headerOf(Buffer.from(vectors.messages[1]!.envelope, "hex"));
    expect(new Set(ours.keys())).toEqual(new Set(theirs.keys()));
    expect(ours.get(1)).toBe(theirs.get(1));
    expect(Buffer.from(theirs.get(4) as Uint8Array).toString()).toBe(memberIdOf(vectors.certificate));
    expect(Buffer.from(ours.get(4) as Uint8Array).toString()).toBe(member.memberId);
  });
});

describe("our envelopes", () => {
  const message = fc.record({
    type: fc.constantFrom<GovernanceMessageType>(
      "proposal",
      "ballot",
      "withdrawal",
      "ack",
      "state_digest",
      "recovery_share",
    ),
    createdAt: fc.integer({ min: 0, max: 9_999_999_999 }),
    payload: fc.uint8Array({ maxLength: 400 }),
  });

  it("carry what was signed", () => {
    fc.assert(
      fc.property(
        message,
        fc.option(fc.stringMatching(/^[0-9a-f]{64}$/), { nil: undefined }),
        (content, proposalId) => {
          const signed: GovernanceMessage = { ...content, ...(proposalId !== undefined && { proposalId }) };
          expect(verifyMessage(signMessage(signed, member), member.certificate)).toEqual(signed);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("do not verify when any byte is changed", () => {
    const envelope = signMessage({ type: "proposal", createdAt: 1, payload: Buffer.from("{}") }, member);
    fc.assert(
      fc.property(fc.nat(envelope.length - 1), fc.integer({ min: 1, max: 255 }), (index, change) => {
        const forged = Uint8Array.from(envelope);
        forged[index]! ^= change;
        expect(() => verifyMessage(forged, member.certificate)).toThrow();
      }),
      { numRuns: 60 },
    );
  });

  it("do not verify for another member", async () => {
    const other = await createMemberIdentity({ name: "woodgrove", validityDays: 1 });
    const envelope = signMessage({ type: "ack", createdAt: 1, payload: Buffer.from("{}") }, member);
    expect(() => verifyMessage(envelope, other.certificate)).toThrow("key id");
  });

  it("are tagged and have an empty unprotected header", () => {
    const envelope = decode(signMessage({ type: "state_digest", createdAt: 1, payload: new Uint8Array() }, member), {
      useMaps: true,
      tags: Tagged.preserve(18),
    }) as { value: unknown[] };
    expect(envelope.value[1]).toEqual(new Map());
    expect(envelope.value[2]).toEqual(new Uint8Array());
    expect((envelope.value[3] as Uint8Array).length).toBe(96);
  });

  it("refuse an untagged array", () => {
    expect(() =>
      verifyMessage(encode([new Uint8Array(), new Map(), new Uint8Array(), new Uint8Array()]), member.certificate),
    ).toThrow("tagged");
  });
});

// Needs Python and a package from PyPI, which not every machine that runs the tests has.
const withTools = process.env.CLEANROOM_TEST_CCF_TOOLS ? describe : describe.skip;
withTools("against CCF's own tools", () => {
  const bin = process.env.CCF_TOOLS ?? "";
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ccf-tools-"));
  const file = (name: string, content?: string | Uint8Array): string => {
    if (content !== undefined) fs.writeFileSync(path.join(folder, name), content);
    return path.join(folder, name);
  };
  afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

  it("ours verify there", () => {
    const envelope = signMessage(
      { type: "proposal", createdAt: 1795464000, payload: Buffer.from('{"actions":[]}') },
      member,
    );
    const script = [
      "import sys, cbor2, ccf.cose",
      "from cryptography.hazmat.primitives.serialization import load_pem_public_key",
      "envelope, key = open(sys.argv[1], 'rb').read(), open(sys.argv[2], 'rb').read()",
      "ccf.cose.validate_cose_sign1(load_pem_public_key(key), envelope)",
      "header = cbor2.loads(cbor2.loads(envelope).value[0])",
      "print(header[1], header[4].decode(), header['ccf.gov.msg.type'], header['ccf.gov.msg.created_at'])",
    ].join("\n");
    const key = new X509Certificate(member.certificate).publicKey.export({ type: "spki", format: "pem" });
    const printed = execFileSync(
      path.join(bin, "python3"),
      ["-c", script, file("ours.cose", envelope), file("key.pem", key)],
      { encoding: "utf8" },
    );
    expect(printed.trim()).toBe(`-35 ${member.memberId} proposal 1795464000`);
  });

  it("theirs, made with our key, verify here", () => {
    const envelope = execFileSync(path.join(bin, "ccf_cose_sign1"), [
      ...["--ccf-gov-msg-type", "ack", "--ccf-gov-msg-created_at", "2026-11-23T20:00:00+00:00"],
      ...[
        "--signing-key",
        file("member.key", member.privateKey),
        "--signing-cert",
        file("member.pem", member.certificate),
      ],
      ...["--content", file("ack.json", '{"stateDigest":"00"}')],
    ]);
    const message = verifyMessage(envelope, member.certificate);
    expect(message.type).toBe("ack");
    expect(Buffer.from(message.payload).toString()).toBe('{"stateDigest":"00"}');
  });
});

function headerOf(envelope: Uint8Array): Map<unknown, unknown> {
  const { value } = decode(envelope, { useMaps: true, tags: Tagged.preserve(18) }) as { value: [Uint8Array] };
  return decode(value[0], { useMaps: true }) as Map<unknown, unknown>;
}
