import { short, time } from "../format";
import { useAction } from "../hooks";
import { goOn, usePending } from "../pending";
import { Problem } from "./Problem";

/** Offer to go on with what was signed before, here or before a reload, and is not known to be settled. */
export function Pending() {
  const pending = usePending();
  const { busy, error, run } = useAction();
  if (pending.length === 0 && error === null) return null;
  return (
    <section className="card" aria-labelledby="pending">
      <h2 id="pending">Signed, and not known to be done</h2>
      {pending.map((one) => (
        <p key={one.txHash}>
          Transaction <code title={one.txHash}>{short(one.txHash)}</code>, possible until {time(one.validUntil)}{" "}
          <button
            type="button"
            className="second"
            disabled={busy !== null}
            onClick={() => run(() => goOn(one), "Waiting for the ledger…")}
          >
            Go on
          </button>
        </p>
      ))}
      <p className="status" role="status">
        {busy}
      </p>
      <Problem error={error} />
    </section>
  );
}
