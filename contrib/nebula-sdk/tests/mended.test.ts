/** No payment twice, no account but the one that was meant, no secret in an error: whatever answers or is asked. */
import { inspect } from "node:util";
import { Keypair } from "@stellar/stellar-sdk";
import { afterAll, beforeAll, describe, expect, it as base } from "vitest";
import {
  BadResponseError,
  ConfigurationError,
  InvalidAmountError,
  NebulaAbortError,
  NebulaClient,
  PaymentUnderWayError,
  type Signer,
  SigningError,
  TransactionPendingError,
  UnprocessableError,
} from "../src/index.js";
import { isSame } from "../src/signing.js";
import { answer, type Exchange, problem, silence, way } from "./proxy.js";
import { type Account, account, clientOf, failure, patiently, SERVICE, terms, USDC, V1 } from "./service.js";

let payee: Account;
const unhandled: unknown[] = [];
const note = (error: unknown): void => void unhandled.push(error);
beforeAll(async () => {
  process.on("unhandledRejection", note);
  payee = await account();
});
afterAll(() => {
  process.off("unhandledRejection", note);
  expect(unhandled).toEqual([]);
});
const it = base.extend<{ payer: Account; other: Account }>({
  payer: async ({}, use) => use(await account()),
  other: async ({}, use) => use(await account()),
});

const isHandIn = ({ method, path }: Exchange): boolean => method === "POST" && path === "/transactions";
const isLogin = (xdr: string): boolean => Buffer.from(xdr, "base64").readBigInt64BE(44) === 0n;
const link = { receiver: "", amount: "20000000", tokenAddress: USDC, duration: 60 };
const expired = problem(401, "token-expired");

describe.concurrent("once it is signed", () => {
  it("a token that runs out while it waits is in nobody's way", async ({ payer }) => {
    const token = await clientOf(payer).login();
    let over = false;
    await using to = await way((one) => {
      if (isHandIn(one)) return void (over = true);
      return over && one.headers.authorization ? expired : undefined;
    });
    const client = clientOf(payer, { token }, to.url);
    const stream = await patiently(() => ((over = false), client.createStream(terms(payee.publicKey))));
    expect(stream.sender).toBe(payer.publicKey);
    expect((await clientOf().getStreams(payer.publicKey)).length).toBe(1);
  });

  it.for([
    ["a proxy forbids to hand it in again", answer(403, "<html>"), "PermissionDeniedError"],
    ["the service has too much to do for long", problem(429, "rate-limited", { "retry-after": "60" }), "RateLimitedError"],
    ["the login is over and the wallet refuses another", expired, "SigningError"],
    ["the service refuses it then", problem(422, "simulation-failed"), "UnprocessableError"],
  ] as const)("its answer is lost and %s: it is pending", async ([, fate, cause], { payer }) => {
    await using to = await way((one) => (isHandIn(one) ? (one.before === 0 ? "lost" : fate) : undefined));
    let logins = 0;
    const wallet: Signer = {
      publicKey: payer.publicKey,
      signTransaction: (xdr, options) => {
        if (isLogin(xdr) && ++logins > 1) throw new Error("no");
        return payer.signTransaction(xdr, options);
      },
    };
    const client = clientOf(wallet, {}, to.url);
    const error = (await failure(patiently(() => client.createStream(terms(payee.publicKey))))) as TransactionPendingError;
    expect(error).toBeInstanceOf(TransactionPendingError);
    expect(error.cause).toMatchObject({ name: cause });
    expect(error.signedXdr).toBeTruthy();
    expect((await clientOf().waitForTransaction(error.txHash)).status).toBe("SUCCESS");
  });

  it("a proxy that sends elsewhere leaves it pending", async ({ payer }) => {
    await using to = await way(({ method, path }) =>
      method === "GET" && path.startsWith("/transactions/") ? answer(302, "", { location: "/" }) : undefined,
    );
    const client = clientOf(payer, {}, to.url);
    const error = await failure(patiently(() => client.createStream(terms(payee.publicKey))));
    expect(error).toMatchObject({ code: "transaction-pending", cause: { status: 302 } });
  });

  it("an answer without its stream leaves it pending", async ({ payer }) => {
    await using to = await way(({ path }) =>
      path.startsWith("/transactions/") ? { edited: (body) => ({ ...body, streamIds: [] }) } : undefined,
    );
    const client = clientOf(payer, {}, to.url);
    const error = await failure(patiently(() => client.createStream(terms(payee.publicKey))));
    expect(error).toMatchObject({ code: "transaction-pending", cause: expect.any(BadResponseError) });
  });

  it("a first refusal by the service stays what it is", async ({ payer }) => {
    await using to = await way((one) => (isHandIn(one) ? problem(422, "not-simulated") : undefined));
    const error = await failure(patiently(() => clientOf(payer, {}, to.url).createStream(terms(payee.publicKey))));
    expect(error).toBeInstanceOf(UnprocessableError);
  });

  it("an abort has what is needed to go on, and prints none of it", async ({ payer }) => {
    await using to = await way((one) => (isHandIn(one) ? silence : undefined));
    const leaving = new AbortController();
    void to.arrived("POST", "/transactions").then(() => leaving.abort());
    const client = clientOf(payer, {}, to.url);
    const error = (await failure(
      patiently(() => client.createStream(terms(payee.publicKey), { signal: leaving.signal })),
    )) as NebulaAbortError;
    expect(error).toBeInstanceOf(NebulaAbortError);
    expect(Date.parse(error.validUntil ?? "")).toBeGreaterThan(Date.now());
    expect(inspect(error, { showHidden: true })).not.toContain(error.signedXdr);
    await clientOf(payer).submitTransaction(error.signedXdr ?? "");
    expect((await clientOf().waitForTransaction(error.txHash ?? "")).status).toBe("SUCCESS");
  });
});

