// Paying: find a wallet, have the transaction built, show what will be signed, have it signed, send it.
//
// Nothing happens on the network before the last step, and what that did is the service's to tell: so the page may be
// left or loaded again at any time. One thing is done at a time; what a step before brings too late is dropped.

import { ask } from "./api.js";
import { amount, clock, isOver, lumens, sentence } from "./words.js";
import { isAccount, UNNAMED, WalletError, wallets } from "./wallets.js";

const LOOK_AGAIN_MILLISECONDS = [100, 500, 1_500, 4_000];
const STEPS = ["choose", "busy", "review"];

export class Payer {
  /** `page` shows what the service renders (refresh), and says things besides (tell, clearNote, say). */
  constructor(content, page) {
    this.content = content;
    this.page = page;
    this.data = content.dataset;
    this.address = `${this.data.api}/invoice-links/${this.data.slug}`;
    this.turn = 0; // of the step that is under way; what an earlier one brings is dropped
    this.step = "choose";
    this.sending = false;
    this.changed = false;
    this.built = null;
    this.wallet = null;
    this.found = null;
    this.#listen();
    this.#part("payer").hidden = false;
    this.#look();
    this.looking = LOOK_AGAIN_MILLISECONDS.map((wait) => setTimeout(() => this.#look(), wait));
  }

  /** Whether somebody is in the middle of it, so that the page must not be changed under their hands. */
  get holds() {
    return this.step !== "choose" || this.#part("account").value.trim() !== "" || this.shown;
  }

  isOwn(hash) {
    return Boolean(hash) && hash === this.built?.transaction.hash;
  }

  /** Drop what is under way. */
  stop() {
    this.turn += 1;
    for (const timer of this.looking) clearTimeout(timer);
  }

  /** Whether nobody was told of another payment that is under way. */
  get unwarned() {
    return this.#part("review-again").hidden;
  }

  /** Say that somebody else's payment is under way. */
  warn() {
    this.#part("review-again").hidden = false;
  }

  tick(now) {
    if (this.step !== "review" || !this.built) return;
    const left = Date.parse(this.built.transaction.validUntil) / 1000 - now;
    this.#fill("left", clock(left));
    if (left > 0 || this.overdue) return;
    this.overdue = true;
    const { account, wallet } = this;
    this.#stumble("This transaction is too old to be signed now. Nothing was sent.", "Prepare it again", () =>
      this.#prepare(account, wallet),
    );
  }

  // --- the page's parts ---------------------------------------------------------------------------

  #part(id) {
    return this.content.querySelector(`#${id}`);
  }

