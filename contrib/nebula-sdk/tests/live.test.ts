/** Live streams of the real service, over connections that break off anywhere; and what is unlocked, held against it. */

import { beforeAll, describe, expect, it } from "vitest";
import { unlockedAt } from "../src/amounts.js";
import { BadRequestError, LiveResetError } from "../src/errors.js";
import { NebulaClient, type Stream } from "../src/index.js";
import { type LiveEvent, watchEvents, watchInvoiceLink, watchStream } from "../src/live.js";
import { cutting, dice, first, httpTo } from "./live-kit.js";
import { account, patiently, SERVICE, USDC } from "./service.js";

const http = httpTo(SERVICE);
const client = new NebulaClient(SERVICE);
const summary = ({ event, position }: LiveEvent): string => `${event.id} ${position}`;
/** The topic of no event: the symbol `never`. */
const NEVER = "AAAADwAAAAVuZXZlcgAAAA==";
const terms = { amount: 50_000_000n, tokenAddress: USDC, duration: 600 };

/** Where the live stream stands when the tests begin: what comes since then is there for all of them. */
let since: string;
beforeAll(async () => {
  const { livePosition } = await client.getSync();
  if (livePosition === null) throw new Error("the service has just started");
  since = livePosition;
});

/** Watch from now on; `standing` resolves as soon as nothing that comes can be missed. */
function watching(run: (onPosition: () => void) => AsyncIterable<LiveEvent>, done: (seen: LiveEvent[]) => boolean) {
  let stand = (): void => undefined;
  const standing = new Promise<void>((resolve) => (stand = resolve));
  const seen = (async () => {
    const found: LiveEvent[] = [];
    for await (const one of run(stand)) {
      found.push(one);
      if (done(found)) break;
    }
    return found;
  })();
  return { standing, seen };
}

describe("events", () => {
  it("of a stream that is created while one watches come, each once", async () => {
    const sender = await account();
    const { standing, seen } = watching(
      (onPosition) => watchEvents(http, {}, { onPosition }),
      (found) => found.filter(({ event }) => event.txHash === stream?.txHash).length > 0,
    );
    let stream: Stream | undefined;
    await standing;
    const receiver = (await account()).publicKey;
    stream = await patiently(() => client.createStream({ ...terms, receiver }, { signer: sender }));
    const found = await seen;
    const ids = found.map(({ event }) => event.id);
    expect(new Set(ids).size).toBe(ids.length);
    const mine = found.filter(({ event }) => event.txHash === stream.txHash);
    expect(mine.map(({ event }) => event.contractId)).toContain(stream.contractId);
    const stored = await client.listEvents({ txHash: stream.txHash });
    expect(mine[0]?.event).toEqual(stored.items[0]);
  });

  it("come, each once and in order, however often and wherever the connection is cut", async () => {
    const wanted = await first(25, watchEvents(http, {}, { since }));
    for (const seed of [1, 2, 3, 4]) {
      const random = dice(seed);
      // often less than an answer's head or an event, so that cuts fall into every part of them
      const allowance = (): number => Math.floor(random() ** 2 * 6_000);
      await using way = await cutting(SERVICE, allowance);
      const seen = await first(wanted.length, watchEvents(way.http, {}, { since }));
      expect(seen.map(summary)).toEqual(wanted.map(summary));
      expect(way.made).toBeGreaterThan(5);
      await way.closed();
    }
  });

  it("that come while there is no connection, before the first event, are not missed", async () => {
    let left = [700, 0, 0, 0];
    await using way = await cutting(SERVICE, () => left.shift() ?? Infinity);
    let stood: string | undefined;
    const watched = first(3, watchEvents(way.http, {}, { onPosition: (position) => (stood ??= position) }));
    const seen = await watched;
    if (stood === undefined) throw new Error("no position was told");
    const wanted = await first(3, watchEvents(http, {}, { since: stood }));
    expect(seen.map(summary)).toEqual(wanted.map(summary));
    expect(left).toEqual([]);
  });

  it("are those that pass the filter", async () => {
    const all = await first(25, watchEvents(http, {}, { since }));
    const { contractId, topic } = all[0]?.event ?? {};
    const some = all.filter(({ event }) => event.contractId === contractId);
    const filtered = await first(some.length, watchEvents(http, { contract: [contractId ?? ""] }, { since }));
    expect(filtered.map(summary)).toEqual(some.map(summary));
    const like = all.filter(({ event }) => event.topic[0] === topic?.[0]);
    const alike = await first(like.length, watchEvents(http, { topic: topic?.[0] }, { since }));
    expect(alike.map(summary)).toEqual(like.map(summary));
  });

  it("are not gone on with at a position of another history, nor at none", async () => {
    const other = Buffer.from(since, "base64url");
    other[5] = (other[5] ?? 0) ^ 0xff; // of the epoch
    const elsewhere = other.toString("base64url");
    const failure = await first(1, watchEvents(http, {}, { since: elsewhere })).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(LiveResetError);
    expect(failure).toMatchObject({ reason: "other-epoch" });
    const refused = await first(1, watchEvents(http, {}, { since: "?" })).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(BadRequestError);
    expect(refused).toMatchObject({ code: "malformed-position" });
  });

  it("leave no connection open after break, abort and return", async () => {
    await using way = await cutting(SERVICE);
    await first(1, watchEvents(way.http, {}, { since }));
    await way.closed();

    const caller = new AbortController();
    const aborted = watching(
      (onPosition) => watchEvents(way.http, { topic: NEVER }, { signal: caller.signal, onPosition }),
      () => true,
    );
    await aborted.standing;
    expect(way.open).toBeGreaterThan(0);
    caller.abort();
    await expect(aborted.seen).rejects.toMatchObject({ name: "AbortError" });
    await way.closed();

    let stood = (): void => undefined;
    const standing = new Promise<void>((resolve) => (stood = resolve));
    const returned = watchEvents(way.http, { topic: NEVER }, { onPosition: stood });
    const waiting = returned.next();
    await standing;
    await returned.return();
    expect(await waiting).toEqual({ done: true, value: undefined });
    await way.closed();
  });
});

