/**
 * Every error of this package: a class to catch by, and a `code` to decide by that never changes.
 *
 * No message holds a token, an API key, a secret or a signed transaction.
 */
import type { Submission } from "./transactions.js";
import type { Problem, Transaction } from "./types.js";

/** What all errors of this package are; each is of a class of its own. */
export abstract class NebulaError extends Error {
  declare readonly name: string;
  /** Stable, in kebab-case: decide by it, not by the message. */
  declare readonly code: string;

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
  }
}

/** A call of the static `Nebula` before `Nebula.initialize(…)`. */
export class NotInitializedError extends NebulaError {
  override readonly name = "NotInitializedError";
  override readonly code = "not-initialized";
}

/** An option or argument that cannot be right, found before anything was sent. */
export class ConfigurationError extends NebulaError {
  override readonly name = "ConfigurationError";
  override readonly code = "bad-configuration";
}

/** An amount that is no whole number, or no decimal text: amounts are `"12500000"` or `12500000n`, never `1.25`. */
export class InvalidAmountError extends NebulaError {
  override readonly name = "InvalidAmountError";
  override readonly code = "invalid-amount";
}

/** A call that needs a signature, and nobody to sign. */
export class SignerMissingError extends NebulaError {
  override readonly name = "SignerMissingError";
  override readonly code = "signer-missing";
}

/** The service could not be reached, or the connection broke. */
export class NetworkError extends NebulaError {
  override readonly name = "NetworkError";
  override readonly code = "network-error";
}

/** The service did not answer within `timeout`. */
export class RequestTimeoutError extends NebulaError {
  override readonly name = "RequestTimeoutError";
  override readonly code = "timeout";
}

/** An answer that is not what the API promises: no JSON, cut off, or of another shape. */
export class BadResponseError extends NebulaError {
  override readonly name = "BadResponseError";
  override readonly code = "bad-response";
}

/** The wallet refused, failed, or is to sign for another network than the pinned one. `cause` is what it said. */
export class SigningError extends NebulaError {
  override readonly name = "SigningError";
  override readonly code = "signing-refused";
}

/** What the service gave out as a login challenge could be executed on a network: it was not shown to the wallet. */
export class ChallengeError extends NebulaError {
  override readonly name = "ChallengeError";
  override readonly code = "bad-challenge";
}

/** What is known of a transaction that was signed. */
export type Signed = Partial<Submission> & { readonly transaction?: Transaction | undefined };

/** What ends a call whose transaction may have been signed, and has what is needed to go on. */
abstract class SignedError extends NebulaError {
  /** The transaction; of an abort, the one that had been signed by then, which may be applied. */
  declare readonly txHash: string | undefined;
  /** Ledgers that close later do not take it; absent where this client did not build it. */
  declare readonly validUntil: string | undefined;
  /** What was known of it last. */
  declare readonly transaction: Transaction | undefined;
  // private, so that no log prints what a wallet signed
  readonly #signedXdr: string | undefined;

  constructor(message: string, cause: unknown, { txHash, validUntil, signedXdr, transaction }: Signed) {
    super(message, cause);
    Object.assign(this, { txHash, validUntil, transaction });
    this.#signedXdr = signedXdr;
  }

  /** The signed transaction, to hand in again; absent where this client did not sign it. */
  get signedXdr(): string | undefined {
    return this.#signedXdr;
  }
}

/** The caller's `AbortSignal` ended the call; `cause` is the signal's reason. Named as the platform names it. */
export class NebulaAbortError extends SignedError {
  override readonly name = "AbortError";
  override readonly code = "aborted";

  constructor(reason?: unknown, signed: Signed = {}) {
    super(`aborted${signed.txHash ? `: transaction ${signed.txHash}` : ""}`, reason, signed);
  }
}

/** A problem the service answered with (RFC 9457), with its `code`; `http-error` where something else answered. */
export class ApiError extends NebulaError {
  override readonly name: string = "ApiError";
  declare readonly code: string;
  /** The HTTP status. */
  declare readonly status: number;
  declare readonly title: string;
  /** For people; it may change. */
  declare readonly detail: string;
  /** A page that says what to do. */
  declare readonly type: string;
  /** The fields that are wrong, where there is bad input: `body.amount`, `query.limit`. */
  declare readonly errors: readonly { readonly field: string; readonly detail: string }[];
  /** By it the operator finds the request in the log. */
  declare readonly requestId: string | null;
  /** The whole body, with what a problem has of its own (`contractError`, `legal`, …). */
  declare readonly problem: Problem;
  /** Seconds to wait, where the service says so. */
  declare readonly retryAfter: number | null;

  constructor(what: string, status: number, problem: Problem, requestId: string | null, retryAfter: number | null) {
    const { code, title, detail, type } = problem;
    const errors = (Array.isArray(problem.errors) ? problem.errors : []).filter(Boolean);
    const fields = errors.map((one) => `; ${one.field}: ${one.detail}`);
    super(`${what}: ${detail || title}${fields.join("")} [${status} ${code}]`);
    Object.assign(this, { code, status, title, detail, type, errors, requestId, problem, retryAfter });
  }
}

