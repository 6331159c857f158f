/**
 * Live streams: connected again by themselves at the last position, so that nothing is missed and nothing comes twice.
 *
 * A position moves only with a whole frame, and an event is handed out together with the position behind it.
 */
import {
  ApiError,
  BadResponseError,
  ConfigurationError,
  LiveResetError,
  NebulaAbortError,
  NebulaError,
  NetworkError,
  RateLimitedError,
  RequestTimeoutError,
} from "./errors.js";
import { type Http, path, type Query } from "./http.js";
import { isLike } from "./params.js";
import { SseParser, type SseFrame } from "./sse.js";
import type { ContractEvent, InvoiceLinkStatus, LiveFilter, Stream } from "./types.js";
import { backOff, checked, isUncertain, sleep, throwIfAborted } from "./wait.js";

/** How to watch. */
export interface WatchOptions {
  /** Ends it at once: what waits throws NebulaAbortError, and the connection is closed. */
  signal?: AbortSignal | undefined;
  /** Milliseconds without a byte after which a connection is given up; the service says something every 15 seconds. */
  silence?: number | undefined;
}

/** How to watch events. */
export interface WatchEventsOptions extends WatchOptions {
  /** The last position that was dealt with: what came since then follows first. Left out: from now on. */
  since?: string | undefined;
  /**
   * Called with each position, once everything up to it was dealt with: at first when the connection stands, for an
   * event when the next one is asked for. Store it, and give it as `since` after a restart.
   */
  onPosition?: ((position: string) => void) | undefined;
}

/** An event, and the position behind it. */
export interface LiveEvent {
  readonly event: ContractEvent;
  /** Opaque; `since` takes it. Not the event's id. */
  readonly position: string;
}

/** Where an invoice link is, as everybody may see it. */
export interface InvoiceLinkState {
  readonly status: InvoiceLinkStatus;
  /** The transaction that paid, or was submitted last. */
  readonly txHash?: string;
  /** The stream that paid. */
  readonly streamId?: string;
  readonly updatedAt: string;
}

type Watching<T> = AsyncGenerator<T, void, undefined>;

const SILENCE = 30_000;
/** How often a first connection is tried again; one that has stood is made again for as long as it takes. */
const FIRST_RETRIES = 3;
const LONGEST_PAUSE = 60_000;
const LONGEST_RETRY_AFTER = 600_000;
/** V1 contracts pay out and are cancelled without an event; the service finds that when it reads the chain. */
const SILENT = "v1";
const LOOK_AGAIN = 15_000;
/** A new stream's curve is no event either. */
const LOOK_FOR_CURVE = 3_000;
const NEVER = 2 ** 31 - 1;
/** An event is folded into its stream a moment after it was committed: up to which pause to look again. */
const LONGEST_FOLDING = 15_000;
/** What the clock alone moves. */
const MOVING = /^(unlocked|withdrawable|accruedInterest|asOfLedger|stateLedger|complete)$/;

/** Yield contract events as they are committed, each once. It ends by `break`, by its signal, or with an error. */
export function watchEvents(
  http: Http,
  filter: LiveFilter = {},
  options: WatchEventsOptions = {},
): Watching<LiveEvent> {
  return until(options.signal, async function* (signal) {
    if ("since" in filter) throw new ConfigurationError("since is an option");
    for await (const [frame, position] of frames(http, "/events/live", filter as Query, { ...options, signal })) {
      if (frame.event === "reset") {
        const { code, detail } = read<{ code: string; detail: string }>(frame);
        throw new LiveResetError(code, detail);
      }
      if (frame.event === "message" && frame.data !== null) {
        if (position === null) throw new BadResponseError("no position");
        yield { event: read<ContractEvent>(frame), position };
      }
      if (frame.id !== null) options.onPosition?.(frame.id);
    }
  });
}

/**
 * Yield a stream as it is, and again whenever something happens to it.
 *
 * What the clock alone moves (`unlocked` and the like) is no change: `unlockedAt` computes it. After `reset` the stream
 * is simply read again. Nothing ends it but `break`, its signal or an error: a completed stream may be topped up.
 */
