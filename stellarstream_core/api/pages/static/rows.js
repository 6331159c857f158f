// The list of events: newest arrival on top, bounded, each event once.

import { offerCopying } from "./copy.js";
import { describe, moment, number, pretty, short, visible } from "./text.js";

const MOST_ROWS = 50;

export class Rows {
  constructor(list, template, empty, root) {
    this.list = list;
    this.template = template;
    this.empty = empty;
    this.root = root;
    this.ids = new Set([...list.children].map((row) => row.dataset.id));
  }

  /** Put events on top, the last one topmost; those that are here already stay where they are. */
  add(events, { fresh = true } = {}) {
    let added = 0;
    for (const event of events) {
      if (this.ids.has(event.id)) continue;
      this.ids.add(event.id);
      this.list.prepend(this.#row(event, fresh));
      added += 1;
    }
    this.#shorten();
    if (this.ids.size) this.empty.hidden = true;
    return added;
  }

  clear() {
    this.list.replaceChildren();
    this.ids.clear();
    this.empty.hidden = false;
  }

  #shorten() {
    // what somebody reads stays, whatever comes
    const idle = [...this.list.children].filter(
      (row) => !row.querySelector("details").open && !row.contains(document.activeElement),
    );
    while (this.list.children.length > MOST_ROWS && idle.length) {
      const row = idle.pop();
      this.ids.delete(row.dataset.id);
      row.remove();
    }
  }

  #row(event, fresh) {
    const row = this.template.content.firstElementChild.cloneNode(true);
    const field = (name) => row.querySelector(`[data-field="${name}"]`);
    const write = (name, text) => {
      field(name).textContent = text;
    };
    const [name, preview] = describe(event);
    row.dataset.id = event.id;
    if (fresh) row.dataset.new = "";
    write("name", name);
    write("preview", preview);
    write("contract-short", event.contractId === null ? "–" : short(event.contractId));
    field("contract-short").title = visible(event.contractId ?? "");
    write("ledger", number(event.ledger));
    write("closed", moment(event.ledgerClosedAt));
    field("closed").dateTime = event.ledgerClosedAt;
    field("link").href = `${this.root}api/v1/events/${encodeURIComponent(event.id)}`;
    write("id", event.id);
    write("type", event.type);
    write(
      "place",
      `transaction ${event.transactionIndex}, operation ${event.operationIndex}, event ${event.eventIndex}`,
    );
    if (event.contractId === null) write("contract", "none");
    else copyable(field("contract"), event.contractId);
    copyable(field("tx"), event.txHash);
    write("topics", pretty(event.decoded ? event.decoded.topics : event.topic));
    write("value", pretty(event.decoded ? event.decoded.value : event.value));
    offerCopying(row);
    return row;
  }
}

function copyable(cell, text) {
  cell.querySelector("code").textContent = visible(text);
  cell.querySelector("button").dataset.copy = text;
}
