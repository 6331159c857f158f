/** Who asks: tokens of logins (SEP-10), a token or an API key that the caller brings, and who signs. */
import { BadResponseError, SignerMissingError } from "./errors.js";
import type { Credential, Credentials, HeaderMap, Http, RequestOptions } from "./http.js";
import { checkHeader, PRINTABLE } from "./params.js";
import { addressOf, checkChallenge, known, sign, type Signer, type ToSign } from "./signing.js";
import type { CallOptions, OwnerOptions } from "./types.js";
import { bounded, throwIfAborted } from "./wait.js";

/** How to log in. */
export type LoginOptions = Omit<OwnerOptions, "signer">;

/** Who acts in a call; the account is undefined where nobody tells it. */
export type Acting = CallOptions & { readonly signer: Signer; readonly account: string | undefined };

interface Login extends Credential {
  readonly token: string;
  /** Who logged in. */
  readonly signer: Signer;
  readonly account: string;
}

/** A login that is being made, and how many calls wait for it. */
interface Shared {
  readonly login: Promise<Login>;
  readonly stop: AbortController;
  waiting: number;
}

/** The login of an account, and one that is being made. */
interface Slot {
  login?: Login | undefined;
  shared?: Shared | undefined;
}

/** What a session is of a client's options. */
export interface SessionConfig {
  signer?: Signer | null | undefined;
  token?: string | null | undefined;
  apiKey?: string | null | undefined;
  autoLogin?: boolean | undefined;
  networkPassphrase?: string | undefined;
}

/** What a session holds is private: no log that prints a client prints its token or its key. */
export class Session implements Credentials {
  readonly #http: Http;
  readonly #config: SessionConfig;
  /** A token that the caller brought. */
  #brought: Credential | undefined;
  /** Who acts where a call names nobody, though the login may be over. */
  #acting: Pick<Login, "signer" | "account"> | undefined;
  // logout replaces both: what is on its way then ends up in maps that nobody reads
  #logins = new WeakMap<Signer, Map<string, Slot>>();
  #accounts = new WeakMap<Signer, Promise<string | undefined>>();

  constructor(http: Http, config: SessionConfig) {
    this.#http = http;
    this.#config = { ...config };
    this.setToken(config.token ?? null);
    this.setApiKey(config.apiKey ?? null);
  }

  setSigner(signer: Signer | null): void {
    this.#config.signer = signer;
    this.#acting = undefined;
    this.#accounts = new WeakMap(); // a wallet may have another account now
  }

  setApiKey(key: string | null): void {
    checkHeader("apiKey", key ?? "");
    this.#config.apiKey = key;
  }

  setToken(token: string | null): void {
    checkHeader("token", token ?? "");
    this.logout();
    if (token) this.#brought = { headers: bearer(token) };
  }

  logout(): void {
    this.#brought = this.#acting = undefined;
    this.#logins = new WeakMap();
    this.#accounts = new WeakMap();
  }

