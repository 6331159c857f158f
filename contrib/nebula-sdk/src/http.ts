/** One request to the API: address, credentials, time limit, repetition where it is safe, problems as errors. */
import {
  ApiError,
  apiErrorClass,
  AuthenticationError,
  BadResponseError,
  ConfigurationError,
  NetworkError,
  RequestTimeoutError,
} from "./errors.js";
import { checkHeader, isLike, timeText } from "./params.js";
import type { Signer } from "./signing.js";
import type { CallOptions, Problem } from "./types.js";
import { backOff, bounded, checked, isUncertain, retryAfter, sleep } from "./wait.js";

/** Of a query; several values repeat the parameter, what is undefined or null is left out. */
export type Query = {
  readonly [name: string]: string | number | boolean | Date | null | undefined | readonly (string | number)[];
};
export type HeaderMap = Readonly<Record<string, string>>;

export interface RequestOptions extends CallOptions {
  query?: Query | undefined;
  /** Sent as JSON. */
  body?: unknown;
  headers?: HeaderMap | undefined;
  /** What an answer has that is one of this service's, by example. */
  like?: object | undefined;
  /** Told of an attempt of which nobody knows whether it was carried out. */
  onDoubt?: (() => void) | undefined;
  /** `none` sends no credential, `optional` (the default) one that is at hand, `required` gets one if need be. */
  auth?: "none" | "optional" | "required" | undefined;
  /** Who logs in where a login is needed, instead of the client's signer. */
  signer?: Signer | undefined;
  account?: string | undefined;
  /**
   * When the request may be sent again. `safe`, the default of GET: whenever an answer may have been lost, for sending
   * it twice does no harm. `unsent`, the default of all else: where nothing of it was carried out. `never`.
   */
  retry?: "safe" | "unsent" | "never" | undefined;
}

/** What proves who asks. */
export interface Credential {
  readonly headers: HeaderMap;
}

/** Who asks. */
export interface Credentials {
  /** Return what there is, getting it first where it is required and missing. */
  credential(options: RequestOptions): Promise<Credential>;
  /** After a 401 to a request with this one: who is to ask in another attempt; undefined where none makes sense. */
  renewal(refused: Credential): Pick<RequestOptions, "signer" | "account"> | undefined;
}

export interface HttpConfig {
  baseUrl: string | URL;
  /** Milliseconds for one attempt. */
  timeout: number;
  /** How often a request is repeated at the most. */
  maxRetries: number;
  headers: HeaderMap;
  fetch: typeof globalThis.fetch;
}

/** Who is to wait longer than so many seconds is told so, and decides by themselves. */
const LONGEST_RETRY_AFTER = 30;

export class Http {
  /** Where the API is, without a slash at its end. */
  readonly base: string;
  /** Milliseconds for one attempt, where a call says nothing else. */
  readonly timeout: number;
  credentials: Credentials | undefined;
  readonly #config: HttpConfig;

  constructor(config: HttpConfig) {
    this.#config = config;
    for (const [name, value] of Object.entries(config.headers)) {
      checkHeader("headers", /[^\w-]/.test(name) ? undefined : value);
    }
    this.base = baseOf(config.baseUrl);
    this.timeout = config.timeout;
  }

  /** Send a request and return its answer's JSON; undefined for 204. */
  async request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const what = `${method} ${path}`;
    const attempt = (credentials: HeaderMap): Promise<T> =>
      this.#bounded(what, options, async (signal) => {
        const response = await this.#send(method, path, what, options, credentials, signal);
        return (method === "DELETE" && response.status === 204 ? undefined : await bodyOf(response, what, options.like)) as T;
      });
    return this.#authorized(options, (credentials) => this.#repeated(method, options, () => attempt(credentials)));
  }

  /**
   * Send a GET, once, and return its answer as soon as the headers are there; the time limit is over then. The caller
   * reads the body, and fires the signal where it wants no more, also after an error: that closes the connection.
   */
  async open(path: string, query: Query, options: { signal: AbortSignal; headers?: HeaderMap }): Promise<Response> {
    const what = `GET ${path}`;
    return this.#authorized(options, (credentials) =>
      this.#bounded(what, options, () =>
        this.#send("GET", path, what, { ...options, query }, credentials, options.signal),
      ),
    );
  }

  #bounded<T>(what: string, options: CallOptions, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const timeout = checked("timeout", options.timeout, this.timeout);
    const late = (): Error => new RequestTimeoutError(`${what}: no answer within ${Math.round(timeout)} ms`);
    return bounded(run, options.signal, timeout, late);
  }

  async #authorized<T>(options: RequestOptions, send: (credentials: HeaderMap) => Promise<T>): Promise<T> {
    const { credentials } = this;
    if (!credentials || options.auth === "none") return send({});
    const credential = await credentials.credential(options);
    try {
      return await send(credential.headers);
    } catch (error) {
      const renewed = error instanceof AuthenticationError && credentials.renewal(credential);
      if (!renewed) throw error;
      return send((await credentials.credential({ ...options, ...renewed })).headers);
    }
  }

  async #repeated<T>(method: string, options: RequestOptions, attempt: () => Promise<T>): Promise<T> {
    const retry = options.retry ?? (method === "GET" ? "safe" : "unsent");
    for (let n = 0; ; n += 1) {
      try {
        return await attempt();
      } catch (error) {
        if (isUncertain(error)) options.onDoubt?.();
        const pause = retry === "never" || n >= this.#config.maxRetries ? null : pauseAfter(error, n, retry);
        if (pause === null) throw error;
        await sleep(pause, options.signal);
      }
    }
  }

  async #send(
    method: string,
    path: string,
    what: string,
    options: RequestOptions,
    credentials: HeaderMap,
    signal: AbortSignal,
  ): Promise<Response> {
    const { fetch, headers } = this.#config;
    const init: RequestInit = {
      method,
      headers: { accept: "application/json", ...headers, ...options.headers, ...credentials },
      signal,
      redirect: "manual", // followed, a POST would become a GET
    };
    if (options.body !== undefined) {
      init.headers = { ...init.headers, "content-type": "application/json" };
      init.body = JSON.stringify(options.body);
    }
    let response: Response;
    try {
      response = await fetch(`${this.base}${path}${queryString(options.query)}`, init);
    } catch (error) {
      throw new NetworkError(`${what}: ${reasonOf(error)}`, error);
    }
    if (!response.ok) throw await problemOf(response, what);
    return response;
  }
}

