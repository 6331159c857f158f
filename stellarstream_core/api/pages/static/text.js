// How strangers' text, ids and values are written: the same rules as pages/text.py and pages/events.py.

const HEAD = 5;
const TAIL = 4;
const LONGEST_PREVIEW = 160;
const LONGEST_NAME = 32;
const LONGEST_PART = 40;

const ID = /^(?:[A-Z2-7]{56,69}|[0-9a-f]{64})$/;
const UNSEEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\u{e0000}-\u{e0fff}]/gu;

/** Every character that has no look of its own, or turns others around, is written as its number. */
export function visible(text) {
  return String(text).replace(UNSEEN, (found) => {
    const number = found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    return `⟨U+${number}⟩`;
  });
}

/** An address or hash as CAS3J…OWMA; any other text as it is, made visible. */
export function short(text) {
  const plain = String(text);
  return ID.test(plain) ? `${plain.slice(0, HEAD)}…${plain.slice(-TAIL)}` : visible(plain);
}

export function clip(text, longest = LONGEST_PREVIEW) {
  const characters = Array.from(text);
  return characters.length <= longest ? text : `${characters.slice(0, longest - 1).join("")}…`;
}

function compact(value) {
  if (typeof value === "string") return short(value);
  if (Array.isArray(value)) return `[${value.map(compact).join(", ")}]`;
  if (value !== null && typeof value === "object") return `{${named(value).join(", ")}}`;
  return JSON.stringify(value);
}

function named(value) {
  return Object.entries(value).map(([name, part]) => `${visible(name)}: ${compact(part)}`);
}

export function pretty(value) {
  return JSON.stringify(value, null, 2).split("\n").map(visible).join("\n");
}

function isWord(topic) {
  return typeof topic === "string" && topic !== "" && !/^-*[0-9]+$/.test(topic) && short(topic) === visible(topic);
}

/** A value's parts: those of an object by name, without what holds nothing. */
function pieces(value) {
  if (value === null) return [];
  if (typeof value !== "object" || Array.isArray(value)) return [value];
  return named(value);
}

/** An event's name, and one line of its other topics and its value. */
export function describe(event) {
  if (event.decoded === null) return [event.type, "cannot be decoded by this version"];
  const topics = [...event.decoded.topics];
  const named = topics.findIndex(isWord);
  const name = named < 0 ? event.type : clip(visible(topics.splice(named, 1)[0]), LONGEST_NAME);
  const parts = [...topics, ...pieces(event.decoded.value)].map((part) => clip(compact(part), LONGEST_PART));
  return [name, clip(parts.filter(Boolean).join(" · "))];
}

export function moment(rfc3339) {
  return rfc3339.replace("T", " ").replace(/Z$/, "");
}

export function number(value) {
  return value.toLocaleString("en-US");
}

export function plural(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}
