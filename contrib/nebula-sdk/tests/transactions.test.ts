/** Transactions: whatever goes wrong between a signature and its ledger, it happens once, and its fate is known. */
import { inspect } from "node:util";
import { beforeAll, describe, expect, it as base } from "vitest";
import {
  NebulaAbortError,
  type NebulaClient,
  NetworkError,
  NotFoundError,
  type Signer,
  SignerMissingError,
  SigningError,
  type Submission,
  TransactionFailedError,
  TransactionMismatchError,
  TransactionPendingError,
  UnprocessableError,
} from "../src/index.js";
import { answer, broken, cut, type Exchange, problem, silence, way } from "./proxy.js";
import { type Account, account, clientOf, failure, patiently, terms } from "./service.js";

let payee: Account;
beforeAll(async () => {
  payee = await account();
});
// an account for each: they run side by side, and what is left of one is nothing to another
const it = base.extend<{ payer: Account }>({
  payer: async ({}, use) => use(await account()),
});

const create = (client: NebulaClient, options: Parameters<NebulaClient["createStream"]>[1] = {}) =>
  patiently(() => client.createStream(terms(payee.publicKey), options));
const isSubmission = ({ method, path }: Exchange): boolean => method === "POST" && path === "/transactions";
const isLook = ({ method, path }: Exchange): boolean => method === "GET" && path.startsWith("/transactions/");
/** Whatever the wallet is asked for but logins. */
const signing = (payer: Account, signTransaction: Signer["signTransaction"]): Signer => ({
  publicKey: payer.publicKey,
  signTransaction: (xdr, options) =>
    // a login has the sequence number 0
    Buffer.from(xdr, "base64").readBigInt64BE(44) === 0n
      ? payer.signTransaction(xdr, options)
      : signTransaction(xdr, options),
});
const created = async (payer: Account) => (await clientOf().getStreams(payer.publicKey)).map(({ txHash }) => txHash);

describe.concurrent("an answer to the submission that is lost", () => {
  it("has the same envelope handed in again, and the stream is created once", async ({ payer }) => {
    await using to = await way((one) => (isSubmission(one) && one.before < 2 ? "lost" : undefined));
    let asked = 0;
    const wallet = signing(payer, (...given) => ((asked += 1), payer.signTransaction(...given)));
    const stream = await create(clientOf(wallet, {}, to.url));
    const bodies = to.of("POST", "/transactions").map(({ body }) => body);
    expect(bodies).toHaveLength(3);
    expect(new Set(bodies).size).toBe(1);
    expect(asked).toBe(1);
    expect(await created(payer)).toEqual([stream.txHash]);
  });

  it.for([
    ["cut off", cut],
    ["a proxy's", answer(502, "<html>")],
    ["an overloaded service's", problem(503, "database-busy", { "retry-after": "0" })],
    ["that of a service which takes no more just now", problem(429, "too-many-pending", { "retry-after": "0" })],
  ] as const)("or is %s, too", async ([, fate], { payer }) => {
    await using to = await way((one) => (isSubmission(one) && one.before === 0 ? fate : undefined));
    const stream = await create(clientOf(payer, {}, to.url));
    expect(to.of("POST", "/transactions")).toHaveLength(2);
    expect(await created(payer)).toEqual([stream.txHash]);
  });

  it("every time ends with what is needed to go on, and going on creates it once", async ({ payer }) => {
    await using to = await way((one) => (isSubmission(one) ? "lost" : undefined));
    const error = (await failure(create(clientOf(payer, { maxRetries: 1 }, to.url)))) as TransactionPendingError;
    expect(error).toBeInstanceOf(TransactionPendingError);
    expect(error).toMatchObject({
      code: "transaction-pending",
      cause: expect.any(NetworkError),
      transaction: undefined,
    });
    expect(Date.parse(error.validUntil ?? "")).toBeGreaterThan(Date.now());

    const client = clientOf(payer);
    expect(await client.submitTransaction(error.signedXdr ?? "")).toMatchObject({ txHash: error.txHash });
    expect(await client.waitForTransaction(error.txHash)).toMatchObject({ status: "SUCCESS", txHash: error.txHash });
    expect(await client.submitTransaction(error.signedXdr ?? "")).toMatchObject({ status: "SUCCESS" });
    expect(await created(payer)).toEqual([error.txHash]);
  });

  it("of a submission that never arrived ends alike, and going on creates it", async ({ payer }) => {
    await using to = await way((one) => (isSubmission(one) ? broken : undefined));
    const error = (await failure(create(clientOf(payer, { maxRetries: 1 }, to.url)))) as TransactionPendingError;
    expect(error).toBeInstanceOf(TransactionPendingError);
    expect(await created(payer)).toEqual([]);
    const client = clientOf(payer);
    await client.submitTransaction(error.signedXdr ?? "");
    await client.waitForTransaction(error.txHash);
    expect(await created(payer)).toEqual([error.txHash]);
  });

  it("shows what was signed in no message, and nowhere where the error is printed", async ({ payer }) => {
    await using to = await way((one) => (isSubmission(one) ? broken : undefined));
    const error = (await failure(create(clientOf(payer, { maxRetries: 0 }, to.url)))) as TransactionPendingError;
    const { signedXdr = "" } = error;
    expect(signedXdr.length).toBeGreaterThan(100);
    const shown = `${inspect(error, { depth: 20, showHidden: true })}${JSON.stringify(error)}${error.stack}`;
    expect(shown).not.toContain(signedXdr.slice(0, 60));
    expect(shown).toContain(error.txHash);
  });
});

