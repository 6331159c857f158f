/** One request: repeated where that is safe, ended where it must be, and every failure an error of ours. */
import { describe, expect, it } from "vitest";
import {
  ApiError,
  BadResponseError,
  ConfigurationError,
  ConflictError,
  NebulaAbortError,
  NebulaClient,
  NetworkError,
  RateLimitedError,
  RequestTimeoutError,
  ServerError,
} from "../src/index.js";
import { answer, broken, cut, type Exchange, type Fate, problem, silence, way } from "./proxy.js";
import { clientOf, failure, SERVICE } from "./service.js";

/** Go wrong in this way at first, then no more. */
const atFirst =
  (times: number, fate: Fate) =>
  ({ before }: Exchange): Fate =>
    before < times ? fate : undefined;

const FAULTS: [string, Fate][] = [
  ["the connection breaks", broken],
  ["the answer is lost", "lost"],
  ["the answer is cut off", cut],
  ["the answer is no JSON", answer(200, "<html>")],
  ["the answer is no object", answer(200, "null")],
  ["there are too many requests", problem(429, "rate-limited", { "retry-after": "0" })],
  ["a proxy has no service behind it", answer(502, "<html>Bad gateway</html>")],
  ["the service is busy", problem(503, "database-busy", { "retry-after": "0" })],
  ["a proxy gave up", answer(504, "")],
];

describe("what is read is read again", () => {
  it.each(FAULTS)("where %s", async (_, fate) => {
    await using to = await way(atFirst(2, fate));
    const stats = await clientOf(undefined, {}, to.url).getStats();
    expect(stats.streams.total).toBeGreaterThan(0);
    expect(to.of("GET", "/stats")).toHaveLength(3);
  });

  it("where nothing is answered in time", async () => {
    await using to = await way(atFirst(1, silence));
    expect((await clientOf(undefined, {}, to.url).getSync({ timeout: 1_000 })).network).toBe("sandbox");
    expect(to.of("GET", "/sync").length).toBeGreaterThan(1);
  });

  it.each([
    ["breaks", broken, NetworkError, "network-error"],
    ["is cut off", cut, NetworkError, "network-error"],
    ["is no JSON", answer(200, "<html>"), BadResponseError, "bad-response"],
    ["is an overloaded service's", problem(503, "database-busy", { "retry-after": "0" }), ServerError, "database-busy"],
    ["is a proxy's", answer(502, "<html>"), ServerError, "http-error"],
  ] as const)("but not for ever where each answer %s", async (_, fate, kind, code) => {
    await using to = await way(() => fate);
    const error = await failure(clientOf(undefined, { maxRetries: 1 }, to.url).getStats());
    expect(error).toBeInstanceOf(kind);
    expect(error).toMatchObject({ code });
    expect(to.exchanges).toHaveLength(2);
  });

  it.each([
    [400, "BadRequestError"],
    [401, "AuthenticationError"],
    [403, "PermissionDeniedError"],
    [404, "NotFoundError"],
    [409, "ConflictError"],
    [410, "GoneError"],
    [418, "ApiError"],
    [422, "UnprocessableError"],
    [500, "ServerError"],
  ])("but not where the answer is %i", async (status, name) => {
    const more = { errors: [{ field: "query.q", detail: "too short" }], legal: ["CANCELED"] };
    await using to = await way(() => problem(status, "so-it-is", { "x-request-id": "r-1" }, more));
    const error = (await failure(clientOf(undefined, {}, to.url).search("x"))) as ApiError;
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({
      name,
      status,
      code: "so-it-is",
      title: "so-it-is",
      detail: "it is so-it-is",
      type: "https://example.org/so-it-is",
      errors: more.errors,
      requestId: "r-1",
      retryAfter: null,
      problem: more,
    });
    expect(error.message).toBe(`GET /search: it is so-it-is; query.q: too short [${status} so-it-is]`);
    expect(to.exchanges).toHaveLength(1);
  });
});

