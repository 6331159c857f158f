import {
  GoneError,
  type InvoiceLink,
  type InvoiceLinkState,
  NotFoundError,
  PaymentUnderWayError,
} from "@stellarstream/nebula-sdk";
import { type FormEvent, useEffect, useState } from "react";
import { amount, duration, short, time } from "../format";
import { kept, useAction } from "../hooks";
import { usePending } from "../pending";
import { nebula } from "../settings";
import type { Wallet } from "../wallets";
import { Problem } from "./Problem";

/** Return the slug of a link's address, or of what somebody typed. */
function slugOf(text: string): string {
  return /\/invoice\/([0-9A-Za-z]+)/.exec(text)?.[1] ?? text.trim();
}

/** Show an invoice link's terms, and pay it. The address of a link (`/invoice/SLUG`) opens with it. */
export function PayLink({ wallet, onPaid }: { wallet: Wallet | null; onPaid: (id: string) => void }) {
  const opened = slugOf(window.location.pathname.startsWith("/invoice/") ? window.location.pathname : "");
  const [typed, setTyped] = useState(opened);
  const [link, setLink] = useState<InvoiceLink | null>(null);
  const { busy, error, run } = useAction();

  const look = (slug: string) =>
    run(async () => {
      setLink(null);
      setLink(await nebula.getInvoiceLink(slug).catch(ended));
    }, "Reading…");
  useEffect(() => {
    if (opened) void look(opened);
  }, []);

  return (
    <section className="card" aria-labelledby="pay">
      <h2 id="pay">Pay an invoice link</h2>
      <form
        className="inline"
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          void look(slugOf(typed));
        }}
      >
        <label>
          Link or its code
          <input
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
            required
            placeholder="https://…/invoice/…"
            autoComplete="off"
            spellCheck={false}
          />
        </label>
        <button type="submit" className="second" disabled={busy !== null}>
          Show it
        </button>
      </form>
      <p className="status" role="status">
        {busy}
      </p>
      <Problem error={error} />
      {link && <Terms key={link.slug} link={link} wallet={wallet} onPaid={onPaid} />}
    </section>
  );
}

/** Say in plain words why there is nothing to pay. */
function ended(error: unknown): never {
  if (error instanceof NotFoundError)
    throw new Error("There is no such link. Check that it was copied whole; capital letters matter.");
  if (error instanceof GoneError) {
    throw new Error(error.code === "link-expired" ? "This link has expired." : "Whoever made this link took it back.");
  }
  throw error;
}

function Terms({ link, wallet, onPaid }: { link: InvoiceLink; wallet: Wallet | null; onPaid: (id: string) => void }) {
  const [state, setState] = useState<InvoiceLinkState>(link);
  const [underWay, setUnderWay] = useState(false);
  const pending = usePending();
  const { busy, error, run } = useAction();

  // somebody else may pay it, or it may end, while it is looked at
  useEffect(() => {
    const leaving = new AbortController();
    (async () => {
      for await (const next of nebula.watchInvoiceLink(link.slug, { signal: leaving.signal })) setState(next);
    })().catch(() => undefined); // what was read stays; paying tells what is wrong
    return () => leaving.abort();
  }, [link.slug]);

  const pay = (allowAnother: boolean) =>
    run(async (say) => {
      try {
        const { stream } = await kept(say, (onSubmitted) =>
          nebula.payInvoiceLink(link.slug, { allowAnother, onSubmitted }),
        );
        onPaid(stream.id);
      } catch (failure) {
        if (!(failure instanceof PaymentUnderWayError)) throw failure;
        setUnderWay(true);
      }
    }, "Preparing. Your wallet asks you to sign the payment.");

  return (
    <div className="terms" data-link={link.slug} data-status={state.status}>
      <p className="amount">
        <strong>{amount(link.amount, link.tokenAddress)}</strong>
        <span>
          streamed to <code title={link.receiver}>{short(link.receiver)}</code> over {duration(link.duration)}
          {link.startTime && `, from ${time(link.startTime)} on`}
        </span>
      </p>
      {link.description && (
        <blockquote>
          {link.description}
          <footer>written by whoever made the link</footer>
        </blockquote>
      )}
      {state.status === "COMPLETED" && (
        <p className="done">
          Paid.{" "}
          {state.streamId && (
            <button type="button" className="quiet" onClick={() => state.streamId && onPaid(state.streamId)}>
              Show its stream
            </button>
          )}
        </p>
      )}
      {(state.status === "EXPIRED" || state.status === "CANCELED") && (
        <Problem error={new Error("This link has ended: it cannot be paid any more.")} />
      )}
      {(state.status === "DRAFT" || state.status === "SIGNED") &&
        (wallet === null ? (
          <p className="quiet-text">Connect a wallet to pay it.</p>
        ) : underWay && busy === null ? (
          <>
            <p className="warning">
              A payment of this link is on its way already. If you pay as well, it may be paid twice.
            </p>
            <button type="button" className="second" disabled={pending.length > 0} onClick={() => pay(true)}>
              Pay all the same
            </button>
          </>
        ) : (
          <button type="button" disabled={busy !== null || pending.length > 0} onClick={() => pay(false)}>
            Pay with {wallet.name}
          </button>
        ))}
      <p className="status" role="status">
        {busy}
      </p>
      <Problem error={error} />
    </div>
  );
}
