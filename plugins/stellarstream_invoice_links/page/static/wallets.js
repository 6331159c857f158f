// The wallets that a browser may hold, and how each is asked. A wallet that is not here needs an entry in WALLETS.
//
// What is wanted of each is SEP-43: an address, and the signature of a transaction for a network's passphrase. What they
// inject, and how they answer, differs: a string here, an object there, an error that is thrown or one that is returned.
// A wallet that keeps to SEP-43 needs no entry: it is found as window.stellarWallet, with getAddress() and
// signTransaction(xdr, { networkPassphrase, address }), getNetwork() if it has that, and a name.

const PUBLIC = "Public Global Stellar Network ; September 2015";
const TESTNET = "Test SDF Network ; September 2015";
export const UNNAMED = "your wallet";
const REJECTED = -4;
const REFUSALS = /reject|declin|denied|refus|cancel|dismiss|closed/i;

/** What a wallet did not do. `kind`: "rejected", "network" (it is set to another one), "account" (it gave none), "failed". */
export class WalletError extends Error {
  constructor(kind, message = "") {
    super(message);
    this.kind = kind;
  }
}

// --- how they are asked ------------------------------------------------------------------------------------------------

/** SEP-43; `access` is what some want to be asked first. */
function sep43(provider, access) {
  const has = (name) => typeof provider[name] === "function";
  if (!has("signTransaction") || !(has("getAddress") || has("getPublicKey") || has(access))) return null;
  return {
    async address() {
      const granted = has(access) ? answer(await provider[access]()) : null;
      const found = granted && addressIn(granted);
      if (found) return found;
      return addressIn(answer(await (has("getAddress") ? provider.getAddress() : provider.getPublicKey())));
    },
    network: has("getNetwork") ? async () => passphraseIn(answer(await provider.getNetwork())) : null,
    async sign(xdr, options) {
      return signedIn(answer(await provider.signTransaction(xdr, { ...options, accountToSign: options.address })));
    },
  };
}

/**
 * A browser extension that listens to messages of the page and answers by them. It spells the answer's id "messagedId".
 */
function channel(name) {
  return (request) =>
    new Promise((resolve) => {
      const messageId = Date.now() + Math.random();
      const listen = ({ source, origin, data }) => {
        if (source !== window || origin !== location.origin || data?.source !== `${name}_EXTERNAL_MSG_RESPONSE`) return;
        if (data.messagedId !== messageId && data.messageId !== messageId) return;
        removeEventListener("message", listen);
        resolve(answer({ ...data, error: data.apiError || data.error }));
      };
      addEventListener("message", listen);
      postMessage({ source: `${name}_EXTERNAL_MSG_REQUEST`, messageId, ...request }, location.origin);
    });
}

function freighter({ freighterApi, freighter: flag }) {
  for (const provider of [freighterApi, flag]) {
    const found = provider && typeof provider === "object" && sep43(provider, "requestAccess");
    if (found) return found;
  }
  if (!flag) return null;
  const ask = channel("FREIGHTER");
  return {
    address: async () => addressIn(await ask({ type: "REQUEST_ACCESS" })),
    network: async () => passphraseIn((await ask({ type: "REQUEST_NETWORK_DETAILS" })).networkDetails ?? {}),
    sign: async (transactionXdr, { networkPassphrase, address }) =>
      signedIn(await ask({ type: "SUBMIT_TRANSACTION", transactionXdr, networkPassphrase, accountToSign: address })),
  };
}

function lobstr({ lobstrSignerExtension: flag }) {
  if (!flag) return null;
  const ask = channel("LOBSTR");
  let connectionKey = "";
  return {
    only: [PUBLIC],
    async address() {
      const granted = await ask({ type: "REQUEST_ACCESS", version: 1 });
      connectionKey = granted.connectionKey;
      return addressIn(granted);
    },
    sign: async (dataToSign) =>
      signedIn(await ask({ type: "SIGN", version: 1, signType: "transaction", dataToSign, connectionKey })),
  };
}

function xbull({ xBullSDK: sdk }) {
  if (!sdk) return null;
  if (typeof sdk.signXDR !== "function") {
    if (typeof sdk.signTransaction !== "function") return null;
    return {
      async address() {
        await sdk.enableConnection?.();
        return addressIn(answer(await sdk.getAddress()));
      },
      sign: async (xdr, opts) => signedIn(answer(await sdk.signTransaction({ xdr, opts }))),
    };
  }
  return {
    async address() {
      answer(await sdk.connect({ canRequestPublicKey: true, canRequestSign: true }));
      return addressIn(answer(await sdk.getPublicKey()));
    },
    sign: async (xdr, { networkPassphrase, address }) =>
      signedIn(answer(await sdk.signXDR(xdr, { network: networkPassphrase, publicKey: address }))),
  };
}