describe.concurrent("transactions of one account at the same time", () => {
  it("take turns: equal terms make as many streams", async ({ payer }) => {
    const client = clientOf(payer);
    const one = (): Promise<unknown> => patiently(() => client.createStream(terms(payee.publicKey)));
    const made = await Promise.all([one(), one()]);
    expect(new Set(made.map((stream) => (stream as { id: string }).id)).size).toBe(2);
  });

  it("end at once where one is aborted in the queue, and the next goes on", async ({ payer }) => {
    const wallet: Signer = { publicKey: payer.publicKey, signTransaction: () => new Promise<string>(() => undefined) };
    const client = clientOf(wallet, { token: await clientOf(payer).login() });
    const first = new AbortController();
    const asked = new AbortController();
    const one = failure(client.createStream(terms(payee.publicKey), { signal: first.signal }));
    const two = failure(client.createStream(terms(payee.publicKey), { signal: asked.signal }));
    const three = patiently(() => client.createStream(terms(payee.publicKey), { signer: payer }));
    asked.abort();
    expect(await two).toMatchObject({ code: "aborted", txHash: undefined });
    first.abort();
    expect(await one).toBeInstanceOf(NebulaAbortError);
    expect((await three).sender).toBe(payer.publicKey);
  });
});

describe.concurrent("who acts", () => {
  it("is the account that the call names, whichever acted before", async ({ payer, other }) => {
    const both: Signer = {
      signTransaction: (xdr, options) => (options.address === other.publicKey ? other : payer).signTransaction(xdr, options),
    };
    const client = clientOf(both);
    const make = async ({ publicKey: account }: Account): Promise<string> =>
      (await client.createInvoiceLink({ ...link, receiver: account }, { account })).sender;
    expect([await make(payer), await make(other), await make(payer)]).toEqual([
      payer.publicKey,
      other.publicKey,
      payer.publicKey,
    ]);
  });

  it("stays the same when the login is over", async ({ payer, other }) => {
    await using to = await way((one) =>
      one.method === "POST" && one.path === "/invoice-links" && one.before === 0 ? expired : undefined,
    );
    const client = clientOf(payer, {}, to.url);
    await client.login(other);
    const made = await client.createInvoiceLink({ ...link, receiver: other.publicKey });
    expect(made.sender).toBe(other.publicKey);
  });

  it("signs nothing that is another's: the wallet is not asked", async ({ payer, other }) => {
    let asked = 0;
    const wallet: Signer = { publicKey: other.publicKey, signTransaction: (xdr) => ((asked += 1), xdr) };
    const client = clientOf(wallet, { token: await clientOf(payer).login() });
    const error = await failure(patiently(() => client.createStream(terms(payee.publicKey))));
    expect(error).toBeInstanceOf(SigningError);
    expect(asked).toBe(0);
  });

  it("is nobody after logout, though the wallet's prompt was open", async ({ payer }) => {
    let answered = (): void => undefined;
    let opened = (): void => undefined;
    const open = new Promise<void>((resolve) => (opened = resolve));
    let asked = 0;
    const slow: Signer = {
      publicKey: payer.publicKey,
      signTransaction: async (xdr, options) => {
        if (++asked === 1) {
          opened();
          await new Promise<void>((resolve) => (answered = resolve));
        }
        return payer.signTransaction(xdr, options);
      },
    };
    const client = clientOf(slow);
    const login = client.login();
    await open;
    client.logout();
    answered();
    await login;
    await client.listInvoiceLinks();
    expect(asked).toBe(2);
  });

  it("is not asked after an abort, and nothing is left unhandled", async ({ payer }) => {
    let asked = 0;
    const wallet: Signer = { getAddress: () => ((asked += 1), payer.publicKey), signTransaction: (xdr) => ((asked += 1), xdr) };
    const signal = AbortSignal.abort();
    expect(await failure(clientOf(wallet).login(wallet, { signal }))).toBeInstanceOf(NebulaAbortError);
    expect(await failure(clientOf(wallet).listInvoiceLinks({}, { signal }))).toBeInstanceOf(NebulaAbortError);
    await using to = await way(() => silence);
    const leaving = new AbortController();
    const login = failure(clientOf(wallet, {}, to.url).login(wallet, { signal: leaving.signal }));
    await to.arrived("GET", "/auth");
    expect(asked).toBe(1); // for its address
    leaving.abort();
    expect(await login).toBeInstanceOf(NebulaAbortError);
    expect(await failure(clientOf(payer, { maxRetries: 0 }, "http://127.0.0.1:9").login(payer, { signal }))).toMatchObject({
      code: "aborted",
    });
    expect(asked).toBe(1);
  });
});

