import { useAction } from "../hooks";
import { SANDBOX } from "../settings";
import { connectDemo, connectFreighter, type Wallet } from "../wallets";
import { Problem } from "./Problem";

interface Props {
  /** Whether the service's network is a simulated one. */
  sandbox: boolean;
  onConnect: (wallet: Wallet) => void;
}

export function ConnectWallet({ sandbox, onConnect }: Props) {
  const { busy, error, run } = useAction();
  const connect = (how: () => Promise<Wallet>) => run(async () => onConnect(await how()), "Connecting…");
  return (
    <section className="card" aria-labelledby="connect">
      <h2 id="connect">Connect a wallet</h2>
      <p>
        Your wallet signs; this page and the service never see your keys. Looking at an invoice link needs no wallet.
      </p>
      <div className="buttons">
        <button type="button" disabled={busy !== null} onClick={() => connect(connectFreighter)}>
          Connect Freighter
        </button>
        {sandbox && SANDBOX && (
          <button type="button" className="second" disabled={busy !== null} onClick={() => connect(connectDemo)}>
            Use a demo wallet
          </button>
        )}
      </div>
      {sandbox && SANDBOX && (
        <p className="warning">
          The demo wallet is for this simulated network only: an account with play money whose key lives in this page
          and is gone when you leave it.
        </p>
      )}
      <p className="status" role="status">
        {busy}
      </p>
      <Problem error={error} />
    </section>
  );
}
