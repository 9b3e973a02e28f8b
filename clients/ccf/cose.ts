import { createPrivateKey, sign, verify, X509Certificate } from "node:crypto";
import { decode, encode, rfc8949EncodeOptions, Tagged } from "cborg";
import { memberIdOf } from "./member-id.ts";
import type { MemberSigner } from "./transport.ts";

/**
 * COSE_Sign1 envelopes (RFC 9052) as CCF reads governance requests.
 * @see https://microsoft.github.io/CCF/release/6.x/governance/hsm_keys.html
 */
export type GovernanceMessageType = "proposal" | "ballot" | "withdrawal" | "ack" | "state_digest" | "recovery_share";

export interface GovernanceMessage {
  readonly type: GovernanceMessageType;
  /** Seconds since 1970. */
  readonly createdAt: number;
  /** Ballots and withdrawals only; must be the one in the request's path. */
  readonly proposalId?: string;
  readonly payload: Uint8Array;
}

const COSE_SIGN1_TAG = 18;
const ALGORITHM_HEADER = 1;
const KEY_ID_HEADER = 4;
/** ECDSA with SHA-384 (IANA COSE algorithms). */
const ES384 = -35;

const TYPE_HEADER = "ccf.gov.msg.type";
const CREATED_AT_HEADER = "ccf.gov.msg.created_at";
const PROPOSAL_ID_HEADER = "ccf.gov.msg.proposal_id";

type Header = Map<number | string, unknown>;
type Sign1 = [Uint8Array, Header, Uint8Array, Uint8Array];

/** Signs a message with a member's P-384 key. */
export function signMessage(message: GovernanceMessage, signer: MemberSigner): Uint8Array {
  const key = createPrivateKey(signer.privateKey);
  if (key.asymmetricKeyDetails?.namedCurve !== "secp384r1") {
    throw new Error(
      "A member signs governance requests with a P-384 key (ES384); this private key is of another kind.",
    );
  }
  const header: Header = new Map<number | string, unknown>([
    [ALGORITHM_HEADER, ES384],
    [KEY_ID_HEADER, Buffer.from(memberIdOf(signer.certificate), "ascii")],
    [TYPE_HEADER, message.type],
    [CREATED_AT_HEADER, message.createdAt],
  ]);
  if (message.proposalId !== undefined) header.set(PROPOSAL_ID_HEADER, message.proposalId);

  const protectedHeader = toCbor(header);
  const signature = sign("sha384", signedBytes(protectedHeader, message.payload), { key, dsaEncoding: "ieee-p1363" });
  return toCbor(new Tagged(COSE_SIGN1_TAG, [protectedHeader, new Map(), message.payload, signature]));
}

/**
 * Reads an envelope that must have been signed by the owner of a certificate.
 * @throws when it is malformed, names another signer, or the signature is wrong.
 */
export function verifyMessage(envelope: Uint8Array, certificate: string): GovernanceMessage {
  const [protectedHeader, , payload, signature] = parseEnvelope(envelope);
  const header = fromCbor(protectedHeader);
  if (!(header instanceof Map)) throw new Error("COSE_Sign1: the protected header is not a map");
  if (header.get(ALGORITHM_HEADER) !== ES384) throw new Error("COSE_Sign1: the algorithm is not ES384");
  const keyId: unknown = header.get(KEY_ID_HEADER);
  if (!(keyId instanceof Uint8Array) || Buffer.from(keyId).toString("ascii") !== memberIdOf(certificate)) {
    throw new Error("COSE_Sign1: the key id is not that of the expected member");
  }
  const key = new X509Certificate(certificate).publicKey;
  if (!verify("sha384", signedBytes(protectedHeader, payload), { key, dsaEncoding: "ieee-p1363" }, signature)) {
    throw new Error("COSE_Sign1: the signature does not verify");
  }
  const proposalId = header.get(PROPOSAL_ID_HEADER) as string | undefined;
  return {
    type: header.get(TYPE_HEADER) as GovernanceMessageType,
    createdAt: header.get(CREATED_AT_HEADER) as number,
    ...(proposalId !== undefined && { proposalId }),
    payload,
  };
}

function parseEnvelope(envelope: Uint8Array): Sign1 {
  const decoded = fromCbor(envelope);
  const parts: unknown = decoded instanceof Tagged && decoded.tag === COSE_SIGN1_TAG ? decoded.value : undefined;
  if (!Array.isArray(parts) || parts.length !== 4) throw new Error("COSE_Sign1: not a tagged array of four");
  const isBytes = [0, 2, 3].every((index) => parts[index] instanceof Uint8Array);
  if (!isBytes || !(parts[1] instanceof Map)) throw new Error("COSE_Sign1: a part has the wrong type");
  return parts as Sign1;
}

/** `Sig_structure` of RFC 9052, section 4.4, without external data. */
function signedBytes(protectedHeader: Uint8Array, payload: Uint8Array): Uint8Array {
  return toCbor(["Signature1", protectedHeader, new Uint8Array(), payload]);
}

const toCbor = (value: unknown): Uint8Array => encode(value, rfc8949EncodeOptions);
const fromCbor = (bytes: Uint8Array): unknown =>
  decode(bytes, { useMaps: true, rejectDuplicateMapKeys: true, tags: Tagged.preserve(COSE_SIGN1_TAG) });