describe("what a client is given", () => {
  it.for([
    ["token", { token: "SECRET\nx" }],
    ["apiKey", { apiKey: "SECRET…" }],
    ["a header", { headers: { "x-own": "SECRET\r\nx: y" } }],
    ["a header's name", { headers: { "x own": "SECRET" } }],
  ] as const)("is refused as %s that no header may have, and not shown", ([, options]) => {
    const error = ((): unknown => {
      try {
        return new NebulaClient(SERVICE, options);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(inspect(error)).not.toContain("SECRET");
  });

  it("is refused as idempotencyKey, too", async ({ payer }) => {
    const idempotencyKey = "SECRET\nx";
    const error = await failure(clientOf(payer).createInvoiceLink({ ...link, receiver: payer.publicKey }, { idempotencyKey }));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(inspect(error)).not.toContain("SECRET");
  });

  it.for(["timeout", "confirmTimeout", "maxRetries"] as const)("is a number of sense as %s", (name) => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1]) {
      expect(() => new NebulaClient(SERVICE, { [name]: value })).toThrow(ConfigurationError);
    }
  });

  it("is one for a call, too, before anything is signed; and the longest is no overflow", async ({ payer }) => {
    const client = clientOf(payer);
    expect(await failure(client.getStats({ timeout: Number.NaN }))).toBeInstanceOf(ConfigurationError);
    expect((await client.getStats({ timeout: 2 ** 40 })).streams).toBeDefined();
    const wanted = client.createStream(terms(payee.publicKey), { confirmTimeout: -1 });
    expect(await failure(wanted)).toBeInstanceOf(ConfigurationError);
    expect(await failure(client.watchEvents({}, { silence: Number.POSITIVE_INFINITY }).next())).toBeInstanceOf(
      ConfigurationError,
    );
    const filter = { since: "x" } as object;
    expect(await failure(client.watchEvents(filter).next())).toBeInstanceOf(ConfigurationError);
    for (const amount of ["0", "007", 0n]) {
      expect(await failure(client.createStream(terms(payee.publicKey, { amount })))).toBeInstanceOf(InvalidAmountError);
    }
    expect(inspect(client)).toContain("NebulaClient");
  });
});

