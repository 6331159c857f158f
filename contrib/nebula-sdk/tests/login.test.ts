/** Logging in with a wallet (SEP-10): what it is shown, when it is asked, and what becomes of the token. */
import { Account as Source, Asset, Keypair, Operation, TransactionBuilder } from "@stellar/stellar-sdk";
import { inspect } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import {
  AuthenticationError,
  ChallengeError,
  NebulaAbortError,
  type Signer,
  SignerMissingError,
  SigningError,
} from "../src/index.js";
import { answer, problem, way } from "./proxy.js";
import { type Account, account, clientOf, failure, PASSPHRASE, terms } from "./service.js";

let me: Account;
let other: Account;
beforeAll(async () => {
  [me, other] = [await account(), await account()];
});

/** A wallet that counts how often it is asked, and keeps what for. */
function counting(signer: Account, more: Partial<Signer> = {}) {
  const asked: { xdr: string; networkPassphrase: string; address?: string }[] = [];
  return {
    asked,
    ...signer,
    signTransaction: (xdr: string, options: { networkPassphrase: string; address?: string }) => {
      asked.push({ xdr, ...options });
      return signer.signTransaction(xdr, options);
    },
    ...more,
  };
}

/** Whom a token is for. */
const subject = (token: string): unknown =>
  (JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as { sub: unknown }).sub;

describe("login", () => {
  it("returns a token for the signer's account, and uses it", async () => {
    await using to = await way();
    const wallet = counting(me);
    const client = clientOf(undefined, {}, to.url);
    const token = await client.login(wallet);
    expect(subject(token)).toBe(me.publicKey);
    expect(wallet.asked).toMatchObject([{ networkPassphrase: PASSPHRASE, address: me.publicKey }]);
    expect((await client.listInvoiceLinks()).items).toEqual([]);
    expect(to.exchanges.at(-1)?.headers.authorization).toBe(`Bearer ${token}`);
    // nothing of it in an address
    expect(to.exchanges.map(({ path }) => path).join()).not.toContain(token);
  });

  it.each([
    ["getAddress() that gives a text", { publicKey: undefined, getAddress: () => me.publicKey }],
    [
      "getAddress() that gives an object",
      { publicKey: undefined, getAddress: async () => ({ address: me.publicKey }) },
    ],
    ["publicKey", {}],
  ])("finds the account by %s", async (_, shape) => {
    expect(subject(await clientOf().login(counting(me, shape)))).toBe(me.publicKey);
  });

  it("takes the account that is named before the wallet's", async () => {
    const wallet = counting(me, { getAddress: () => "GNOT" });
    expect(subject(await clientOf().login(wallet, { account: me.publicKey }))).toBe(me.publicKey);
    const nameless: Signer = { signTransaction: me.signTransaction };
    const error = await failure(clientOf().login(nameless));
    expect(error).toBeInstanceOf(SignerMissingError);
    expect(String(error)).toContain("account");
    expect(subject(await clientOf(nameless).login(undefined, { account: me.publicKey }))).toBe(me.publicKey);
  });

  it("takes an answer with signedTxXdr, as Freighter and wallets-kit give it", async () => {
    const wallet = counting(me, {
      signTransaction: async (xdr, options) => ({
        signedTxXdr: (await me.signTransaction(xdr, options)) as string,
        signerAddress: me.publicKey,
      }),
    });
    expect(subject(await clientOf().login(wallet))).toBe(me.publicKey);
  });

  it("needs somebody who signs", async () => {
    const error = await failure(clientOf().login());
    expect(error).toBeInstanceOf(SignerMissingError);
    expect(error).toMatchObject({ code: "signer-missing" });
    expect(String(error)).toContain("signTransaction(xdr, { networkPassphrase })");
  });

  it("is refused where the wallet signs for another account", async () => {
    const error = await failure(clientOf().login(counting(other), { account: me.publicKey }));
    expect(error).toMatchObject({ status: 400, code: "challenge-unknown-signers" });
  });

  it("is not sent twice where its answer is lost", async () => {
    await using to = await way(({ method }) => (method === "POST" ? "lost" : undefined));
    expect(await failure(clientOf(me, {}, to.url).login())).toMatchObject({ code: "network-error" });
    expect(to.of("POST", "/auth")).toHaveLength(1);
  });
});

describe("what a wallet answers instead of signing", () => {
  const refusal = { code: -4, message: "The user rejected this request." };
  it.each([
    ["throws", () => Promise.reject(new Error(refusal.message)), { message: refusal.message }],
    [
      "throws at once",
      () => {
        throw new Error("locked");
      },
      { message: "locked" },
    ],
    ["answers an error", () => ({ signedTxXdr: "", error: refusal }), refusal],
  ])("%s", async (_, signTransaction, cause) => {
    const error = await failure(clientOf().login(counting(me, { signTransaction })));
    expect(error).toBeInstanceOf(SigningError);
    expect(error).toMatchObject({ code: "signing-refused", cause });
  });

  it.each([[undefined], [null], [""], [{}], [7]])("%j is no signature", async (nothing) => {
    const signTransaction = (() => nothing) as unknown as Signer["signTransaction"];
    expect(await failure(clientOf().login(counting(me, { signTransaction })))).toBeInstanceOf(SigningError);
  });

  it("an error instead of its address", async () => {
    const wallet = counting(me, { publicKey: undefined, getAddress: () => ({ address: "", error: "locked" }) });
    expect(await failure(clientOf().login(wallet))).toMatchObject({ code: "signing-refused", cause: "locked" });
  });
});