describe.concurrent("a crash after the signature", () => {
  it("loses nothing to whom kept what onSubmitted was told", async ({ payer }) => {
    let kept: Submission | undefined;
    const crash = new Error("crashed");
    const error = await failure(
      create(clientOf(payer), {
        onSubmitted: async (submission) => {
          await Promise.resolve();
          kept = submission;
          throw crash;
        },
      }),
    );
    expect(error).toBe(crash);
    expect(await failure(clientOf().getTransaction(kept?.txHash ?? ""))).toBeInstanceOf(NotFoundError);
    const client = clientOf(payer);
    await client.submitTransaction(kept?.signedXdr ?? "");
    const done = await client.waitForTransaction(kept?.txHash ?? "");
    expect((await client.getStream(done.streamIds?.[0] ?? "")).sender).toBe(payer.publicKey);
  });
});

describe.concurrent("a wallet", () => {
  it("that answers { signedTxXdr } is understood", async ({ payer }) => {
    const wallet = signing(payer, async (...given) => ({
      signedTxXdr: (await payer.signTransaction(...given)) as string,
    }));
    expect(await create(clientOf(wallet))).toMatchObject({ sender: payer.publicKey });
  });

  it("is told the network, and the account that is logged in", async ({ payer }) => {
    const told: unknown[] = [];
    const wallet = signing(payer, (xdr, options) => (told.push(options), payer.signTransaction(xdr, options)));
    await create(clientOf(wallet));
    expect(told).toEqual([{ networkPassphrase: expect.stringContaining("Sandbox"), address: payer.publicKey }]);
  });

  it("that refuses ends it, and nothing is handed in", async ({ payer }) => {
    await using to = await way();
    const wallet = signing(payer, () => Promise.reject(new Error("The user said no.")));
    const error = await failure(create(clientOf(wallet, {}, to.url)));
    expect(error).toBeInstanceOf(SigningError);
    expect(error).toMatchObject({ code: "signing-refused", cause: { message: "The user said no." } });
    expect(to.of("POST", "/transactions")).toEqual([]);
  });

  it.for<[string, (payer: Account) => Signer["signTransaction"]]>([
    [
      "another transaction",
      (payer) =>
        async (...given) => {
          // what it was asked for before, say
          const before: Submission[] = [];
          const stop = new Error("stop");
          await failure(
            clientOf(payer).createStream(terms(payee.publicKey, { amount: "1000000" }), {
              onSubmitted: (submission) => {
                before.push(submission);
                throw stop;
              },
            }),
          );
          expect(given[0]).not.toBe(before[0]?.signedXdr);
          return before[0]?.signedXdr ?? "";
        },
    ],
    ["no transaction at all", () => async () => "AAAA"],
    ["what is no base64", () => async () => "signed!"],
  ])("that gives back %s ends it, and nothing is handed in", async ([, sign], { payer }) => {
    await using to = await way();
    const error = await failure(create(clientOf(signing(payer, sign(payer)), {}, to.url)));
    expect(error).toBeInstanceOf(TransactionMismatchError);
    expect(error).toMatchObject({
      code: "transaction-mismatch",
      expected: expect.stringMatching(/^[0-9a-f]{64}$/),
      txHash: undefined,
    });
    expect(to.of("POST", "/transactions")).toEqual([]);
    expect(await created(payer)).toEqual([]);
  });

  it("that signs with another key is refused by the service", async ({ payer }) => {
    const error = await failure(create(clientOf(signing(payer, (...given) => payee.signTransaction(...given)))));
    expect(error).toBeInstanceOf(UnprocessableError);
    expect(error).toMatchObject({ code: expect.stringMatching(/^(envelope-unsigned|wrong-signer)$/) });
  });

  it("that is missing is told before anything is asked", async () => {
    await using to = await way();
    expect(await failure(create(clientOf(undefined, { token: "t" }, to.url)))).toBeInstanceOf(SignerMissingError);
    expect(await failure(clientOf(undefined, {}, to.url).payInvoiceLink("slug"))).toBeInstanceOf(SignerMissingError);
    expect(to.exchanges).toEqual([]);
  });
});