/** 400: a parameter, cursor or challenge that cannot be. */
export class BadRequestError extends ApiError {
  override readonly name = "BadRequestError";
}

/** 401: no credential, or one that does not count. */
export class AuthenticationError extends ApiError {
  override readonly name = "AuthenticationError";
}

/** 403: the API key lacks the route's scope. */
export class PermissionDeniedError extends ApiError {
  override readonly name = "PermissionDeniedError";
}

/** 404 */
export class NotFoundError extends ApiError {
  override readonly name = "NotFoundError";
}

/** 409: not in the state that things are in. */
export class ConflictError extends ApiError {
  override readonly name = "ConflictError";
}

/** 410: an invoice link that has ended. */
export class GoneError extends ApiError {
  override readonly name = "GoneError";
}

/** 422: understood, and not possible: the contract would refuse it, a field is wrong. */
export class UnprocessableError extends ApiError {
  override readonly name = "UnprocessableError";
}

/** 429: too much at once; `retryAfter` says for how many seconds. */
export class RateLimitedError extends ApiError {
  override readonly name = "RateLimitedError";
}

/** 5xx */
export class ServerError extends ApiError {
  override readonly name = "ServerError";
}

/** The wallet gave back another transaction than the one that was built. */
export class TransactionMismatchError extends NebulaError {
  override readonly name = "TransactionMismatchError";
  override readonly code = "transaction-mismatch";

  /** The hash of the transaction that was built. */
  declare readonly expected: string;
  /** The hash of the other one where it was handed in; undefined where that was seen before, and nothing was. */
  declare readonly txHash: string | undefined;

  constructor(expected: string, txHash?: string) {
    super(`the wallet signed another transaction than ${expected}${txHash ? `: ${txHash}` : ""}`);
    Object.assign(this, { expected, txHash });
  }
}

/** The transaction failed for good: in a ledger, where its fee is gone, or it can be in none any more. */
export class TransactionFailedError extends NebulaError {
  override readonly name = "TransactionFailedError";
  override readonly code = "transaction-failed";
  declare readonly txHash: string;
  /** Why: `INVOKE_HOST_FUNCTION_TRAPPED`, `expired`, `txBAD_SEQ`, … */
  declare readonly reason: string;
  declare readonly detail: string;
  /** The ledger it failed in; absent where it was never applied. */
  declare readonly ledger: number | undefined;

  constructor({ txHash, ledger, error }: Transaction) {
    const { code, detail } = error ?? { code: "unknown", detail: "" };
    super(`transaction ${txHash} failed: ${detail} [${code}]`);
    Object.assign(this, { txHash, reason: code, detail, ledger });
  }
}

/**
 * Not known to be applied and indexed within `confirmTimeout`. It may still be: `waitForTransaction(txHash)` goes on
 * waiting, and `submitTransaction(signedXdr)` hands the same transaction in again, which never carries it out twice.
 */
export class TransactionPendingError extends SignedError {
  override readonly name = "TransactionPendingError";
  override readonly code = "transaction-pending";
  declare readonly txHash: string;

  constructor(signed: Signed & { readonly txHash: string }, cause?: unknown) {
    const until = signed.validUntil ?? "it is known to have failed";
    const said = `transaction ${signed.txHash} is not known to be applied and indexed`;
    super(`${said}: do not pay again before ${until}`, cause, signed);
  }
}

/** Somebody's payment of this invoice link is on its way: who pays as well may pay twice. `allowAnother` does so. */
export class PaymentUnderWayError extends NebulaError {
  override readonly name = "PaymentUnderWayError";
  override readonly code = "payment-under-way";

  declare readonly slug: string;
  /** The transaction that may pay the link; `unknown` where the service does not name it. */
  declare readonly txHash: string;

  constructor(slug: string, txHash: string, cause?: unknown) {
    super(`transaction ${txHash} may pay invoice link ${slug} already`, cause);
    Object.assign(this, { slug, txHash });
  }
}

/** A position of another history: the service's database is a new one. Read again what you keep, then watch anew. */
export class LiveResetError extends NebulaError {
  override readonly name = "LiveResetError";
  override readonly code = "live-reset";

  /** `other-epoch`, `future-position`, `unknown-position` or `history-changed`. */
  declare readonly reason: string;

  constructor(reason: string, detail: string) {
    super(`${detail} [${reason}]`);
    Object.assign(this, { reason });
  }
}

const BY_STATUS: Readonly<Record<number, typeof ApiError>> = {
  400: BadRequestError,
  401: AuthenticationError,
  403: PermissionDeniedError,
  404: NotFoundError,
  409: ConflictError,
  410: GoneError,
  422: UnprocessableError,
  429: RateLimitedError,
};

/** Return the class of ApiError for a status. */
export function apiErrorClass(status: number): typeof ApiError {
  return BY_STATUS[status] ?? (status >= 500 ? ServerError : ApiError);
}
