import crypto from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { AnalyticsError, type AnalyticsClient, type JobStatus } from "../../../clients/analytics.ts";
import { BUILTIN_ROLES } from "../../../sandbox/azure/builtin-roles.ts";
import { encryptBlocks } from "../../../sandbox/cleanroom/data/block-format.ts";
import { Environment, type Encryption, type Owner } from "./environment.ts";

/*
 * From consent to result: what the clean room needs of everybody, one link missing at a time. The identities it takes
 * hold exactly the roles that the program grants (components/dataset.ts, components/datasetKeys.ts) and no other.
 */

jest.setTimeout(60_000);

const FIELDS = [
  ["author", "string"],
  ["n", "long"],
] as const;
const COLUMNS = ["author", "n"];
const SEGMENTS = [
  {
    executionSequence: 1,
    data: "SELECT author, COUNT(*) AS n FROM (SELECT * FROM a UNION ALL SELECT * FROM b) t GROUP BY author",
  },
];
const SOURCE = "Storage Blob Data Reader";
const SINK = "Storage Blob Data Contributor";
const RELEASE = "Key Vault Crypto Service Release User";
const READ_SECRET = "Key Vault Secrets User";

interface Grant {
  readonly owner: Owner;
  readonly role: string;
  readonly scope: string;
}

const GRANTS: readonly Grant[] = [
  ...grantsOf("northwind", "first", SOURCE),
  ...grantsOf("woodgrove", "second", SOURCE),
  ...grantsOf("woodgrove", "result", SINK),
];

let environment: Environment;
let client: AnalyticsClient;
let count = 0;

beforeAll(async () => {
  environment = await Environment.start();
  await environment.admitCleanRoom();
  await environment.cleanRoom.install(await environment.spec());
  client = await environment.client("woodgrove");
  while (!(await client.ready())) await delay(100);
  await publish("first", "northwind", "CSE", "anna,1\nbert,1\n");
  await publish("second", "woodgrove", "CPK", "anna,1\n");
  await publish("result", "woodgrove", "CSE");
  await environment.publishQuery("query", { a: "first", b: "second" }, "result", SEGMENTS, ["northwind", "woodgrove"]);
  // Owners keep their rights; the clean room's identities get theirs by roles alone.
  const identities = [environment.endpoints.northwind.oid, environment.endpoints.woodgrove.oid];
  environment.access.rows = environment.access.rows.filter(({ objectId }) => !identities.includes(objectId));
  for (const grant of GRANTS) give(grant);
});
afterAll(async () => {
  client?.close();
  await environment?.stop();
});

async function publish(id: string, owner: Owner, encryption: Encryption, rows?: string): Promise<void> {
  const dek = crypto.randomBytes(32);
  await environment.storeDek(owner, id, dek);
  const access = rows === undefined ? "write" : "read";
  await environment.publishDataset({ id, owner, encryption, access, fields: FIELDS, allowedFields: COLUMNS });
  if (rows === undefined) return;
  const content = Buffer.from(rows);
  const headers = {
    "x-ms-encryption-key": dek.toString("base64"),
    "x-ms-encryption-key-sha256": crypto.createHash("sha256").update(dek).digest("base64"),
    "x-ms-encryption-algorithm": "AES256",
  };
  if (encryption === "CSE") await environment.putBlob(owner, id, "data.csv", encryptBlocks(content, dek));
  else await environment.putBlob(owner, id, "data.csv", content, headers);
}

function vaultOf(owner: Owner): string {
  return `/subscriptions/0/resourceGroups/${owner}/providers/Microsoft.KeyVault/vaults/${owner}kv`;
}

function accountOf(owner: Owner): string {
  return `/subscriptions/0/resourceGroups/${owner}/providers/Microsoft.Storage/storageAccounts/${owner}store`;
}

function grantsOf(owner: Owner, dataset: string, role: string): Grant[] {
  return [
    { owner, role, scope: `${accountOf(owner)}/blobServices/default/containers/${dataset}` },
    { owner, role: RELEASE, scope: `${vaultOf(owner)}/keys/${dataset}-kek` },
    { owner, role: READ_SECRET, scope: `${vaultOf(owner)}/secrets/wrapped-${dataset}` },
  ];
}

const assignmentId = ({ owner, role, scope }: Grant): string =>
  `${scope}/providers/Microsoft.Authorization/roleAssignments/${owner}-${role}`;