function hana({ hanaWallet }) {
  const provider = hanaWallet?.stellar;
  if (!provider) return null;
  return {
    address: async () => addressIn(answer(await provider.getPublicKey())),
    sign: async (xdr, { networkPassphrase, address }) =>
      signedIn(answer(await provider.signTransaction({ xdr, networkPassphrase, accountToSign: address }))),
  };
}

function rabet({ rabet: provider }) {
  if (!provider) return null;
  return {
    only: [PUBLIC, TESTNET],
    address: async () => addressIn(answer(await provider.connect())),
    sign: async (xdr, { networkPassphrase }) =>
      signedIn(answer(await provider.sign(xdr, networkPassphrase === PUBLIC ? "mainnet" : "testnet"))),
  };
}

function bitget({ bitkeep }) {
  const provider = bitkeep?.stellar;
  if (!provider) return null;
  return {
    address: async () => addressIn(answer(await provider.connect())),
    sign: async (xdr, options) => signedIn(answer(await provider.signTransaction(xdr, options))),
  };
}

/** Every wallet that is known: its name, and what finds it on the window. The first that is found is offered first. */
export const WALLETS = [
  { name: "Freighter", find: freighter },
  { name: "LOBSTR", find: lobstr },
  { name: "xBull", find: xbull },
  { name: "Hana", find: hana },
  { name: "Rabet", find: rabet },
  { name: "Klever", find: ({ kleverWallet }) => kleverWallet?.stellar && sep43(kleverWallet.stellar) },
  { name: "OneKey", find: ({ $onekey }) => $onekey?.stellar && sep43($onekey.stellar) },
  { name: "Bitget", find: bitget },
  { name: "", find: ({ stellarWallet }) => stellarWallet && sep43(stellarWallet, "requestAccess") },
  // Freighter's browser on a phone says there who it is; others may put a whole wallet there
  { name: "", find: ({ stellar }) => stellar && sep43(stellar, "requestAccess") },
];

/** Return the wallets that are there now. */
export function wallets(within = window) {
  const found = [];
  for (const { name, find } of WALLETS) {
    let wallet = null;
    try {
      wallet = find(within);
    } catch {
      // a wallet that cannot be looked at cannot be asked either
    }
    if (!wallet || (!name && found.some((one) => one.unnamed))) continue;
    const own = name || within.stellarWallet?.name;
    found.push({ name: typeof own === "string" && own ? own.slice(0, 40) : UNNAMED, unnamed: !name, ...guarded(wallet) });
  }
  return found;
}

/** Make everything that a wallet throws a WalletError. */
function guarded({ address, sign, network = null, only = null }) {
  const guard = (ask) => async (...what) => {
    try {
      return await ask(...what);
    } catch (error) {
      throw error instanceof WalletError ? error : errorOf(error);
    }
  };
  return { only, address: guard(address), sign: guard(sign), network: network && guard(network) };
}

// --- what they answer --------------------------------------------------------------------------------------------------

/** Return a wallet's answer, or throw the error that it is. */
function answer(told) {
  if (told && typeof told === "object") {
    if (told.error) throw errorOf(told.error);
    if (typeof told.code === "number" && told.code < 0) throw errorOf(told);
  }
  return told;
}

function errorOf(error) {
  const message = typeof error === "string" ? error : String(error?.message ?? error?.error ?? "");
  const rejected = error?.code === REJECTED || REFUSALS.test(message);
  return new WalletError(rejected ? "rejected" : "failed", message.slice(0, 300));
}

function addressIn(told) {
  const found = typeof told === "string" ? told : (told?.address ?? told?.publicKey ?? told?.public_key ?? "");
  if (!isAccount(found)) throw new WalletError("account");
  return found;
}

function passphraseIn(told) {
  return told?.networkPassphrase ?? told?.network_passphrase ?? null;
}

function signedIn(told) {
  const names = ["signedTxXdr", "signed_tx_xdr", "signedTransaction", "signedXDR", "signedXdr", "signedData", "xdr"];
  const found = typeof told === "string" ? told : names.map((name) => told?.[name]).find((one) => typeof one === "string");
  if (!found) throw new WalletError("failed", "It gave no signed transaction.");
  return found;
}

/** Whether a text looks like an account's address; its checksum is the service's to check. */
export function isAccount(text) {
  return typeof text === "string" && /^G[A-Z2-7]{55}$/.test(text);
}
