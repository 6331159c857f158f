/** Live streams of a service that fails in every way there is: nothing is missed, nothing comes twice, nothing hangs. */

import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import {
  BadRequestError,
  BadResponseError,
  LiveResetError,
  NebulaAbortError,
  NetworkError,
  ServerError,
} from "../src/errors.js";
import { watchEvents, watchInvoiceLink, watchStream } from "../src/live.js";
import { type Asked, first, httpTo, problem, scripted } from "./live-kit.js";

const QUICK = "retry: 10\n\n";
const event = (id: string): string => `id: after-${id}\ndata: ${JSON.stringify({ id })}\n\n`;
const idsOf = (found: { event: { id: string } }[]): string[] => found.map((one) => one.event.id);
/** Send something, and leave the connection open. */
const sends =
  (...frames: string[]) =>
  (asked: Asked): void =>
    asked.stream(QUICK, ...frames);
/** Send something, and end the connection as it should be ended. */
const ends =
  (...frames: string[]) =>
  (asked: Asked): void => {
    asked.stream(QUICK, ...frames);
    asked.response.end();
  };
/** Send something, and break the connection off. */
const breaks =
  (...frames: string[]) =>
  (asked: Asked): void => {
    asked.stream(QUICK);
    asked.response.write(frames.join(""), () => asked.response.destroy());
  };

describe("connecting again", () => {
  it.each([
    ["ends", ends(event("1"))],
    ["breaks off", breaks(event("1"))],
    ["breaks off in the middle of a frame", breaks(event("1"), event("2").slice(0, -1))],
    ["breaks off before the data of a frame", breaks(event("1"), "id: after-2\n")],
    ["says bye", sends(event("1"), 'event: bye\ndata: {"code":"shutting-down","detail":""}\n\n')],
    ["drops who is slow", sends(event("1"), 'event: dropped\ndata: {"code":"too-slow","detail":""}\n\n')],
  ])("goes on behind the last whole event where the connection %s", async (_, act) => {
    await using service = await scripted(act, sends(event("2"), event("3")));
    expect(idsOf(await first(3, watchEvents(service.http)))).toEqual(["1", "2", "3"]);
    expect(service.asked.map((one) => one.since)).toEqual([null, "after-1"]);
  });

  it("keeps the position that the connection began with, where no event came", async () => {
    await using service = await scripted(breaks("id: p0\n\n"), breaks("id: p7\n\n"), sends(event("1")));
    await first(1, watchEvents(service.http));
    expect(service.asked.map((one) => one.since)).toEqual([null, "p0", "p7"]);
  });

  it("begins where it is told to", async () => {
    await using service = await scripted(breaks(), sends(event("1")));
    await first(1, watchEvents(service.http, {}, { since: "mine" }));
    expect(service.asked.map((one) => one.since)).toEqual(["mine", "mine"]);
  });

  it("gives up a connection that is silent, and counts no heartbeat as silence", async () => {
    const beats = (asked: Asked): void => {
      asked.stream(QUICK);
      let left = 6;
      const beat = setInterval(() => {
        asked.stream((left -= 1) > 0 ? ": heartbeat\n\n" : event("1"));
        if (left === 0) clearInterval(beat);
      }, 250);
    };
    await using service = await scripted(beats, sends(event("2")));
    expect(idsOf(await first(2, watchEvents(service.http, {}, { silence: 1_200 })))).toEqual(["1", "2"]);
    await service.asked[0]?.closed;
    expect(service.asked.map((one) => one.since)).toEqual([null, "after-1"]);
  });

  it("gives up a service that takes the connection and says nothing at all", async () => {
    await using service = await scripted(() => undefined, sends(event("1")));
    expect(idsOf(await first(1, watchEvents(service.http, {}, { silence: 200 })))).toEqual(["1"]);
    await service.asked[0]?.closed;
  });

  it("does not count the time that the caller takes for an event as silence", async () => {
    await using service = await scripted((asked) => {
      asked.stream(QUICK, event("1"));
      setTimeout(() => asked.stream(event("2")), 1_000);
    });
    const seen = [];
    for await (const one of watchEvents(service.http, {}, { silence: 700 })) {
      seen.push(one);
      if (seen.length === 2) break;
      await new Promise((resolve) => setTimeout(resolve, 1_200));
    }
    expect(service.asked.length).toBe(1);
  });

  it.each([
    ["503", problem(503, "shutting-down")],
    ["502 of something in between", ({ response }: Asked) => void response.writeHead(502).end("<html>")],
    ["429", problem(429, "too-many-readers-of-client", { "retry-after": "0" })],
    ["something that is no event stream", ({ response }: Asked) => void response.end("<html>")],
  ])("goes on after any number of answers %s", async (_, refuses) => {
    await using service = await scripted(
      ends(event("1")),
      refuses,
      refuses,
      refuses,
      refuses,
      refuses,
      sends(event("2")),
    );
    expect(idsOf(await first(2, watchEvents(service.http)))).toEqual(["1", "2"]);
    expect(service.asked.slice(1).every((one) => one.since === "after-1")).toBe(true);
  });

  it("waits for as long as Retry-After says", async () => {
    await using service = await scripted(problem(503, "too-many-readers", { "retry-after": "1" }), sends(event("1")));
    const began = performance.now();
    await first(1, watchEvents(service.http));
    expect(performance.now() - began).toBeGreaterThan(990);
  });

  it("waits longer from failure to failure, and anew after one that went well", async () => {
    const at: number[] = [];
    const refuses = (asked: Asked): void => {
      at.push(performance.now());
      problem(503, "database-busy")(asked);
    };
    const opens =
      (...frames: string[]) =>
      (asked: Asked) => {
        at.push(performance.now());
        asked.stream("retry: 40\n\n", ...frames);
        asked.response.end();
      };
    await using service = await scripted(
      opens(event("1")),
      refuses,
      refuses,
      refuses,
      opens(event("2")),
      opens(event("3")),
    );
    await first(3, watchEvents(service.http));
    const pauses = at.slice(1).map((time, n) => time - (at[n] ?? 0));
    for (const [n, least] of [39, 79, 159, 319, 39].entries()) expect(pauses[n]).toBeGreaterThan(least);
    expect(pauses[4]).toBeLessThan(600);
  });
});

