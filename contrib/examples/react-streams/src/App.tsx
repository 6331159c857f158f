import { useEffect, useState } from "react";
import { ConnectWallet } from "./components/ConnectWallet";
import { CreateStream } from "./components/CreateStream";
import { Pending } from "./components/Pending";
import { PayLink } from "./components/PayLink";
import { StreamList } from "./components/StreamList";
import { StreamView } from "./components/StreamView";
import { short } from "./format";
import { nebula } from "./settings";
import type { Wallet } from "./wallets";

export function App() {
  const [wallet, setWallet] = useState<Wallet | null>(null);
  const [network, setNetwork] = useState<string | null>(null);
  const [selected, setSelected] = useState<string | null>(null);

  useEffect(() => {
    const leaving = new AbortController();
    nebula.getSync({ signal: leaving.signal }).then(
      (sync) => setNetwork(sync.network),
      () => undefined, // whoever does something next is told
    );
    return () => leaving.abort();
  }, []);

  /** From now on this wallet signs, and logs in where that is needed. */
  const connect = (next: Wallet | null) => {
    nebula.logout();
    nebula.setSigner(next?.signer ?? null);
    setWallet(next);
    setSelected(null);
  };

  return (
    <>
      <header className="top">
        <div className="wide">
          <h1>
            <span className="mark" aria-hidden="true">
              ≈
            </span>{" "}
            Streams
          </h1>
          {network && <span className="badge">{network}</span>}
          {wallet && (
            <div className="who">
              <span>
                {wallet.name} <code title={wallet.address}>{short(wallet.address)}</code>
              </span>
              <button type="button" className="quiet" onClick={() => connect(null)}>
                Disconnect
              </button>
            </div>
          )}
        </div>
      </header>
      <main className="wide">
        <div className="columns">
          <div>
            {wallet === null ? (
              <ConnectWallet sandbox={network === "sandbox"} onConnect={connect} />
            ) : (
              <>
                <CreateStream onCreated={setSelected} />
                <StreamList address={wallet.address} selected={selected} onSelect={setSelected} />
              </>
            )}
          </div>
          <div>
            {selected && <StreamView key={selected} id={selected} wallet={wallet} />}
            <Pending />
            <PayLink wallet={wallet} onPaid={setSelected} />
          </div>
        </div>
      </main>
      <footer className="wide">
        An example of @stellarstream/nebula-sdk. It keeps what was signed until that is settled, and nothing else.
      </footer>
    </>
  );
}