describe("a stream", () => {
  it("is told as it is, and at each change, over connections that break off", async () => {
    const [sender, receiver] = [await account(), await account()];
    const wanted = { ...terms, receiver: receiver.publicKey };
    const created = await patiently(() => client.createStream(wanted, { signer: sender }));
    const random = dice(9);
    await using way = await cutting(SERVICE, () => 3_000 + Math.floor(random() * 6_000));
    const seen: Stream[] = [];
    let next = "withdraw";
    for await (const stream of watchStream(way.http, created.id)) {
      seen.push(stream);
      if (stream.status === "CANCELED") break;
      if (next === "withdraw" && stream.curve !== null) {
        next = "";
        while (BigInt((await client.getStream(created.id)).withdrawable ?? 0) === 0n) await pause(200);
        void patiently(() => client.withdrawFromStream({ streamId: created.id }, { signer: receiver }));
      } else if (next === "" && stream.withdrawn !== "0") {
        next = "done";
        void patiently(() => client.cancelStream({ streamId: created.id }, { signer: sender }));
      }
    }
    await way.closed();
    const last = seen.at(-1);
    expect(seen[0]?.status).toBe("ACTIVE");
    expect(BigInt(last?.withdrawn ?? 0)).toBeGreaterThan(0n);
    // nothing is told twice: each differs from the one before in more than what the clock moves
    const lasting = seen.map(({ unlocked, withdrawable, asOfLedger, stateLedger, complete, ...rest }) =>
      JSON.stringify(rest),
    );
    expect(new Set(lasting).size).toBe(lasting.length);
    const now = await client.getStream(created.id);
    expect(last).toMatchObject({ status: "CANCELED", withdrawn: now.withdrawn, updatedLedger: now.updatedLedger });
  }, 90_000);

  it("is told when the clock completes it", async () => {
    const sender = await account();
    const receiver = (await account()).publicKey;
    const wanted = { ...terms, receiver, duration: 5 };
    const created = await patiently(() => client.createStream(wanted, { signer: sender }));
    for await (const stream of watchStream(http, created.id)) {
      if (stream.status === "COMPLETED") break;
      expect(stream.status).toBe("ACTIVE");
    }
    // the amount may be another one by then: the network's people rebalance their token
    const { unlocked, amount } = await client.getStream(created.id);
    expect(unlocked).toBe(amount);
  }, 90_000);
});