export function watchStream(http: Http, id: string, options: WatchOptions = {}): Watching<Stream> {
  return until(options.signal, async function* (signal) {
    const get = (): Promise<Stream> => http.request<Stream>("GET", path`/streams/${id}`, { signal });
    let stream = await get();
    yield stream;

    // until the signal fires: at the end it does, too
    const news = follow(http, stream.contractId, { ...options, signal });
    for (;;) {
      await news.come(nextLook(stream), signal);
      for (let pause = 0; pause < LONGEST_FOLDING; pause = pause * 2 || 100) {
        const { ledger } = news;
        await sleep(pause, signal);
        const now = await lasting(get, signal);
        const changed = lastingPart(now) !== lastingPart(stream);
        stream = now;
        if (changed) yield stream;
        // what was committed meanwhile raises the ledger: then the next look is for that
        if (stream.asOfLedger >= ledger && stream.complete) break;
      }
    }
  });
}

/** Yield where an invoice link is, and again with each change; it ends when the link is deleted. */
export function watchInvoiceLink(http: Http, slug: string, options: WatchOptions = {}): Watching<InvoiceLinkState> {
  return until(options.signal, async function* (signal) {
    let last: string | null = null;
    for await (const [frame] of frames(http, path`/invoice-links/${slug}/live`, {}, { ...options, signal })) {
      if (frame.event === "gone") return;
      // each connection begins with the status as it is: that is news only where it has changed
      if (frame.event !== "status" || frame.data === last) continue;
      last = frame.data;
      yield read<InvoiceLinkState>(frame);
    }
  });
}

// --- a stream's news -----------------------------------------------------------------------------------------------

/** What the events of a contract mean for one who shows a stream: there is something to read. */
interface News {
  /** As of which ledger at least. */
  readonly ledger: number;
  /** Wait until there is something, or for so many milliseconds. */
  come(milliseconds: number, signal: AbortSignal): Promise<void>;
}

/** Follow a contract's events until the signal ends it. */
function follow(http: Http, contract: string, options: WatchEventsOptions): News {
  let any = false;
  let failure: { error: unknown } | undefined;
  let wake = (): void => undefined;
  const news = {
    ledger: 0,
    async come(milliseconds: number, signal: AbortSignal): Promise<void> {
      const [pause, unlink] = linked(signal);
      wake = () => pause.abort();
      if (!any && !failure) await sleep(milliseconds, pause.signal).catch(() => undefined);
      unlink();
      throwIfAborted(signal);
      if (failure) throw failure.error;
      any = false;
    },
  };
  const tell = (ledger: number): void => {
    news.ledger = ledger;
    any = true;
    wake();
  };
  const run = async (): Promise<void> => {
    for (;;) {
      let stands = false;
      // as soon as the connection stands the stream is read: what came before is in it, what comes after is told
      const onPosition = (): void => {
        if (!stands) tell(news.ledger);
        stands = true;
      };
      try {
        for await (const { event } of watchEvents(http, { contract }, { ...options, onPosition })) {
          tell(Math.max(news.ledger, event.ledger));
        }
      } catch (error) {
        if (!(error instanceof LiveResetError)) throw error;
        tell(0); // the ledgers of another history may be lower ones
      }
    }
  };
  run().catch((error: unknown) => {
    failure = { error };
    wake();
  });
  return news;
}

/** Read again for as long as it may help: a service that is replaced answers again in a while. */
async function lasting<T>(get: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let n = 0; ; n += 1) {
    try {
      return await get();
    } catch (error) {
      if (!passing(error)) throw error;
      await sleep(pauseAfter(error, backOff(n)), signal);
    }
  }
}

/** Return after how many milliseconds to read a stream again though no event tells of anything. */
function nextLook({ status, version, stateLedger, completesAt }: Stream): number {
  const active = status === "ACTIVE";
  const ended = status === "CANCELED" || status === "ARCHIVED";
  const quiet = active && stateLedger === null ? LOOK_FOR_CURVE : version === SILENT && !ended ? LOOK_AGAIN : NEVER;
  if (!active || completesAt === null) return quiet;
  // no event tells that the clock completed it: the ledger that does closes after this moment, by another clock
  const left = Date.parse(completesAt) - Date.now();
  return Math.min(quiet, left > 0 ? left + 250 : Math.min(LOOK_AGAIN, 1_000 - left / 4));
}

/** Return what of a stream does not move by itself. */
function lastingPart(stream: Stream): string {
  return JSON.stringify(stream, (key, value: unknown) => (MOVING.test(key) ? undefined : value));
}

// --- connections -----------------------------------------------------------------------------------------------------

/** A frame, and the position behind it; null before the service has told one. */
type Followed = readonly [SseFrame, string | null];

