/**
 * Server-Sent Events out of bytes that may be cut anywhere, as the HTML standard reads them
 * ("Server-sent events", 9.2.6): lines end with CR, LF or CRLF, a frame with an empty line.
 *
 * Nothing is told of a frame before it is whole, so a connection that breaks off in the middle of one leaves nothing
 * behind: neither half an event nor a position that was not reached.
 */

/** A whole frame: what stands between two empty lines. Frames of comments alone are left out. */
export interface SseFrame {
  /** The name of the event; `message` where the frame has none. */
  readonly event: string;
  /** The lines of `data`, joined; null where there is none, and so no event. */
  readonly data: string | null;
  /** The position behind the frame; null where it does not move. */
  readonly id: string | null;
  /** After how many milliseconds to connect again; null where that is not said. */
  readonly retry: number | null;
}

/** More than any event has: a "frame" of this many characters is something else, and would fill the memory. */
const MOST_CHARACTERS = 16 * 1024 * 1024;

/** Reads the bytes of one connection, in any pieces, and returns the frames that they complete. */
export class SseParser {
  // it leaves out a byte order mark at the beginning, and keeps the bytes of a character that is cut
  readonly #decoder = new TextDecoder();
  #line = "";
  #size = 0;
  #afterReturn = false;
  #event = "";
  #data: string[] = [];
  #id: string | null = null;
  #retry: number | null = null;

  /** Take some bytes. Throws `RangeError` for a frame without end. */
  push(bytes: Uint8Array): SseFrame[] {
    const frames: SseFrame[] = [];
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === "") return frames; // less than a character
    if (this.#afterReturn && text.startsWith("\n")) text = text.slice(1); // the second half of CRLF
    this.#afterReturn = text.endsWith("\r");
    let start = 0;
    for (const end of text.matchAll(/\r\n|\r|\n/g)) {
      this.#take(text.slice(start, end.index));
      start = end.index + end[0].length;
      const frame = this.#closed();
      if (frame !== null) frames.push(frame);
    }
    this.#take(text.slice(start));
    return frames;
  }

  #take(part: string): void {
    this.#size += part.length;
    if (this.#size > MOST_CHARACTERS) throw new RangeError("a frame without end");
    this.#line += part;
  }

  /** Read the line that is whole now; return the frame that it ends. */
  #closed(): SseFrame | null {
    const line = this.#line;
    this.#line = "";
    if (line !== "") {
      this.#field(line);
      return null;
    }
    const data = this.#data.length === 0 ? null : this.#data.join("\n");
    const frame = { event: this.#event || "message", data, id: this.#id, retry: this.#retry };
    [this.#event, this.#data, this.#id, this.#retry, this.#size] = ["", [], null, null, 0];
    return frame.data === null && frame.id === null && frame.retry === null ? null : frame;
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const rest = colon < 0 ? "" : line.slice(colon + 1);
    const value = rest.startsWith(" ") ? rest.slice(1) : rest;
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^[0-9]+$/.test(value)) this.#retry = Number(value);
  }
}
