/** The real service, and people with money on its network. */
import { Keypair } from "@stellar/stellar-sdk";
import { inject } from "vitest";
import { type CreateStreamParams, NebulaClient, type NebulaOptions, type Signer } from "../src/index.js";
import { secretKeySigner } from "../src/secret-key.js";

export const SERVICE = inject("service");
export const NETWORK = inject("network");
/** The passphrase of every simulated network. */
export const PASSPHRASE = "StellarStream Sandbox ; simulation, not a Stellar network";
/** A contract of the first generation. The network's people pause the other one at times. */
export const V1 = "CAHKUJU2RIB6UR4CZT3CNBVUTQ6MJJM7OXL6JS5LJXJJQLEUNE6WSP62";
/** A token's contract, of which everybody here has some. */
export const USDC = "CBXYHFR6QWVFATJ7P3XFJKBNFDIHAJTN6AAOEVK6C7FOF6OIZ6V63ZNJ";

export type Account = Signer & { readonly publicKey: string };

/** Make an account that has money, and return who signs for it. */
export async function account(): Promise<Account> {
  const pair = Keypair.random();
  const answer = await fetch(`${NETWORK}/friendbot?addr=${pair.publicKey()}`);
  if (!answer.ok) throw new Error(await answer.text());
  return secretKeySigner(pair.secret());
}

export function clientOf(signer?: Signer, options: NebulaOptions = {}, url = SERVICE): NebulaClient {
  return new NebulaClient(url, { signer, ...options });
}

/** Return terms of a stream to somebody: one of V1, whose contract is never paused. */
export const terms = (receiver: string, more: Partial<CreateStreamParams> = {}) => ({
  receiver,
  amount: "6000000000",
  tokenAddress: USDC,
  duration: 600,
  contractId: V1,
  ...more,
});

/** What passes: one contract is paused for a ledger now and then, the other one grows and so does what it costs. */
const PASSING = /ContractPaused|NothingToWithdraw|InsufficientBalance|INSUFFICIENT_REFUNDABLE_FEE/;

/** Do something, and once more where somebody else on the network was in the way, or nothing is unlocked yet. */
export async function patiently<T>(act: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (!PASSING.test(String(error))) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

/** Return what a promise is rejected with. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}
