/** Amounts: no digit is lost, no number is taken, and what is unlocked is what the contracts compute. */

import { describe, expect, it } from "vitest";
import { fromUnits, toUnits, unlockedAt } from "../src/amounts.js";
import { ConfigurationError, InvalidAmountError } from "../src/errors.js";
import { dice } from "./live-kit.js";

describe("toUnits and fromUnits", () => {
  it.each([
    ["12.5", 7, 125_000_000n, "12.5"],
    ["0", 7, 0n, "0"],
    ["0.0000001", 7, 1n, "0.0000001"],
    ["007.10", 2, 710n, "7.1"],
    ["-1.5", 2, -150n, "-1.5"],
    ["-0.01", 2, -1n, "-0.01"],
    ["17014118346046923173168730371588410.5727", 4, 2n ** 127n - 1n, "17014118346046923173168730371588410.5727"],
    ["42", 0, 42n, "42"],
    [" 1 ", 18, 10n ** 18n, "1"],
  ])("read %j with %i decimals, and write it back", (tokens, decimals, units, back) => {
    expect(toUnits(tokens, decimals)).toBe(units);
    expect(fromUnits(units, decimals)).toBe(back);
    expect(fromUnits(units.toString(), decimals)).toBe(back);
  });

  it("are each other's inverse for every amount and any decimals", () => {
    const random = dice(3);
    for (let round = 0; round < 2_000; round += 1) {
      const decimals = Math.floor(random() * 39);
      const digits = Array.from({ length: 1 + Math.floor(random() * 38) }, () => Math.floor(random() * 10)).join("");
      const units = BigInt(digits) * (random() < 0.3 ? -1n : 1n);
      expect(toUnits(fromUnits(units, decimals), decimals)).toBe(units);
    }
  });

  it.each([
    "1.23456789",
    "1,5",
    "1e7",
    "",
    ".",
    "1.",
    ".5",
    "0x10",
    "1 000",
    "Infinity",
    "--1",
    "١",
    "1".repeat(99) + "x",
  ])("refuse the text %j", (text) => {
    expect(() => toUnits(text, 7)).toThrow(InvalidAmountError);
  });

  it.each([12.5, 12, null, undefined, {}, ["12"]])("refuse %j, which is no text", (value) => {
    expect(() => toUnits(value as unknown as string, 7)).toThrow(InvalidAmountError);
    expect(() => fromUnits(value as unknown as string, 7)).toThrow(InvalidAmountError);
  });

  it.each([-1, 1.5, NaN, 256, "7", 7n])("refuse %s decimals", (decimals) => {
    expect(() => toUnits("1", decimals as number)).toThrow(InvalidAmountError);
    expect(() => fromUnits(1n, decimals as number)).toThrow(InvalidAmountError);
  });

  it.each(["1.0", "", "1e7", " 1"])("fromUnits refuses %j, which is not in the smallest unit", (text) => {
    expect(() => fromUnits(text, 7)).toThrow(InvalidAmountError);
  });
});

