// "Try it" in the documentation: sends what the form holds to this very service and shows the answer as text.

import { offerCopying } from "./copy.js";
import { visible } from "./text.js";

const LONGEST_SHOWN = 20_000;
const SHOWN_HEADERS = ["Content-Type", "ETag", "Cache-Control", "Link", "RateLimit", "Retry-After", "X-Request-ID"];

const root = document.documentElement.dataset.root;
const credential = document.getElementById("credential");

offerCopying();
credential.hidden = false;
credential.addEventListener("submit", (event) => event.preventDefault());
for (const details of document.querySelectorAll("details.try")) {
  details.hidden = false;
  details.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.currentTarget, details.querySelector(".tried"));
  });
}

function address(form) {
  let path = form.dataset.path.replace(/^\//, "");
  const query = new URLSearchParams();
  for (const field of form.querySelectorAll("[data-place]")) {
    const values = field.value.split("\n").map((value) => value.trim()).filter(Boolean);
    if (field.dataset.place === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(values[0] ?? ""));
    else for (const value of values) query.append(field.name, value);
  }
  const text = query.toString();
  return `${root}${path}${text ? `?${text}` : ""}`;
}

function headers() {
  const text = document.getElementById("credential-text").value.trim();
  if (!text) return {};
  return text.startsWith("ss_") ? { "X-API-Key": text } : { Authorization: `Bearer ${text}` };
}

async function send(form, shown) {
  const target = address(form);
  const begun = performance.now();
  try {
    const answer = await fetch(target, { headers: headers(), cache: "no-store", redirect: "error" });
    const text = await answer.text();
    const took = Math.round(performance.now() - begun);
    show(shown, `${answer.status} ${answer.statusText} in ${took} ms`, [
      `GET ${new URL(target, location.href).pathname}${new URL(target, location.href).search}`,
      ...SHOWN_HEADERS.filter((name) => answer.headers.has(name)).map((name) => `${name}: ${answer.headers.get(name)}`),
      "",
      indented(text),
    ]);
  } catch (error) {
    show(shown, "The request could not be sent.", [String(error)]);
  }
}

function indented(text) {
  let whole = text;
  try {
    whole = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // not JSON: as it is
  }
  const cut = whole.length > LONGEST_SHOWN;
  return `${whole.slice(0, LONGEST_SHOWN)}${cut ? "\n… and more" : ""}`;
}

function show(element, headline, lines) {
  const word = document.createElement("p");
  word.textContent = headline;
  const text = document.createElement("pre");
  text.className = "code";
  text.tabIndex = 0;
  text.textContent = lines.join("\n").split("\n").map(visible).join("\n");
  element.replaceChildren(word, text);
}
