/** What happens at the caller's side of a transaction: have it signed, hand it in, wait until it is indexed. */
import {
  ApiError,
  BadResponseError,
  NebulaAbortError,
  NebulaError,
  type Signed,
  TransactionFailedError,
  TransactionMismatchError,
  TransactionPendingError,
} from "./errors.js";
import { type Http, path, type RequestOptions } from "./http.js";
import type { Acting, Session } from "./session.js";
import { checkSource, isSame, type Signer } from "./signing.js";
import type { CallOptions, Stream, Transaction, UnsignedTransaction } from "./types.js";
import { bounded, checked, poll } from "./wait.js";

/** A transaction that was signed, before it is handed in. */
export interface Submission {
  readonly txHash: string;
  /** Ledgers that close later do not take it. */
  readonly validUntil: string;
  /** Whoever has it can hand the transaction in; it is carried out once at the most. */
  readonly signedXdr: string;
}

export interface WaitOptions extends CallOptions {
  /** Milliseconds to wait for the ledger and the index, instead of the client's. */
  confirmTimeout?: number | undefined;
}

/** What calls take that have something signed. */
export interface SigningOptions extends WaitOptions {
  /** Who signs, and logs in where that is needed; left out: the client's signer. */
  signer?: Signer | undefined;
  /** The signer's account (`G…`), where the signer does not tell it. */
  account?: string | undefined;
  /**
   * Called when the transaction is signed and before it is handed in, and waited for: keep what it gets, and a crash
   * from there on loses nothing. If it throws, nothing is handed in.
   */
  onSubmitted?: ((submission: Submission) => void | Promise<void>) | undefined;
}

/** A transaction that is applied and indexed, and how long what follows from it may take. */
export interface Settled extends Submission {
  readonly transaction: Transaction;
  readonly deadline: number;
}

/** What is known of a transaction that was signed, here or elsewhere. */
type Known = Signed & { readonly txHash: string };

/** Hand a signed transaction in; `onDoubt` is told of an attempt that may have been taken though no answer says so. */
type HandIn = (signedXdr: string, onDoubt: () => void) => Promise<Transaction>;

export class Transactions {
  readonly #http: Http;
  readonly #session: Session;
  readonly #confirmTimeout: number;
  /** When those who came last are through, by account. */
  readonly #turns = new Map<unknown, Promise<unknown>>();

  constructor(http: Http, session: Session, confirmTimeout: number) {
    this.#http = http;
    this.#session = session;
    this.#confirmTimeout = confirmTimeout;
  }

