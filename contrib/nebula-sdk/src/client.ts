/** The client: every call there is, over one service. */
import { assemble, carryOut, type Core, get, isFresh, iterate, type NebulaOptions, pagesOf } from "./core.js";
import { path } from "./http.js";
import {
  createInvoiceLink,
  type CreateInvoiceLinkOptions,
  type PaidInvoiceLink,
  payInvoiceLink,
  type PayInvoiceLinkOptions,
} from "./invoice-links.js";
import {
  type InvoiceLinkState,
  type LiveEvent,
  watchEvents,
  type WatchEventsOptions,
  watchInvoiceLink,
  type WatchOptions,
  watchStream,
} from "./live.js";
import { pages, type ReadPage, take } from "./paging.js";
import { bodyOf } from "./params.js";
import type { LoginOptions } from "./session.js";
import type { Signer } from "./signing.js";
import type { SigningOptions, WaitOptions } from "./transactions.js";
import type * as T from "./types.js";

/** Return what reads a stream's history page by page. */
function history(core: Core, id: string, options: T.CallOptions): ReadPage<T.StreamHistory & { nextCursor: string | null }> {
  return pagesOf(core, path`/audit-log/${id}`, {}, options, "events");
}

/** A client of one StellarStream service. */
export class NebulaClient {
  /** What a console shows, though the code is made small. */
  static readonly name = "NebulaClient";
  private readonly core: Core;

  /** @param baseUrl where the service is, with or without `/api/v1` at its end. */
  constructor(baseUrl: string | URL, options: NebulaOptions = {}) {
    this.core = assemble(baseUrl, options);
  }

  // --- who asks ------------------------------------------------------------------------------------------------------

  /**
   * Log in with a signer (SEP-10), and return the token, which the client remembers. From then on that signer acts
   * where a call names no other. Calls that need a login make one by themselves, unless `autoLogin` is false.
   */
  async login(signer?: Signer, options: LoginOptions = {}): Promise<string> {
    return this.core.session.login(signer, options);
  }

  /** Forget all logins, and a token that was set. */
  logout(): void {
    this.core.session.logout();
  }

  /** Send this token with each request from now on; null forgets it, and all logins. */
  setAuthToken(token: string | null): void {
    this.core.session.setToken(token);
  }

  /** Send this API key with each request that has no token; null forgets it. */
  setApiKey(key: string | null): void {
    this.core.session.setApiKey(key);
  }

  /** Have this signer sign and log in where a call names nobody; null for nobody. */
  setSigner(signer: Signer | null): void {
    this.core.session.setSigner(signer);
  }

  // --- streams -------------------------------------------------------------------------------------------------------

  /** Create a stream: have it built, signed, handed in, and wait until it is indexed. */
  async createStream(params: T.CreateStreamParams, options: SigningOptions = {}): Promise<T.Stream> {
    const settled = await carryOut(this.core, "/streams", params, options);
    return this.core.transactions.readStream(settled, options);
  }

  /** Have everything withdrawable paid out to the receiver, who signs. */
  async withdrawFromStream(params: T.WithdrawParams, options: SigningOptions = {}): Promise<T.Stream> {
    const settled = await carryOut(this.core, "/streams/withdraw", params, options);
    return this.core.transactions.readStream(settled, options, params.streamId, isFresh);
  }

  /** Cancel a stream: what is unlocked goes to the receiver, the rest back to the sender. */
  async cancelStream(params: T.CancelStreamParams, options: SigningOptions = {}): Promise<T.Stream> {
    const settled = await carryOut(this.core, "/streams/cancel", params, options);
    return this.core.transactions.readStream(settled, options, params.streamId, isFresh);
  }

  /** Read a stream, as of the newest ledger or, with `at`, as its present terms have it for another moment. */
  async getStream(id: string, { at, ...options }: T.CallOptions & { at?: T.Time | undefined } = {}): Promise<T.Stream> {
    return get(this.core, path`/streams/${id}`, { at }, options);
  }

  /** Read the newest streams that an address sends, receives or is paid from. */
  async getStreams(address: string, limit = 50, offset = 0, options: T.CallOptions = {}): Promise<T.Stream[]> {
    return take(pagesOf<T.Page<T.Stream>>(this.core, "/streams", { address, offset }, options), limit);
  }

  /** Read one page of the streams that pass a filter, newest first. */
  async listStreams(filter: T.StreamFilter = {}, options: T.CallOptions = {}): Promise<T.Page<T.Stream>> {
    return get(this.core, "/streams", filter, { ...options, like: { items: [] } });
  }

