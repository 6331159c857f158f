/** The static `Nebula`: the very calls of a client, and a clear word where it was not initialized. */
import { expect, it, vi } from "vitest";
import { Nebula, NebulaClient, NotInitializedError } from "../src/index.js";
import { failure, SERVICE } from "./service.js";

const METHODS = Object.getOwnPropertyNames(NebulaClient.prototype).filter((name) => name !== "constructor");

it("has the methods of a client, and initialize", () => {
  expect(Object.keys(Nebula).sort()).toEqual([...METHODS, "initialize"].sort());
  expect(METHODS.length).toBeGreaterThan(30);
});

it.each(METHODS)("tells that it was not initialized: %s", async (name) => {
  vi.resetModules();
  const { Nebula: fresh, NotInitializedError: error } = await import("../src/index.js");
  const call = (fresh as unknown as Record<string, (...given: unknown[]) => unknown>)[name];
  const ends = (async () => {
    const given = call?.("G", {}, {});
    await (given && typeof given === "object" && Symbol.asyncIterator in given
      ? (given as AsyncGenerator).next()
      : given);
  })();
  const seen = await failure(ends);
  expect(seen).toBeInstanceOf(error);
  expect(seen).toMatchObject({ code: "not-initialized", name: "NotInitializedError" });
  expect(String(seen)).toContain("Nebula.initialize(baseUrl)");
});

it("rejects what returns a promise, and throws nothing beside it", async () => {
  vi.resetModules();
  const { Nebula: fresh } = await import("../src/index.js");
  const pending = fresh.getStats();
  expect(pending).toBeInstanceOf(Promise);
  await expect(pending).rejects.toThrow("initialize");
});

it("works as a client does, also where its calls are passed around", async () => {
  const client = Nebula.initialize(SERVICE);
  expect(client).toBeInstanceOf(NebulaClient);
  const { getSync, iterateStreams } = Nebula;
  expect(await getSync()).toMatchObject({ network: "sandbox" });
  for await (const { id } of iterateStreams({ limit: 1 })) {
    expect((await Nebula.getStream(id)).id).toBe(id);
    break;
  }
});

it("uses what it was initialized with last", async () => {
  Nebula.initialize("http://127.0.0.1:1", { maxRetries: 0 });
  expect(await failure(Nebula.getStats())).toMatchObject({ code: "network-error" });
  Nebula.initialize(SERVICE);
  expect((await Nebula.getStats()).streams.total).toBeGreaterThan(0);
  expect(new NotInitializedError("")).toBeInstanceOf(Error);
});
