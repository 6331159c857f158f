/** Making and paying invoice links: the two calls that are more than one request. */
import { BUILT, type Core } from "./core.js";
import { ConflictError, GoneError, PaymentUnderWayError } from "./errors.js";
import { path } from "./http.js";
import { bodyOf, checkHeader } from "./params.js";
import { known } from "./signing.js";
import { onceSigned, type SigningOptions } from "./transactions.js";
import type {
  CreateInvoiceLinkParams,
  InvoiceLink,
  OwnerOptions,
  OwnInvoiceLink,
  Stream,
  UnsignedTransaction,
} from "./types.js";
import { poll } from "./wait.js";

export interface CreateInvoiceLinkOptions extends OwnerOptions {
  /** 1 to 255 visible ASCII characters. The same call with the same key makes one link, within 24 hours. */
  idempotencyKey?: string | undefined;
}

export interface PayInvoiceLinkOptions extends SigningOptions {
  /** Pay even where another payment of the link is on its way, which may pay it as well. */
  allowAnother?: boolean | undefined;
}

export interface PaidInvoiceLink {
  /** The link as the payment left it: COMPLETED, unless it had ended before the payment's ledger closed. */
  readonly link: InvoiceLink;
  /** The stream that pays it. */
  readonly stream: Stream;
}

export async function createInvoiceLink(
  { http }: Core,
  params: CreateInvoiceLinkParams,
  { idempotencyKey = randomKey(), ...options }: CreateInvoiceLinkOptions,
): Promise<OwnInvoiceLink> {
  checkHeader("idempotencyKey", idempotencyKey);
  return http.request("POST", "/invoice-links", {
    ...options,
    body: bodyOf(params),
    headers: { "idempotency-key": idempotencyKey },
    auth: "required",
    retry: "safe",
  });
}

export async function payInvoiceLink(
  { http, session, transactions }: Core,
  slug: string,
  { allowAnother = false, ...options }: PayInvoiceLinkOptions,
): Promise<PaidInvoiceLink> {
  const where = path`/invoice-links/${slug}`;
  const who = await session.who(options);
  const account = known(who.account);
  // open to everybody: a login that ran out is in nobody's way
  const asked = { ...who, auth: "none", retry: "safe" } as const;
  const read = (): Promise<InvoiceLink> => http.request<InvoiceLink>("GET", where, asked);

  let link = await read();
  const settled = await transactions.inTurn(who, async () => {
    const { transaction, underWay } = await http.request<{ transaction: UnsignedTransaction; underWay?: string }>(
      "POST",
      `${where}/transaction`,
      { ...asked, body: { account }, like: BUILT },
    );
    const refuse = (by: string | null | undefined): void => {
      if (by && !allowAnother) throw new PaymentUnderWayError(slug, by);
    };
    refuse(underWay);
    const paying = transactions.settle(
      transaction,
      (xdr, onDoubt) =>
        http.request("POST", `${where}/submit`, {
          ...asked,
          onDoubt,
          body: { xdr, alone: !allowAnother },
          like: { txHash: "" },
        }),
      who,
      async () => {
        // a wallet may take its time, and others pay meanwhile
        const { status, txHash } = await read();
        const news = txHash !== transaction.hash && txHash !== link.txHash;
        if (news && (status === "COMPLETED" || status === "SIGNED")) refuse(txHash);
      },
    );
    return paying.catch((error: unknown) => {
      // another one was handed in between that look and this: the service looks too, and took nothing
      if (!(error instanceof ConflictError && error.code === "payment-under-way")) throw error;
      throw new PaymentUnderWayError(slug, String(error.problem["txHash"] ?? "unknown"), error);
    });
  });
  const stream = await transactions.readStream(settled, options);

  // links and streams are indexed side by side; and one that ended meanwhile is not shown any more unless it is paid
  const look = transactions.look<InvoiceLink>(where, options);
  const completed = async (left: number): Promise<boolean | undefined> => {
    try {
      link = await look(left);
    } catch (error) {
      if (!(error instanceof GoneError)) throw error;
      link = { ...link, status: error.code === "link-expired" ? "EXPIRED" : "CANCELED" };
    }
    return link.status === "COMPLETED" || undefined;
  };
  // at the deadline the stream is there, whatever the link says
  await onceSigned(settled, () => poll(completed, settled.deadline, options.signal, () => true));
  return { link, stream };
}

/** Return 128 random bits; `crypto.randomUUID` is missing on pages without TLS. */
function randomKey(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}