  /** Yield every stream that passes a filter, newest first; `limit` is the size of a page. */
  iterateStreams(filter: T.StreamFilter = {}, options: T.CallOptions = {}): AsyncGenerator<T.Stream, void, undefined> {
    return iterate(this.core, "/streams", filter, options);
  }

  /** Find streams by id, number, address, token, contract, memo or transaction: always the whole text. */
  async searchStreams(query: string, limit = 50, options: T.CallOptions = {}): Promise<T.Stream[]> {
    return take(pagesOf<T.Page<T.Stream>>(this.core, "/streams", { q: query }, options), limit);
  }

  /** Find streams, invoice links, transactions and contracts by id, address, hash, slug or memo. */
  async search(query: string, limit?: number, options: T.CallOptions = {}): Promise<T.SearchResult[]> {
    const asked = { ...options, like: { items: [] } };
    return (await get<T.Page<T.SearchResult>>(this.core, "/search", { q: query, limit }, asked)).items;
  }

  /** Yield a stream as it is now, and again whenever something happens to it. */
  watchStream(id: string, options: WatchOptions = {}): AsyncGenerator<T.Stream, void, undefined> {
    return watchStream(this.core.http, id, options);
  }

  // --- what happened -------------------------------------------------------------------------------------------------

  /** Read a stream with everything that ever happened to it, oldest first. */
  async getStreamHistory(id: string, options: T.CallOptions = {}): Promise<T.StreamHistory> {
    const read = history(this.core, id, options);
    const events: T.StreamEvent[] = [];
    let whole = {} as T.StreamHistory;
    for await (const { nextCursor: _, ...part } of pages(read, 200)) {
      events.push(...part.events);
      whole = { ...part, events };
    }
    return whole;
  }

  /** Read what happened to a stream first, oldest first. */
  async getStreamEvents(id: string, limit = 50, options: T.CallOptions = {}): Promise<T.StreamEvent[]> {
    const read = history(this.core, id, options);
    return take(async (...page) => {
      const { events, nextCursor } = await read(...page);
      return { items: events, nextCursor };
    }, limit);
  }

  /** Yield what happened to all streams, newest first unless the filter's `order` says otherwise. */
  iterateStreamEvents(
    filter: T.StreamEventFilter = {},
    options: T.CallOptions = {},
  ): AsyncGenerator<T.StreamEvent, void, undefined> {
    return iterate(this.core, "/audit-log", filter, options);
  }

  /** Have the service compute its audit log's hash chains again, of all streams or of one, and say what is wrong. */
  async verifyHistory(id?: string, options: T.CallOptions = {}): Promise<T.Verification> {
    const whole: T.Verification = { verdict: "intact", chains: 0, links: 0, faults: [] };
    const read: ReadPage<T.Verification & { nextCursor: string | null }> = (_, cursor) =>
      get(this.core, "/audit-log/chain/verify", { stream: id, cursor }, {
        ...options,
        like: { chains: 0, links: 0, faults: [] },
      });
    for await (const part of pages(read, 0)) {
      whole.chains += part.chains;
      whole.links += part.links;
      whole.faults.push(...part.faults);
      if (part.verdict !== "intact") whole.verdict = part.verdict;
    }
    return whole;
  }

  /** Read what a stream in a vault has earned; NotFoundError `stream-has-no-yield` where it is in none. */
  async getYieldData(
    id: string,
    { samples, ...options }: T.CallOptions & { samples?: number | undefined } = {},
  ): Promise<T.YieldData> {
    return get(this.core, path`/yield/${id}`, { samples }, options);
  }

  /** Compute what a stream in a vault would earn in so many days at the present rate. */
  async calculateYield(id: string, days = 30, options: T.CallOptions = {}): Promise<T.YieldProjection> {
    return get(this.core, path`/yield/${id}/projection`, { days }, options);
  }

  /** Read totals by token and status. */
  async getStats(options: T.CallOptions = {}): Promise<T.Stats> {
    return get(this.core, "/stats", {}, options);
  }

  /** Read how far the service's database is, of all contracts or of some. */
  async getSync({
    contract,
    ...options
  }: T.CallOptions & { contract?: string | readonly string[] | undefined } = {}): Promise<T.SyncState> {
    return get(this.core, "/sync", { contract }, options);
  }

  // --- contract events -----------------------------------------------------------------------------------------------

  /** Read one page of the contract events that pass a filter, oldest first unless `order` says otherwise. */
  async listEvents(filter: T.EventFilter = {}, options: T.CallOptions = {}): Promise<T.Page<T.ContractEvent>> {
    return get(this.core, "/events", filter, { ...options, like: { items: [] } });
  }

  /** Yield every contract event that passes a filter; `limit` is the size of a page. */
  iterateEvents(
    filter: T.EventFilter = {},
    options: T.CallOptions = {},
  ): AsyncGenerator<T.ContractEvent, void, undefined> {
    return iterate(this.core, "/events", filter, options);
  }