  #fill(name, text) {
    for (const part of this.content.querySelectorAll(`[data-fill="${name}"]`)) part.textContent = text;
  }

  #listen() {
    const on = (id, event, act) =>
      this.#part(id)?.addEventListener(event, (happened) => {
        happened.preventDefault();
        act();
      });
    on("again-go", "click", () => {
      this.#part("again").hidden = true;
      this.shown = true;
      this.#show("choose");
      this.#chooser().focus();
    });
    on("account-form", "submit", () => this.#byHand());
    on("busy-cancel", "click", () => this.#back());
    on("back", "click", () => this.#back());
    on("sign", "click", () => this.#sign());
    on("signed-form", "submit", () => this.#pasted());
    on("unsigned-copy", "click", () => this.#copyUnsigned());
    this.#part("retry").addEventListener("click", () => this.again?.());
  }

  #show(step) {
    this.step = step;
    for (const one of STEPS) this.#part(`step-${one}`).hidden = one !== step;
    this.#part("trouble").hidden = true;
    this.#part("retry").hidden = true;
    const before = this.#part("failed-before");
    if (before) before.hidden = step !== "choose";
  }

  #busy(text, { hint = "", cancel = false } = {}) {
    this.#show("busy");
    this.#part("busy-word").textContent = text;
    this.#part("busy-hint").textContent = hint;
    this.#part("busy-hint").hidden = !hint;
    this.#part("busy-cancel").hidden = !cancel;
    this.#part("busy-word").focus();
  }

  /** Say what went wrong. Where there is one thing to do about it, offer that; else begin again with the wallets. */
  #stumble(text, label = "", again = null) {
    this.#show(label ? "stumbled" : "choose");
    this.built = null;
    const trouble = this.#part("trouble");
    trouble.hidden = false; // first: what changes in a part that is shown is read out
    trouble.replaceChildren(Object.assign(document.createElement("p"), { textContent: text }));
    const retry = this.#part("retry");
    retry.hidden = !label;
    retry.textContent = label;
    this.again = again;
    if (label) retry.focus();
    else this.#chooser().focus();
  }

  #back() {
    this.turn += 1;
    this.built = null;
    this.#show("choose");
    this.page.clearNote();
    this.#chooser().focus();
  }

  /** What a choice begins with: the way that was taken last, else the first one. */
  #chooser() {
    const buttons = [...this.#part("wallets").querySelectorAll("button")];
    if (this.#part("account").value) return this.#part("account");
    return buttons.find((button) => button.dataset.wallet === this.wallet?.name) ?? buttons[0] ?? this.#part("account");
  }

  // --- which wallet ---------------------------------------------------------------------------------

  #look() {
    const found = wallets();
    if (found.length === this.found?.length) return;
    const list = this.#part("wallets");
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.wallet : "";
    list.replaceChildren(...found.map((wallet) => this.#button(wallet)));
    for (const button of list.children) if (button.dataset.wallet === focused) button.focus();
    this.#part("no-wallet").hidden = found.length > 0;
    if (!this.found?.length) this.#part("by-hand").open = found.length === 0;
    this.found = found;
  }

  #button(wallet) {
    const button = this.#part("wallet-button").content.firstElementChild.cloneNode(true);
    button.querySelector(".badge").textContent = wallet.name === UNNAMED ? "W" : wallet.name[0].toUpperCase();
    button.querySelector(".what").textContent = `Pay with ${wallet.name}`;
    button.dataset.wallet = wallet.name;
    button.addEventListener("click", () => this.#connect(wallet));
    return button;
  }

  async #connect(wallet) {
    if (this.step !== "choose") return;
    this.turn += 1;
    const turn = this.turn;
    this.wallet = wallet;
    this.page.clearNote();
    this.#busy(`Connecting to ${wallet.name}…`, { hint: "Answer in the wallet’s window.", cancel: true });
    try {
      const { passphrase } = this.data;
      if (wallet.only && !wallet.only.includes(passphrase)) throw new WalletError("network");
      const account = await wallet.address();
      const network = wallet.network ? await wallet.network().catch(() => null) : null;
      if (turn !== this.turn) return;
      if (network && network !== passphrase) throw new WalletError("network");
      await this.#prepare(account, wallet);
    } catch (error) {
      if (turn !== this.turn) return;
      this.#stumble(this.#words(error, wallet));
    }
  }

  #byHand() {
    const field = this.#part("account");
    const account = field.value.trim().toUpperCase();
    const wrong = this.#part("account-wrong");
    const secret = account.startsWith("S");
    wrong.hidden = isAccount(account);
    if (isAccount(account)) {
      field.removeAttribute("aria-invalid");
      this.#prepare(account, null);
      return;
    }
    wrong.textContent = secret
      ? "This looks like a secret key. It was not sent anywhere; never type it into a page. An account begins with G."
      : "An account begins with G and has 56 letters and digits. Copy it from your wallet.";
    if (secret) field.value = ""; // it must not stay on the screen
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }

  // --- what is signed ---------------------------------------------------------------------------------

  async #prepare(account, wallet) {
    this.turn += 1;
    const turn = this.turn;
    this.page.clearNote();
    this.#busy("Preparing the transaction…", { cancel: true });
    try {
      const built = await ask(`${this.address}/transaction`, { account });
      if (turn !== this.turn) return;
      if (!this.#isAsked(built, account)) {
        this.#stumble("The transaction is not what this page shows, so it is not offered. Reload the page.");
        return;
      }
      this.#review(built, account, wallet);
    } catch (error) {
      if (turn !== this.turn) return;
      if (isOver(error)) {
        await this.page.refresh({ note: sentence(error), tone: "warn", focus: true });
        return;
      }
      this.#stumble(this.#words(error, wallet));
    }
  }

  /** Whether a transaction that was built is the one that the page shows. */
  #isAsked({ transaction, stream, sep7Uri }, account) {
    const { receiver, passphrase, raw } = this.data;
    return (
      stream.receiver === receiver &&
      stream.sender === account &&
      stream.grossAmount === raw &&
      transaction.networkPassphrase === passphrase &&
      (!sep7Uri || sep7Uri.startsWith("web+stellar:"))
    );
  }

  #review(built, account, wallet) {
    const { transaction, stream, sep7Uri } = built;
    const { decimals, unit, network } = this.data;
    const money = (raw) => (raw === null ? "The contract does not tell" : `${amount(raw, decimals)} ${unit}`);
    Object.assign(this, { built, account, wallet, overdue: false });
    this.#show("review");
    this.#fill("pays", money(stream.grossAmount));
    this.#fill("fee", stream.fee === "0" ? "None" : money(stream.fee));
    this.#fill("streamed", money(stream.amount));
    this.#fill("receiver", stream.receiver);
    this.#fill("account", account);
    this.#fill("network", network);
    this.#fill("network-fee", `at most ${lumens(transaction.fee)}`);
    this.#fill("wallet", wallet?.name ?? "");
    this.#part("review-again").hidden = !built.underWay;
    this.#part("with-wallet").hidden = !wallet;
    this.#part("without-wallet").hidden = Boolean(wallet);
    if (!wallet) {
      this.#part("sep7").hidden = !sep7Uri;
      this.#part("sep7").href = sep7Uri ?? "#pay";
      this.#part("unsigned").value = transaction.xdr;
      this.#part("unsigned-copy").hidden = !navigator.clipboard;
      this.#part("signed").value = "";
      this.#part("signed-wrong").hidden = true;
    }
    this.tick(Date.now() / 1000);
    const card = this.#part("pay");
    // all of it at once where a screen is high enough, else from its beginning
    if (card.getBoundingClientRect().bottom > innerHeight) card.scrollIntoView({ block: "start" });
    this.#part("review-head").focus({ preventScroll: true });
  }

  async #copyUnsigned() {
    const field = this.#part("unsigned");
    field.select();
    await navigator.clipboard.writeText(field.value).then(
      () => this.page.say("Copied."),
      () => this.page.say("It could not be copied."),
    );
  }

  async #sign() {
    if (this.step !== "review") return;
    const { wallet, account, built, unwarned } = this;
    this.turn += 1;
    const turn = this.turn;
    this.#busy(`Sign in ${wallet.name}…`, { hint: "Compare what it shows with what was shown here.", cancel: true });
    try {
      const options = { networkPassphrase: built.transaction.networkPassphrase, address: account };
      const signed = await wallet.sign(built.transaction.xdr, options);
      if (turn !== this.turn) return;
      await this.#send(signed, unwarned);
    } catch (error) {
      if (turn !== this.turn) return;
      this.#stumble(this.#words(error, wallet));
    }
  }

  #pasted() {
    if (this.step !== "review") return;
    const field = this.#part("signed");
    const wrong = this.#part("signed-wrong");
    const signed = field.value.replace(/\s+/g, "");
    const { xdr } = this.built.transaction;
    const told = !signed
      ? "Nothing is pasted here yet."
      : signed === xdr
        ? "This is the transaction as it was before it was signed. Paste what your wallet gives you."
        : /^[A-Za-z0-9+/]+=*$/.test(signed)
          ? ""
          : "This is no transaction. Paste all of what your wallet gives you: letters and digits.";
    wrong.textContent = told;
    wrong.hidden = !told;
    field.removeAttribute("aria-invalid");
    if (!told) {
      this.#send(signed, this.unwarned);
      return;
    }
    field.setAttribute("aria-invalid", "true");
    field.focus();
  }

  // --- what is sent -------------------------------------------------------------------------------------

  /** `alone`: not beside somebody else's payment. Who was warned of one pays all the same. */
  async #send(signed, alone) {
    if (this.sending) return;
    this.sending = true;
    const { account, wallet } = this;
    this.#busy("Sending the payment…");
    try {
      // goes on where the page is left meanwhile
      const told = await ask(`${this.address}/submit`, { xdr: signed, alone }, { keepalive: true });
      this.sending = false;
      if (told.status === "FAILED") {
        const why = told.error?.detail ?? "The network did not take it.";
        this.#stumble(`The payment failed, and nothing was paid. ${why}`, "Prepare it again", () =>
          this.#prepare(account, wallet),
        );
        return;
      }
      this.page.clearNote();
      await this.page.refresh({ focus: true });
    } catch (error) {
      this.sending = false;
      if (isOver(error)) {
        await this.page.refresh({ note: sentence(error), tone: "warn", focus: true });
      } else if (error.passing) {
        const text = `${this.#words(error, wallet)} It may have arrived all the same: to send it again does no harm, it pays once.`;
        this.#stumble(text, "Send it again", () => this.#send(signed, alone));
      } else {
        this.#stumble(this.#words(error, wallet), "Prepare it again", () => this.#prepare(account, wallet));
      }
    }
    if (this.changed) {
      this.changed = false;
      await this.page.refresh();
    }
  }

  #words(error, wallet) {
    return sentence(error, { wallet: wallet?.name, network: this.data.network });
  }
}