describe("what is an error", () => {
  it("tells that a position is of another history, with the reason, and closes", async () => {
    const reset = 'id: new\nevent: reset\ndata: {"code":"other-epoch","detail":"Of another history."}\n\n';
    await using service = await scripted(sends(reset, event("1")));
    const failure = await first(1, watchEvents(service.http, {}, { since: "old" })).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(LiveResetError);
    expect(failure).toMatchObject({ code: "live-reset", reason: "other-epoch" });
    await service.asked[0]?.closed;
  });

  it("does not try again what the service refuses, at first or later", async () => {
    await using refusing = await scripted(problem(400, "malformed-position"));
    await expect(first(1, watchEvents(refusing.http, {}, { since: "?" }))).rejects.toBeInstanceOf(BadRequestError);
    expect(refusing.asked.length).toBe(1);
    await using later = await scripted(ends(event("1")), problem(400, "malformed-position"));
    await expect(first(2, watchEvents(later.http))).rejects.toMatchObject({ code: "malformed-position", status: 400 });
    expect(later.asked.length).toBe(2);
  });

  it("gives up a first connection that cannot be made", async () => {
    const nobody = await scripted();
    await nobody[Symbol.asyncDispose]();
    await expect(first(1, watchEvents(nobody.http))).rejects.toBeInstanceOf(NetworkError);
    await using refusing = await scripted(problem(503, "too-many-readers"));
    await expect(first(1, watchEvents(refusing.http))).rejects.toBeInstanceOf(ServerError);
    expect(refusing.asked.length).toBe(4);
  });

  it("says so where an event is not JSON, or has no position", async () => {
    await using broken = await scripted(sends("id: p1\ndata: {\n\n"));
    await expect(first(1, watchEvents(broken.http))).rejects.toBeInstanceOf(BadResponseError);
    await using lost = await scripted(sends("data: {}\n\n"));
    await expect(first(1, watchEvents(lost.http))).rejects.toBeInstanceOf(BadResponseError);
  });
});

