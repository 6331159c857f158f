/** Asking a wallet: what a signer is, what it is told to sign, and what is looked at before it is asked. */
import { ChallengeError, SignerMissingError, SigningError } from "./errors.js";
import { bounded } from "./wait.js";

/** What wallets answer: the signed transaction, alone or in an object that may hold an `error` instead. */
export type SignedAnswer =
  string | { readonly signedTxXdr: string; readonly signerAddress?: string | undefined; readonly error?: unknown };

/**
 * Whoever signs: the shape that wallets offer (SEP-43), Freighter's API and Stellar Wallets Kit among them.
 *
 * Who signs is told by `getAddress` or `publicKey`; without either, give `account` to the calls that need to know.
 */
export interface Signer {
  /** Sign a transaction, XDR in base64, for the network of that passphrase. */
  signTransaction(
    xdr: string,
    options: { networkPassphrase: string; address?: string },
  ): SignedAnswer | Promise<SignedAnswer>;
  getAddress?(): AddressAnswer | Promise<AddressAnswer>;
  readonly publicKey?: string | undefined;
}

/** An account (`G…`), alone or in an object that may hold an `error` instead. */
export type AddressAnswer = string | { readonly address: string; readonly error?: unknown };

export interface ToSign {
  readonly xdr: string;
  readonly networkPassphrase: string;
}

/** Return the account (`G…`) of a signer; undefined where the signer does not tell it. */
export async function addressOf(signer: Signer): Promise<string | undefined> {
  return signer.getAddress ? ask(() => signer.getAddress?.(), "address", undefined) : signer.publicKey;
}

/** Return an account, or throw where nobody knows it. */
export function known(account: string | undefined): string {
  if (account) return account;
  throw new SignerMissingError("pass { account }: the signer does not tell it");
}

/**
 * Have a transaction signed.
 *
 * @param address the account that is to sign, where it is known: a wallet may have several.
 * @param pinned the passphrase of the only network that is signed for, where there is one.
 */
export async function sign(
  signer: Signer,
  { xdr, networkPassphrase }: ToSign,
  address: string | undefined,
  pinned: string | undefined,
  signal: AbortSignal | undefined,
): Promise<string> {
  if (pinned && networkPassphrase !== pinned) {
    throw new SigningError(`network '${networkPassphrase}', not '${pinned}'`);
  }
  return ask(
    () => signer.signTransaction(xdr, { networkPassphrase, ...(address && { address }) }),
    "signedTxXdr",
    signal,
  );
}

/** Ask a wallet for a text, or for an object that holds it under a key. */
async function ask(question: () => unknown, key: string, signal: AbortSignal | undefined): Promise<string> {
  const answer = await bounded(async () => {
    try {
      return (await question()) as unknown;
    } catch (error) {
      throw new SigningError("the wallet refused, or failed", error);
    }
  }, signal);
  const said = (typeof answer === "object" ? answer : { [key]: answer }) as { [said: string]: unknown } | null;
  const { error, [key]: text } = said ?? {};
  if (error) throw new SigningError("the wallet refused, or failed", error);
  if (typeof text !== "string" || !text) throw new SigningError(`the wallet answered no ${key}`);
  return text;
}

/**
 * Throw unless what is said to be a login challenge is a transaction that no network can carry out.
 *
 * By SEP-10 its sequence number is 0, which no account can use. Without that look a dishonest service could have a
 * payment signed as a login. A version 1 envelope begins with its type (2), the type of its source's key (0), the key
 * (32 bytes), the fee (4 bytes) and the sequence number (8 bytes).
 */
export function checkChallenge(xdr: string): void {
  const head = decode(xdr) ?? "";
  if (!head.startsWith("\0\0\0\x02\0\0\0\0") || head.slice(44, 52) !== "\0".repeat(8)) {
    throw new ChallengeError("the challenge could be carried out");
  }
}

/**
 * Whether a signed envelope holds the very transaction that was to be signed. It has the same bytes but for the
 * signatures at the end, of which there are none yet: a zero in four bytes.
 */
export function isSame(unsigned: string, signed: string): boolean {
  const bytes = decode(unsigned);
  return bytes?.endsWith("\0\0\0\0") === true && decode(signed)?.startsWith(bytes.slice(0, -4)) === true;
}

/**
 * Throw unless an envelope's source is this account. Of a `G…` in base32, the key is what is behind the first byte and
 * before the checksum; other kinds of addresses are not looked at.
 */
export function checkSource(xdr: string, account: string | undefined): void {
  if (!account?.startsWith("G")) return;
  const bits = (text: string, width: number): string =>
    Array.from(text, (one) => {
      const code = one.charCodeAt(0);
      // of base32, A to Z and 2 to 7
      return (width > 5 ? code : code < 65 ? code - 24 : code - 65).toString(2).padStart(width, "0");
    }).join("");
  if (bits(account, 5).slice(8, 264) !== bits(decode(xdr)?.slice(8, 40) ?? "", 8)) {
    throw new SigningError(`not for ${account} to sign`);
  }
}

/** Return the bytes of base64, one a character; undefined where it is none. */
function decode(base64: string): string | undefined {
  try {
    return atob(base64);
  } catch {
    return undefined;
  }
}
