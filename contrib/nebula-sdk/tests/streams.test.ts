/** Streams, on the real service: created, paid out, cancelled, read, listed and found. */
import { beforeAll, describe, expect, it } from "vitest";
import {
  AuthenticationError,
  ConfigurationError,
  InvalidAmountError,
  NebulaAbortError,
  NotFoundError,
  type Stream,
  type Submission,
  UnprocessableError,
} from "../src/index.js";
import { answer, way } from "./proxy.js";
import { type Account, account, clientOf, failure, patiently, SERVICE, terms, USDC } from "./service.js";

let payer: Account;
let payee: Account;
beforeAll(async () => {
  [payer, payee] = [await account(), await account()];
});
/** The service's default: a contract of V2, which takes memos. */
const V2 = { contractId: undefined };

describe("createStream", () => {
  it("returns the stream as the chain recorded it, and tells of the transaction before it is handed in", async () => {
    const told: Submission[] = [];
    const known: unknown[] = [];
    const client = clientOf(payer);
    const stream = await patiently(() => {
      [told.length, known.length] = [0, 0];
      return client.createStream(terms(payee.publicKey, { ...V2, memo: "invoice_42" }), {
        onSubmitted: async (submission) => {
          told.push(submission);
          known.push(await failure(client.getTransaction(submission.txHash)));
        },
      });
    });
    expect(stream).toMatchObject({
      status: "ACTIVE",
      sender: payer.publicKey,
      receiver: payee.publicKey,
      tokenAddress: USDC,
      memo: "invoice_42",
      duration: 600,
      txHash: told[0]?.txHash,
    });
    expect(stream.asOfLedger).toBeGreaterThanOrEqual(stream.createdLedger);
    expect(told).toHaveLength(1);
    expect(Date.parse(told[0]?.validUntil ?? "")).toBeGreaterThan(Date.now());
    expect(known).toEqual([expect.any(NotFoundError)]);
    expect(await client.getTransaction(stream.txHash)).toMatchObject({ status: "SUCCESS", streamIds: [stream.id] });
  });

  it("takes amounts as bigint and times as Date, whose milliseconds are cut off", async () => {
    const startTime = new Date(Date.now() + 3_600_999);
    const cliffTime = new Date(startTime.getTime() + 60_000);
    const wanted = terms(payee.publicKey, { ...V2, amount: 70_000_000_000n, startTime, cliffTime });
    const stream = await patiently(() => clientOf(payer).createStream(wanted));
    // less what the contract keeps for itself; and the network's people may have rebalanced their token
    expect(Number(stream.amount)).toBeGreaterThan(35_000_000_000);
    expect(Date.parse(stream.startTime ?? "")).toBe(Math.floor(startTime.getTime() / 1000) * 1000);
    expect(Date.parse(stream.cliffTime ?? "")).toBe(Math.floor(cliffTime.getTime() / 1000) * 1000);
  });

  it("says which fields are wrong", async () => {
    const error = (await failure(
      clientOf(payer).createStream(terms("nobody", { memo: 5 as unknown as string, duration: 0 })),
    )) as UnprocessableError;
    expect(error).toBeInstanceOf(UnprocessableError);
    expect(error).toMatchObject({ code: "invalid-body", status: 422 });
    expect(error.errors.map(({ field }) => field)).toEqual(
      expect.arrayContaining(["body.receiver", "body.memo", "body.duration"]),
    );
    expect(error.message).toContain("body.receiver");
    expect(error.requestId).toMatch(/\S/);
  });

  it("says what the contract would refuse, with the contract's own error", async () => {
    const all = terms(payee.publicKey, { amount: 10n ** 30n });
    const error = (await failure(clientOf(payer).createStream(all))) as UnprocessableError;
    expect(error).toMatchObject({
      code: "simulation-failed",
      problem: { contractError: { code: expect.any(Number) } },
    });
  });

  it("refuses numbers as amounts, and times that are none, before anything is sent", async () => {
    const asked: unknown[] = [];
    const client = clientOf(payer, { fetch: async (...request) => (asked.push(request), fetch(...request)) });
    for (const amount of [12.5, 1e21, "12.5", "-1", "", " 5", "1e3", null, undefined]) {
      const error = await failure(client.createStream({ ...terms(payee.publicKey), amount: amount as string }));
      if (amount === null || amount === undefined) expect(error).toBeInstanceOf(UnprocessableError);
      else expect(error).toMatchObject({ name: "InvalidAmountError", code: "invalid-amount" });
    }
    expect(new InvalidAmountError("")).toBeInstanceOf(Error);
    const before = asked.length;
    const startTime = new Date(Number.NaN);
    expect(await failure(client.createStream(terms(payee.publicKey, { startTime })))).toBeInstanceOf(
      ConfigurationError,
    );
    expect(asked).toHaveLength(before);
  });

  it("needs no login where an aborted signal ends it first", async () => {
    const error = await failure(
      clientOf(payer).createStream(terms(payee.publicKey), { signal: AbortSignal.abort("changed my mind") }),
    );
    expect(error).toBeInstanceOf(NebulaAbortError);
    expect(error).toMatchObject({ name: "AbortError", code: "aborted", cause: "changed my mind", txHash: undefined });
  });
});

