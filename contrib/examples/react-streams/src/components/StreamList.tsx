import type { Stream } from "@stellarstream/nebula-sdk";
import { useEffect, useState } from "react";
import { amount, short } from "../format";
import { nebula } from "../settings";
import { Problem } from "./Problem";

interface Props {
  address: string;
  selected: string | null;
  onSelect: (id: string) => void;
}

/** The newest streams of an account, in and out; read again whenever an event of a contract names the account. */
export function StreamList({ address, selected, onSelect }: Props) {
  const [streams, setStreams] = useState<Stream[] | null>(null);
  const [error, setError] = useState<unknown>(null);

  useEffect(() => {
    const leaving = new AbortController();
    const { signal } = leaving;
    const read = async () => setStreams(await nebula.getStreams(address, 20, 0, { signal }));
    (async () => {
      await read();
      // what happened between the first read and the connection is in the read that comes with the first position
      let stands = false;
      const onPosition = () => {
        if (!stands) void read().catch(() => undefined);
        stands = true;
      };
      for await (const { event } of nebula.watchEvents({}, { signal, onPosition })) {
        if (!JSON.stringify(event.decoded).includes(address)) continue;
        await read();
        setTimeout(() => void read().catch(() => undefined), 2_000); // an event is in its stream a moment later
      }
    })().catch((failure: unknown) => {
      if (!signal.aborted) setError(failure);
    });
    return () => leaving.abort();
  }, [address]);

  return (
    <section className="card" aria-labelledby="mine">
      <h2 id="mine">My streams</h2>
      <Problem error={error} />
      {streams === null && error === null && (
        <p className="status" role="status">
          Reading…
        </p>
      )}
      {streams?.length === 0 && (
        <p className="quiet-text">None yet. Those that you send and that are sent to you appear here.</p>
      )}
      <ul className="streams">
        {streams?.map((stream) => (
          <li key={stream.id}>
            <button
              type="button"
              className="stream"
              aria-pressed={stream.id === selected}
              onClick={() => onSelect(stream.id)}
            >
              <span className="direction" aria-hidden="true">
                {stream.sender === address ? "↑" : "↓"}
              </span>
              <span className="what">
                <strong>
                  {stream.amount === null ? "amount unknown" : amount(stream.amount, stream.tokenAddress)}
                </strong>
                <small>
                  {stream.sender === address
                    ? `to ${short(stream.beneficiary ?? "?")}`
                    : `from ${short(stream.sender ?? "?")}`}
                </small>
              </span>
              <span className={`state ${stream.status.toLowerCase()}`}>{stream.status.toLowerCase()}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