  /** Read one contract event. */
  async getEvent(id: string, options: T.CallOptions = {}): Promise<T.ContractEvent> {
    return get(this.core, path`/events/${id}`, {}, options);
  }

  /** Yield contract events as they are committed, each with the position to go on from, over any interruption. */
  watchEvents(filter: T.LiveFilter = {}, options: WatchEventsOptions = {}): AsyncGenerator<LiveEvent, void, undefined> {
    return watchEvents(this.core.http, filter, options);
  }

  // --- invoice links -------------------------------------------------------------------------------------------------

  /** Make an invoice link. A lost answer makes no second one: a key is sent with it, made up where none is given. */
  async createInvoiceLink(
    params: T.CreateInvoiceLinkParams,
    options: CreateInvoiceLinkOptions = {},
  ): Promise<T.OwnInvoiceLink> {
    return createInvoiceLink(this.core, params, options);
  }

  /** Read an invoice link; GoneError `link-expired` or `link-cancelled` where it has ended. */
  async getInvoiceLink(slug: string, options: T.CallOptions = {}): Promise<T.InvoiceLink> {
    return get(this.core, path`/invoice-links/${slug}`, {}, options);
  }

  /** Read one page of one's own invoice links, newest first. */
  async listInvoiceLinks(
    filter: T.InvoiceLinkFilter = {},
    options: T.OwnerOptions = {},
  ): Promise<T.Page<T.OwnInvoiceLink>> {
    return get(this.core, "/invoice-links", filter, { ...options, like: { items: [] }, auth: "required" });
  }

  /** Yield one's own invoice links, newest first. */
  iterateInvoiceLinks(
    filter: T.InvoiceLinkFilter = {},
    options: T.OwnerOptions = {},
  ): AsyncGenerator<T.OwnInvoiceLink, void, undefined> {
    return iterate(this.core, "/invoice-links", filter, { ...options, auth: "required" });
  }

  /** Cancel one's invoice link (`CANCELED`), or say which transaction pays it (`SIGNED`, with its `txHash`). */
  updateInvoiceLinkStatus(idOrSlug: string, status: "CANCELED", options?: T.OwnerOptions): Promise<T.OwnInvoiceLink>;
  updateInvoiceLinkStatus(
    idOrSlug: string,
    status: "SIGNED",
    options: T.OwnerOptions & { txHash: string },
  ): Promise<T.OwnInvoiceLink>;
  async updateInvoiceLinkStatus(
    idOrSlug: string,
    status: "CANCELED" | "SIGNED",
    { txHash, ...options }: T.OwnerOptions & { txHash?: string | undefined } = {},
  ): Promise<T.OwnInvoiceLink> {
    const body = bodyOf({ status, txHash });
    return this.core.http.request("PATCH", path`/invoice-links/${idOrSlug}/status`, {
      ...options,
      body,
      auth: "required",
    });
  }

  /** Delete one's invoice link, which is a draft, or has ended. */
  async deleteInvoiceLink(idOrSlug: string, options: T.OwnerOptions = {}): Promise<void> {
    await this.core.http.request("DELETE", path`/invoice-links/${idOrSlug}`, { ...options, auth: "required" });
  }

  /** Pay an invoice link: have its stream built, signed, handed in, and wait until it is indexed. Needs no login. */
  async payInvoiceLink(slug: string, options: PayInvoiceLinkOptions = {}): Promise<PaidInvoiceLink> {
    return payInvoiceLink(this.core, slug, options);
  }

  /** Yield where an invoice link is, and again with each change; it ends when the link is deleted. */
  watchInvoiceLink(slug: string, options: WatchOptions = {}): AsyncGenerator<InvoiceLinkState, void, undefined> {
    return watchInvoiceLink(this.core.http, slug, options);
  }

  // --- transactions --------------------------------------------------------------------------------------------------

  /** Read what became of a transaction. */
  async getTransaction(hash: string, options: T.CallOptions = {}): Promise<T.Transaction> {
    return get(this.core, path`/transactions/${hash}`, {}, options);
  }

  /** Hand a signed transaction in. The same one again is no second one: that is how to go on after a crash. */
  async submitTransaction(signedXdr: string, options: T.OwnerOptions = {}): Promise<T.Transaction> {
    return this.core.transactions.submit(signedXdr, options);
  }

  /** Wait until a transaction is applied and indexed; TransactionFailedError where it failed. */
  async waitForTransaction(hash: string, options: WaitOptions = {}): Promise<T.Transaction> {
    return this.core.transactions.wait({ txHash: hash }, options);
  }
}
