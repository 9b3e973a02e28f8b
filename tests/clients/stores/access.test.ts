import { ContainerClient } from "@azure/storage-blob";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { readPublished } from "../../../clients/stores/verify.ts";
import { publishFiles } from "../../../clients/stores/publish.ts";

/** Answers listings: first these errors, one after the other (the last one for ever if `forever`), then an empty container. */
async function refusingStore(codes: readonly [status: number, code: string][], forever = false) {
  let requests = 0;
  const server = http.createServer((_, response) => {
    const refusal = codes[forever ? Math.min(requests, codes.length - 1) : requests];
    requests++;
    if (!refusal) {
      response.writeHead(200, { "content-type": "application/xml" });
      return response.end('<?xml version="1.0"?><EnumerationResults><Blobs/><NextMarker/></EnumerationResults>');
    }
    const [status, code] = refusal;
    response.writeHead(status, { "content-type": "application/xml", "x-ms-error-code": code });
    return response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const client = new ContainerClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}/account/data`);
  return {
    target: (roleDeadlineMs: number) => ({ type: "Azure_BlobStorage", client, roleDeadlineMs }) as const,
    requests: () => requests,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

let store: Awaited<ReturnType<typeof refusingStore>>;
afterEach(() => store.close());

test("a role that was assigned a moment ago is waited for", async () => {
  store = await refusingStore([
    [403, "AuthorizationPermissionMismatch"],
    [403, "AuthorizationPermissionMismatch"],
  ]);
  expect(await readPublished(store.target(20_000))).toMatchObject({ count: 0 });
  expect(store.requests()).toBe(3);
});

test("after the deadline the missing role is named", async () => {
  store = await refusingStore([[403, "AuthorizationPermissionMismatch"]], true);
  await expect(readPublished(store.target(1500))).rejects.toThrow(
    /container "data" of http:\S+ refused the request \(403 AuthorizationPermissionMismatch\)\. The signed-in identity lacks the role "Storage Blob Data Reader" on it/,
  );
  expect(store.requests()).toBe(2);
});

test.each([
  [403, "AuthorizationFailure"],
  [403, "KeyBasedAuthenticationNotPermitted"],
  [401, "InvalidAuthenticationInfo"],
])("any other refusal (%d %s) fails at once", async (status, code) => {
  store = await refusingStore([[status, code]]);
  await expect(readPublished(store.target(60_000))).rejects.toThrow(
    new RegExp(`${code}\\)\\. Sign in with .* "Storage Blob Data Reader"`),
  );
  expect(store.requests()).toBe(1);
});

test("waiting can be interrupted", async () => {
  store = await refusingStore([[403, "AuthorizationPermissionMismatch"]], true);
  const scan = { files: [], count: 0, bytes: 0, contentDigest: "", filesRead: 0 };
  const signal = AbortSignal.timeout(300);
  await expect(
    publishFiles({ directory: ".", scan, target: store.target(60_000), encryption: { mode: "SSE" }, signal }),
  ).rejects.toThrow(/abort|timeout/i);
});