  /** Return the options of a call with who acts in it: whom it names, else who logged in, else the client's signer. */
  async who<O extends OwnerOptions>(options: O): Promise<O & Acting> {
    throwIfAborted(options.signal);
    const { signer, account } = this.#named(options);
    if (!signer) {
      throw new SignerMissingError(
        "pass a signer: signTransaction(xdr, { networkPassphrase })",
      );
    }
    return { ...options, signer, account: account ?? (await this.#ask(signer, options.signal)) };
  }

  /** Have a transaction signed by who acts. */
  async sign(transaction: ToSign, { signer, account, signal }: Acting): Promise<string> {
    return sign(signer, transaction, account, this.#config.networkPassphrase, signal);
  }

  async credential(options: RequestOptions): Promise<Credential> {
    const { apiKey, autoLogin } = this.#config;
    if (this.#brought) return this.#brought;
    const { signer, account } = this.#named(options);
    const logIn = signer && !apiKey && autoLogin !== false && options.auth === "required";
    // nobody is asked for what needs no login
    const whose = account ?? (signer && (await (logIn ? this.#ask(signer, options.signal) : this.#accounts.get(signer))));
    const login = signer && whose && this.#logins.get(signer)?.get(whose)?.login;
    if (login) return login;
    return logIn ? this.#login(signer, known(whose), options) : { headers: apiKey ? { "x-api-key": apiKey } : {} };
  }

  /** The token of a login that is over is forgotten: the same account logs in where it has to, or nobody asks. */
  renewal(refused: Credential): OwnerOptions | undefined {
    const { signer, account } = refused as Login;
    if (!signer || this.#config.autoLogin === false) return undefined;
    const slot = this.#logins.get(signer)?.get(account);
    if (slot?.login === refused) slot.login = undefined;
    return { signer, account };
  }

  /** Log in, whether a token is at hand or not; from then on who logged in acts where a call names nobody. */
  async login(named: Signer | undefined, options: LoginOptions): Promise<string> {
    const logins = this.#logins;
    const { signer, account } = await this.who({ ...options, signer: named });
    const login = await this.#login(signer, known(account), options);
    if (logins === this.#logins) {
      this.#acting = login;
      this.#brought = undefined;
    }
    return login.token;
  }

  #named({ signer: named, account }: OwnerOptions): OwnerOptions {
    const acting = this.#acting;
    const signer = named ?? acting?.signer ?? this.#config.signer ?? undefined;
    return { signer, account: account ?? (acting?.signer === signer ? acting?.account : undefined) };
  }

  /** Ask a signer for its account, once. */
  #ask(signer: Signer, signal: AbortSignal | undefined): Promise<string | undefined> {
    throwIfAborted(signal);
    const accounts = this.#accounts;
    const asked = accounts.get(signer) ?? addressOf(signer);
    accounts.set(signer, asked);
    asked.catch(() => accounts.delete(signer));
    return bounded(() => asked, signal);
  }

  /**
   * Calls at the same time share a login: the wallet asks once. None of them can abort it for the others; when all of
   * them are aborted, so is the login.
   */
  async #login(signer: Signer, account: string, { signal, timeout }: CallOptions): Promise<Login> {
    throwIfAborted(signal);
    const logins = this.#logins.get(signer) ?? new Map<string, Slot>();
    this.#logins.set(signer, logins);
    const slot: Slot = logins.get(account) ?? {};
    logins.set(account, slot);
    const shared = (slot.shared ??= this.#challenged(signer, account, timeout, slot));
    shared.waiting += 1;
    try {
      return await bounded(() => shared.login, signal);
    } finally {
      shared.waiting -= 1;
      if (!shared.waiting) {
        shared.stop.abort();
        if (slot.shared === shared) slot.shared = undefined;
      }
    }
  }

  #challenged(signer: Signer, account: string, timeout: number | undefined, slot: Slot): Shared {
    const stop = new AbortController();
    const asked = { auth: "none", signal: stop.signal, timeout } as const;
    const run = async (): Promise<Login> => {
      const { transaction: xdr, network_passphrase: networkPassphrase } = await this.#http.request<{
        transaction: string;
        network_passphrase: string;
      }>("GET", "/auth", { ...asked, query: { account }, like: { transaction: "", network_passphrase: "" } });
      checkChallenge(xdr);
      const transaction = await this.sign({ xdr, networkPassphrase }, { signer, account, signal: stop.signal });
      const { token } = await this.#http.request<{ token: string }>("POST", "/auth", {
        ...asked,
        body: { transaction },
        like: { token: "" },
      });
      if (!PRINTABLE.test(token)) throw new BadResponseError("POST /auth: no token");
      return (slot.login = { token, headers: bearer(token), signer, account });
    };
    const login = run();
    login.catch(() => undefined); // whoever waits for it is told
    return { login, stop, waiting: 0 };
  }
}

const bearer = (token: string): HeaderMap => ({ authorization: `Bearer ${token}` });
