import { CcfUnreachableError, OutcomeUnknownError, type CcfError } from "../../../clients/ccf/errors.ts";
import { createMemberIdentity, type MemberIdentity } from "../../../clients/ccf/identity.ts";
import { CcfTransport, type CcfCredentials, type CcfOptions } from "../../../clients/ccf/transport.ts";
import {
  createAuthority,
  startServer,
  type Answer,
  type Issuer,
  type Received,
  type TestServer,
} from "../support/server.ts";

const TOKEN = "secret-token";
let service: Issuer;
let member: MemberIdentity;
let server: TestServer | undefined;
let transport: CcfTransport | undefined;

beforeAll(async () => {
  service = await createAuthority("CCF Service");
  member = await createMemberIdentity({ name: "m", validityDays: 1 });
});
afterEach(async () => {
  transport?.close();
  await server?.stop();
  server = undefined;
});

/** Answers each request with the next entry, the last one for good. */
async function connect(
  answers: (Answer | ((request: Received) => Answer))[],
  credentials: CcfCredentials = {},
  options: CcfOptions = {},
) {
  const pending = [...answers];
  server = await startServer(
    service,
    (request) => {
      const next = (pending.length > 1 ? pending.shift() : pending[0])!;
      return typeof next === "function" ? next(request) : next;
    },
    "node-0.invalid",
  );
  transport = new CcfTransport({ endpoint: server.endpoint, serviceCertificate: server.authority }, credentials, {
    timeoutSeconds: 8,
    ...options,
  });
  return { transport, received: server.received };
}

const failure = (status: number, code: string): Answer => ({ status, body: { error: { code, message: "because" } } });
const transaction = { "x-ms-ccf-transaction-id": "2.118" };
const paths = (received: Received[]): string[] => received.map(({ method, path }) => `${method} ${path}`);

describe("trust", () => {
  it("accepts a node of the pinned service whatever its host name", async () => {
    const { transport } = await connect([{ body: { ok: true } }]);
    await expect(transport.get("/node/network")).resolves.toMatchObject({ status: 200, body: { ok: true } });
  });

  it("refuses a node of another service, and says what to do", async () => {
    await connect([{ body: {} }]);
    const other = (await createAuthority("CCF Service")).certificate.toString("pem");
    const impostor = new CcfTransport(
      { endpoint: server!.endpoint, serviceCertificate: other },
      { token: async () => TOKEN },
    );
    await expect(impostor.post("/app/x", {})).rejects.toMatchObject({
      name: "CcfUnreachableError",
      message: expect.stringContaining("does not chain to the service certificate"),
    });
    expect(server!.received).toHaveLength(0);
  });

  it("does not extend trust to the machine's own authorities", () => {
    expect(() => new CcfTransport({ endpoint: "https://localhost:1", serviceCertificate: "" }, {})).toThrow(
      "not a PEM certificate",
    );
    expect(
      () =>
        new CcfTransport(
          { endpoint: "http://localhost:1", serviceCertificate: service.certificate.toString("pem") },
          {},
        ),
    ).toThrow("https://host:port");
  });
});

describe("callers", () => {
  it("shows the member certificate for member calls only", async () => {
    const { transport, received } = await connect([{ body: {} }], { member });
    await transport.read("/app/contracts/c");
    await transport.get("/node/network", "nobody");
    await transport.postSigned("/gov/members/proposals:create", new Uint8Array([1]));
    expect(received.map(({ memberId }) => memberId)).toEqual([member.memberId, undefined, undefined]);
    expect(received[2]!.headers["content-type"]).toBe("application/cose");
  });

  it("sends the token as bearer, fresh for every request", async () => {
    let count = 0;
    const { transport, received } = await connect([{ body: {} }], { token: async () => `${TOKEN}-${++count}` });
    await transport.get("/app/a");
    await transport.get("/app/b");
    expect(received.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${TOKEN}-1`, `Bearer ${TOKEN}-2`]);
  });

  it("says which credentials a call needs", async () => {
    const { transport } = await connect([{ body: {} }]);
    await expect(transport.put("/app/contracts/c", {}, "member")).rejects.toThrow(
      "PUT /app/contracts/c is for consortium members",
    );
    await expect(transport.read("/app/x", "token")).rejects.toThrow("is for users");
  });

  it("sends an empty body with its length", async () => {
    const { transport, received } = await connect([{ body: {} }]);
    await transport.read("/app/contracts/c");
    expect(received[0]!.headers["content-length"]).toBe("0");
    expect(received[0]!.headers["content-type"]).toBeUndefined();
  });
});

describe("answers", () => {
  it("become typed errors without query string or token", async () => {
    const { transport } = await connect(
      [
        {
          status: 401,
          body: {
            error: {
              code: "InvalidAuthenticationInfo",
              message: "Invalid authentication credentials.",
              details: [{ auth_policy: "jwt", code: "InvalidAuthenticationInfo", message: "Token is expired" }],
            },
          },
        },
      ],
      { token: async () => TOKEN },
    );
    const error = await transport.get("/app/userdocuments?labelSelector=x").catch((thrown: CcfError) => thrown);
    expect(error).toMatchObject({
      name: "CcfError",
      status: 401,
      code: "InvalidAuthenticationInfo",
      operation: "GET /app/userdocuments",
    });
    expect((error as CcfError).message).toBe(
      "GET /app/userdocuments: 401 InvalidAuthenticationInfo: Invalid authentication credentials. (jwt: Token is expired)",
    );
    expect(JSON.stringify(error) + String(error)).not.toContain(TOKEN);
  });

  it("keep a code even when the answer is not JSON", async () => {
    const { transport } = await connect([{ status: 400, body: "<html>" }]);
    await expect(transport.get("/app/x")).rejects.toMatchObject({ code: "Http400", reason: "<html>" });
  });

  it("may be empty or text", async () => {
    const { transport } = await connect([{}, { body: "export function vote" }]);
    expect((await transport.get("/app/x")).body).toBeUndefined();
    expect((await transport.get("/gov/x")).body).toBe("export function vote");
  });

  it("follow a redirect with method, body and token", async () => {
    const { transport, received } = await connect(
      [
        (request) => ({
          status: 307,
          headers: { location: `https://localhost:${request.headers.host!.split(":")[1]}/app/there` },
        }),
        { body: { ok: 1 } },
      ],
      { token: async () => TOKEN },
    );
    await transport.put("/app/here", { a: 1 });
    expect(paths(received)).toEqual(["PUT /app/here", "PUT /app/there"]);
    expect(received[1]).toMatchObject({ body: '{"a":1}', headers: { authorization: `Bearer ${TOKEN}` } });
  });

  it("do not follow a redirect to plain http", async () => {
    const { transport } = await connect([{ status: 308, headers: { location: "http://localhost/app/there" } }]);
    await expect(transport.get("/app/here")).rejects.toThrow("only https is followed");
  });
});