describe("Retry-After", () => {
  it.each([
    ["in seconds", () => "1"],
    ["as a date", () => new Date(Math.ceil(Date.now() / 1000) * 1000 + 1000).toUTCString()],
  ])("is waited for %s", async (_, wait) => {
    await using to = await way(({ before }) =>
      before === 0 ? problem(429, "rate-limited", { "retry-after": wait() }) : undefined,
    );
    const began = performance.now();
    await clientOf(undefined, {}, to.url).getStats();
    // a second is a second; a date is at least one second ahead, and less than two
    expect(performance.now() - began).toBeGreaterThan(990);
    expect(to.exchanges).toHaveLength(2);
  });

  it("that is too long is told at once, with the seconds", async () => {
    await using to = await way(() => problem(429, "rate-limited", { "retry-after": "31" }));
    const error = await failure(clientOf(undefined, {}, to.url).getStats());
    expect(error).toBeInstanceOf(RateLimitedError);
    expect(error).toMatchObject({ retryAfter: 31, code: "rate-limited" });
    expect(to.exchanges).toHaveLength(1);
  });

  it("that is no time is as good as none", async () => {
    await using to = await way(atFirst(1, problem(503, "database-busy", { "retry-after": "soon" })));
    await clientOf(undefined, {}, to.url).getStats();
    expect(to.exchanges).toHaveLength(2);
  });
});

describe("what changes something", () => {
  const change = (client: NebulaClient) => client.updateInvoiceLinkStatus("some-link", "CANCELED");
  const remove = (client: NebulaClient) => client.deleteInvoiceLink("some-link");

  it.each([
    ["a changed status", "PATCH", "/invoice-links/some-link/status", change],
    ["a deletion", "DELETE", "/invoice-links/some-link", remove],
  ] as const)("is not sent again where it may have been carried out: %s", async (_, method, path, act) => {
    for (const [, fate] of FAULTS.filter(([name]) => !name.startsWith("there are too many"))) {
      await using to = await way(() => fate);
      await failure(act(clientOf(undefined, { apiKey: "ss_x_y" }, to.url)));
      expect(to.of(method, path)).toHaveLength(1);
    }
  });

  it("is sent again where the service did not take it", async () => {
    await using to = await way(({ before }) =>
      before === 0 ? problem(429, "rate-limited", { "retry-after": "0" }) : answer(200, { status: "CANCELED" }),
    );
    expect(await change(clientOf(undefined, { apiKey: "ss_x_y" }, to.url))).toEqual({ status: "CANCELED" });
    expect(to.exchanges).toHaveLength(2);
  });

  it("is sent again where nobody listened", async () => {
    const { url, [Symbol.asyncDispose]: close } = await way();
    await close();
    let asked = 0;
    const client = clientOf(undefined, { maxRetries: 2, fetch: (...sent) => ((asked += 1), fetch(...sent)) }, url);
    expect(await failure(change(client))).toBeInstanceOf(NetworkError);
    expect(asked).toBe(3);
  });

  it("is waited for where the first of two is still running", async () => {
    await using to = await way(({ before }) =>
      before === 0 ? problem(409, "idempotency-running", { "retry-after": "0" }) : answer(201, { slug: "s" }),
    );
    const client = clientOf(undefined, { apiKey: "ss_x_y" }, to.url);
    const wanted = { receiver: "G", amount: 5n, tokenAddress: "C", duration: 5 };
    expect(await client.createInvoiceLink(wanted)).toEqual({ slug: "s" });
    const keys = to.exchanges.map(({ headers }) => headers["idempotency-key"]);
    expect(keys).toHaveLength(2);
    expect(keys[0]).toMatch(/^\d+-\d+-\d+-\d+$/);
    expect(keys[1]).toBe(keys[0]);
  });

  it("is refused where it conflicts", async () => {
    await using to = await way(() => problem(409, "illegal-link-status"));
    expect(await failure(change(clientOf(undefined, { apiKey: "ss_x_y" }, to.url)))).toBeInstanceOf(ConflictError);
    expect(to.exchanges).toHaveLength(1);
  });
});

