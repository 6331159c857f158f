// Asking the service. What it refuses comes as a problem (RFC 9457): a code, and a sentence with what to do.

const PATIENCE_MILLISECONDS = 60_000;

/** An answer that is none. `code` is the problem's; "offline" where nothing was answered. `status` 0: nothing at all. */
export class Refused extends Error {
  constructor(code, detail, status = 0) {
    super(detail);
    this.code = code;
    this.status = status;
  }

  /** Whether the same request may do better later, and does no harm. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Return what the service answers to a GET, or to a POST of `body` as JSON. Throws Refused. */
export async function ask(address, body, { keepalive = false } = {}) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), PATIENCE_MILLISECONDS);
  try {
    const answer = await fetch(address, {
      method: body === undefined ? "GET" : "POST",
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      signal: controller.signal,
      keepalive,
    });
    const told = await answer.json().catch(() => ({}));
    if (answer.ok) return told;
    throw new Refused(told.code ?? "failed", detailed(told, answer.status), answer.status);
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Refused("offline", "The service does not answer. Look at your connection, then try again.");
  } finally {
    clearTimeout(timer);
  }
}

function detailed(told, status) {
  if (typeof told.detail !== "string") return `The service failed (${status}). Try again in a minute.`;
  const more = Array.isArray(told.errors) ? told.errors.map(({ detail }) => detail).filter(Boolean) : [];
  return more.length ? `${told.detail} (${more.join("; ")})` : told.detail;
}