it("an invoice link is told in each of its states until it is deleted", async () => {
  const owner = await account();
  const me = new NebulaClient(SERVICE, { signer: owner });
  const link = await me.createInvoiceLink({ ...terms, receiver: owner.publicKey });
  await using way = await cutting(SERVICE);
  const seen: string[] = [];
  for await (const state of watchInvoiceLink(way.http, link.slug)) {
    seen.push(state.status);
    if (state.status === "DRAFT") void me.updateInvoiceLinkStatus(link.slug, "CANCELED");
    else void me.deleteInvoiceLink(link.slug);
  }
  expect(seen).toEqual(["DRAFT", "CANCELED"]);
  await way.closed();
});

describe("unlockedAt", () => {
  /** What does not change while nothing happens to a stream, and no newer read of the chain is in it. */
  const unchanged = (one: Stream): string =>
    JSON.stringify([one.id, one.updatedLedger, one.stateLedger, one.completesAt]);

  it("is what the service answers with ?at= for every stream, of both generations, at any moment", async () => {
    const streams: Stream[] = [];
    for await (const stream of client.iterateStreams({ limit: 200 })) streams.push(stream);
    const known = new Map(streams.map((one) => [unchanged(one), one]));
    const times = streams.flatMap((one) => [one.startTime, one.cliffTime, one.endTime, one.completesAt]);
    const seconds = times.filter((time) => time !== null).map((time) => Date.parse(time) / 1000);
    const random = dice(5);
    const any = (): number => (seconds[Math.floor(random() * seconds.length)] ?? 0) + Math.floor(random() * 3) - 1;
    const moments = [Math.min(...seconds) - 1, Math.max(...seconds) + 1, ...Array.from({ length: 14 }, any)];
    const told = new Map<string, number>();
    for (const moment of moments) {
      const at = new Date(moment * 1000);
      for await (const stream of client.iterateStreams({ limit: 200, at })) {
        const before = known.get(unchanged(stream));
        const mine = before && unlockedAt(before, at);
        if (mine === undefined || mine === null) continue;
        expect(`${stream.id} ${at.toISOString()} ${mine}`).toBe(`${stream.id} ${at.toISOString()} ${stream.unlocked}`);
        const kind = `${stream.version} ${before?.status} ${mine === 0n ? "nothing" : mine === BigInt(stream.amount ?? 0) ? "all" : "some"}`;
        told.set(kind, (told.get(kind) ?? 0) + 1);
      }
    }
    for (const version of ["v1", "v2"]) {
      for (const share of ["nothing", "some", "all"])
        expect(told.get(`${version} ACTIVE ${share}`) ?? 0).toBeGreaterThan(3);
      expect(told.get(`${version} CANCELED some`) ?? 0).toBeGreaterThan(3);
    }
  }, 120_000);

  it("is what the service answers at every turn of a stream's own", async () => {
    for (const version of ["v1", "v2"]) {
      const page = await client.listStreams({ status: "ACTIVE", limit: 200 });
      const some = page.items.filter(
        (one) => one.version === version && one.curve === "linear" && one.endTime !== null,
      );
      expect(some.length).toBeGreaterThan(3);
      for (const stream of some.slice(0, 4)) {
        const turns = [stream.startTime, stream.cliffTime, stream.endTime, stream.completesAt].map((time) =>
          Date.parse(time ?? ""),
        );
        for (const turn of turns.flatMap((time) => [time - 1000, time, time + 1000])) {
          const at = new Date(turn);
          const answer = await client.getStream(stream.id, { at });
          if (unchanged(answer) !== unchanged(stream)) break; // something happened to it meanwhile
          expect([stream.id, turn, String(unlockedAt(stream, at))]).toEqual([stream.id, turn, answer.unlocked]);
        }
      }
    }
  });
});

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
