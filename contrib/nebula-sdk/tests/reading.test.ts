/** What is known of streams and of the chain: history, events, yield, totals, on the real service. */
import { beforeAll, describe, expect, it } from "vitest";
import { NotFoundError, type Stream } from "../src/index.js";
import { answer, way } from "./proxy.js";
import { account, clientOf, failure, patiently, terms, V1 } from "./service.js";

const client = clientOf();
let stream: Stream;
let busy: Stream;
beforeAll(async () => {
  const [payer, payee] = [await account(), await account()];
  const created = await patiently(() => clientOf(payer).createStream(terms(payee.publicKey)));
  stream = await patiently(() => clientOf(payer).cancelStream({ streamId: created.id }));
  // the network's own people have withdrawn from this one again and again
  busy = (await client.listStreams({ status: "CANCELED", contract: created.contractId, limit: 1 })).items[0] ?? stream;
});

describe("history", () => {
  it("is a stream's whole, oldest first, over any number of pages", async () => {
    const whole = await client.getStreamHistory(busy.id);
    expect(whole.stream?.id).toBe(busy.id);
    expect(whole).not.toHaveProperty("nextCursor");
    expect(whole.chain.links).toBeGreaterThan(0);
    const ids = whole.events.map(({ id }) => id);
    expect(ids).toEqual([...ids].sort());
    expect(ids.length).toBeGreaterThan(0);

    await using to = await way();
    const limited = clientOf(
      undefined,
      { fetch: (url, init) => fetch(String(url).replace("limit=200", "limit=1"), init) },
      to.url,
    );
    expect((await limited.getStreamHistory(busy.id)).events.map(({ id }) => id)).toEqual(ids);
    expect(to.exchanges.length).toBeGreaterThanOrEqual(ids.length);
  });

  it("has its events by themselves, the first so many", async () => {
    const events = await client.getStreamEvents(busy.id);
    expect(events).toEqual((await client.getStreamHistory(busy.id)).events.slice(0, 50));
    expect(await client.getStreamEvents(busy.id, 1)).toEqual(events.slice(0, 1));
  });

  it("is listed over all streams, newest first, or as asked", async () => {
    const filter = { contract: V1, type: "create", toLedger: stream.createdLedger, limit: 7 } as const;
    const ids: string[] = [];
    for await (const { id, eventType } of client.iterateStreamEvents(filter)) {
      expect(eventType).toBe("create");
      ids.push(id);
    }
    expect(ids.length).toBeGreaterThan(7);
    expect(ids).toEqual([...ids].sort().reverse());
    const oldest: string[] = [];
    for await (const { id } of client.iterateStreamEvents({ ...filter, order: "asc" })) oldest.push(id);
    expect(oldest).toEqual([...ids].reverse());
  });

  it("is verified, of one stream and of all", async () => {
    const one = await client.verifyHistory(busy.id);
    expect(one).toMatchObject({ verdict: "intact", chains: 1, faults: [] });
    const all = await client.verifyHistory();
    expect(all.verdict).toBe("intact");
    expect(all.chains).toBeGreaterThan(one.chains);
    expect(all.links).toBeGreaterThanOrEqual(all.chains);
    expect(all).not.toHaveProperty("nextCursor");
  });

  it("is verified to the end, and one fault is enough", async () => {
    const fault = { chain: "C-1", eventId: null, reason: "head-differs" };
    await using to = await way(({ before }) =>
      answer(200, {
        verdict: before === 1 ? "broken" : "intact",
        chains: 2,
        links: 5,
        faults: before === 1 ? [fault] : [],
        nextCursor: before < 2 ? `c${before}` : null,
      }),
    );
    const verdict = await clientOf(undefined, {}, to.url).verifyHistory();
    expect(verdict).toEqual({ verdict: "broken", chains: 6, links: 15, faults: [fault] });
    expect(to.exchanges.map(({ path }) => path.split("?")[1])).toEqual([undefined, "cursor=c0", "cursor=c1"]);
  });

  it("of no stream is none", async () => {
    const none = stream.id.replace(/\d+$/, "99999999");
    expect(await failure(client.getStreamHistory(none))).toBeInstanceOf(NotFoundError);
    expect(await failure(client.getStreamEvents(none))).toBeInstanceOf(NotFoundError);
    expect(await failure(client.verifyHistory(none))).toBeInstanceOf(NotFoundError);
  });
});

describe("contract events", () => {
  it("are listed, iterated over and read", async () => {
    const filter = { contract: [stream.contractId], fromLedger: stream.createdLedger, toLedger: stream.createdLedger };
    const page = await client.listEvents({ ...filter, limit: 1 });
    expect(page.items).toHaveLength(1);
    const all: string[] = [];
    for await (const { id, ledger } of client.iterateEvents({ ...filter, limit: 1 })) {
      expect(ledger).toBe(stream.createdLedger);
      all.push(id);
    }
    expect(all[0]).toBe(page.items[0]?.id);
    const mine = (await client.listEvents({ txHash: stream.txHash })).items;
    expect(all).toEqual(expect.arrayContaining(mine.filter((one) => one.contractId === V1).map(({ id }) => id)));
    expect(await client.getEvent(all[0] ?? "")).toEqual(page.items[0]);
    const newest = await client.listEvents({ ...filter, order: "desc" });
    expect(newest.items[0]?.id).toBe(all.at(-1));
  });

  it("that are none are not found", async () => {
    expect(await failure(client.getEvent("0000000008589938688-0000009999"))).toBeInstanceOf(NotFoundError);
    expect(await failure(client.listEvents({ txHash: "nonsense" }))).toMatchObject({
      errors: [{ field: "query.txHash" }],
    });
  });
});

describe("yield", () => {
  it("is told of a stream in a vault, and what it would be", async () => {
    let vaulted: Stream | undefined;
    for await (const one of client.iterateStreams({ limit: 200 })) {
      if (one.yieldEnabled) vaulted = one;
      if (vaulted) break;
    }
    const { id = "" } = vaulted ?? {};
    const data = await client.getYieldData(id, { samples: 5 });
    expect(data).toMatchObject({ id, vault: expect.stringMatching(/^C/), samples: expect.any(Array) });
    expect(await client.getYieldData(id)).not.toHaveProperty("samples");
    const [month, year] = [await client.calculateYield(id), await client.calculateYield(id, 365)];
    expect([month.days, year.days]).toEqual([30, 365]);
    expect(Object.keys(month).sort()).toEqual(["days", "projected", "rate"]);
  });

  it("is none of a stream that is in no vault", async () => {
    const none = { name: "NotFoundError", code: "stream-has-no-yield" };
    expect(await failure(client.getYieldData(stream.id))).toMatchObject(none);
    expect(await failure(client.calculateYield(stream.id, 7))).toMatchObject(none);
  });
});

describe("the service", () => {
  it("tells totals", async () => {
    const { streams, tokens } = await client.getStats();
    expect(streams.total).toBe(
      streams.ACTIVE + streams.PAUSED + streams.COMPLETED + streams.CANCELED + streams.ARCHIVED,
    );
    expect(tokens.length).toBeGreaterThan(0);
  });

  it("tells how far it is, as a whole and of some contracts", async () => {
    const all = await client.getSync();
    expect(all).toMatchObject({ network: "sandbox", gaps: [], complete: true });
    const some = await client.getSync({ contract: V1 });
    expect(some.contracts).toEqual([V1]);
    expect(some.asOfLedger).toBeGreaterThanOrEqual(stream.createdLedger);
  });
});