describe("a challenge that a network could carry out is not shown to the wallet", () => {
  /** A payment of everything, as a dishonest service would have it signed. */
  const payment = (sequence: string, from = me.publicKey): string =>
    new TransactionBuilder(new Source(from, sequence), { fee: "100", networkPassphrase: PASSPHRASE })
      .addOperation(
        Operation.payment({ destination: Keypair.random().publicKey(), asset: Asset.native(), amount: "1" }),
      )
      .setTimeout(300)
      .build()
      .toXDR();
  const feeBump = (): string => {
    const inner = TransactionBuilder.fromXDR(payment("7"), PASSPHRASE);
    return TransactionBuilder.buildFeeBumpTransaction(me.publicKey, "200", inner as never, PASSPHRASE).toXDR();
  };

  it.each([
    ["a payment", () => payment("41")],
    ["a payment with a high sequence number", () => payment("9223372036854775806")],
    ["a payment with the sequence number of an account", () => payment(String(2n ** 32n))],
    ["a fee bump", feeBump],
    ["nothing", () => ""],
    ["no XDR", () => "not base64 !"],
    ["a part of one", () => payment("41").slice(0, 40)],
  ])("%s", async (_, transaction) => {
    await using to = await way(() => answer(200, { transaction: transaction(), network_passphrase: PASSPHRASE }));
    const wallet = counting(me);
    const error = await failure(clientOf(wallet, {}, to.url).login());
    expect(error).toBeInstanceOf(ChallengeError);
    expect(error).toMatchObject({ code: "bad-challenge" });
    expect(wallet.asked).toEqual([]);
    expect(to.of("POST", "/auth")).toEqual([]);
  });

  it("while one with sequence number 0 is", async () => {
    const transaction = payment("-1");
    await using to = await way(({ method }) =>
      method === "GET" ? answer(200, { transaction, network_passphrase: PASSPHRASE }) : undefined,
    );
    const wallet = counting(me);
    expect(await failure(clientOf(wallet, {}, to.url).login())).toMatchObject({ code: "challenge-not-ours" });
    expect(wallet.asked.map(({ xdr }) => xdr)).toEqual([transaction]);
  });
});

describe("a pinned network", () => {
  it("is the only one that is signed for", async () => {
    const wallet = counting(me);
    const elsewhere = clientOf(wallet, { networkPassphrase: "Public Global Stellar Network ; September 2015" });
    const error = await failure(elsewhere.login());
    expect(error).toBeInstanceOf(SigningError);
    expect(String(error)).toContain("Public Global Stellar Network");
    expect(wallet.asked).toEqual([]);
    await clientOf(wallet, { networkPassphrase: PASSPHRASE }).login();
    expect(wallet.asked).toHaveLength(1);
  });

  it("holds for transactions, too", async () => {
    const wallet = counting(me);
    const token = await clientOf(me).login();
    const client = clientOf(wallet, { token, networkPassphrase: "another" });
    expect(await failure(client.createStream(terms(other.publicKey)))).toBeInstanceOf(SigningError);
    expect(wallet.asked).toEqual([]);
  });
});

