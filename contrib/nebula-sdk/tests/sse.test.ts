/** The parser of Server-Sent Events: whatever the pieces, the same frames, and nothing of a frame that is not whole. */

import { describe, expect, it } from "vitest";
import { SseParser, type SseFrame } from "../src/sse.js";
import { dice } from "./live-kit.js";

const bytes = (text: string) => new TextEncoder().encode(text);
const frame = (some: Partial<SseFrame>): SseFrame => ({ event: "message", data: null, id: null, retry: null, ...some });

/** Parse bytes that come in pieces, cut at these places. */
function parsed(all: Uint8Array, ...cuts: number[]): SseFrame[] {
  const parser = new SseParser();
  const ends = [...cuts, all.length];
  return ends.flatMap((end, n) => parser.push(all.subarray(n === 0 ? 0 : ends[n - 1], end)));
}

/** What a service sends, with characters of two, three and four bytes, and each kind of frame. */
const WIRE = [
  "retry: 3192\n\n",
  "id: lgGXslplf11OsYuPF0iW5KD6AAAAAAAAACQAAAAA\n\n",
  ": heartbeat\n\n",
  'id: p1\ndata: {"memo":"Grüße, 世界 🌊","n":1}\n\n',
  'id: p2\ndata: {"n":2}\n\n',
  'event: bye\ndata: {"code":"shutting-down","detail":"…"}\n\n',
].join("");
const FRAMES = [
  frame({ retry: 3192 }),
  frame({ id: "lgGXslplf11OsYuPF0iW5KD6AAAAAAAAACQAAAAA" }),
  frame({ id: "p1", data: '{"memo":"Grüße, 世界 🌊","n":1}' }),
  frame({ id: "p2", data: '{"n":2}' }),
  frame({ event: "bye", data: '{"code":"shutting-down","detail":"…"}' }),
];
const ENDINGS = { LF: "\n", CR: "\r", CRLF: "\r\n" };

describe.each(Object.entries(ENDINGS))("lines that end with %s", (_, ending) => {
  const wire = bytes(WIRE.replaceAll("\n", ending));

  it("gives the same frames for a cut at every byte", () => {
    for (let cut = 0; cut <= wire.length; cut += 1) expect(parsed(wire, cut)).toEqual(FRAMES);
  });

  it("gives the same frames byte by byte, with empty pieces in between", () => {
    const parser = new SseParser();
    const seen = [...wire].flatMap((one) => [...parser.push(Uint8Array.of(one)), ...parser.push(new Uint8Array())]);
    expect(seen).toEqual(FRAMES);
  });

  it("gives the same frames for any pieces", () => {
    const random = dice(7);
    for (let round = 0; round < 300; round += 1) {
      const cuts = Array.from({ length: Math.floor(random() * 12) }, () => Math.floor(random() * wire.length));
      expect(parsed(wire, ...cuts.sort((one, other) => one - other))).toEqual(FRAMES);
    }
  });

  it("tells nothing of a frame before its empty line is there", () => {
    const ends = FRAMES.map((_, n) => {
      const text = ["retry", "id: lg", "id: p1", "id: p2", "event: bye"].map((start) => WIRE.indexOf(start));
      return bytes(WIRE.slice(0, WIRE.indexOf("\n\n", text[n]) + 1).replaceAll("\n", ending)).length;
    });
    for (let cut = 0; cut <= wire.length; cut += 1) {
      const whole = ends.filter((end) => end < cut).length;
      expect(new SseParser().push(wire.subarray(0, cut))).toEqual(FRAMES.slice(0, whole));
    }
  });
});

describe("fields", () => {
  const one = (text: string) => parsed(bytes(text));

  it("joins lines of data, and takes one space after the colon away", () => {
    expect(one("data: a\ndata:b\ndata\ndata:  c\n\n")).toEqual([frame({ data: "a\nb\n\n c" })]);
  });

  it("leaves comments, unknown fields and frames without anything out", () => {
    expect(one(": hello\nfoo: bar\nevent: nothing\n\n\n\n:\n\n")).toEqual([]);
  });

  it("does not take over a name, an id or data from the frame before", () => {
    expect(one("event: bye\nid: 1\ndata: x\n\ndata: y\n\n")).toEqual([
      frame({ event: "bye", id: "1", data: "x" }),
      frame({ data: "y" }),
    ]);
  });

  it("reads data that is empty as data, and an empty id as one", () => {
    expect(one("data\n\n")).toEqual([frame({ data: "" })]);
    expect(one("id\n\n")).toEqual([frame({ id: "" })]);
  });

  it("ignores a retry that is no number, and an id with a null character", () => {
    expect(one("retry: 3e3\nretry: -1\nretry:\nid: a\0b\ndata: x\n\n")).toEqual([frame({ data: "x" })]);
  });

  it("leaves out a byte order mark at the beginning, however it is cut", () => {
    const wire = Uint8Array.of(0xef, 0xbb, 0xbf, ...bytes("data: x\n\n"));
    for (let cut = 0; cut < 5; cut += 1) expect(parsed(wire, cut)).toEqual([frame({ data: "x" })]);
  });

  it("keeps a colon in a value, and reads what is not UTF-8 as replacement characters", () => {
    expect(one('data: {"a":":"}\n\n')).toEqual([frame({ data: '{"a":":"}' })]);
    expect(parsed(Uint8Array.of(...bytes("data: "), 0xff, ...bytes("\n\n")))).toEqual([frame({ data: "\ufffd" })]);
  });

  it("gives up a frame that has no end, instead of filling the memory", () => {
    const parser = new SseParser();
    const piece = bytes(`data: ${"x".repeat(1024 * 1024)}\n`);
    expect(() => {
      for (let n = 0; n < 20; n += 1) parser.push(piece);
    }).toThrow(RangeError);
  });

  it("takes any number of frames that end", () => {
    const parser = new SseParser();
    const piece = bytes(`data: ${"x".repeat(1024 * 1024)}\n\n`);
    let frames = 0;
    for (let n = 0; n < 20; n += 1) frames += parser.push(piece).length;
    expect(frames).toBe(20);
  });
});
