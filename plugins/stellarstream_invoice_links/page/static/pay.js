// The pay page: it shows what the service rendered, takes what it renders next, and lets the link be paid meanwhile.

import { Live } from "./live.js";
import { Payer } from "./payer.js";
import { Track } from "./track.js";
import { about } from "./words.js";

const COPIED_MILLISECONDS = 1_500;
const OVER = new Set(["COMPLETED", "EXPIRED", "CANCELED"]);
const SAID = {
  open: "The link can be paid.",
  "under-way": "A payment is under way.",
  paid: "It is paid.",
  expired: "The link expired.",
  cancelled: "The link was cancelled.",
};
const MEANWHILE = {
  COMPLETED: "Somebody else paid the link meanwhile. Nothing was sent from your account.",
  EXPIRED: "The link expired meanwhile. Nothing was sent.",
  CANCELED: "The link was cancelled meanwhile. Nothing was sent.",
};
const CAME_THROUGH = "The payment that was under way is on chain now. Nothing more was sent.";

class Page {
  constructor() {
    this.note = document.getElementById("note");
    this.said = document.getElementById("said");
    this.content = document.getElementById("content");
    this.turn = 0;
  }

  start() {
    const { api, slug } = this.content.dataset;
    this.#bind();
    document.addEventListener("click", (click) => this.#copy(click));
    setInterval(() => this.#tick(), 1_000);
    this.live = new Live(`${api}/invoice-links/${slug}/live`, {
      status: (told) => this.#told(told),
      gone: () => this.refresh({ focus: true }),
      unheard: () => this.payer?.holds || this.refresh(),
    });
    this.live.start();
  }

  /** Show what the service renders now. `note` is what to tell besides; `said` what a screen reader hears. */
  async refresh({ note = "", tone = "busy", focus = false } = {}) {
    this.turn += 1;
    const turn = this.turn;
    let fresh;
    try {
      const answer = await fetch(location.href, { cache: "no-store", headers: { Accept: "text/html" } });
      if (!answer.headers.get("Content-Type")?.startsWith("text/html") || answer.status >= 500) return;
      fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch {
      return; // the next state, or the next look, brings it
    } finally {
      if (note) this.tell(note, tone);
    }
    if (turn !== this.turn) return;
    const next = fresh.querySelector("#content, .sheet");
    if (!next || (this.#same(next) && !focus)) return;
    this.#take(next, fresh.title, focus);
  }

  /** Tell something that stays until the next thing. */
  tell(text, tone) {
    this.note.className = `box ${tone}`;
    this.note.hidden = false; // first: what changes in a part that is shown is read out
    this.note.replaceChildren(Object.assign(document.createElement("p"), { textContent: text }));
  }

  /** Tell a screen reader something. */
  say(text) {
    this.said.textContent = text;
  }

  clearNote() {
    this.note.hidden = true;
    this.note.replaceChildren();
  }

  #same(next) {
    const keys = ["shown", "status", "tx", "updated"];
    return next.id === "content" && keys.every((key) => next.dataset[key] === this.content.dataset[key]);
  }

  #take(next, title, focus) {
    const before = this.content.dataset.shown;
    const inside = focus || this.content.contains(document.activeElement);
    this.payer?.stop();
    this.track?.stop();
    const content = document.adoptNode(next);
    this.content.replaceWith(content);
    this.content = content;
    document.title = title;
    const shown = content.dataset.shown;
    if (shown !== before) {
      content.classList.add("arrived");
      this.say(SAID[shown] ?? "The link is not there any more.");
    }
    this.#bind();
    if (inside) {
      content.querySelector("h1")?.focus({ preventScroll: true });
      scrollTo({ top: 0 });
    }
    if (!shown) this.live.stop();
  }

  #bind() {
    const { content } = this;
    this.payer = content.querySelector("#pay") ? new Payer(content, this) : null;
    this.track = content.querySelector("#track")
      ? new Track(content, (why) => (this.payer?.holds ? this.tell(why, "bad") : this.refresh({ note: why, tone: "bad" })))
      : null;
    if (navigator.clipboard) {
      for (const button of content.querySelectorAll("button.copy")) button.hidden = false;
    }
    for (const time of content.querySelectorAll("time[data-moment]")) localise(time);
    this.#tick();
  }

  /** Take a state that the live stream tells. */
  #told(told) {
    const { status, tx, updated } = this.content.dataset;
    const sameHash = (told.txHash ?? "") === tx;
    if (told.status === status && sameHash && told.updatedAt === updated) return;
    const { payer } = this;
    if (!payer?.holds) {
      this.refresh();
    } else if (payer.sending) {
      payer.changed = true; // it shows what there is when it knows what became of its own
    } else if (OVER.has(told.status)) {
      const own = payer.isOwn(told.txHash);
      const note = sameHash && told.status === "COMPLETED" ? CAME_THROUGH : MEANWHILE[told.status];
      payer.stop();
      this.refresh(own ? { focus: true } : { note, tone: "warn", focus: true });
    } else if (payer.isOwn(told.txHash)) {
      this.refresh({ focus: true }); // a wallet app has sent it
    } else if (told.status === "SIGNED" && !sameHash) {
      payer.warn();
    }
  }

  #tick() {
    const now = Date.now() / 1000;
    for (const left of this.content.querySelectorAll("[data-left]")) {
      const seconds = Number(left.dataset.left) - now;
      const text = seconds > 0 ? `, in ${about(seconds)}` : "";
      if (left.textContent !== text) left.textContent = text;
    }
    this.payer?.tick(now);
  }

  async #copy(click) {
    const button = click.target instanceof Element ? click.target.closest("button.copy") : null;
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.classList.add("copied");
      this.say("Copied.");
      setTimeout(() => button.classList.remove("copied"), COPIED_MILLISECONDS);
    } catch {
      this.say("It could not be copied.");
    }
  }
}

/** Write a time as the reader's clock has it; what it is in UTC stays in its title. */
function localise(time) {
  const moment = new Date(Number(time.dataset.moment) * 1000);
  if (Number.isNaN(moment.getTime())) return;
  const brief = "brief" in time.dataset;
  const options = { day: "numeric", month: brief ? "short" : "long", year: "numeric", hour: "2-digit", minute: "2-digit" };
  time.title = time.textContent;
  time.textContent = moment.toLocaleString("en-GB", { ...options, timeZoneName: "short" }).replace(" at ", ", ");
}

if (document.getElementById("content")) new Page().start();
