// Keeps the dashboard current: its parts are rendered by the service and renewed here, events arrive live.

import { offerCopying } from "./copy.js";
import { Live } from "./live.js";
import { Rows } from "./rows.js";

const EVERY_MILLISECONDS = 5_000;
const SLOWEST_MILLISECONDS = 60_000;

const root = document.documentElement.dataset.root;
const byId = (id) => document.getElementById(id);
const trouble = byId("trouble");
const sources = new Map(); // what the service sent for each part last

for (const part of document.querySelectorAll("[data-part]")) sources.set(part.id, part.outerHTML);
offerCopying();

const rows = new Rows(byId("event-list"), byId("event-row"), byId("no-events"), root);
const live = new Live(
  rows,
  { state: byId("live"), word: byId("live-word"), pause: byId("pause"), said: byId("said") },
  root,
  byId("events").dataset.since,
);
live.start();

let wait = EVERY_MILLISECONDS;
let refreshed = new Date();
let timer;

/** Ask for the parts and show them; say so where that fails, and ask more seldom. */
async function refresh() {
  try {
    const answer = await fetch(`${root}dashboard/state`, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
    if (!answer.headers.get("Content-Type")?.startsWith("text/html")) throw new Error(`status ${answer.status}`);
    renew(await answer.text());
    refreshed = new Date();
    wait = EVERY_MILLISECONDS;
    trouble.hidden = true;
    if (!live.connected) live.catchUp();
  } catch {
    wait = Math.min(wait * 2, SLOWEST_MILLISECONDS);
    const time = refreshed.toISOString().slice(11, 19);
    trouble.textContent = `The service does not answer: this is how things were at ${time} UTC. It is asked again.`;
    trouble.hidden = false;
  }
}

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    await refresh();
    if (!document.hidden) schedule();
  }, wait);
}

document.addEventListener("visibilitychange", async () => {
  clearTimeout(timer);
  if (document.hidden) return;
  await refresh();
  schedule();
});

/** Replace the parts that changed, and leave everything else as the reader has it. */
function renew(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  const before = byId("headline")?.dataset.say;
  for (const part of fresh.querySelectorAll("[data-part]")) {
    const source = part.outerHTML;
    const old = byId(part.id);
    if (!old || sources.get(part.id) === source) continue;
    sources.set(part.id, source);
    replace(old, document.importNode(part, true));
  }
  const { title, say } = byId("headline").dataset;
  document.title = title;
  if (say !== before) byId("state-said").textContent = say;
}

function replace(old, fresh) {
  for (const details of old.querySelectorAll("details[id]")) {
    const same = fresh.querySelector(`details#${details.id}`);
    if (same) same.open = details.open;
  }
  const focusable = "a[href], button, summary, [tabindex]";
  const focused = [...old.querySelectorAll(focusable)].indexOf(document.activeElement);
  const scrolled = [...old.querySelectorAll(".scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
  offerCopying(fresh);
  old.replaceWith(fresh);
  for (const [at, box] of fresh.querySelectorAll(".scroll").entries()) {
    if (scrolled[at]) [box.scrollLeft, box.scrollTop] = scrolled[at];
  }
  if (focused >= 0) fresh.querySelectorAll(focusable)[focused]?.focus({ preventScroll: true });
}

schedule();
