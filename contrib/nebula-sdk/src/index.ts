export { fromUnits, toUnits, unlockedAt } from "./amounts.js";
export { NebulaClient } from "./client.js";
export type { NebulaOptions } from "./core.js";
export {
  ApiError,
  AuthenticationError,
  BadRequestError,
  BadResponseError,
  ChallengeError,
  ConfigurationError,
  ConflictError,
  GoneError,
  InvalidAmountError,
  LiveResetError,
  NebulaAbortError,
  NebulaError,
  NetworkError,
  NotFoundError,
  NotInitializedError,
  PaymentUnderWayError,
  PermissionDeniedError,
  RateLimitedError,
  RequestTimeoutError,
  ServerError,
  SignerMissingError,
  SigningError,
  TransactionFailedError,
  TransactionMismatchError,
  TransactionPendingError,
  UnprocessableError,
} from "./errors.js";
export type { CreateInvoiceLinkOptions, PaidInvoiceLink, PayInvoiceLinkOptions } from "./invoice-links.js";
export type { InvoiceLinkState, LiveEvent, WatchEventsOptions, WatchOptions } from "./live.js";
export { Nebula } from "./nebula.js";
export type { LoginOptions } from "./session.js";
export type { AddressAnswer, SignedAnswer, Signer } from "./signing.js";
export type { SigningOptions, Submission, WaitOptions } from "./transactions.js";
export * from "./types.js";