  /** The same envelope again is the same transaction, so that a lost answer does no harm. */
  submit(xdr: string, options: RequestOptions = {}): Promise<Transaction> {
    return this.#http.request("POST", "/transactions", {
      ...options,
      body: { xdr },
      like: { txHash: "" },
      auth: "required",
      retry: "safe",
    });
  }

  /**
   * Run something once all that the account began before is through. Two transactions that are built at the same time
   * get the same sequence number: one of them fails, or with equal terms they are one and the same.
   */
  async inTurn<T>({ account, signer, signal }: Acting, run: () => Promise<T>): Promise<T> {
    const whose = account ?? signer;
    const before = this.#turns.get(whose);
    let leave = (): void => undefined;
    const mine = Promise.all([before, new Promise<void>((resolve) => (leave = resolve))]);
    this.#turns.set(whose, mine);
    try {
      if (before) await bounded(() => before, signal);
      return await run();
    } finally {
      leave();
      if (this.#turns.get(whose) === mine) this.#turns.delete(whose);
    }
  }

  async wait(signed: Known, options: WaitOptions, until = this.#deadline(options)): Promise<Transaction> {
    const look = this.look<Transaction>(path`/transactions/${signed.txHash}`, options);
    let seen: Transaction | undefined;
    const pending = (cause?: unknown): never => {
      throw new TransactionPendingError({ ...signed, transaction: seen }, cause);
    };
    const ask = async (left: number): Promise<Transaction | undefined> => {
      seen = await look(left);
      if (seen.status === "FAILED") throw new TransactionFailedError(seen);
      if (seen.error?.code === "undecided") pending(); // nobody can find out any more
      return seen.status === "SUCCESS" && Array.isArray(seen.streamIds) ? seen : undefined;
    };
    return onceSigned(signed, () => poll(ask, until, options.signal, pending));
  }

  /**
   * Have what was built signed, hand it in, and wait until it is applied and indexed.
   *
   * @param handsOff called when it is signed: it throws where it is not to be handed in any more.
   */
  async settle(
    built: UnsignedTransaction,
    handIn: HandIn,
    options: SigningOptions & Acting,
    handsOff?: () => Promise<void>,
  ): Promise<Settled> {
    const { hash, validUntil, xdr } = built;
    this.#deadline(options); // is refused before something is signed
    checkSource(xdr, options.account);
    const signedXdr = await this.#session.sign(built, options);
    if (!isSame(xdr, signedXdr)) throw new TransactionMismatchError(hash);
    const submission: Submission = { txHash: hash, validUntil, signedXdr };
    if (handsOff) await onceSigned(submission, handsOff, isRefusal);
    await options.onSubmitted?.(submission);
    const deadline = this.#deadline(options);
    let doubt = false;
    const { txHash } = await onceSigned(
      submission,
      () => handIn(signedXdr, () => (doubt = true)),
      // refused though an attempt before may have been taken: that says nothing
      (error) => !doubt && isRefusal(error),
    );
    if (txHash !== hash) throw new TransactionMismatchError(hash, txHash);
    return { ...submission, transaction: await this.wait(submission, options, deadline), deadline };
  }

  /**
   * Read a stream as soon as what the transaction did to it can be seen.
   *
   * @param id the one that the transaction created where it is left out.
   * @param isFresh what else must hold of it, if it comes in time.
   */
  async readStream(
    settled: Settled,
    options: CallOptions,
    id?: string,
    isFresh: (stream: Stream, ledger: number) => boolean = () => true,
  ): Promise<Stream> {
    const { streamIds = [], ledger = 0 } = settled.transaction;
    let seen: Stream | undefined;
    return onceSigned(settled, () => {
      const which = id ?? streamIds[0];
      if (!which) throw new BadResponseError("no stream was created");
      const look = this.look<Stream>(path`/streams/${which}`, options);
      const ask = async (left: number): Promise<Stream | undefined> => {
        const stream = await look(left);
        if (!(stream.asOfLedger >= ledger)) return undefined;
        seen = stream;
        return isFresh(stream, ledger) ? stream : undefined;
      };
      return poll(ask, settled.deadline, options.signal, (cause) => {
        if (seen) return seen;
        throw new TransactionPendingError(settled, cause);
      });
    });
  }

  /**
   * Return what reads something once within so many milliseconds: for `poll`, which repeats it by itself. Everybody may
   * read that; with a login that has run out nobody may.
   */
  look<T>(where: string, { signal, timeout = this.#http.timeout }: CallOptions): (left: number) => Promise<T> {
    return (left) =>
      this.#http.request("GET", where, { signal, timeout: Math.min(timeout, left), auth: "none", retry: "never" });
  }

  /** Return when waiting that begins now ends, by `performance.now()`. */
  #deadline(options: WaitOptions): number {
    return performance.now() + checked("confirmTimeout", options.confirmTimeout, this.#confirmTimeout);
  }
}

/** Whether the service itself says that it did not do what it was asked for. */
function isRefusal(error: unknown): boolean {
  return error instanceof ApiError && error.status >= 400 && error.status < 500 && error.code !== "http-error";
}

/**
 * Run what comes after a transaction was signed. Whatever goes wrong then, it may be applied: the error says which one
 * it is, and has what is needed to go on.
 *
 * @param tells whether an error says by itself that nothing was handed in.
 */
export async function onceSigned<T>(
  signed: Known,
  run: () => Promise<T>,
  tells: (error: unknown) => boolean = () => !signed.signedXdr,
): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof NebulaAbortError) throw new NebulaAbortError(error.cause, signed);
    // those of transactions say enough: failed, pending, another one, or not handed in for another's sake
    if ((error instanceof NebulaError && "txHash" in error) || tells(error)) throw error;
    throw new TransactionPendingError(signed, error);
  }
}
