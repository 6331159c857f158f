/** What the tests of live streams share: a service that is a script, and a way to the real one that breaks off. */

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { Http } from "../src/http.js";

export function httpTo(url: string): Http {
  return new Http({ baseUrl: url, timeout: 30_000, maxRetries: 3, headers: {}, fetch: globalThis.fetch });
}

async function addressOf(server: { listen(port: number, host: string): unknown; address(): unknown }): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server as unknown as Server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** One connection to a scripted service. */
export interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** `since` of the request; null where there is none. */
  readonly since: string | null;
  /** Resolves when the client has closed it. */
  readonly closed: Promise<unknown>;
  /** Begin an event stream, and send something. */
  stream(...frames: string[]): void;
}

export interface Scripted extends AsyncDisposable {
  readonly url: string;
  readonly asked: Asked[];
  readonly http: Http;
}

/** Start a service whose n-th connection is answered by the n-th act; the last act goes on for ever. */
export async function scripted(...acts: ((asked: Asked) => void)[]): Promise<Scripted> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const one: Asked = {
      request,
      response,
      since: new URL(request.url ?? "", "http://x").searchParams.get("since"),
      closed: once(response, "close"),
      stream: (...frames) => {
        if (!response.headersSent) response.writeHead(200, { "content-type": "text/event-stream" });
        response.write(frames.join(""));
      },
    };
    asked.push(one);
    acts[Math.min(asked.length, acts.length) - 1]?.(one);
  });
  const url = await addressOf(server);
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  return { url, asked, http: httpTo(url), [Symbol.asyncDispose]: close };
}

/** A problem, as the service answers it. */
export function problem(status: number, code: string, headers: Record<string, string> = {}): (asked: Asked) => void {
  return ({ response }) => {
    response.writeHead(status, { "content-type": "application/problem+json", ...headers });
    response.end(JSON.stringify({ type: "about:blank", title: code, status, detail: code, code }));
  };
}

export interface Cutting extends AsyncDisposable {
  readonly url: string;
  readonly http: Http;
  /** Connections on which something was asked, and of them those that are open. */
  readonly made: number;
  readonly open: number;
  /** Resolves when none is open. */
  closed(): Promise<void>;
}

/**
 * Open a way to a service that breaks off: each connection after as many bytes of answers as `allowance` says.
 *
 * The service's pause before another connection is made short on the way, digit for digit.
 */
export async function cutting(target: string, allowance: () => number = () => Infinity): Promise<Cutting> {
  const { hostname, port } = new URL(target);
  const all: Socket[] = [];
  const sockets = new Set<Socket>();
  let made = 0;
  let whenClosed: (() => void)[] = [];
  const server = createTcpServer((client) => {
    let left: number | undefined;
    const service = connect(Number(port), hostname);
    all.push(client, service);
    const end = (): void => {
      client.destroy();
      service.destroy();
      if (!sockets.delete(client) || sockets.size > 0) return;
      for (const tell of whenClosed) tell();
      whenClosed = [];
    };
    for (const socket of [client, service]) socket.on("error", end).on("close", end);
    client.on("data", (data) => {
      // Node's fetch opens connections that it may never use
      if (left === undefined) {
        made += 1;
        sockets.add(client);
        left = allowance();
      }
      service.write(data);
    });
    service.on("data", (data: Buffer) => {
      const text = data.toString("latin1").replace(/retry: \d{4}\n/, "retry: 0010\n");
      const bytes = Buffer.from(text, "latin1");
      if (left === undefined || left < 0) return;
      if (bytes.length < left) {
        left -= bytes.length;
        client.write(bytes);
      } else {
        client.write(bytes.subarray(0, left), () => client.destroy());
        left = -1; // nothing more
      }
    });
  });
  const url = await addressOf(server);
  return {
    url,
    http: httpTo(url),
    get made() {
      return made;
    },
    get open() {
      return sockets.size;
    },
    closed: () => (sockets.size === 0 ? Promise.resolve() : new Promise((resolve) => whenClosed.push(resolve))),
    [Symbol.asyncDispose]: async () => {
      for (const socket of all) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** A generator of numbers from 0 to 1 that is the same at every run (mulberry32). */
export function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Take the first so many, and end it. */
export async function first<T>(count: number, from: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  if (count === 0) return found;
  for await (const one of from) {
    found.push(one);
    if (found.length === count) break;
  }
  return found;
}
