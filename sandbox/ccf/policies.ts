/** Clean room policies: for every claim the list of values an attestation may carry. */
export type Claims = Readonly<Record<string, readonly unknown[]>>;
export type PolicyType = "snp-caci" | "snp-cvm" | "jwt";

const SNP = "x-ms-sevsnpvm";
const CACI_CLAIMS: ReadonlySet<string> = new Set(
  [
    ...[
      "hostdata",
      "is-debuggable",
      "launchmeasurement",
      "reportdata",
      "guestsvn",
      "familyId",
      "imageId",
      "idkeydigest",
    ],
    ...[
      "authorkeydigest",
      "reportid",
      "smt-allowed",
      "vmpl",
      "bootloader-svn",
      "microcode-svn",
      "snpfw-svn",
      "tee-svn",
      "migration-allowed",
    ],
  ]
    .map((name) => `${SNP}-${name}`)
    .concat([
      "x-ms-ver",
      "x-ms-attestation-type",
      "x-ms-compliance-status",
      "x-ms-policy-hash",
      "vm-configuration-secure-boot",
      "vm-configuration-secure-boot-template-id",
      "vm-configuration-tpm-enabled",
      "vm-configuration-vmUniqueId",
    ]),
);
const CVM_CLAIMS: ReadonlySet<string> = new Set(Array.from({ length: 24 }, (_, index) => `pcr${index}`));
const JWT_CLAIMS: ReadonlySet<string> = new Set(["oid", "appid", "tid", "sub", "iss"]);
const ALLOWED: Readonly<Record<PolicyType, ReadonlySet<string>>> = {
  "snp-caci": CACI_CLAIMS,
  "snp-cvm": CVM_CLAIMS,
  jwt: JWT_CLAIMS,
};

export interface PolicyChange {
  readonly type: "add" | "remove";
  readonly policyType: PolicyType;
  readonly claims: Readonly<Record<string, unknown>>;
}

/**
 * @param args `{type, policyType?, claims}`; `policyType` defaults to `snp-caci`.
 * @throws when the type, the policy type or a claim name is not one CGS knows.
 */
export function parsePolicyChange(args: Record<string, unknown>, policyTypes: readonly PolicyType[]): PolicyChange {
  const { type, claims } = args;
  const policyType = (args["policyType"] ?? "snp-caci") as PolicyType;
  if (type !== "add" && type !== "remove")
    throw new Error(`Clean Room Policy with type '${String(type)}' is not supported`);
  if (!policyTypes.includes(policyType))
    throw new Error(`Clean Room Policy with policy type '${String(policyType)}' is not supported`);
  if (typeof claims !== "object" || claims === null || Array.isArray(claims))
    throw new Error("Clean Room Policy claims must be an object");
  for (const name of Object.keys(claims)) {
    if (!ALLOWED[policyType].has(name))
      throw new Error(`The claim '${name}' is not an allowed claim for policy type '${policyType}'`);
  }
  return { type, policyType, claims: claims as Record<string, unknown> };
}

/** Values of one claim after a change; `undefined` when none is left. Booleans replace, other values merge. */
export function changeClaim(
  current: readonly unknown[] | undefined,
  change: "add" | "remove",
  value: unknown,
): unknown[] | undefined {
  const values: unknown[] = Array.isArray(value) ? value : [value];
  if (change === "remove") {
    const left = (current ?? []).filter((item) => !values.includes(item));
    return left.length > 0 ? left : undefined;
  }
  if (values.some((item) => typeof item === "boolean")) return values;
  return [...new Set([...(current ?? []), ...values])];
}

/**
 * @param delegates tried in order when the main policy does not match.
 * @throws an empty main policy is always an error, even if a delegate would match.
 */
export function requireMatch(
  policy: Claims,
  delegates: readonly Claims[],
  attested: Readonly<Record<string, unknown>>,
): void {
  if (Object.keys(policy).length === 0) throw new Error("The clean room policy is missing");
  const mismatch = findMismatch(policy, attested);
  if (mismatch === undefined) return;
  const matches = delegates.some(
    (claims) => Object.keys(claims).length > 0 && findMismatch(claims, attested) === undefined,
  );
  if (!matches) throw new Error(mismatch);
}

function findMismatch(policy: Claims, attested: Readonly<Record<string, unknown>>): string | undefined {
  for (const [name, allowed] of Object.entries(policy)) {
    if (attested[name] === undefined) return `Missing claim in attestation: ${name}`;
    if (!allowed.includes(attested[name])) {
      return `Attestation claim ${name}, value ${String(attested[name])} does not match policy values: ${allowed.join(",")}`;
    }
  }
  return undefined;
}