describe("ending", () => {
  it.each(["break", "an error of the caller's"])("closes the connection after %s", async (how) => {
    await using service = await scripted(sends(event("1"), event("2")));
    const end = (async () => {
      for await (const _ of watchEvents(service.http)) {
        if (how === "break") break;
        throw new TypeError("the caller's");
      }
    })();
    await (how === "break" ? end : expect(end).rejects.toBeInstanceOf(TypeError));
    await service.asked[0]?.closed;
  });

  it.each(["waiting for a frame", "waiting for an answer", "waiting before another attempt", "handling an event"])(
    "ends at once when the signal fires while %s",
    async (when) => {
      const act = {
        "waiting for a frame": sends("id: p\n\n"),
        "waiting for an answer": (): void => undefined,
        "waiting before another attempt": problem(503, "x", { "retry-after": "60" }),
        "handling an event": sends(event("1"), event("2")),
      }[when] as (asked: Asked) => void;
      await using service = await scripted(act);
      const caller = new AbortController();
      const watching = watchEvents(service.http, {}, { signal: caller.signal });
      if (when === "handling an event") await watching.next();
      const next = watching.next();
      next.catch(() => undefined);
      while (service.asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      if (when !== "handling an event") await new Promise((resolve) => setTimeout(resolve, 50));
      caller.abort(new Error("the page was left"));
      const ended = when === "handling an event" ? next.then(() => watching.next()) : next;
      const failure = await ended.catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(NebulaAbortError);
      expect(failure).toMatchObject({ name: "AbortError", cause: { message: "the page was left" } });
      await service.asked[0]?.closed;
      expect(await watching.next()).toEqual({ done: true, value: undefined });
      expect(getEventListeners(caller.signal, "abort")).toEqual([]);
    },
  );

  it("asks for nothing where the signal had fired before", async () => {
    await using service = await scripted(sends(event("1")));
    const watching = watchEvents(service.http, {}, { signal: AbortSignal.abort() });
    await expect(watching.next()).rejects.toBeInstanceOf(NebulaAbortError);
    expect(service.asked).toEqual([]);
  });

  it("ends at once by return(), also while it waits, and is over without an error", async () => {
    await using service = await scripted(sends("id: p\n\n"));
    const watching = watchEvents(service.http);
    const waiting = watching.next();
    while (service.asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await watching.return()).toEqual({ done: true, value: undefined });
    expect(await waiting).toEqual({ done: true, value: undefined });
    await service.asked[0]?.closed;
  });

  it("asks for nothing before it is asked itself, nor where it is ended before", async () => {
    await using service = await scripted(sends(event("1")));
    const watching = watchEvents(service.http);
    await watching.return();
    expect(await watching.next()).toEqual({ done: true, value: undefined });
    expect(service.asked).toEqual([]);
  });

  it("leaves no listener on a signal that lives longer, over any number of connections", async () => {
    const caller = new AbortController();
    const many = Array.from({ length: 20 }, (_, n) => ends(event(`${n}`)));
    await using service = await scripted(...many, sends(event("20")));
    let most = 0;
    for await (const { event: one } of watchEvents(service.http, {}, { signal: caller.signal })) {
      most = Math.max(most, getEventListeners(caller.signal, "abort").length);
      if (one.id === "20") break;
    }
    expect(most).toBeLessThanOrEqual(2);
    expect(getEventListeners(caller.signal, "abort")).toEqual([]);
  });
});

describe("positions", () => {
  it("are told once everything up to them was dealt with", async () => {
    await using service = await scripted(sends("id: p0\n\n", event("1"), "id: p1\n\n", event("2"), event("3")));
    const log: string[] = [];
    const onPosition = (position: string): void => void log.push(position);
    for await (const one of watchEvents(service.http, {}, { onPosition })) {
      log.push(`event ${one.event.id} (${one.position})`);
      if (one.event.id === "3") break;
    }
    expect(log).toEqual([
      "p0",
      "event 1 (after-1)",
      "after-1",
      "p1",
      "event 2 (after-2)",
      "after-2",
      "event 3 (after-3)",
    ]);
  });
});

describe("an invoice link", () => {
  const status = (said: string): string =>
    `event: status\ndata: ${JSON.stringify({ status: said, updatedAt: "x" })}\n\n`;

  it("is told once in each state, over connections, until it is deleted", async () => {
    const gone = 'event: gone\ndata: {"code":"link-not-found","detail":""}\n\n';
    await using service = await scripted(
      ends(status("DRAFT")),
      breaks(status("DRAFT")),
      sends(status("DRAFT"), status("SIGNED"), gone),
    );
    const seen = [];
    for await (const state of watchInvoiceLink(service.http, "abc")) seen.push(state.status);
    expect(seen).toEqual(["DRAFT", "SIGNED"]);
    await service.asked[2]?.closed;
  });

  it("that is unknown is an error at once", async () => {
    await using service = await scripted(problem(404, "link-not-found"));
    await expect(first(1, watchInvoiceLink(service.http, "abc"))).rejects.toMatchObject({ code: "link-not-found" });
  });
});

describe("a stream", () => {
  const C = "CB53BX2FGV2P4VF5BVMRQ2YWNMFZPINYX44GT66XSTK7AKUADK35OEEH";
  const plain = {
    id: `${C}-1`,
    contractId: C,
    version: "v2",
    status: "ACTIVE",
    withdrawn: "0",
    completesAt: null,
    complete: true,
  };
  type Read = Record<string, unknown>;
  /** A service with a live stream that is at hand, and reads that are given one after the other. */
  const serving = (live: (asked: Asked) => void, reads: (number | Read)[]) =>
    scripted((asked) => {
      if (asked.request.url?.includes("/live")) return live(asked);
      const read = reads.length > 1 ? reads.shift() : reads[0];
      if (typeof read === "number") return problem(read, "x")(asked);
      asked.response.setHeader("content-type", "application/json");
      asked.response.end(JSON.stringify({ ...plain, ...read }));
    });
  const at = (ledger: number): string => `id: p\ndata: ${JSON.stringify({ ledger })}\n\n`;

  it("is read until it is as of an event's ledger, and told where something happened", async () => {
    const reads = [
      { asOfLedger: 5 },
      { asOfLedger: 6 },
      { asOfLedger: 6, unlocked: "9" },
      { asOfLedger: 7, withdrawn: "4" },
    ];
    await using service = await serving(sends("id: p0\n\n", at(7)), reads);
    const seen = await first(2, watchStream(service.http, `${C}-1`));
    expect(seen.map((one) => [one.asOfLedger, one.withdrawn])).toEqual([
      [5, "0"],
      [7, "4"],
    ]);
    const live = service.asked.find((one) => one.request.url?.includes("/live"));
    expect(live?.request.url).toContain(`contract=${C}`);
    await live?.closed;
  });

  it("is read as soon as the connection stands: what happened before is not missed", async () => {
    await using service = await serving(sends("id: p0\n\n"), [
      { asOfLedger: 5 },
      { asOfLedger: 6, status: "CANCELED" },
    ]);
    const seen = await first(2, watchStream(service.http, `${C}-1`));
    expect(seen.map((one) => one.status)).toEqual(["ACTIVE", "CANCELED"]);
  });

  it("is read again for as long as the service is away, and after another history has begun", async () => {
    const reset = 'id: new\nevent: reset\ndata: {"code":"other-epoch","detail":""}\n\n';
    const reads = [{ asOfLedger: 500 }, 503, 503, 503, 503, 503, { asOfLedger: 3, withdrawn: "1" }];
    await using service = await serving(sends("id: p0\n\n", at(501), reset), reads);
    const seen = await first(2, watchStream(service.http, `${C}-1`));
    expect(seen.map((one) => one.asOfLedger)).toEqual([500, 3]);
  });

  it("is an error where the service refuses to tell of it", async () => {
    await using gone = await serving(sends("id: p0\n\n"), [{ asOfLedger: 5 }, 404]);
    await expect(first(2, watchStream(gone.http, `${C}-1`))).rejects.toMatchObject({ status: 404 });
    await using refused = await serving(problem(400, "invalid-parameter"), [{ asOfLedger: 5 }]);
    await expect(first(2, watchStream(refused.http, `${C}-1`))).rejects.toMatchObject({ code: "invalid-parameter" });
  });

  it("is read when the clock completes it, though no event tells that", async () => {
    const completesAt = new Date(Date.now() + 600).toISOString();
    const reads = [
      { asOfLedger: 5, completesAt },
      { asOfLedger: 5, completesAt },
      { asOfLedger: 6, completesAt, status: "COMPLETED" },
    ];
    await using service = await serving(sends("id: p0\n\n"), reads);
    const seen = await first(2, watchStream(service.http, `${C}-1`));
    expect(seen.map((one) => one.status)).toEqual(["ACTIVE", "COMPLETED"]);
    expect(Date.now()).toBeGreaterThan(Date.parse(completesAt));
  });

  it("ends at once by its signal and by return(), and closes its connection", async () => {
    await using service = await serving(sends("id: p0\n\n"), [{ asOfLedger: 5 }]);
    const caller = new AbortController();
    const watching = watchStream(service.http, `${C}-1`, { signal: caller.signal });
    await watching.next();
    const waiting = watching.next();
    while (!service.asked.some((one) => one.request.url?.includes("/live")))
      await new Promise((go) => setTimeout(go, 5));
    caller.abort();
    await expect(waiting).rejects.toBeInstanceOf(NebulaAbortError);
    await Promise.all(service.asked.map((one) => one.closed));
    expect(getEventListeners(caller.signal, "abort")).toEqual([]);

    const again = watchStream(service.http, `${C}-1`);
    await again.next();
    const pending = again.next();
    const before = service.asked.length;
    while (service.asked.length < before + 2) await new Promise((go) => setTimeout(go, 5));
    await again.return();
    expect(await pending).toEqual({ done: true, value: undefined });
    await Promise.all(service.asked.map((one) => one.closed));
  });
});

it("watches at an address with a path", async () => {
  await using service = await scripted(sends(event("1")));
  await first(1, watchEvents(httpTo(`${service.url}/stellar/`), { contract: ["CA", "CB"], topic: "*" }));
  expect(service.asked[0]?.request.url).toBe("/stellar/api/v1/events/live?contract=CA&contract=CB&topic=*");
  expect(service.asked[0]?.request.headers.accept).toBe("text/event-stream");
});
