// How amounts and times are written, and what is said where something goes wrong: what happened, and what to do.

import { Refused } from "./api.js";
import { UNNAMED, WalletError } from "./wallets.js";

const STROOPS = 7;

/** An amount of the token's smallest unit, in whole tokens, exact; without decimals it is the amount itself. */
export function amount(raw, decimals) {
  const places = Number(decimals || 0);
  const digits = String(raw).padStart(places + 1, "0");
  const whole = digits.slice(0, digits.length - places).replace(/\B(?=(\d{3})+$)/g, ",");
  const fraction = digits.slice(digits.length - places).replace(/0+$/, "");
  return fraction ? `${whole}.${fraction}` : whole;
}

export function lumens(stroops) {
  return `${amount(stroops, STROOPS)} XLM`;
}

/** Seconds as 4:05, or 3 h 20 min. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole >= 3600) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** About how long, in one unit. */
export function about(seconds) {
  for (const [name, size] of [["days", 86_400], ["hours", 3_600], ["minutes", 60]]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size).toLocaleString("en")} ${name}`;
  }
  return clock(seconds);
}

const OVER = new Set(["link-expired", "link-cancelled", "link-paid", "link-not-found"]);

/** Whether an answer says that the link cannot be paid any more. */
export function isOver(error) {
  return error instanceof Refused && OVER.has(error.code);
}

const PROBLEMS = {
  "link-expired": "The link expired meanwhile. Nothing was sent. Ask whoever sent it to you for a new one.",
  "link-cancelled": "The link was cancelled meanwhile. Nothing was sent. Ask whoever sent it to you.",
  "link-paid": "Somebody else paid the link meanwhile. Nothing was sent from your account.",
  "payment-under-way": "Somebody else's payment of this link came in meanwhile. Nothing was sent from your account.",
  "link-not-found": "The link was deleted meanwhile. Nothing was sent. Ask whoever sent it to you.",
  "envelope-unsigned": "This transaction is not signed. Let your wallet sign it, then paste what it gives you.",
  "envelope-invalid": "This is no transaction. Paste all of what your wallet gives you when it has signed: letters and digits without spaces.",
  "envelope-expired": "This transaction is too old now. Prepare it again and sign the new one; nothing was sent.",
  "wrong-signer": "It was signed with another account than the one that pays. Choose that account in your wallet, then sign again.",
  "terms-mismatch": "What was signed is not what the link asks for, so it was not sent. Prepare it again, and sign it unchanged.",
  "rate-limited": "That was too often. Wait a minute, then try again.",
};

/** Return a sentence or two for whatever went wrong. `wallet` is the wallet's name, `network` the network's. */
export function sentence(error, { wallet = "the wallet", network = "" } = {}) {
  if (error instanceof WalletError) {
    const named = wallet === UNNAMED ? "Your wallet" : wallet;
    const why = error.message ? ` It says: “${error.message.replace(/[.\s]+$/, "")}.”` : "";
    return {
      rejected: `You declined in ${wallet}. Nothing was sent; you can pay whenever you like.`,
      network: `${named} is set to another network. Switch it to ${network}, then try again.`,
      account: `${named} gave no account. Unlock it, choose the account that pays, then try again.`,
      failed: `${named} did not do it.${why} Nothing was sent. Look into the wallet, then try again.`,
    }[error.kind];
  }
  if (error instanceof Refused) return PROBLEMS[error.code] ?? error.message;
  return "Something in this page went wrong, and nothing was sent. Reload it, then try again.";
}