describe("an answer of another shape is told as one", () => {
  const me = Keypair.random().publicKey();
  it.for<[string, unknown, (client: NebulaClient) => Promise<unknown>]>([
    ["a list of null", { items: null, nextCursor: null }, (client) => client.getStreams(me)],
    ["a page without items", {}, (client) => client.listStreams()],
    ["a list for a stream", [], (client) => client.getStream("1")],
    ["a history without events", {}, (client) => client.getStreamHistory("1")],
    ["a search without items", {}, (client) => client.search("1")],
    ["no transaction", { transaction: null }, (client) => client.createStream(terms(me))],
    ["a part of one", { transaction: { xdr: 5 } }, (client) => client.createStream(terms(me))],
    ["a challenge of another kind", { transaction: "AAAA" }, (client) => client.login()],
    ["a list that goes on where it was", { items: [], nextCursor: "same" }, (client) => client.getStreams(me)],
  ])("%s", async ([, body, act]) => {
    await using to = await way(() => answer(200, body));
    const client = clientOf({ publicKey: me, signTransaction: (xdr) => xdr }, { token: "t", maxRetries: 0 }, to.url);
    expect(await failure(act(client))).toBeInstanceOf(BadResponseError);
  });

  it("fields that are none are none", async () => {
    await using to = await way(() => problem(422, "so-it-is", {}, { errors: null }));
    expect(await failure(clientOf(undefined, {}, to.url).getStats())).toMatchObject({ code: "so-it-is", errors: [] });
  });

  it("nothing is the same as what cannot be read", () => {
    expect(isSame("no XDR!", "AAAAAgAAAAA=")).toBe(false);
  });
});

it("a link that another pays while the wallet is open is not paid as well", async ({ payer, other }) => {
  const owner = clientOf(payee);
  const { slug } = await owner.createInvoiceLink({ ...link, receiver: payee.publicKey });
  await using to = await way();
  const slow: Signer = {
    publicKey: payer.publicKey,
    signTransaction: async (xdr, options) => {
      await patiently(() => clientOf(other).payInvoiceLink(slug));
      return payer.signTransaction(xdr, options);
    },
  };
  let told = 0;
  const paying = clientOf(slow, {}, to.url).payInvoiceLink(slug, { onSubmitted: () => void (told += 1) });
  expect(await failure(paying)).toBeInstanceOf(PaymentUnderWayError);
  expect(to.of("POST", `/invoice-links/${slug}/submit`)).toEqual([]);
  expect(told).toBe(0);
});

