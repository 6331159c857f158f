// What becomes of the link, over Server-Sent Events. Each connection begins with the present state, so nothing is missed.

const HIDDEN_MILLISECONDS = 60_000;
const RETRY_MILLISECONDS = [2_000, 5_000, 15_000, 60_000];

export class Live {
  /** `on`: status(told) for each state, gone() where the link is not there any more, unheard() where there is no stream. */
  constructor(address, on) {
    this.address = address;
    this.on = on;
    this.failures = 0;
  }

  start() {
    document.addEventListener("visibilitychange", () => this.#seen(!document.hidden));
    addEventListener("pagehide", () => this.stop());
    // a page that comes back from the browser's memory has no stream any more
    addEventListener("pageshow", (shown) => shown.persisted && this.#connect());
    addEventListener("online", () => this.#connect());
    this.#connect();
  }

  stop() {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }

  #connect() {
    if (this.ended) return;
    this.stop();
    const source = new EventSource(this.address);
    this.source = source;
    source.addEventListener("status", (message) => {
      this.failures = 0;
      this.on.status(JSON.parse(message.data));
    });
    source.addEventListener("gone", () => {
      this.ended = true;
      this.stop();
      this.on.gone();
    });
    source.addEventListener("error", () => {
      // the browser connects again by itself, unless it was refused
      if (source !== this.source || source.readyState === EventSource.CONNECTING) return;
      const wait = RETRY_MILLISECONDS[Math.min(this.failures, RETRY_MILLISECONDS.length - 1)];
      this.failures += 1;
      this.on.unheard();
      this.retry = setTimeout(() => this.#connect(), wait);
    });
  }

  #seen(visible) {
    clearTimeout(this.hiding);
    if (!visible) {
      this.hiding = setTimeout(() => {
        this.asleep = true;
        this.stop();
      }, HIDDEN_MILLISECONDS);
    } else if (this.asleep) {
      this.asleep = false;
      this.#connect();
    }
  }
}
