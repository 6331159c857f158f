import { toUnits } from "@stellarstream/nebula-sdk";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { kept, useAction } from "../hooks";
import { usePending } from "../pending";
import { nebula, TOKEN } from "../settings";
import { Problem } from "./Problem";

const UNITS = { minutes: 60, hours: 3_600, days: 86_400 };

export function CreateStream({ onCreated }: { onCreated: (id: string) => void }) {
  const [receiver, setReceiver] = useState("");
  const [total, setTotal] = useState("");
  const [length, setLength] = useState("30");
  const [unit, setUnit] = useState<keyof typeof UNITS>("days");
  const [memo, setMemo] = useState("");
  const { busy, error, run } = useAction();
  const pending = usePending();
  const heading = useRef<HTMLHeadingElement>(null);
  // the button that connected the wallet is gone: who uses a keyboard goes on here
  useEffect(() => heading.current?.focus(), []);

  const create = (event: FormEvent) => {
    event.preventDefault();
    void run(async (say) => {
      const terms = {
        receiver: receiver.trim(),
        amount: toUnits(total, TOKEN.decimals),
        tokenAddress: TOKEN.address,
        duration: Number(length) * UNITS[unit],
        memo: memo.trim() || null,
      };
      const stream = await kept(say, (onSubmitted) => nebula.createStream(terms, { onSubmitted }));
      onCreated(stream.id);
      setReceiver("");
      setTotal("");
      setMemo("");
    }, "Preparing. Your wallet asks you to sign: the first time also to log in, which costs nothing.");
  };

  return (
    <section className="card" aria-labelledby="create">
      <h2 id="create" ref={heading} tabIndex={-1}>
        Create a stream
      </h2>
      <form onSubmit={create}>
        <label>
          To
          <input
            value={receiver}
            onChange={(event) => setReceiver(event.target.value)}
            required
            pattern="\s*[GC][A-Z2-7]{55}\s*"
            title="An account (G…) or a contract (C…)"
            placeholder="G…"
            autoComplete="off"
            spellCheck={false}
          />
        </label>
        <label>
          Amount in {TOKEN.symbol}
          <input
            value={total}
            onChange={(event) => setTotal(event.target.value)}
            required
            inputMode="decimal"
            pattern={`[0-9]+(\\.[0-9]{1,${TOKEN.decimals}})?`}
            title={`A number with up to ${TOKEN.decimals} decimal places, like 12.5`}
            placeholder="12.5"
            autoComplete="off"
          />
        </label>
        <div className="row">
          <label>
            Over
            <input
              value={length}
              onChange={(event) => setLength(event.target.value)}
              required
              type="number"
              min="1"
              max="3650"
            />
          </label>
          <label>
            Unit
            <select value={unit} onChange={(event) => setUnit(event.target.value as keyof typeof UNITS)}>
              {Object.keys(UNITS).map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        </div>
        <label>
          Memo (optional)
          <input
            value={memo}
            onChange={(event) => setMemo(event.target.value)}
            pattern="\s*[A-Za-z0-9_]{1,32}\s*"
            title="Up to 32 letters, digits and underscores"
            autoComplete="off"
            spellCheck={false}
          />
        </label>
        <button type="submit" disabled={busy !== null || pending.length > 0}>
          Create the stream
        </button>
      </form>
      <p className="status" role="status">
        {busy}
      </p>
      <Problem error={error} />
    </section>
  );
}