describe("a call that needs a login", () => {
  it("makes one, which calls at the same time share", async () => {
    await using to = await way();
    const wallet = counting(me);
    const client = clientOf(wallet, {}, to.url);
    await Promise.all([client.listInvoiceLinks(), client.listInvoiceLinks(), client.listInvoiceLinks()]);
    expect(wallet.asked).toHaveLength(1);
    expect(to.of("POST", "/auth")).toHaveLength(1);
    await client.listInvoiceLinks();
    expect(wallet.asked).toHaveLength(1);
  });

  it("makes one where an option is given as undefined", async () => {
    const nothing = {
      autoLogin: undefined,
      token: undefined,
      apiKey: null,
      networkPassphrase: undefined,
      fetch: undefined,
    };
    expect((await clientOf(me, nothing).listInvoiceLinks()).items).toEqual([]);
  });

  it("can be aborted, and the others go on", async () => {
    let sign = (): void => undefined;
    const asked = new Promise<void>((resolve) => (sign = resolve));
    const wallet = counting(me, {
      signTransaction: async (xdr, options) => {
        await asked;
        return me.signTransaction(xdr, options);
      },
    });
    const client = clientOf(wallet);
    const controller = new AbortController();
    const first = failure(client.listInvoiceLinks({}, { signal: controller.signal }));
    const second = client.listInvoiceLinks();
    controller.abort();
    expect(await first).toBeInstanceOf(NebulaAbortError);
    sign();
    expect((await second).items).toEqual([]);
  });

  it("tells all of them that the wallet refused, and asks again the next time", async () => {
    let refusals = 0;
    const wallet = counting(me, {
      signTransaction: (xdr, options) => {
        if (refusals === 0) {
          refusals += 1;
          throw new Error("no");
        }
        return me.signTransaction(xdr, options);
      },
    });
    const client = clientOf(wallet);
    const both = await Promise.allSettled([client.listInvoiceLinks(), client.listInvoiceLinks()]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect((await client.listInvoiceLinks()).items).toEqual([]);
  });

  it("makes none where autoLogin is off, nobody signs, or a key is there", async () => {
    const wallet = counting(me);
    for (const client of [clientOf(wallet, { autoLogin: false }), clientOf()]) {
      expect(await failure(client.listInvoiceLinks())).toMatchObject({
        name: "AuthenticationError",
        code: "not-authenticated",
      });
    }
    const keyed = clientOf(wallet, { apiKey: `ss_${"x".repeat(12)}_${"y".repeat(43)}` });
    expect(await failure(keyed.listInvoiceLinks())).toBeInstanceOf(AuthenticationError);
    expect(wallet.asked).toEqual([]);
  });

  it("asks who is named by the call, and everybody keeps their own login", async () => {
    await using to = await way();
    const [mine, theirs] = [counting(me), counting(other)];
    const client = clientOf(mine, {}, to.url);
    const who = async (signer?: Signer): Promise<unknown> => {
      await client.listInvoiceLinks({}, { signer });
      return subject(to.exchanges.at(-1)?.headers.authorization?.slice(7) ?? "");
    };
    expect([await who(theirs), await who(), await who(mine), await who(theirs)]).toEqual(
      [other, me, me, other].map(({ publicKey }) => publicKey),
    );
    expect([mine.asked.length, theirs.asked.length]).toEqual([1, 1]);
    // whoever logs in acts from then on
    await client.login(theirs);
    expect(await who()).toBe(other.publicKey);
    client.setSigner(mine);
    expect(await who()).toBe(me.publicKey);
  });

  it("logs in anew after logout", async () => {
    const wallet = counting(me);
    const client = clientOf(wallet);
    await client.listInvoiceLinks();
    client.logout();
    await client.listInvoiceLinks();
    expect(wallet.asked).toHaveLength(2);
    client.setAuthToken(null);
    await client.listInvoiceLinks();
    expect(wallet.asked).toHaveLength(3);
  });
});

describe("a token that is over", () => {
  /** A service that says so of the first token it is shown. */
  const forgetful = () => {
    let over: string | undefined;
    return way(({ headers, path }) => {
      if (!headers.authorization || path.startsWith("/auth")) return undefined;
      over ??= headers.authorization;
      return headers.authorization === over ? problem(401, "token-expired") : undefined;
    });
  };

  it("of a login is replaced by another login, once for all calls", async () => {
    await using to = await forgetful();
    const wallet = counting(me);
    const client = clientOf(wallet, {}, to.url);
    await client.login();
    const lists = await Promise.all([client.listInvoiceLinks(), client.listInvoiceLinks()]);
    expect(lists.map(({ items }) => items)).toEqual([[], []]);
    expect(wallet.asked).toHaveLength(2);
  });

  it("keeps nobody from reading what is open, and does not ask the wallet for it", async () => {
    await using to = await forgetful();
    const wallet = counting(me);
    const client = clientOf(wallet, {}, to.url);
    await client.login();
    expect((await client.getStats()).streams.total).toBeGreaterThan(0);
    expect(wallet.asked).toHaveLength(1);
    expect(to.of("GET", "/stats").map(({ headers }) => Boolean(headers.authorization))).toEqual([true, false]);
  });

  it("is told where every new one is over as well", async () => {
    await using to = await way(({ headers, path }) =>
      headers.authorization && !path.startsWith("/auth") ? problem(401, "token-expired") : undefined,
    );
    const wallet = counting(me);
    expect(await failure(clientOf(wallet, {}, to.url).listInvoiceLinks())).toMatchObject({ code: "token-expired" });
    expect(wallet.asked).toHaveLength(2);
  });

  it.each([
    ["that the caller brought", { token: "brought" }],
    ["without autoLogin", { autoLogin: false }],
  ])("%s is told", async (_, options) => {
    await using to = await forgetful();
    const wallet = counting(me);
    const client = clientOf(wallet, options, to.url);
    if (!("token" in options)) await client.login();
    const before = wallet.asked.length;
    expect(await failure(client.listInvoiceLinks())).toMatchObject({
      name: "AuthenticationError",
      code: "token-expired",
    });
    expect(wallet.asked).toHaveLength(before);
  });
});

it("no credential shows where a client is printed", async () => {
  const client = clientOf(me, { apiKey: "ss_the_key", token: "the.token" });
  expect(inspect(client, { depth: 20, showHidden: true }) + JSON.stringify(client)).not.toMatch(/the_key|the\.token/);
  const token = await client.login();
  expect(inspect(client, { depth: 20, showHidden: true }) + JSON.stringify(client)).not.toContain(token);
});
