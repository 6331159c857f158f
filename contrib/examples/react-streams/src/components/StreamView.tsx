import type { Stream } from "@stellarstream/nebula-sdk";
import { amount, duration, short, time } from "../format";
import { kept, useAction, useStream, useUnlocked } from "../hooks";
import { nebula, TOKEN } from "../settings";
import type { Wallet } from "../wallets";
import { Problem } from "./Problem";

/** One stream, live: what is unlocked runs by the clock, everything else follows what happens on the chain. */
export function StreamView({ id, wallet }: { id: string; wallet: Wallet | null }) {
  const { stream, error } = useStream(id);
  return (
    <section className="card live" aria-labelledby="live" data-stream={id}>
      <h2 id="live">Stream {stream ? stream.streamId : ""}</h2>
      <Problem error={error} />
      {stream === null ? (
        error === null && (
          <p className="status" role="status">
            Reading…
          </p>
        )
      ) : (
        <Watched stream={stream} wallet={wallet} />
      )}
    </section>
  );
}

function Watched({ stream, wallet }: { stream: Stream; wallet: Wallet | null }) {
  const unlocked = useUnlocked(stream);
  const { busy, error, run } = useAction();
  const total = stream.amount === null ? null : BigInt(stream.amount);
  const share = unlocked === null || !total ? 0 : Number((unlocked * 10_000n) / total) / 100;
  const running = stream.status === "ACTIVE";

  const act = (what: "withdrawFromStream" | "cancelStream") =>
    run(async (say) => {
      // the page hears of the result by watching the stream
      await kept(say, (onSubmitted) => nebula[what]({ streamId: stream.id }, { onSubmitted }));
    }, "Preparing. Your wallet asks you to sign.");

  return (
    <>
      <p className="amount">
        {/* not read aloud each second; whoever looks for it finds it */}
        <strong className="ticking" data-unlocked={unlocked === null ? "" : String(unlocked)}>
          {unlocked === null ? "not known yet" : amount(unlocked, stream.tokenAddress, TOKEN.decimals)}
        </strong>
        <span>unlocked of {total === null ? "an unknown amount" : amount(total, stream.tokenAddress)}</span>
      </p>
      <progress value={share} max={100} aria-label="Unlocked share">
        {share} %
      </progress>
      <dl>
        <dt>Status</dt>
        <dd>
          <span className={`state ${stream.status.toLowerCase()}`}>{stream.status.toLowerCase()}</span>
        </dd>
        <dt>From</dt>
        <dd>
          <code title={stream.sender ?? ""}>{short(stream.sender ?? "unknown")}</code>
        </dd>
        <dt>To</dt>
        <dd>
          <code title={stream.beneficiary ?? ""}>{short(stream.beneficiary ?? "unknown")}</code>
        </dd>
        <dt>Withdrawn</dt>
        <dd data-withdrawn={stream.withdrawn ?? ""}>
          {stream.withdrawn === null ? "not known" : amount(stream.withdrawn, stream.tokenAddress)}
        </dd>
        {stream.startTime && stream.endTime && (
          <>
            <dt>Runs</dt>
            <dd>
              {time(stream.startTime)} to {time(stream.endTime)}
              {stream.duration !== null && ` (${duration(stream.duration)})`}
            </dd>
          </>
        )}
        {stream.memo && (
          <>
            <dt>Memo</dt>
            <dd>
              <code>{stream.memo}</code>
            </dd>
          </>
        )}
      </dl>
      {wallet && running && (wallet.address === stream.beneficiary || wallet.address === stream.sender) && (
        <div className="buttons">
          {wallet.address === stream.beneficiary && (
            <button type="button" disabled={busy !== null} onClick={() => act("withdrawFromStream")}>
              Withdraw what is unlocked
            </button>
          )}
          {wallet.address === stream.sender && (
            <button type="button" className="second" disabled={busy !== null} onClick={() => act("cancelStream")}>
              Cancel the stream
            </button>
          )}
        </div>
      )}
      <p className="status" role="status">
        {busy}
      </p>
      <Problem error={error} />
    </>
  );
}