describe("unlockedAt", () => {
  const DAY = 86_400;
  const START = Date.UTC(2026, 0, 1) / 1000;
  const time = (seconds: number): string => new Date(seconds * 1000).toISOString();
  type Terms = Parameters<typeof unlockedAt>[0];
  const stream = (duration: number, some: Partial<Terms> = {}): Terms => ({
    version: "v2",
    status: "ACTIVE",
    amount: "1000",
    withdrawn: "0",
    unlocked: "0",
    curve: "linear",
    startTime: time(START),
    cliffTime: time(START),
    endTime: time(START + duration),
    completesAt: time(START + duration),
    ...some,
  });
  const at = (some: Terms, seconds: number): bigint | null => unlockedAt(some, time(START + seconds));

  it("runs evenly from start to end, second by second", () => {
    for (const version of ["v1", "v2"]) {
      const one = stream(1000, { version });
      for (let second = 0; second <= 1000; second += 1) expect(at(one, second)).toBe(BigInt(second));
      expect([at(one, -5), at(one, 2000)]).toEqual([0n, 1000n]);
    }
  });

  it("rounds down, and counts whole seconds", () => {
    const one = stream(3, { amount: "10" });
    expect([0, 0.999, 1, 1.999, 2, 2.999, 3].map((second) => at(one, second))).toEqual([0n, 0n, 3n, 3n, 6n, 6n, 10n]);
  });

  it("unlocks nothing before the cliff, and then what has run up since the start", () => {
    const one = stream(1000, { cliffTime: time(START + 400) });
    expect([399, 400, 401].map((second) => at(one, second))).toEqual([0n, 400n, 401n]);
  });

  it("takes V1's pauses off, by how much later the stream completes", () => {
    const one = stream(1000, { version: "v1", cliffTime: time(START + 400), completesAt: time(START + 1300) });
    expect([300, 699, 700, 1000, 1299, 1300].map((second) => at(one, second))).toEqual([
      0n,
      0n,
      400n,
      700n,
      999n,
      1000n,
    ]);
  });

  // docs/streams.md, "The linear formula runs over": tokens of seven decimals
  it("computes what V2 pays where its formula runs over, not what would be right", () => {
    const year = stream(365 * DAY, { amount: "600000000000000" });
    expect(at(year, 182.5 * DAY)).toBe(300_000_000_000_000n);
    expect(at(year, 0.9 * 365 * DAY)).toBe(0n);
    expect(at(year, 365 * DAY - 1)).toBe(0n);
    expect(at(year, 365 * DAY)).toBe(600_000_000_000_000n);
    const month = stream(30 * DAY, { amount: "10000000000000000" });
    expect(at(month, 0.99 * 30 * DAY)).toBe(7_698_240_000_000_000n);
  });

  it("squares V1's share exactly, and cuts V2's to seven digits twice", () => {
    const amount = "9000000000";
    expect(at(stream(900, { version: "v1", curve: "exponential", amount }), 300)).toBe(1_000_000_000n);
    expect(at(stream(900, { version: "v2", curve: "exponential", amount }), 300)).toBe(999_999_000n);
  });

  it("keeps the amounts of a stream that was cancelled or migrated", () => {
    for (const status of ["CANCELED", "ARCHIVED"] as const) {
      const one = stream(1000, { status, unlocked: "123", completesAt: null });
      expect([-1, 500, 5000].map((second) => at(one, second))).toEqual([123n, 123n, 123n]);
      expect(at({ ...one, unlocked: null }, 500)).toBeNull();
    }
  });

  it("tells what is certain whatever the curve, and nothing else", () => {
    for (const curve of [null, "steps"] as const) {
      const one = stream(1000, { curve, cliffTime: time(START + 400) });
      expect([0, 399, 400, 999, 1000].map((second) => at(one, second))).toEqual([0n, 0n, null, null, 1000n]);
    }
  });

  it.each<[string, Partial<Terms>]>([
    ["is paused", { status: "PAUSED" }],
    ["has no amount", { amount: null }],
    ["has no start", { startTime: null }],
    ["has no end", { endTime: null }],
    ["is of V2, and has no cliff", { cliffTime: null }],
    ["is of V1, and was not read lately", { version: "v1", unlocked: null }],
    ["is of V1, and does not tell when it completes", { version: "v1", completesAt: null }],
    ["is of another family", { version: "acme" }],
    ["was paid in full before its end", { status: "COMPLETED", withdrawn: "1000", completesAt: null }],
  ])("tells nothing of a stream that %s", (_, some) => {
    expect(at(stream(1000, some), 500)).toBeNull();
  });

  it("takes a Date, and now where nothing is given", () => {
    const now = Math.floor(Date.now() / 1000);
    const one = stream(0, { startTime: time(now - 500), cliffTime: time(now - 500), endTime: time(now + 500) });
    expect(Number(unlockedAt(one))).toBeGreaterThanOrEqual(500);
    expect(unlockedAt(one, new Date(now * 1000))).toBe(500n);
    expect(unlockedAt(one, new Date(now * 1000).toISOString().replace("Z", "+00:00"))).toBe(500n);
  });

  it.each(["2026-01-01T00:00:00", "yesterday", "", new Date(NaN)])("refuses the moment %s", (when) => {
    expect(() => unlockedAt(stream(1000), when)).toThrow(ConfigurationError);
  });
});
