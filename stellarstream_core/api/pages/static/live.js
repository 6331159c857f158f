// Events as they are committed, over Server-Sent Events; the page says whether it hears of them.

import { describe, plural } from "./text.js";

const SHOWN_AT_ONCE = 20;
const DRAW_MILLISECONDS = 400;
const SAY_MILLISECONDS = 20_000;
const HIDDEN_MILLISECONDS = 60_000;
const RETRY_MILLISECONDS = [2_000, 5_000, 15_000, 60_000];

export class Live {
  /** `parts` are the elements: state, word, pause, said. `since` is where the rendered list ends. */
  constructor(rows, parts, root, since) {
    this.rows = rows;
    this.parts = parts;
    this.address = `${root}api/v1/events/live`;
    this.latest = `${root}api/v1/events?order=desc&limit=${SHOWN_AT_ONCE}`;
    this.since = since;
    this.waiting = []; // texts not drawn yet, the newest last
    this.uncounted = 0; // how many came beside those
    this.paused = false;
    this.failures = 0;
    this.lastSaid = 0;
    this.unsaid = 0;
  }

  start() {
    this.parts.state.hidden = false;
    this.parts.pause.hidden = false;
    this.parts.pause.addEventListener("click", () => this.#pause(!this.paused));
    document.addEventListener("visibilitychange", () => this.#seen(!document.hidden));
    addEventListener("pagehide", () => this.stop());
    // a page that comes back from the browser's memory has no stream any more
    addEventListener("pageshow", (shown) => shown.persisted && this.#again());
    this.#connect();
  }

  stop() {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }

  get connected() {
    return this.source?.readyState === EventSource.OPEN;
  }

  /** Read the newest events from the list, where the stream does not bring them. */
  async catchUp() {
    try {
      const answer = await fetch(this.latest, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
      if (!answer.ok) return;
      const { items } = await answer.json();
      if (!this.paused) this.rows.add(items.reverse(), { fresh: false });
    } catch {
      // the page says already that the service does not answer
    }
  }

  #connect() {
    this.stop();
    const query = this.since ? `?since=${encodeURIComponent(this.since)}` : "";
    const source = new EventSource(this.address + query);
    this.source = source;
    this.#say("connecting", "");
    source.addEventListener("open", () => {
      this.failures = 0;
      this.#say("live", "on");
    });
    source.addEventListener("message", (message) => {
      this.since = message.lastEventId;
      this.#take(message.data);
    });
    source.addEventListener("reset", (message) => {
      this.since = message.lastEventId;
      this.waiting = [];
      this.uncounted = 0;
      this.rows.clear();
      this.parts.said.textContent = "The database holds another history now: the list begins anew.";
      this.catchUp();
    });
    source.addEventListener("dropped", () => this.#say("this page was too slow: connecting again", "off"));
    source.addEventListener("bye", () => this.#say("the service ends: connecting again", "off"));
    source.addEventListener("error", () => {
      if (source !== this.source) return;
      if (source.readyState === EventSource.CONNECTING) {
        this.#say("connection lost: connecting again", "off");
        return;
      }
      // refused: the browser does not try again by itself
      const wait = RETRY_MILLISECONDS[Math.min(this.failures, RETRY_MILLISECONDS.length - 1)];
      this.failures += 1;
      // a position that is not taken any more would be refused again and again
      if (this.failures > 1) this.since = "";
      this.#say("no live stream: the list is read again now and then", "off");
      this.retry = setTimeout(() => this.#connect(), wait);
    });
  }

  #again() {
    this.since = "";
    this.#connect();
    this.catchUp();
  }

  #seen(visible) {
    clearTimeout(this.hiding);
    if (!visible) {
      this.hiding = setTimeout(() => {
        this.stop();
        this.asleep = true;
      }, HIDDEN_MILLISECONDS);
    } else if (this.asleep) {
      this.asleep = false;
      this.#again();
    }
  }

  #pause(paused) {
    this.paused = paused;
    this.parts.pause.setAttribute("aria-pressed", String(paused));
    if (!paused) this.#draw();
    this.#label();
  }

  #label() {
    const count = this.waiting.length + this.uncounted;
    this.parts.pause.textContent = this.paused && count ? `Paused (${plural(count, "new event")})` : this.paused ? "Paused" : "Pause";
  }

  /** Keep what came for the next drawing: however much comes, little is read and less is drawn. */
  #take(text) {
    this.waiting.push(text);
    if (this.waiting.length > SHOWN_AT_ONCE) {
      this.waiting.shift();
      this.uncounted += 1;
    }
    if (this.timer === undefined) {
      this.timer = setTimeout(() => {
        this.timer = undefined;
        if (this.paused) this.#label();
        else this.#draw();
      }, DRAW_MILLISECONDS);
    }
  }

  #draw() {
    const events = this.waiting.map((text) => JSON.parse(text));
    const more = this.uncounted;
    this.waiting = [];
    this.uncounted = 0;
    const added = this.rows.add(events);
    if (added) this.#announce(added + more, events.at(-1));
  }

  /** Tell a screen reader now and then, not with each event. */
  #announce(count, newest) {
    this.unsaid += count;
    if (Date.now() - this.lastSaid < SAY_MILLISECONDS) return;
    this.parts.said.textContent = `${plural(this.unsaid, "new event")}, the last one ${describe(newest)[0]}.`;
    this.lastSaid = Date.now();
    this.unsaid = 0;
  }

  #say(word, state) {
    this.parts.word.textContent = word;
    this.parts.state.classList.toggle("on", state === "on");
    this.parts.state.classList.toggle("off", state === "off");
  }
}
