// How far a submitted transaction is. What completes the link is told by the live stream, not by this.

import { ask } from "./api.js";

const LOOK_MILLISECONDS = [1_000, 1_500, 2_000, 3_000, 5_000, 10_000];

export class Track {
  /** `failed` is called with a sentence where the transaction failed for good. */
  constructor(content, failed) {
    this.address = `${content.dataset.api}/transactions/${content.dataset.tx}`;
    this.word = content.querySelector("#track-word");
    this.note = content.querySelector("#track-note");
    this.failed = failed;
    this.looks = 0;
    this.#later();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  #later() {
    const wait = LOOK_MILLISECONDS[Math.min(this.looks, LOOK_MILLISECONDS.length - 1)];
    this.looks += 1;
    this.timer = setTimeout(() => this.#look(), wait);
  }

  async #look() {
    try {
      const told = await ask(this.address);
      if (this.stopped) return;
      if (told.status === "FAILED") {
        this.failed(`The payment failed, and nothing was paid by it. ${told.error?.detail ?? ""}`.trim());
        return;
      }
      if (told.status === "SUCCESS") {
        this.word.textContent = `In ledger ${Number(told.ledger).toLocaleString("en")}`;
        this.note.textContent = "The service is reading that ledger. You can leave this page: it goes on without it.";
      } else if (told.error?.detail) {
        this.note.textContent = `A node said: ${told.error.detail} It may be applied yet.`;
      }
    } catch (error) {
      // whoever made the link said which transaction pays it: it is not the service's own
      if (this.stopped || error.code === "transaction-not-found") return;
    }
    this.#later();
  }
}