describe("commit", () => {
  const status = (value: string): Answer => ({ body: { transaction_id: "2.118", status: value } });

  it("is waited for after a write", async () => {
    const { transport, received } = await connect([{ headers: transaction }, status("Pending"), status("Committed")]);
    await transport.put("/app/x", {});
    expect(paths(received)).toEqual([
      "PUT /app/x",
      "GET /app/tx?transaction_id=2.118",
      "GET /app/tx?transaction_id=2.118",
    ]);
  });

  it("is not waited for after a read", async () => {
    const { transport, received } = await connect([{ headers: transaction, body: {} }]);
    await transport.read("/app/x");
    expect(received).toHaveLength(1);
  });

  it("repeats the write when the network rolled it back", async () => {
    const { transport, received } = await connect([
      { headers: transaction },
      status("Invalid"),
      { headers: { "x-ms-ccf-transaction-id": "3.5" } },
      status("Committed"),
    ]);
    await expect(transport.put("/app/x", {})).resolves.toMatchObject({ transactionId: "3.5" });
    expect(paths(received).filter((path) => path.startsWith("PUT"))).toHaveLength(2);
  });

  it("that cannot be read leaves the outcome unknown", async () => {
    const { transport } = await connect([{ headers: transaction }, failure(400, "InvalidResourceName")]);
    await expect(transport.put("/app/x", {})).rejects.toBeInstanceOf(OutcomeUnknownError);
  });
});

describe("failures", () => {
  it("repeat a read", async () => {
    const { transport, received } = await connect(["drop", failure(503, "Whatever"), { body: { ok: 1 } }]);
    await expect(transport.read("/app/x")).resolves.toMatchObject({ body: { ok: 1 } });
    expect(received).toHaveLength(3);
  });

  it.each(["TooManyPendingTransactions", "RequestAlreadyForwarded", "ViewNotKnown"])(
    "repeat a write the network did not carry out: %s",
    async (code) => {
      const { transport, received } = await connect([failure(503, code), {}]);
      await transport.put("/app/x", {});
      expect(received).toHaveLength(2);
    },
  );

  it("never repeat a write that may have been applied", async () => {
    for (const answer of ["drop", failure(504, "ForwardingTimeout")] as Answer[]) {
      const { transport, received } = await connect([answer, {}]);
      await expect(transport.put("/app/x", {})).rejects.toMatchObject({
        name: "OutcomeUnknownError",
        message: expect.stringContaining("PUT /app/x"),
      });
      expect(received).toHaveLength(1);
      await server!.stop();
    }
  });

  it("do not repeat what was refused", async () => {
    const { transport, received } = await connect([failure(503, "FrontendNotOpen"), {}]);
    await expect(transport.put("/app/x", {})).rejects.toMatchObject({ status: 503 });
    expect(received).toHaveLength(1);
  });

  it("tell an absent network from a silent one", async () => {
    const { transport } = await connect([{}], {}, { timeoutSeconds: 1 });
    await server!.stop();
    await expect(transport.put("/app/x", {})).rejects.toMatchObject({
      name: "CcfUnreachableError",
      endpoint: transport.connection.endpoint,
    });
  });

  it("end at the deadline: a read unreachable, a write unknown", async () => {
    const { transport } = await connect(["silence"], {}, { timeoutSeconds: 0.3 });
    await expect(transport.get("/app/x")).rejects.toMatchObject({
      name: "CcfUnreachableError",
      message: expect.stringContaining("no answer within 0.3 s"),
    });
    await expect(transport.put("/app/x", {})).rejects.toMatchObject({
      name: "OutcomeUnknownError",
      message: expect.stringContaining("no answer within 0.3 s"),
    });
  });

  it("end when the caller cancels", async () => {
    const controller = new AbortController();
    const { transport } = await connect(["silence"], {}, { signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    await expect(transport.get("/app/x")).rejects.toBeInstanceOf(CcfUnreachableError);
  });
});

describe("lists", () => {
  it("are read page by page, waiting for the ledger", async () => {
    const { transport, received } = await connect([
      { status: 202, headers: { "retry-after": "0.1" } },
      { body: { value: [1, 2], nextLink: "/app/list?from_seqno=3" } },
      { body: { value: [3] } },
    ]);
    const items: number[] = [];
    for await (const item of transport.pages<number>("/app/list?from_seqno=1")) items.push(item);
    expect(items).toEqual([1, 2, 3]);
    expect(paths(received).at(-1)).toBe("GET /app/list?from_seqno=3");
  });
});
