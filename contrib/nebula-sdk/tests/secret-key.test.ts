/** The signer out of a secret key: it signs, and nothing shows the key. */
import { Keypair } from "@stellar/stellar-sdk";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { ConfigurationError } from "../src/index.js";
import { secretKeySigner } from "../src/secret-key.js";
import { clientOf, failure, PASSPHRASE } from "./service.js";

describe("secretKeySigner", () => {
  it("signs for the account of the key", async () => {
    const pair = Keypair.random();
    const signer = await secretKeySigner(pair.secret());
    expect(signer.publicKey).toBe(pair.publicKey());
    expect(await clientOf(signer).login()).toMatch(/^ey/);
  });

  it("shows the key to nobody", async () => {
    const pair = Keypair.random();
    const signer = await secretKeySigner(pair.secret());
    const raw = pair.rawSecretKey();
    const shown = `${inspect(signer, { depth: 20, showHidden: true })}${JSON.stringify(signer)}${String(signer)}`;
    expect(shown).not.toContain(pair.secret());
    expect(shown).not.toContain(raw.toString("hex"));
    const error = await failure(
      Promise.resolve().then(() => signer.signTransaction("nonsense", { networkPassphrase: PASSPHRASE })),
    );
    expect(inspect(error, { depth: 20 })).not.toContain(pair.secret());
  });

  it.each([
    ["a public key", Keypair.random().publicKey()],
    ["a secret key with a slip", `${Keypair.random().secret().slice(0, -1)}1`],
    ["nothing", ""],
  ])("refuses %s, and does not repeat it", async (_, secret) => {
    const error = await failure(secretKeySigner(secret));
    expect(error).toBeInstanceOf(ConfigurationError);
    if (secret) expect(inspect(error, { depth: 20 })).not.toContain(secret);
  });
});
