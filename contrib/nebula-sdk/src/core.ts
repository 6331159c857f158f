/** What a client is made of, and what its calls have in common. */
import { ConfigurationError } from "./errors.js";
import { Http, type Query, type RequestOptions } from "./http.js";
import { items, type ReadPage } from "./paging.js";
import { bodyOf } from "./params.js";
import { Session } from "./session.js";
import type { Signer } from "./signing.js";
import { type Settled, type SigningOptions, Transactions } from "./transactions.js";
import type { Stream, UnsignedTransaction } from "./types.js";
import { checked } from "./wait.js";

/** How a client works. */
export interface NebulaOptions {
  /** Who signs, and logs in, where a call names nobody. */
  signer?: Signer | null | undefined;
  /** A key that the service's operator made (`X-API-Key`). Where there is a token, that is sent instead. */
  apiKey?: string | null | undefined;
  /** The token of a login, kept from before. */
  token?: string | null | undefined;
  /** Milliseconds for one attempt of a request; 30,000 without it. */
  timeout?: number | undefined;
  /** Milliseconds to wait for a transaction to be applied and indexed; 120,000 without it. */
  confirmTimeout?: number | undefined;
  /** How often a request is repeated at the most, where that is safe; 3 without it. */
  maxRetries?: number | undefined;
  /** What sends requests, instead of the platform's `fetch`. */
  fetch?: typeof globalThis.fetch | undefined;
  /** The only network to sign for. Without it the wallet is told whatever network the service names. */
  networkPassphrase?: string | undefined;
  /** Sent with each request. */
  headers?: Readonly<Record<string, string>> | undefined;
  /** Whether a call that needs a login makes one where it has a signer; true without it. */
  autoLogin?: boolean | undefined;
}

/** Their names: one that is misspelt would be none. */
const OPTIONS = /^(signer|apiKey|token|(confirmT|t)imeout|maxRetries|fetch|networkPassphrase|headers|autoLogin)$/;

export interface Core {
  readonly http: Http;
  readonly session: Session;
  readonly transactions: Transactions;
}

/** Put a client together. */
export function assemble(baseUrl: string | URL, options: NebulaOptions): Core {
  for (const name of Object.keys(options)) {
    if (!OPTIONS.test(name)) throw new ConfigurationError(`no option: ${name}`);
  }
  const http = new Http({
    baseUrl,
    timeout: checked("timeout", options.timeout, 30_000),
    maxRetries: checked("maxRetries", options.maxRetries, 3, Number.isInteger),
    headers: options.headers ?? {},
    fetch: options.fetch ?? ((...request) => globalThis.fetch(...request)),
  });
  const session = new Session(http, options);
  http.credentials = session;
  const confirmTimeout = checked("confirmTimeout", options.confirmTimeout, 120_000);
  return { http, session, transactions: new Transactions(http, session, confirmTimeout) };
}

/** Read one thing, or one page. */
export function get<T>({ http }: Core, path: string, query: Query, options: RequestOptions): Promise<T> {
  return http.request("GET", path, { ...options, query });
}

/** Return what reads a list page by page. */
export function pagesOf<P>(
  core: Core,
  path: string,
  query: Query,
  options: RequestOptions,
  key = "items",
): ReadPage<P> {
  return (limit, cursor) => {
    // where a list begins is said once: a cursor knows
    const here = { ...query, limit, cursor, ...(cursor && { offset: null }) };
    return get(core, path, here, { ...options, like: { [key]: [] } });
  };
}

/** Yield a list's items; the filter's `limit` is the size of a page, its `cursor` where to begin. */
export function iterate<T>(
  core: Core,
  path: string,
  filter: Query & { readonly limit?: number | undefined; readonly cursor?: string | undefined },
  options: RequestOptions,
): AsyncGenerator<T, void, undefined> {
  const { limit, cursor, ...query } = filter;
  return items(pagesOf(core, path, query, options), limit, cursor);
}

/** Have a transaction built by a route, signed, handed in, and wait until it is indexed. */
export async function carryOut(core: Core, path: string, params: object, options: SigningOptions): Promise<Settled> {
  const { http, session, transactions } = core;
  const body = bodyOf(params);
  const asked = await session.who(options);
  return transactions.inTurn(asked, async () => {
    const { transaction } = await http.request<{ transaction: UnsignedTransaction }>("POST", path, {
      ...asked,
      body,
      like: BUILT,
      auth: "required",
      retry: "safe", // nothing is stored
    });
    return transactions.settle(transaction, (xdr, onDoubt) => transactions.submit(xdr, { ...asked, onDoubt }), asked);
  });
}

/** What an answer with a transaction to sign has. */
export const BUILT = { transaction: { xdr: "", hash: "", networkPassphrase: "", validUntil: "" } };

/**
 * Whether a stream was read from the chain since a ledger, where no event tells what happened: V1 pays out and cancels
 * in silence.
 */
export function isFresh({ version, stateLedger }: Stream, ledger: number): boolean {
  return version !== "v1" || (stateLedger ?? 0) >= ledger;
}