/** Encode what a path is made of: path`/streams/${id}`. */
export function path(parts: TemplateStringsArray, ...names: string[]): string {
  return names.reduce((made, name, n) => {
    // a dot or two would be taken for the path above
    if (typeof name !== "string" || /^\.{0,2}$/.test(name)) {
      throw new ConfigurationError(`no id, slug or hash: ${JSON.stringify(name)}`);
    }
    return `${made}${encodeURIComponent(name)}${parts[n + 1]}`;
  }, parts[0] ?? "");
}

/** Return the milliseconds to wait before the same request again; null where it must not be sent again. */
function pauseAfter(error: unknown, n: number, retry: "safe" | "unsent"): number | null {
  const { status, code, retryAfter: wait = null } = error instanceof ApiError ? error : ({} as Partial<ApiError>);
  const again =
    status === 429 ||
    isConnectionRefused(error) ||
    (retry === "safe" && (code === "idempotency-running" || (isUncertain(error) && status !== 500 && status !== 501)));
  if (!again || (wait ?? 0) > LONGEST_RETRY_AFTER) return null;
  return wait === null ? backOff(n) : wait * 1000;
}

/** Whether nothing was sent at all. Node tells, in the cause of what fetch throws; browsers do not. */
function isConnectionRefused(error: unknown): boolean {
  return (error as { cause?: { cause?: { code?: unknown } } } | null)?.cause?.cause?.code === "ECONNREFUSED";
}

/** Return where the API is: `/api/v1` is appended where it is missing. */
function baseOf(baseUrl: string | URL): string {
  try {
    const { origin, pathname, href } = new URL(baseUrl);
    const plain = `${origin}${pathname}`;
    if (/^https?:/.test(plain) && plain === href) return plain.replace(/(\/api\/v1)?\/*$/, "/api/v1");
  } catch {
    // no URL at all
  }
  // it is not repeated: it may hold a password
  throw new ConfigurationError("baseUrl is like https://api.example.org, without query");
}

function queryString(query: Query = {}): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (one !== undefined && one !== null) pairs.append(name, one instanceof Date ? timeText(one) : String(one));
    }
  }
  return pairs.size ? `?${pairs}` : "";
}

async function bodyOf(response: Response, what: string, like: object = {}): Promise<unknown> {
  let text: string;
  try {
    text = await response.text();
  } catch (error) {
    throw new NetworkError(`${what}: it broke off: ${reasonOf(error)}`, error);
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new BadResponseError(`${what}: the answer is not JSON`);
  }
  if (isLike(body, like)) return body;
  throw new BadResponseError(`${what}: the answer is another one`);
}

async function problemOf(response: Response, what: string): Promise<ApiError> {
  const { status, headers } = response;
  const said = (await response.json().catch(() => null)) as Partial<Problem> | null;
  const problem: Problem = {
    type: "about:blank",
    title: `HTTP ${status}`,
    status,
    detail: "answered by something else",
    code: "http-error",
    ...(typeof said?.code === "string" && said),
  };
  const wait = retryAfter(headers.get("retry-after"));
  return new (apiErrorClass(status))(what, status, problem, headers.get("x-request-id"), wait);
}

/** Return what the platform says of a failed fetch: Node has the reason in the cause. */
function reasonOf(error: unknown): string {
  const { cause } = Object(error) as { cause?: unknown };
  return `${String(error)}${cause instanceof Error ? ` (${cause.message})` : ""}`;
}