/** Yield the frames of a live stream over any number of connections. */
async function* frames(
  http: Http,
  where: string,
  query: Query,
  options: WatchEventsOptions & { signal: AbortSignal },
): Watching<Followed> {
  const { signal } = options;
  const silence = checked("silence", options.silence, SILENCE);
  let position = options.since ?? null;
  let pause: number | null = null;
  let stood = false;
  let failures = 0;
  for (;;) {
    let failure: unknown;
    try {
      for await (const frame of connection(http, where, { ...query, since: position }, silence, signal)) {
        stood = true;
        failures = 0;
        if (frame.retry !== null) pause = frame.retry;
        if (frame.event === "bye" || frame.event === "dropped") break;
        if (frame.id !== null) position = frame.id;
        yield [frame, position];
      }
    } catch (error) {
      throwIfAborted(signal);
      if (!passing(error) || (!stood && failures >= FIRST_RETRIES)) throw error;
      failure = error;
    }
    const again = pause === null ? backOff(failures) : Math.min(LONGEST_PAUSE, Math.max(1, pause) * 2 ** failures);
    failures += 1;
    await sleep(pauseAfter(failure, again), signal);
  }
}

/** Yield the frames of one connection; it is closed when nobody asks for more. */
async function* connection(
  http: Http,
  where: string,
  query: Query,
  silence: number,
  signal: AbortSignal,
): Watching<SseFrame> {
  const [own, unlink] = linked(signal);
  let silent = false;
  /** Wait for something to arrive. The time that the caller takes for an event does not count. */
  const heard = <T>(work: Promise<T>): Promise<T> => {
    const timer = setTimeout(() => {
      silent = true;
      own.abort();
    }, silence);
    return work.finally(() => clearTimeout(timer));
  };
  try {
    const response = await heard(
      http.open(where, query, { signal: own.signal, headers: { accept: "text/event-stream" } }),
    );
    if (!response.body || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
      throw new BadResponseError(`GET ${where}: no event stream`);
    }
    const reader = response.body.getReader();
    const parser = new SseParser();
    for (;;) {
      const { done, value } = await heard(reader.read());
      if (done) return;
      yield* parser.push(value);
    }
  } catch (error) {
    if (silent) throw new RequestTimeoutError(`GET ${where}: not a byte within ${silence} ms`);
    if (error instanceof NebulaError) throw error;
    if (error instanceof RangeError) throw new BadResponseError(`GET ${where}: ${error.message}`);
    throw new NetworkError(`GET ${where}: the connection broke`, error);
  } finally {
    unlink();
    own.abort();
  }
}

/** Tell whether connecting again may help. */
function passing(error: unknown): boolean {
  return error instanceof RateLimitedError || isUncertain(error);
}

/** Return the milliseconds to wait: what the service asks for, where that is more. */
function pauseAfter(error: unknown, milliseconds: number): number {
  const asked = error instanceof ApiError ? (error.retryAfter ?? 0) * 1_000 : 0;
  return Math.max(milliseconds, Math.min(LONGEST_RETRY_AFTER, asked));
}

function read<T>(frame: SseFrame): T {
  try {
    const said = JSON.parse(frame.data ?? "") as T;
    if (isLike(said, {})) return said;
  } catch {
    // no JSON
  }
  throw new BadResponseError("the live stream sent no JSON object");
}

/** Return a controller that fires with a signal, and what takes it off that signal. */
function linked(signal: AbortSignal | undefined): [AbortController, () => void] {
  const controller = new AbortController();
  const end = (): void => controller.abort(signal?.reason);
  if (signal?.aborted) end();
  signal?.addEventListener("abort", end, { once: true });
  return [controller, () => signal?.removeEventListener("abort", end)];
}

/**
 * Run a generator under the caller's signal, so that `return()` ends it at once, too.
 *
 * A generator's own `return()` waits until what is awaited in it has come, which may be never.
 */
function until<T>(signal: AbortSignal | undefined, run: (signal: AbortSignal) => Watching<T>): Watching<T> {
  let returned = false;
  let stop: AbortController | undefined;
  const generator = (async function* (): Watching<T> {
    const [own, unlink] = linked(signal);
    stop = own;
    try {
      throwIfAborted(own.signal);
      yield* run(own.signal);
    } catch (error) {
      if (!returned) throw own.signal.aborted ? new NebulaAbortError(own.signal.reason) : error;
    } finally {
      unlink();
      own.abort();
    }
  })();
  const finish = generator.return.bind(generator);
  generator.return = (value) => {
    returned = true;
    stop?.abort();
    return finish(value);
  };
  return generator;
}
