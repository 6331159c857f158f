/**
 * Amounts without loss: between whole tokens and the smallest unit, and what a stream has unlocked at a moment.
 *
 * The API tells amounts as decimal strings in the token's smallest unit. JavaScript's numbers would lose digits, so
 * everything here is a string or a `bigint`.
 */
import { ConfigurationError, InvalidAmountError } from "./errors.js";
import type { Stream, Time } from "./types.js";

/** A token's `decimals` are a u32; none has as many as this. */
const MOST_DECIMALS = 255;

/** Return how many of the smallest unit an amount of whole tokens is: `toUnits("12.5", 7)` is `125000000n`. */
export function toUnits(tokens: string, decimals: number): bigint {
  checkDecimals(decimals);
  const parts = typeof tokens === "string" && /^\s*(-?\d+)(?:\.(\d+))?\s*$/.exec(tokens);
  if (!parts) throw new InvalidAmountError(`no decimal text: ${tokens}`);
  const [, whole, fraction = ""] = parts;
  if (fraction.length > decimals) throw new InvalidAmountError(`more than ${decimals} decimal places: ${tokens}`);
  return BigInt(whole + fraction.padEnd(decimals, "0"));
}

/** Return an amount of the smallest unit in whole tokens: `fromUnits("125000000", 7)` is `"12.5"`. */
export function fromUnits(units: string | bigint, decimals: number): string {
  checkDecimals(decimals);
  if (typeof units !== "bigint" && (typeof units !== "string" || !/^-?\d+$/.test(units))) {
    throw new InvalidAmountError(`no amount: ${units}`);
  }
  const [, sign, digits = ""] = /(-?)(.*)/.exec(String(BigInt(units))) ?? [];
  const padded = digits.padStart(decimals + 1, "0");
  const point = padded.length - decimals;
  return `${sign}${padded.slice(0, point)}.${padded.slice(point)}`.replace(/\.?0*$/, "");
}

function checkDecimals(decimals: number): void {
  if (!Number.isInteger(decimals) || decimals < 0 || decimals > MOST_DECIMALS) {
    throw new InvalidAmountError(`decimals are 0 to ${MOST_DECIMALS}`);
  }
}

/** What of a stream its unlocking depends on. */
type Terms = Pick<
  Stream,
  | "version"
  | "status"
  | "amount"
  | "withdrawn"
  | "unlocked"
  | "curve"
  | "startTime"
  | "cliffTime"
  | "endTime"
  | "completesAt"
>;

/** The same in numbers; times are Unix seconds. */
interface Schedule {
  readonly total: bigint;
  readonly start: bigint;
  readonly cliff: bigint | null;
  readonly end: bigint;
  readonly curve: Stream["curve"];
}

const NANOSECONDS = 1_000_000_000n;
const SCALE = 10_000_000n;

/**
 * Return what a stream has unlocked at a moment, withdrawn or not, exactly as its contract computes it: what
 * `GET /streams/{id}?at=` answers, without asking. So a page can let an amount run while nothing happens to the stream.
 *
 * `stream` is one that was read without `at`; of `when` the whole seconds count, as for the contracts. Null where the
 * stream does not tell enough: it is paused, it unlocks in steps, or what is needed is itself null. Then show the
 * stream's own `unlocked`. Like `?at=` it looks along the curve: a withdrawal, pause or top-up that comes later is not
 * foreseen, so read the stream again when something happens to it (`watchStream`).
 */
export function unlockedAt(stream: Terms, when: Time = new Date()): bigint | null {
  const { version, status, withdrawn, unlocked, curve } = stream;
  const now = moment(when);
  if (status === "CANCELED" || status === "ARCHIVED") return big(unlocked); // it keeps its amounts
  const total = big(stream.amount);
  const [start, cliff, end, completes] = [stream.startTime, stream.cliffTime, stream.endTime, stream.completesAt].map(
    (time) => (time === null ? null : unix(Date.parse(time))),
  ) as [bigint | null, bigint | null, bigint | null, bigint | null];
  if (status === "PAUSED" || total === null || start === null || end === null) return null;
  const schedule = { total, start, cliff, end, curve };
  if (version === "v1") {
    // without a fresh read nobody knows whether it was cancelled; without `completesAt` not for how long it paused
    return unlocked === null || completes === null ? null : unlockedV1(schedule, completes - end, now);
  }
  if (version !== "v2" || cliff === null) return null;
  // paid in full before its end: its entry may have been deleted since, and then no formula holds before the end
  if (completes === null && (now < end || withdrawn !== stream.amount)) return null;
  return unlockedV2({ ...schedule, cliff }, now);
}

/** V1: pauses move cliff and end. */
function unlockedV1({ total, start, cliff, end, curve }: Schedule, paused: bigint, now: bigint): bigint | null {
  if (now <= start) return 0n;
  const known = cliff !== null && curve !== null;
  if (known && now < u64(cliff + paused)) return 0n;
  if (now >= u64(end + paused)) return total;
  if (!known || curve === "steps") return null;
  const elapsed = now - start - paused;
  if (elapsed <= 0n) return 0n;
  const duration = end - start;
  if (duration === 0n) return null; // the contract would trap
  const [squared, whole] = [elapsed * elapsed, duration * duration];
  // checked step by step: where one does not fit, the contract takes the linear curve, which wraps around
  const checked = fits(squared) && fits(whole) && fits(total * squared);
  return curve === "exponential" && checked ? (total * squared) / whole : i128(total * elapsed) / duration;
}

/** V2 counts nanoseconds in 64 bits, and so wraps around after the year 2554. */
function unlockedV2({ total, start, cliff, end, curve }: Schedule & { cliff: bigint }, now: bigint): bigint | null {
  const nanos = (time: bigint): bigint => u64(time * NANOSECONDS);
  const [from, to, at] = [nanos(start), nanos(end), nanos(now)];
  if (at < nanos(cliff) || at <= from) return 0n;
  if (at >= to) return total;
  const [elapsed, duration] = [at - from, to - from];
  if (curve === "exponential") {
    const ratio = (elapsed * SCALE) / duration; // cut to seven digits, and so is its square
    return total <= 0n ? 0n : i128(total * ((ratio * ratio) / SCALE)) / SCALE;
  }
  if (curve !== "linear") return null;
  const scaled = total * elapsed * SCALE;
  // where that does not fit, the contract divides first, which loses what is below one unit a nanosecond
  return fits(scaled) ? scaled / duration / SCALE : i128((total / duration) * elapsed);
}

const u64 = (number: bigint): bigint => BigInt.asUintN(64, number);
const i128 = (number: bigint): bigint => BigInt.asIntN(128, number);
const fits = (number: bigint): boolean => i128(number) === number;
const big = (amount: string | null): bigint | null => (amount === null ? null : BigInt(amount));
const unix = (milliseconds: number): bigint => BigInt(Math.floor(milliseconds / 1_000));

/** Return a moment in whole Unix seconds. A text without its offset would be another moment on each machine. */
function moment(when: Time): bigint {
  const told = typeof when !== "string" || /(?:Z|[+-]\d\d:\d\d)$/i.test(when);
  const milliseconds = typeof when === "string" ? Date.parse(when) : when.getTime();
  if (told && !Number.isNaN(milliseconds)) return unix(milliseconds);
  throw new ConfigurationError("no Date, nor RFC 3339 with its offset");
}
