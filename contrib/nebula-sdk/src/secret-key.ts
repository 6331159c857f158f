/** A signer for servers and tests, out of a secret key. It needs the package `@stellar/stellar-sdk`. */
import { ConfigurationError, type Signer } from "./index.js";

/**
 * Return a signer for an account's secret key (`S…`).
 *
 * The key stays in the memory of this process: it is in no error, and nothing that prints the signer prints it.
 *
 * @throws ConfigurationError where it is no secret key, or `@stellar/stellar-sdk` is not installed.
 */
export async function secretKeySigner(secret: string): Promise<Signer & { readonly publicKey: string }> {
  const { Keypair, TransactionBuilder } = await import("@stellar/stellar-sdk").catch((error: unknown) => {
    throw new ConfigurationError("secretKeySigner needs the package @stellar/stellar-sdk: install it", error);
  });
  const keypair = ((): InstanceType<typeof Keypair> => {
    try {
      return Keypair.fromSecret(secret);
    } catch {
      // what was thrown may hold the secret
      throw new ConfigurationError("not the secret key of an account: it begins with S and has 56 characters");
    }
  })();
  return {
    publicKey: keypair.publicKey(),
    signTransaction(xdr, { networkPassphrase }) {
      const transaction = TransactionBuilder.fromXDR(xdr, networkPassphrase);
      transaction.sign(keypair);
      return transaction.toXDR();
    },
  };
}