describe("an abort", () => {
  it("ends a request that is under way, and closes its connection", async () => {
    let closed = (): void => undefined;
    const seen = new Promise<void>((resolve) => (closed = resolve));
    await using to = await way(() => (response) => void response.on("close", closed));
    const controller = new AbortController();
    const error = failure(clientOf(undefined, {}, to.url).getStats({ signal: controller.signal }));
    await to.arrived("GET", "/stats").catch(() => undefined);
    controller.abort(new Error("enough"));
    expect(await error).toBeInstanceOf(NebulaAbortError);
    expect(await error).toMatchObject({ name: "AbortError", cause: { message: "enough" } });
    await seen;
    expect(to.exchanges).toHaveLength(1);
  });

  it("ends an answer that does not end", async () => {
    await using to = await way(() => (response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.write("{");
    });
    const controller = new AbortController();
    const error = failure(clientOf(undefined, {}, to.url).getStats({ signal: controller.signal }));
    await to.arrived("GET", "/stats");
    controller.abort();
    expect(await error).toBeInstanceOf(NebulaAbortError);
  });

  it("ends the wait before another attempt", async () => {
    await using to = await way(() => problem(429, "rate-limited", { "retry-after": "30" }));
    const controller = new AbortController();
    const error = failure(clientOf(undefined, {}, to.url).getStats({ signal: controller.signal }));
    await to.arrived("GET", "/stats");
    const began = performance.now();
    setTimeout(() => controller.abort(), 50);
    expect(await error).toBeInstanceOf(NebulaAbortError);
    expect(performance.now() - began).toBeLessThan(20_000);
    expect(to.exchanges).toHaveLength(1);
  });

  it("ends a list between two pages", async () => {
    const controller = new AbortController();
    const taken: string[] = [];
    const all = async (): Promise<void> => {
      for await (const { id } of clientOf().iterateStreams({ limit: 1 }, { signal: controller.signal })) {
        taken.push(id);
        controller.abort();
      }
    };
    expect(await failure(all())).toBeInstanceOf(NebulaAbortError);
    expect(taken).toHaveLength(1);
  });
});

describe("a time limit", () => {
  it("is for one attempt, and says of which request", async () => {
    await using to = await way(() => silence);
    const error = await failure(clientOf(undefined, { timeout: 100, maxRetries: 1 }, to.url).getSync());
    expect(error).toBeInstanceOf(RequestTimeoutError);
    expect(error).toMatchObject({ code: "timeout", message: "GET /sync: no answer within 100 ms" });
    expect(to.exchanges).toHaveLength(2);
  });

  it("holds for the whole answer", async () => {
    await using to = await way(() => (response) => {
      response.writeHead(200, { "content-type": "application/json" });
      response.write("{");
    });
    const error = await failure(clientOf(undefined, { timeout: 100, maxRetries: 0 }, to.url).getSync());
    expect(error).toBeInstanceOf(RequestTimeoutError);
  });
});

