/** Waiting that the caller can end: pauses, time limits, asking again, and how long to wait before another attempt. */
import {
  BadResponseError,
  ConfigurationError,
  NebulaAbortError,
  NetworkError,
  NotFoundError,
  RateLimitedError,
  RequestTimeoutError,
  ServerError,
} from "./errors.js";

/** The longest time that the platform's timers know. */
const LONGEST = 2 ** 31 - 1;

/** Return a number that the caller gave, or the one that holds without it. */
export function checked(
  name: string,
  value: number | undefined,
  otherwise: number,
  isOne: (value: unknown) => boolean = Number.isFinite,
): number {
  if (value === undefined) return otherwise;
  if (isOne(value) && value >= 0) return Math.min(value, LONGEST);
  throw new ConfigurationError(`${name} is a ${isOne === Number.isInteger ? "whole " : ""}number, 0 or more`);
}

/** Throw where the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new NebulaAbortError(signal.reason);
}

/**
 * Run something until the caller's signal fires, or until `milliseconds` have passed and `late` says what then.
 *
 * It gets a signal that tells of both, and need not heed it: what it does after the end is nobody's concern any more.
 */
export function bounded<T>(
  run: (signal: AbortSignal) => Promise<T> | T,
  signal: AbortSignal | undefined,
  milliseconds?: number,
  late?: () => Error,
): Promise<T> {
  return new Promise((resolve, reject) => {
    throwIfAborted(signal);
    const controller = new AbortController();
    const stop = (error: unknown): void => {
      reject(error);
      controller.abort(error);
    };
    const onAbort = (): void => stop(new NebulaAbortError(signal?.reason));
    const timer = milliseconds === undefined ? undefined : setTimeout(() => stop(late?.()), milliseconds);
    signal?.addEventListener("abort", onAbort, { once: true });
    Promise.resolve()
      .then(() => run(controller.signal))
      .then(resolve, reject)
      .finally(() => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      });
  });
}

/** Wait so many milliseconds; the signal ends it at once, with NebulaAbortError. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return bounded(
    (ended) =>
      new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, milliseconds);
        ended.addEventListener("abort", () => clearTimeout(timer));
      }),
    signal,
  );
}

/** Return the milliseconds to wait before repetition `n`, counted from 0: 0.25 s · 2^n up to 8 s, with full jitter. */
export function backOff(n: number): number {
  return Math.random() * Math.min(250 * 2 ** n, 8_000);
}

/** Return the seconds that a `Retry-After` asks for, as a number or as a date; null where it says nothing. */
export function retryAfter(header: string | null): number | null {
  const seconds = Number(header || Number.NaN);
  const left = Number.isNaN(seconds) ? (Date.parse(header ?? "") - Date.now()) / 1000 : seconds;
  return Number.isNaN(left) ? null : Math.max(0, left);
}

/** Whether an error says nothing of whether the request was carried out. */
export function isUncertain(error: unknown): boolean {
  return [NetworkError, RequestTimeoutError, BadResponseError, ServerError].some((kind) => error instanceof kind);
}

/**
 * Ask again and again, after 0.25 s growing to 2 s, until something is answered.
 *
 * What passes by itself is waited out: a lost connection, an overloaded service, a thing that is not there yet.
 *
 * @param ask gets the milliseconds it may take, and returns undefined for "not yet".
 * @param deadline by `performance.now()`.
 * @param ended says what then; it gets the last error.
 */
export async function poll<T>(
  ask: (left: number) => Promise<T | undefined>,
  deadline: number,
  signal: AbortSignal | undefined,
  ended: (cause: unknown) => T,
): Promise<T> {
  for (let pause = 250; ; pause = Math.min(pause * 1.5, 2_000)) {
    let cause: unknown;
    try {
      // the last time it gets a second, too
      const answer = await ask(Math.max(1_000, deadline - performance.now()));
      if (answer !== undefined) return answer;
    } catch (error) {
      const limited = error instanceof RateLimitedError;
      if (!limited && !(error instanceof NotFoundError) && !isUncertain(error)) throw error;
      if (limited) pause = Math.max(pause, (error.retryAfter ?? 0) * 1000);
      cause = error;
    }
    const left = deadline - performance.now();
    if (left <= 0) return ended(cause);
    await sleep(Math.min(pause, left), signal);
  }
}