function give(grant: Grant): void {
  const roleId = BUILTIN_ROLES.find(({ name }) => name === grant.role)!.id;
  const principalId = environment.endpoints[grant.owner].oid;
  environment.roles.assign({ id: assignmentId(grant), scope: grant.scope, principalId, roleId });
}

const take = (grant: Grant): void => environment.roles.unassign(assignmentId(grant));

interface Outcome {
  /** `COMPLETED`, `FAILED`, or status and code of a refusal. */
  readonly state: string;
  readonly reason: string;
  /** What the audit log says about this run. */
  readonly audit: string[];
}

async function run(query = "query"): Promise<Outcome> {
  const runId = `run-${++count}`;
  const result = await client
    .run(query, { runId })
    .then(({ jobId }) => finished(jobId))
    .catch((error: unknown) => error);
  const audit = (await environment.audit()).filter((line) => line.includes(`Job id: ${runId}`));
  if (result instanceof AnalyticsError)
    return { state: `${result.status} ${result.code}`, reason: result.message, audit };
  const { applicationState } = (result as JobStatus).status;
  return { state: applicationState.state, reason: applicationState.errorMessage ?? "", audit };
}

async function finished(jobId: string): Promise<JobStatus> {
  for (;;) {
    const status = await client.status(jobId);
    if (["COMPLETED", "FAILED"].includes(status.status.applicationState.state)) return status;
    await delay(50);
  }
}

async function expectRefused(query: string, dataset: string, reason: RegExp): Promise<void> {
  const outcome = await run(query);
  expect(outcome.state).toBe("403 DatasetKeyUnavailable");
  expect(outcome.reason).toMatch(reason);
  expect(outcome.audit).toEqual([
    expect.stringContaining(
      `spark-analytics-agent: Query execution denied for queryId ${query}: the key of dataset ${dataset} is not available`,
    ),
  ]);
  expect(outcome.audit[0]).toMatch(reason);
}

describe("roles of the clean room's identities", () => {
  test("as the program grants them are enough", async () => {
    expect(await run()).toMatchObject({ state: "COMPLETED", reason: "" });
  });

  test.each(GRANTS)("$owner's, without $role on $scope: refused, and the reason is on record", async (grant) => {
    take(grant);
    const outcome = await run().finally(() => give(grant));
    const thing = grant.scope.split("/").at(-1)!;
    const last = outcome.audit.at(-1);
    if (grant.role === RELEASE || grant.role === READ_SECRET) {
      const kind = grant.role === RELEASE ? "keys" : "secrets";
      const path = grant.role === RELEASE ? `${thing}/release` : thing;
      expect(outcome.state).toBe("403 DatasetKeyUnavailable");
      expect(last).toMatch(
        new RegExp(`denied for queryId query: .*${kind}/${path}: .*not authorized to perform action`, "s"),
      );
    } else {
      expect(outcome.state).toBe("FAILED");
      expect(outcome.reason).toBe(`Container ${thing}: the blob service answered AuthorizationPermissionMismatch.`);
      expect(last).toContain(`3004: The query query failed: Container ${thing}`);
    }
  });

  /** What looks like enough, or like more, and is not. */
  const instead: [string, Grant, string, string][] = [
    ["the role that wraps and unwraps, on the whole vault", GRANTS[1]!, "Key Vault Crypto User", vaultOf("northwind")],
    ["release of another key", GRANTS[1]!, RELEASE, `${vaultOf("northwind")}/keys/other-kek`],
    ["release of the secret's name", GRANTS[1]!, RELEASE, `${vaultOf("northwind")}/secrets/first-kek`],
    ["reading metadata of the whole vault", GRANTS[2]!, "Key Vault Reader", vaultOf("northwind")],
    ["reading another secret", GRANTS[2]!, READ_SECRET, `${vaultOf("northwind")}/secrets/wrapped-other`],
    ["owning the vault as a resource", GRANTS[2]!, "Owner", vaultOf("northwind")],
    [
      "reading another container",
      GRANTS[0]!,
      SOURCE,
      `${accountOf("northwind")}/blobServices/default/containers/another`,
    ],
    ["managing the account as a resource", GRANTS[0]!, "Contributor", accountOf("northwind")],
    ["only reading where the result goes", GRANTS[6]!, SOURCE, GRANTS[6]!.scope],
  ];

  test.each(instead)("%s is not enough", async (_, { owner, ...replaced }, role, scope) => {
    const [exact, other] = [
      { owner, ...replaced },
      { owner, role, scope },
    ];
    take(exact);
    give(other);
    const outcome = await run().finally(() => {
      take(other);
      give(exact);
    });
    expect(outcome.state).toMatch(/^(FAILED|403 DatasetKeyUnavailable)$/);
    expect(outcome.audit.at(-1)).toMatch(/not authorized to perform action|AuthorizationPermissionMismatch/);
  });

  test("of one organisation are of no use for another's data", async () => {
    const [release] = GRANTS.slice(1);
    take(release!);
    give({ ...release!, owner: "woodgrove" });
    const outcome = await run().finally(() => {
      take({ ...release!, owner: "woodgrove" });
      give(release!);
    });
    expect(outcome.state).toBe("403 DatasetKeyUnavailable");
  });

  test("are all back: it runs", async () => {
    expect(await run()).toMatchObject({ state: "COMPLETED" });
  });
});