describe("what is sent", () => {
  it("has the client's headers, its query and its body as the API takes them", async () => {
    await using to = await way(() => answer(200, { items: [], nextCursor: null }));
    const client = clientOf(undefined, { headers: { "x-request-id": "mine" }, apiKey: "ss_x_y" }, to.url);
    await client.listStreams({
      status: ["ACTIVE", "PAUSED"],
      contract: "C",
      at: new Date("2026-01-02T03:04:05.678Z"),
      limit: 5,
      q: undefined,
    });
    const [{ path, headers }] = to.exchanges as [Exchange];
    expect(path).toBe("/streams?status=ACTIVE&status=PAUSED&contract=C&at=2026-01-02T03%3A04%3A05Z&limit=5");
    expect(headers).toMatchObject({ accept: "application/json", "x-request-id": "mine", "x-api-key": "ss_x_y" });
    expect(headers.authorization).toBeUndefined();
  });

  it("has no more than one credential: a token rather than a key", async () => {
    await using to = await way(() => answer(200, {}));
    const client = clientOf(undefined, { apiKey: "ss_x_y", token: "t" }, to.url);
    await client.getStats();
    client.logout();
    await client.getStats();
    client.setApiKey(null);
    await client.getStats();
    client.setAuthToken("u");
    await client.getStats();
    const sent = to.exchanges.map(({ headers }) => [headers.authorization, headers["x-api-key"]]);
    expect(sent).toEqual([
      ["Bearer t", undefined],
      [undefined, "ss_x_y"],
      [undefined, undefined],
      ["Bearer u", undefined],
    ]);
  });

  it("goes through the fetch that is given, which is called as a plain function", async () => {
    const plain = async function (this: unknown, input: unknown): Promise<Response> {
      expect(this).toBeUndefined();
      expect(String(input)).toBe("https://api.example.org/under/api/v1/stats");
      return new Response("{}");
    } as typeof fetch;
    expect(await clientOf(undefined, { fetch: plain }, "https://api.example.org/under/").getStats()).toEqual({});
  });
});

describe("JSON that is another thing than was asked for", () => {
  it.each<[string, (client: NebulaClient) => Promise<unknown>]>([
    ["a page", (client) => client.getStreams("G")],
    ["a history", (client) => client.getStreamHistory("C-1")],
    ["a challenge", (client) => client.login()],
    ["a link to pay", (client) => client.payInvoiceLink("slug")],
    [
      "a transaction to sign",
      (client) => client.createStream({ receiver: "G", amount: 1n, tokenAddress: "C", duration: 1 }),
    ],
    ["what became of a transaction", (client) => client.submitTransaction("AAAA")],
  ])("is told: %s", async (_, call) => {
    await using to = await way(() => answer(200, { hello: "world" }));
    const signer = { publicKey: "G", signTransaction: () => "AAAA" };
    const error = await failure(call(clientOf(signer, { maxRetries: 0 }, to.url)));
    expect(error).toBeInstanceOf(BadResponseError);
    expect(error).toMatchObject({ code: "bad-response" });
  });

  it("is told where the service is elsewhere now", async () => {
    await using to = await way(({ path }) =>
      path === "/stats" ? answer(302, "", { location: `${SERVICE}/api/v1/streams` }) : undefined,
    );
    expect(await failure(clientOf(undefined, {}, to.url).getStats())).toMatchObject({
      status: 302,
      code: "http-error",
    });
    expect(to.exchanges).toHaveLength(1);
  });
});

describe("the way to the service", () => {
  it.each([
    "",
    "api.example.org",
    "ftp://example.org",
    "https://user:secret@example.org",
    "https://example.org?token=secret",
    "https://example.org/#secret",
    "javascript:alert(1)",
  ])("is refused where it is %s, which is not repeated", (url) => {
    const error = (() => {
      try {
        return new NebulaClient(url);
      } catch (error) {
        return error;
      }
    })();
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error).toMatchObject({ code: "bad-configuration" });
    expect(String(error)).not.toContain("secret");
    expect((error as ConfigurationError).cause).toBeUndefined();
  });

  it("may be a URL", async () => {
    expect((await new NebulaClient(new URL(SERVICE)).getSync()).network).toBe("sandbox");
  });

  it.each([{ timeout: Number.NaN }, { timeout: -1 }, { maxRetries: -1 }, { confirmTimeout: Number.NaN }])(
    "has numbers that are some: %o",
    (options) => {
      expect(() => new NebulaClient(SERVICE, options)).toThrow(ConfigurationError);
    },
  );
});