describe.concurrent("a link that another pays in the same moment", () => {
  const underWay = (more?: object): ReturnType<typeof problem> => problem(409, "payment-under-way", {}, more);
  const open = async (): Promise<string> =>
    // of a contract that is never paused: nobody waits for the other in vain
    (await clientOf(payee).createInvoiceLink({ ...link, contractId: V1, receiver: payee.publicKey })).slug;

  it.for([[{ txHash: "ab".repeat(32) }, "ab".repeat(32)], [{}, "unknown"]] as const)(
    "is not paid as well: the service took nothing, and says so with %o",
    async ([more, txHash], { payer }) => {
      const slug = await open();
      await using to = await way(({ path }) => (path.endsWith("/submit") ? underWay(more) : undefined));
      const error = await failure(patiently(() => clientOf(payer, {}, to.url).payInvoiceLink(slug)));
      expect(error).toBeInstanceOf(PaymentUnderWayError);
      expect(error).toMatchObject({ slug, txHash, cause: { name: "ConflictError", status: 409 } });
      const submissions = to.of("POST", `/invoice-links/${slug}/submit`);
      expect(submissions.map(({ body }) => (JSON.parse(body) as { alone: boolean }).alone)).toEqual([true]);
      expect((await clientOf().getInvoiceLink(slug)).status).toBe("DRAFT");
    },
  );

  it("may be paid where an answer was lost before", async ({ payer }) => {
    const slug = await open();
    await using to = await way((one) =>
      one.path.endsWith("/submit") ? (one.before === 0 ? "lost" : underWay()) : undefined,
    );
    const error = (await failure(
      patiently(() => clientOf(payer, {}, to.url).payInvoiceLink(slug)),
    )) as TransactionPendingError;
    expect(error).toMatchObject({ code: "transaction-pending", cause: { code: "payment-under-way" } });
    expect((await clientOf().waitForTransaction(error.txHash)).status).toBe("SUCCESS");
  });

  it("is paid by one of two", async ({ payer, other }) => {
    const slug = await open();
    // both are signed before either is handed in
    const ready: (() => void)[] = [];
    const onSubmitted = (): Promise<void> =>
      new Promise((go) => {
        ready.push(go);
        if (ready.length === 2) for (const next of ready) next();
      });
    const both = await Promise.allSettled(
      [payer, other].map((one) => clientOf(one).payInvoiceLink(slug, { onSubmitted })),
    );
    const refused = both.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
    const { txHash } = await clientOf().getInvoiceLink(slug);
    expect(refused).toMatchObject([{ code: "payment-under-way", slug, txHash }]);
  });

  it("is paid all the same where that is wanted", async ({ payer }) => {
    const slug = await open();
    await using to = await way();
    await patiently(() => clientOf(payer, {}, to.url).payInvoiceLink(slug, { allowAnother: true }));
    const submissions = to.of("POST", `/invoice-links/${slug}/submit`);
    expect((JSON.parse(submissions.at(-1)?.body ?? "") as { alone: boolean }).alone).toBe(false);
  });
});

it("a payment that is pending says until when not to pay again", () => {
  const { message } = new TransactionPendingError({ txHash: "ab", validUntil: "2026-11-29T12:00:00Z" });
  expect(message).toMatch(/do not pay again before 2026-11-29T12:00:00Z$/);
  expect(new TransactionPendingError({ txHash: "ab" }).message).toMatch(/do not pay again before it is known to have failed$/);
});

it("an option that there is not, or half a repetition, is refused", () => {
  const make = (options: object) => (): unknown => new NebulaClient(SERVICE, options);
  expect(make({ maxRetires: 1 })).toThrow(/no option: maxRetires/);
  expect(make({ maxRetries: 1.5 })).toThrow(/maxRetries is a whole number, 0 or more/);
  expect(make({ maxRetries: 1.5 })).toThrow(ConfigurationError);
  const all = { signer: null, apiKey: null, token: null, timeout: 1.5, confirmTimeout: 1.5, maxRetries: 0, fetch };
  expect(make({ ...all, networkPassphrase: undefined, headers: {}, autoLogin: true })).not.toThrow();
});

it("arguments that are no objects are the TypeError of the platform, and nothing is sent", async ({ payer }) => {
  await using to = await way();
  const client = clientOf(payer, {}, to.url);
  expect(await failure(client.createStream(null as never))).toBeInstanceOf(TypeError);
  expect(await failure(client.createInvoiceLink(undefined as never))).toBeInstanceOf(TypeError);
  expect(to.exchanges).toEqual([]);
});