describe.each(["v2", "v1"])("a stream of %s", (version) => {
  it("pays out to its receiver, and is cancelled by its sender", async () => {
    const client = clientOf(payer);
    const which = version === "v2" ? V2 : {};
    const created = await patiently(() => client.createStream(terms(payee.publicKey, { ...which, duration: 120 })));
    expect(created).toMatchObject({ version, status: "ACTIVE", receiver: payee.publicKey });

    const paid = await patiently(() => client.withdrawFromStream({ streamId: created.id }, { signer: payee }));
    expect(paid.id).toBe(created.id);
    expect(BigInt(paid.withdrawn ?? 0)).toBeGreaterThan(0n);

    const partly = { streamId: created.id, amount: 5n };
    expect(await failure(client.withdrawFromStream(partly, { signer: payee }))).toMatchObject({
      code: "partial-withdrawal-unsupported",
    });

    const over = await patiently(() => client.cancelStream({ streamId: created.id }));
    expect(over).toMatchObject({ id: created.id, status: "CANCELED", withdrawable: "0" });
    expect(await failure(client.cancelStream({ streamId: created.id }))).toBeInstanceOf(UnprocessableError);
  });
});

describe("reading", () => {
  let owner: Account;
  let made: Stream[];
  beforeAll(async () => {
    owner = await account();
    const client = clientOf(owner);
    made = [];
    for (let n = 0; n < 3; n += 1) {
      const memo = `read_${n}_${owner.publicKey.slice(-12)}`;
      made.unshift(await patiently(() => client.createStream(terms(payee.publicKey, { ...V2, memo }))));
    }
  });

  it("reads one stream, as of now and of another moment", async () => {
    const [stream] = made as [Stream];
    const client = clientOf();
    expect((await client.getStream(stream.id)).txHash).toBe(stream.txHash);
    const end = new Date(Date.parse(stream.endTime ?? ""));
    for (const at of [end, end.toISOString()]) {
      const then = await client.getStream(stream.id, { at });
      // not of the amount of before: the network's people may have rebalanced their token
      expect(then).toMatchObject({ status: "COMPLETED", unlocked: then.amount });
    }
    expect(await client.getStream(stream.id, { at: stream.startTime ?? "" })).toMatchObject({ unlocked: "0" });
  });

  it("tells that there is no such stream, and refuses what could be no id", async () => {
    const client = clientOf();
    const none = made[0]?.id.replace(/\d+$/, "99999999") ?? "";
    expect(await failure(client.getStream(none))).toMatchObject({
      name: "NotFoundError",
      status: 404,
      code: "stream-not-found",
    });
    for (const id of ["", ".", "..", undefined, 7]) {
      expect(await failure(client.getStream(id as string))).toBeInstanceOf(ConfigurationError);
    }
    expect(await failure(client.getStream("../streams?limit=1"))).toMatchObject({ errors: [{ field: "path.id" }] });
  });

  it("lists an address's streams, newest first, some of them", async () => {
    const client = clientOf();
    const ids = made.map(({ id }) => id);
    const idsOf = (streams: Stream[]) => streams.map(({ id }) => id);
    expect(idsOf(await client.getStreams(owner.publicKey))).toEqual(ids);
    expect(idsOf(await client.getStreams(owner.publicKey, 2))).toEqual(ids.slice(0, 2));
    expect(idsOf(await client.getStreams(owner.publicKey, 2, 1))).toEqual(ids.slice(1));
    expect(await failure(client.getStreams(owner.publicKey, 0))).toMatchObject({ errors: [{ field: "query.limit" }] });
  });

  it("yields every stream there is, each once", async () => {
    const client = clientOf();
    const { streams } = await client.getStats();
    const all: string[] = [];
    for await (const { id } of client.iterateStreams({ limit: 50 })) all.push(id);
    expect(all.length).toBeGreaterThanOrEqual(streams.total);
    expect(streams.total).toBeGreaterThan(50);
    expect(new Set(all).size).toBe(all.length);
  });

  it("goes on over pages that are short, or empty, until it has what was asked for", async () => {
    const pages = [[1, 2], [], [3], [4, 5, 6]];
    await using to = await way(({ before }) =>
      answer(200, { items: pages[before], nextCursor: before < 3 ? `c${before}` : null }),
    );
    const client = clientOf(undefined, {}, to.url);
    expect(await client.getStreams("G", 250, 7)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(to.exchanges.map(({ path }) => path)).toEqual([
      "/streams?address=G&offset=7&limit=200",
      "/streams?address=G&limit=200&cursor=c0",
      "/streams?address=G&limit=200&cursor=c1",
      "/streams?address=G&limit=200&cursor=c2",
    ]);
  });

  it("asks for no more pages than it takes", async () => {
    await using to = await way(({ before }) => answer(200, { items: [before], nextCursor: `c${before}` }));
    expect(await clientOf(undefined, {}, to.url).searchStreams("memo", 3)).toEqual([0, 1, 2]);
    expect(to.exchanges).toHaveLength(3);
    expect(to.exchanges[0]?.path).toBe("/streams?q=memo&limit=3");
  });

  it("pages through a filtered list, by itself and by hand", async () => {
    const client = clientOf();
    const filter = { sender: owner.publicKey, status: "ACTIVE", limit: 1 } as const;
    const found: string[] = [];
    for await (const { id } of client.iterateStreams(filter)) found.push(id);
    expect(found).toEqual(made.map(({ id }) => id));

    const first = await client.listStreams(filter);
    expect(first.items.map(({ id }) => id)).toEqual(found.slice(0, 1));
    expect(first).toMatchObject({ complete: true, asOfLedger: expect.any(Number) });
    const second = await client.listStreams({ ...filter, cursor: first.nextCursor ?? "" });
    expect(second.items.map(({ id }) => id)).toEqual(found.slice(1, 2));
    const rest: string[] = [];
    for await (const { id } of client.iterateStreams({ ...filter, cursor: first.nextCursor ?? "" })) rest.push(id);
    expect(rest).toEqual(found.slice(1));
  });

  it("stops asking for pages where nobody wants them", async () => {
    let asked = 0;
    const client = clientOf(undefined, { fetch: (...request) => ((asked += 1), fetch(...request)) });
    for await (const { id } of client.iterateStreams({ sender: owner.publicKey, limit: 1 })) {
      expect(id).toBe(made[0]?.id);
      break;
    }
    expect(asked).toBe(1);
  });

  it("finds streams by memo, and everything by a hash", async () => {
    const client = clientOf();
    const [stream] = made as [Stream];
    expect((await client.searchStreams(stream.memo ?? "")).map(({ id }) => id)).toEqual([stream.id]);
    expect(await client.searchStreams("nothing_is_called_so")).toEqual([]);
    const found = await client.search(stream.txHash);
    expect(found.map(({ kind, id }) => [kind, id])).toContainEqual(["stream", stream.id]);
  });

  it("is open to everybody; a bad token is told all the same", async () => {
    const client = clientOf(undefined, { token: "no-token" });
    expect(await failure(client.getStreams(owner.publicKey))).toBeInstanceOf(AuthenticationError);
    client.setAuthToken(null);
    expect(await client.getStreams(owner.publicKey)).toHaveLength(3);
  });

  it("finds the service by any way of writing its address", async () => {
    for (const url of [SERVICE, `${SERVICE}/`, `${SERVICE}/api/v1`, `${SERVICE}/api/v1/`]) {
      expect((await clientOf(undefined, {}, url).getStream(made[0]?.id ?? "")).id).toBe(made[0]?.id);
    }
  });
});