describe("a key", () => {
  const change = (kind: "keys" | "secrets", name: string, enabled: boolean) =>
    environment.vaultRequest("northwind", "PATCH", `${kind}/${name}`, { attributes: { enabled } });

  test("that its owner disabled is not released", async () => {
    await change("keys", "first-kek", false);
    await expectRefused("query", "first", /keys\/first-kek\/release: .*not allowed on a disabled key/);
    await change("keys", "first-kek", true);
  });

  test("whose wrapped form its owner disabled is not read", async () => {
    await change("secrets", "wrapped-first", false);
    await expectRefused("query", "first", /secrets\/wrapped-first: .*not allowed on a disabled secret/);
    await change("secrets", "wrapped-first", true);
  });

  test("bound to another measurement is not released", async () => {
    await foreign("elsewhere", { policy: "another clean room" });
    await expectRefused("over-elsewhere", "elsewhere", /does not meet the key release policy/);
  });

  test("whose new version nothing was wrapped for says so", async () => {
    await foreign("rotated");
    const dek = crypto.randomBytes(32);
    const { value } = (await environment.vaultRequest("northwind", "GET", "secrets/wrapped-rotated", undefined)) as {
      value: string;
    };
    await environment.storeDek("northwind", "rotated", dek);
    await environment.vaultRequest("northwind", "PUT", "secrets/wrapped-rotated", { value });
    await expectRefused("over-rotated", "rotated", /Secret wrapped-rotated does not open with key rotated-kek/);
  });

  test("of 32 bytes and no other length is taken", async () => {
    await foreign("short", { bytes: 16 });
    await expectRefused("over-short", "short", /Secret wrapped-short holds a key of 16 bytes, 32 are needed/);
  });

  test("of a dataset that names the identity of another organisation is not asked for in its name", async () => {
    await foreign("borrowed", { identityOf: "woodgrove" });
    await expectRefused("over-borrowed", "borrowed", /AADSTS700213/);
  });
});

/** A dataset of northwind's with something wrong, granted as it should be, and an approved query over it. */
async function foreign(
  id: string,
  { policy, identityOf, bytes = 32 }: { policy?: string; identityOf?: Owner; bytes?: number } = {},
): Promise<void> {
  await environment.storeDek("northwind", id, crypto.randomBytes(bytes), policy);
  await environment.publishDataset({
    id,
    owner: "northwind",
    encryption: "CSE",
    fields: FIELDS,
    allowedFields: COLUMNS,
    ...(identityOf && { identityOf }),
  });
  for (const grant of grantsOf("northwind", id, SOURCE)) give(grant);
  const segments = [{ executionSequence: 1, data: "SELECT author, COUNT(*) AS n FROM p GROUP BY author" }];
  await environment.publishQuery(`over-${id}`, { p: id }, "result", segments, ["northwind", "woodgrove"]);
}

describe("before any key is asked for", () => {
  test("every owner's vote is needed", async () => {
    await environment.publishQuery("unapproved", { a: "first", b: "second" }, "result", SEGMENTS, ["woodgrove"]);
    const outcome = await run("unapproved");
    expect(outcome.state).toBe("400 QueryMissingApprovalsFromDatasetOwners");
    expect(outcome.audit).toEqual([expect.stringContaining("denied for queryId unapproved: approvals missing from")]);
  });

  test.each(["first", "query"])("and everybody's consent, to %s as to everything", async (document) => {
    await environment.setConsent(document, "northwind", "disable");
    const outcome = await run();
    await environment.setConsent(document, "northwind", "enable");
    expect(outcome.state).toBe("400 UserDocumentRuntimeOptionDisabled");
    expect(outcome.audit).toEqual([
      expect.stringContaining(`denied for queryId query: UserDocumentRuntimeOptionDisabled for ${document}`),
    ]);
  });
});