it("another hash than that of what was built is told", async ({ payer }) => {
  const txHash = "ab".repeat(32);
  await using to = await way((one) => (isSubmission(one) ? answer(202, { txHash, status: "PENDING" }) : undefined));
  const error = await failure(create(clientOf(payer, {}, to.url)));
  expect(error).toBeInstanceOf(TransactionMismatchError);
  expect(error).toMatchObject({ txHash, expected: expect.not.stringContaining(txHash) });
});

describe.concurrent("a transaction that fails", () => {
  it("in a ledger says why", async ({ payer }) => {
    const stream = await create(clientOf(payer));
    // when it is handed in there is nothing any more
    const onSubmitted = async (): Promise<void> => {
      await patiently(() => clientOf(payer).cancelStream({ streamId: stream.id }));
    };
    const error = (await failure(
      patiently(() => clientOf(payee).withdrawFromStream({ streamId: stream.id }, { onSubmitted })),
    )) as TransactionFailedError;
    expect(error).toBeInstanceOf(TransactionFailedError);
    expect(error).toMatchObject({
      code: "transaction-failed",
      reason: "INVOKE_HOST_FUNCTION_TRAPPED",
      ledger: expect.any(Number),
      txHash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(error.message).toContain(error.txHash);
  });

  it("because another one had its sequence number says so", async ({ payer }) => {
    const error = (await failure(
      create(clientOf(payer), {
        onSubmitted: async () => {
          // with other terms, or it would be the very same transaction
          await patiently(() => clientOf(payer).createStream(terms(payee.publicKey, { amount: "7000000" })));
        },
      }),
    )) as TransactionFailedError;
    expect(error).toBeInstanceOf(TransactionFailedError);
    expect(error).toMatchObject({ reason: "txBAD_SEQ", ledger: undefined });
    expect(await created(payer)).toHaveLength(1);
  });

  it("is told to who waits for it, too", async () => {
    const error = { code: "expired", detail: "its time was over" };
    await using to = await way((one) =>
      isLook(one) ? answer(200, { txHash: "x", status: "FAILED", error }) : undefined,
    );
    const told = await failure(clientOf(undefined, {}, to.url).waitForTransaction("x"));
    expect(told).toMatchObject({ name: "TransactionFailedError", reason: "expired", detail: error.detail });
  });
});

describe.concurrent("waiting", () => {
  it("goes on over whatever passes by itself", async ({ payer }) => {
    const faults = [
      broken,
      cut,
      problem(404, "transaction-not-found"),
      problem(503, "database-busy"),
      answer(502, ""),
      problem(429, "rate-limited", { "retry-after": "0" }),
    ];
    await using to = await way((one) => (isLook(one) ? faults[one.before] : undefined));
    const stream = await create(clientOf(payer, {}, to.url));
    expect(to.of("GET", `/transactions/${stream.txHash}`).length).toBeGreaterThan(faults.length);
  });

  it("ends at confirmTimeout with what is needed to go on, and can go on", async ({ payer }) => {
    const error = (await failure(create(clientOf(payer), { confirmTimeout: 0 }))) as TransactionPendingError;
    expect(error).toBeInstanceOf(TransactionPendingError);
    expect(error.signedXdr).toMatch(/^AAAA/);
    const done = await clientOf().waitForTransaction(error.txHash);
    expect(done.streamIds).toHaveLength(1);
  });

  it("ends at confirmTimeout where the service says nothing any more", async ({ payer }) => {
    await using to = await way((one) => (isLook(one) ? silence : undefined));
    const client = clientOf(payer, { confirmTimeout: 700 }, to.url);
    expect(await failure(create(client))).toMatchObject({
      name: "TransactionPendingError",
      cause: { code: "timeout" },
    });
    expect(await failure(client.waitForTransaction("ab".repeat(32), { confirmTimeout: 300 }))).toMatchObject({
      name: "TransactionPendingError",
      signedXdr: undefined,
    });
  });

  it("tells of a transaction that nobody knows, when its time is over", async () => {
    const hash = "cd".repeat(32);
    const error = await failure(clientOf().waitForTransaction(hash, { confirmTimeout: 600 }));
    expect(error).toMatchObject({ name: "TransactionPendingError", txHash: hash });
    // the last look of all may take too long where the machine is busy
    expect(["NotFoundError", "RequestTimeoutError"]).toContain((error as { cause: Error }).cause.name);
  });

  it("does not begin where there is no such hash", async () => {
    expect(await failure(clientOf().waitForTransaction("no-hash"))).toMatchObject({
      status: 400,
      code: "invalid-parameter",
    });
    expect(await failure(clientOf().getTransaction("ef".repeat(32)))).toMatchObject({ code: "transaction-not-found" });
  });

  it("ends at once where nobody can find out any more", async () => {
    const error = { code: "undecided", detail: "" };
    await using to = await way((one) =>
      isLook(one) ? answer(200, { txHash: "x", status: "PENDING", error }) : undefined,
    );
    const told = await failure(clientOf(undefined, {}, to.url).waitForTransaction("x"));
    expect(told).toMatchObject({ name: "TransactionPendingError", transaction: { error } });
    expect(to.exchanges).toHaveLength(1);
  });

  it("is not over before its streams can be read", async ({ payer }) => {
    await using to = await way((one) =>
      isLook(one) && one.before === 0 ? answer(200, { txHash: "x", status: "SUCCESS", ledger: 7 }) : undefined,
    );
    const stream = await create(clientOf(payer, {}, to.url));
    expect(to.of("GET", `/transactions/${stream.txHash}`).length).toBeGreaterThan(1);
  });
});

describe.concurrent("the stream that is returned", () => {
  it("is none from before the transaction", async ({ payer }) => {
    const old: number[] = [];
    await using to = await way(({ method, path, before }) => {
      if (method !== "GET" || !path.startsWith("/streams/") || before > 1) return undefined;
      old.push(before);
      return before === 0 ? problem(404, "stream-not-found") : answer(200, { asOfLedger: 1, status: "ACTIVE" });
    });
    const stream = await create(clientOf(payer, {}, to.url));
    expect(old).toEqual([0, 1]);
    expect(stream.asOfLedger).toBeGreaterThanOrEqual(stream.createdLedger);
  });

  it("may take too long, and then the transaction is known all the same", async ({ payer }) => {
    await using to = await way(({ method, path }) =>
      method === "GET" && path.startsWith("/streams/") ? answer(200, { asOfLedger: 1 }) : undefined,
    );
    const error = await failure(create(clientOf(payer, {}, to.url), { confirmTimeout: 8_000 }));
    expect(error).toMatchObject({ name: "TransactionPendingError", transaction: { status: "SUCCESS" } });
  });
});

describe.concurrent("an abort", () => {
  const phases: [string, (one: Exchange) => boolean][] = [
    ["while the challenge is asked for", ({ method, path }) => method === "GET" && path.startsWith("/auth")],
    ["while the login is sent", ({ method, path }) => method === "POST" && path === "/auth"],
    ["while it is built", ({ method, path }) => method === "POST" && path === "/streams"],
  ];
  it.for(phases)("%s ends it, and nothing was signed", async ([, here], { payer }) => {
    const controller = new AbortController();
    await using to = await way((one) => (here(one) ? () => controller.abort("enough") : undefined));
    const error = await failure(create(clientOf(payer, {}, to.url), { signal: controller.signal }));
    expect(error).toBeInstanceOf(NebulaAbortError);
    expect(error).toMatchObject({ name: "AbortError", cause: "enough", txHash: undefined });
    expect(to.of("POST", "/transactions")).toEqual([]);
  });

  it("while the wallet is asked ends it, and what it signs later is not handed in", async ({ payer }) => {
    await using to = await way();
    const controller = new AbortController();
    let late = (_: string): void => undefined;
    let given: Parameters<Signer["signTransaction"]> | undefined;
    const wallet = signing(payer, (...asked) => {
      given = asked;
      controller.abort();
      return new Promise((resolve) => (late = resolve));
    });
    const error = await failure(create(clientOf(wallet, {}, to.url), { signal: controller.signal }));
    expect(error).toMatchObject({ name: "AbortError", txHash: undefined });
    late(payer.signTransaction(...(given as NonNullable<typeof given>)) as string);
    await new Promise((resolve) => setImmediate(resolve));
    expect(to.of("POST", "/transactions")).toEqual([]);
  });

  const later: [string, (one: Exchange) => boolean][] = [
    ["while it is handed in", isSubmission],
    ["while it is waited for", isLook],
    ["while the stream is read", ({ method, path }) => method === "GET" && path.startsWith("/streams/")],
  ];
  it.for(later)("%s tells which transaction was signed, and its fate can be found out", async ([, here], { payer }) => {
    const controller = new AbortController();
    await using to = await way((one) => (here(one) ? () => controller.abort("enough") : undefined));
    let signed: Submission | undefined;
    const error = (await failure(
      create(clientOf(payer, {}, to.url), {
        signal: controller.signal,
        onSubmitted: (submission) => void (signed = submission),
      }),
    )) as NebulaAbortError;
    expect(error).toMatchObject({ name: "AbortError", cause: "enough", txHash: signed?.txHash });
    expect(error.message).toContain(signed?.txHash);
    const client = clientOf(payer);
    await client.submitTransaction(signed?.signedXdr ?? "");
    expect(await client.waitForTransaction(error.txHash ?? "")).toMatchObject({ status: "SUCCESS" });
    expect(await created(payer)).toEqual([signed?.txHash]);
  });

  it("ends waiting for a transaction", async () => {
    const controller = new AbortController();
    const hash = "ab".repeat(32);
    await using to = await way(() => (response) => {
      answer(200, { txHash: hash, status: "PENDING" })(response);
      controller.abort();
    });
    const error = await failure(
      clientOf(undefined, {}, to.url).waitForTransaction(hash, { signal: controller.signal }),
    );
    expect(error).toMatchObject({ name: "AbortError", txHash: hash });
  });
});

it("a call of V2 goes the same way", async ({ payer }) => {
  const stream = await patiently(() => clientOf(payer).createStream(terms(payee.publicKey, { contractId: null })));
  expect(stream).toMatchObject({ version: "v2", sender: payer.publicKey });
});
