/** Who signs: a wallet in the browser, or, on a simulated network only, an account that is made up here. */
import { isConnected, requestAccess, signTransaction } from "@stellar/freighter-api";
import type { Signer } from "@stellarstream/nebula-sdk";
import { SANDBOX } from "./settings";

export interface Wallet {
  readonly name: string;
  /** The account, `G…`. */
  readonly address: string;
  readonly signer: Signer;
}

/** Ask Freighter, or a wallet that speaks its language, for an account. */
export async function connectFreighter(): Promise<Wallet> {
  const found = await isConnected();
  if (!found.isConnected)
    throw new Error("No wallet answers. Install Freighter from freighter.app, then reload this page.");
  const { address, error } = await requestAccess();
  if (error || !address) throw new Error(error?.message || "The wallet gave no account.");
  // the functions of Freighter's API have the shape of a signer already
  return { name: "Freighter", address, signer: { publicKey: address, signTransaction } };
}

/**
 * Make an account up and have the simulated network fund it.
 *
 * For the sandbox only: the key is in this page's memory, where every script of the page can read it, and is gone when
 * the page is. No page should ever hold the key of an account with real money.
 */
export async function connectDemo(): Promise<Wallet> {
  // both are large, and nobody else needs them
  const [{ Keypair }, { secretKeySigner }] = await Promise.all([
    import("@stellar/stellar-sdk"),
    import("@stellarstream/nebula-sdk/secret-key"),
  ]);
  const pair = Keypair.random();
  const answer = await fetch(`${SANDBOX}/friendbot?addr=${pair.publicKey()}`).catch(() => null);
  if (!answer?.ok) throw new Error(`The simulated network at ${SANDBOX} did not fund the demo wallet. Is it running?`);
  return { name: "Demo wallet", address: pair.publicKey(), signer: await secretKeySigner(pair.secret()) };
}
