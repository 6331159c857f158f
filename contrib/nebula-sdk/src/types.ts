/** The promised names of what the API takes and gives, over the types generated from its description. */
import type { components, operations } from "./generated/api.js";
import type { Signer } from "./signing.js";

type Schemas = components["schemas"];
type Query<Operation extends keyof operations> = NonNullable<operations[Operation]["parameters"]["query"]>;

/** A query as callers write it: one value or several, a Date or RFC 3339, `undefined` for what is left out. */
type Filter<Q, Without extends string = never> = {
  [K in Exclude<keyof Q, Without>]?:
    | (NonNullable<Q[K]> extends readonly (infer One)[] ? One | readonly One[] : K extends "at" ? Time : Q[K])
    | undefined;
};

/** RFC 3339, or a Date. */
export type Time = string | Date;
/** An amount in the token's smallest unit: decimal text, or a bigint. Never a number: it would lose digits. */
export type Amount = string | bigint;

/** What is wrong, by RFC 9457; some problems have more fields. */
export type Problem = Schemas["Problem"] & { readonly [extra: string]: unknown };

/** A stream as of its `asOfLedger`. */
export type Stream = Schemas["StreamModel"];
/** What the contract would store: fees taken off, defaults filled in. */
export type StreamPreview = Schemas["StreamPreview"];
/** One entry of the audit log. */
export type StreamEvent = Schemas["AuditEntryModel"];
/** A stream with everything that ever happened to it. */
export type StreamHistory = Omit<Schemas["HistoryModel"], "nextCursor">;
/** What a check of the hash chain found. */
export type Verification = Omit<Schemas["VerificationModel"], "nextCursor">;
/** What a stream in a vault has earned. */
export type YieldData = Schemas["YieldModel"];
/** What it would earn in so many days, at the present rate. */
export type YieldProjection = Schemas["YieldProjectionModel"];
/** Totals. */
export type Stats = Schemas["StatsModel"];
/** How far the service's database is. */
export type SyncState = Schemas["SyncModel"];
/** Something found by `search`. */
export type SearchResult = Schemas["SearchItem"];
/** A contract event, as Soroban RPC tells it. */
export type ContractEvent = Schemas["EventModel"];
/** An invoice link as everybody sees it. */
export type InvoiceLink = Schemas["InvoiceLinkModel"];
/** An invoice link as its owner sees it: with the payments that came for it. */
export type OwnInvoiceLink = Schemas["OwnLinkModel"];
export type InvoiceLinkStatus = Schemas["LinkStatus"];
/** A stream that came for an invoice link, and what it is to it. */
export type InvoicePayment = Schemas["PaymentModel"];
/** What is known of a transaction. */
export type Transaction = Schemas["TransactionModel"];
/** A transaction to sign. */
export type UnsignedTransaction = Schemas["UnsignedTransaction"];

/** Where a stream is in its life. */
export const StreamStatus = {
  ACTIVE: "ACTIVE",
  PAUSED: "PAUSED",
  COMPLETED: "COMPLETED",
  CANCELED: "CANCELED",
  ARCHIVED: "ARCHIVED",
} as const satisfies { [S in Schemas["Status"]]: S };
export type StreamStatus = Schemas["Status"];

/** One page of a list. */
export interface Page<T> {
  readonly items: T[];
  /** Where the next page begins; null at the end. A page may be short, or empty, before that. */
  readonly nextCursor: string | null;
  /** The last ledger the answer speaks for. */
  readonly asOfLedger: number;
  /** False where something may be missing. */
  readonly complete: boolean;
}

export type StreamFilter = Filter<Query<"get_api_v1_streams">>;
export type EventFilter = Filter<Query<"get_api_v1_events">>;
export type StreamEventFilter = Filter<Query<"get_api_v1_audit_log">>;
export type InvoiceLinkFilter = Filter<Query<"get_api_v1_invoice_links">>;
/** Which events to watch. */
export type LiveFilter = Filter<Query<"get_api_v1_events_live">, "since">;

/** What a stream is to be. */
export interface CreateStreamParams {
  /** An account or a contract. */
  receiver: string;
  /** What the sender pays, gross, in the token's smallest unit. */
  amount: Amount;
  /** The token's contract (`C…`). */
  tokenAddress: string;
  /** Seconds from start to end. */
  duration: number;
  /** Whole seconds; left out: now. */
  startTime?: Time | null | undefined;
  /** Nothing is unlocked before it; left out: the start. */
  cliffTime?: Time | null | undefined;
  /** Put the money into the token's vault meanwhile; V2 only. */
  yieldEnabled?: boolean | null | undefined;
  /** Which of the served contracts; left out: the service's default. */
  contractId?: string | null | undefined;
  /** 1 to 32 of `A-Z a-z 0-9 _`; V2 only. */
  memo?: string | null | undefined;
}

export interface WithdrawParams {
  /** The stream's `id`, or its bare number where one contract is served. */
  streamId: string;
  /** Left out: everything that is withdrawable. V1 and V2 contracts take no amount, and the service says so. */
  amount?: Amount | null | undefined;
}

export interface CancelStreamParams {
  /** The stream's `id`, or its bare number where one contract is served. */
  streamId: string;
}

/** What an invoice link is to ask for. None of it can be changed later. */
export interface CreateInvoiceLinkParams {
  /** Whom the stream pays: an account or a contract. */
  receiver: string;
  /** What the payer pays, gross, in the token's smallest unit. */
  amount: Amount;
  /** The token's contract (`C…`). */
  tokenAddress: string;
  /** Seconds from the stream's start to its end. */
  duration: number;
  /** Plain text for who pays, up to 1,000 characters. */
  description?: string | null | undefined;
  /** An `https` address that is shown to who pays. */
  pdfUrl?: string | null | undefined;
  /** From this moment on the link cannot be paid; left out: it never ends. */
  expiresAt?: Time | null | undefined;
  /** Left out: when it is paid. */
  startTime?: Time | null | undefined;
  /** Needs `startTime`; left out: the start. */
  cliffTime?: Time | null | undefined;
  /** Which of the served contracts; left out: the service's default. */
  contractId?: string | null | undefined;
}

/** What every call takes as its last argument. */
export interface CallOptions {
  /** Ends the call at once, whatever it waits for. */
  signal?: AbortSignal | undefined;
  /** Milliseconds for one attempt, instead of the client's. */
  timeout?: number | undefined;
}

/** What calls take that need a login. */
export interface OwnerOptions extends CallOptions {
  /** Who logs in where no login is there; left out: the client's signer. */
  signer?: Signer | undefined;
  /** The signer's account (`G…`), where the signer does not tell it. */
  account?: string | undefined;
}
